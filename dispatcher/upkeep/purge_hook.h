/* SPDX-License-Identifier: MIT
 *
 * Tells whoever keeps copies of what we serve (a CDN) that a path is gone: a program that the
 * operator names, or a URL with `{path}` in it.
 *
 *     rc = purge_hook_open(&(struct purge_hook_options){.url = "http://cdn:6081{path}",
 *                          .method = "PURGE"}, &hook, &err);      // NULL where none is wanted
 *     rc = purge_hook_call(hook, "/j/006f…", 10000, &err);
 *     purge_hook_close(&hook);
 *
 * A path holds nothing but [A-Za-z0-9._/-]: it stands in a URL as it is, and is one argument of the
 * program, which no shell sees. One thread at a time. */
#ifndef DARKROOM_DISPATCHER_UPKEEP_PURGE_HOOK_H
#define DARKROOM_DISPATCHER_UPKEEP_PURGE_HOOK_H

#include <stdint.h>

struct err;
struct purge_hook;

/* Borrowed for the call of open(); NULL or "" where not wanted. */
struct purge_hook_options {
    const char *command;     /* absolute path of a program */
    const char *url;         /* http:// or https://, with `{path}` once */
    const char *method;      /* PURGE, POST, PUT, DELETE or GET */
    const char *header_file; /* one line `Name: value`, sent with it; readable by us alone */
};

/* *out is NULL where neither command nor URL is given. ERR_INVALID names the option. */
int purge_hook_open(const struct purge_hook_options *options, struct purge_hook **out,
                    struct err *err);
void purge_hook_close(struct purge_hook **hook);

/* Waits for at most timeout_ms. Done where the program exits with 0, or the answer is 2xx, 404 or
 * 410: what is not there needs no purging. ERR_INVALID: `path` is not one; ERR_TIMEOUT,
 * ERR_UNAVAILABLE, or what the answer says (http_client.h). */
int purge_hook_call(struct purge_hook *hook, const char *path, int64_t timeout_ms, struct err *err);

#endif

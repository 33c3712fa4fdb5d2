/* SPDX-License-Identifier: MIT
 *
 * Domains whose addresses get no mail from here, such as those that are thrown away: a file with
 * one in each line, of which subdomains are blocked as well.
 *
 *     rc = blocked_create("/etc/darkroom/blocked-domains", offload, &blocked, &err);
 *     if (blocked_has(blocked, "somebody@mail.example.org")) …
 *     next_ms = blocked_tick(blocked, clock_ms());     // the file is read again when it changes
 *
 * A `#` begins a comment. A file that cannot be read, or has a line that is no domain, is refused
 * at the start; later the list stays as it was, and the log says so once. blocked_has() from any
 * thread, all else from the loop's. */
#ifndef DARKROOM_DISPATCHER_ACCESS_BLOCKED_H
#define DARKROOM_DISPATCHER_ACCESS_BLOCKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blocked;
struct err;
struct offload;

#define BLOCKED_MAX_BYTES (16u * 1024 * 1024)

/* `path` and `offload` are borrowed. NULL path: nothing is blocked, and *out is NULL, which all of
 * these take. The field of an error is "blocked-domains". */
int blocked_create(const char *path, struct offload *offload, struct blocked **out,
                   struct err *err);
/* After the offload has finished. */
void blocked_destroy(struct blocked **blocked);

/* `address` has passed address_check(). */
bool blocked_has(struct blocked *blocked, const char *address);

int64_t blocked_tick(struct blocked *blocked, int64_t now_ms);

#endif

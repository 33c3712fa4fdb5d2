/* SPDX-License-Identifier: MIT
 *
 * A table of routes.
 *
 *     static const struct route routes[] = {
 *         {1u << METHOD_GET, "/v1/jobs/{}", "job", show_job},
 *         {1u << METHOD_GET, "/assets/{*}", "asset", send_asset},
 *     };
 *     rc = router_find(routes, count, method, path, &match);
 *
 * `{}` is one segment of at least one byte, `{*}` the rest of the path; at most two of them. HEAD
 * goes where GET goes. Pure functions, any thread. */
#ifndef DARKROOM_DISPATCHER_HTTP_ROUTER_H
#define DARKROOM_DISPATCHER_HTTP_ROUTER_H

#include "dispatcher/http/server.h"

#include <stdbool.h>
#include <stddef.h>

#define ROUTER_MAX_CAPTURES 2

struct dispatcher;
struct call;

struct route {
    unsigned methods; /* bits 1 << HTTP_x */
    const char *pattern;
    const char *name; /* for metrics and logs */
    /* Called before a body is read, and once it is there; either may be NULL. */
    void (*headers)(struct dispatcher *dispatcher, struct call *call);
    void (*complete)(struct dispatcher *dispatcher, struct call *call);
    bool open; /* for pages of any origin, as visitors: API keys count for nothing here */
};

struct router_match {
    const struct route *route; /* NULL where nothing matched */
    /* What stood for `{}`; borrowed from the path. That of `{*}` reaches to the path's end. */
    const char *captures[ROUTER_MAX_CAPTURES];
    size_t capture_sizes[ROUTER_MAX_CAPTURES];
    unsigned allowed; /* methods of the path when the method did not fit */
};

/* ERR_NOT_FOUND: no such path. ERR_UNSUPPORTED: the path exists for the methods in `allowed`. */
int router_find(const struct route *routes, size_t count, enum method method, const char *path,
                struct router_match *out);

/* Copies a capture as text; false if it does not fit. */
bool router_capture(const struct router_match *match, int index, char *out, size_t out_size);

/* "GET, HEAD, POST" for the Allow header. */
void router_allow_text(unsigned methods, char out[64]);

#endif

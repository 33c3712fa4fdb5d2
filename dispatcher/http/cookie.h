/* SPDX-License-Identifier: MIT
 *
 * Cookies (RFC 6265), read and written.
 *
 *     if (cookie_find(exchange_header(exchange, "Cookie"), "lang", value, sizeof value)) ...
 *     cookie_write(&(struct cookie){.name = "lang", .value = "nl", .path = "/",
 *                  .max_age_s = 86400, .secure = true}, line, sizeof line);
 *     exchange_add_header(exchange, "Set-Cookie", line);
 *
 * Pure functions, any thread. */
#ifndef DARKROOM_DISPATCHER_HTTP_COOKIE_H
#define DARKROOM_DISPATCHER_HTTP_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COOKIE_LINE_MAX 512

/* Borrowed for the call. */
struct cookie {
    const char *name, *value; /* "" as value and 0 as age: forget it */
    const char *path;
    int64_t max_age_s; /* < 0: until the browser is closed */
    bool hidden;       /* from scripts: HttpOnly */
    bool strict;       /* SameSite=Strict, else Lax */
    bool secure;       /* only over https */
};

/* The value of the first cookie of this name in a Cookie header (nullable). False: there is none,
 * or it does not fit or holds what a cookie may not. */
bool cookie_find(const char *header, const char *name, char *out, size_t out_size);

/* The value of a Set-Cookie header. False: it does not fit, or a part holds what it may not. */
bool cookie_write(const struct cookie *cookie, char *out, size_t out_size);

#endif

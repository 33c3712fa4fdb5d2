/* SPDX-License-Identifier: MIT
 *
 * Pages of other origins, as the Fetch standard has it (CORS).
 *
 *     rc = cors_check_list("https://a.example,https://b.example", &err);   // of an option
 *     if (cors_is_preflight(exchange)) ...cors_preflight(dispatcher, call);
 *     if (!cors_admit(call, key)) return;                                  // 403 was answered
 *
 * Whoever comes with a key is let in from the origins of that key, visitors from those of
 * --cors-origins; both from our own. A preflight does not tell the key, so it is granted to
 * every origin that some key or the option allows: it only lets the browser send the request, which
 * is then judged by its own key before anything is done. Never a wildcard, never credentials:
 * cookies mean nothing here. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_ACCESS_CORS_H
#define DARKROOM_DISPATCHER_ACCESS_CORS_H

#include <stdbool.h>

struct call;
struct dispatcher;
struct err;
struct exchange;
struct key;

/* Checks the option's list. ERR_INVALID names the origin that is none. */
int cors_check_list(const char *origins, struct err *err);

bool cors_is_preflight(const struct exchange *exchange);
/* A route's `complete`. */
void cors_preflight(struct dispatcher *dispatcher, struct call *call);

/* Judges where the request comes from, and notes the headers for its answer. `key` is NULL for a
 * visitor. A foreign page may not change anything, nor use a key that does not name it: then false,
 * and 403 was answered. */
bool cors_admit(struct call *call, const struct key *key);

/* Does a form of our own pages ask, as far as the browser says? For what acts on cookies or on a
 * visitor's behalf: stricter than the above, as the list of other origins is not for it. */
bool cors_is_own_page(const struct call *call);

#endif

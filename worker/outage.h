/* SPDX-License-Identifier: MIT
 *
 * Says once that a server is away and once that it is back, whatever the number of threads that
 * notice.
 *
 *     static struct outage store = {.name = "store-get"};
 *     outage_note(&store, rc, &err);    // after every request, good or bad
 *
 * Any thread. */
#ifndef DARKROOM_WORKER_OUTAGE_H
#define DARKROOM_WORKER_OUTAGE_H

#include <stdatomic.h>
#include <stdint.h>

struct err;

struct outage {
    const char *name;      /* as in the log: "redis", "store-put" */
    atomic_llong since_ms; /* clock_ms() when it went; 0: it is there */
};

/* Codes other than ERR_UNAVAILABLE and ERR_TIMEOUT are answers: the server is there. */
void outage_note(struct outage *outage, int rc, const struct err *err);

#endif

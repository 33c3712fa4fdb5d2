/* SPDX-License-Identifier: MIT
 *
 * Says once that a server is away and once that it is back, and how long to leave it alone
 * meanwhile.
 *
 *     struct absence redis = {"redis.away", {.base_ms = 50, .max_ms = 2000}, false};
 *     if (rc < 0) pause_ms = absence_note(&redis, &err); else absence_end(&redis);
 *
 * One thread. */
#ifndef DARKROOM_NOTIFIER_ABSENCE_H
#define DARKROOM_NOTIFIER_ABSENCE_H

#include "common/backoff.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

struct absence {
    const char *event; /* as in the log */
    struct backoff backoff;
    bool told;
};

/* It did not answer, because of `err`. Returns for how many ms it should not be asked. */
int64_t absence_note(struct absence *absence, const struct err *err);

/* It answered. */
void absence_end(struct absence *absence);

#endif

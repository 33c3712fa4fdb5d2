/* SPDX-License-Identifier: MIT
 *
 * API keys as Redis has them, remembered for a moment.
 *
 *     rc = keyring_ask(keyring, text, clock_ms(), &wait, &key);
 *     if (rc == KEYRING_WAITS) ...      // wait.done(&wait, rc, key) comes later
 *
 * What is younger than a second is believed; until it is two seconds old it is believed once more
 * while Redis is asked behind it, so that a busy client never waits and a revoked key is refused
 * two seconds later at the latest. That there is no such key is remembered alike. The table has a
 * fixed size; the oldest gives way. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_ACCESS_KEYRING_H
#define DARKROOM_DISPATCHER_ACCESS_KEYRING_H

#include <stdint.h>

struct dispatcher;
struct key;
struct keyring;

enum { KEYRING_WAITS = 1 };

/* One who waits; memory of the caller. */
struct keyring_wait {
    struct keyring_wait *next; /* of this module */
    /* `rc` is 0, and `key` borrowed for the call, or a code as below with NULL. */
    void (*done)(struct keyring_wait *wait, int rc, const struct key *key);
};

int keyring_create(struct dispatcher *dispatcher, struct keyring **out);
/* Nobody may wait any more. */
void keyring_destroy(struct keyring **keyring);

/* 0: *out_key is borrowed until the next call of this module. KEYRING_WAITS: `wait` is borrowed
 * until its `done` was called. ERR_NOT_FOUND: no such key, or no key at all, or revoked.
 * ERR_UNAVAILABLE: Redis is away. ERR_CORRUPT: what Redis holds is no key. */
int keyring_ask(struct keyring *keyring, const char *text, int64_t now_ms,
                struct keyring_wait *wait, const struct key **out_key);

#endif

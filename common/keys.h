/* SPDX-License-Identifier: MIT
 *
 * API keys: who may do what, and how much of it.
 *
 *     struct key key = {…};
 *     rc = keys_create(redis, &key, timeout_ms, text, &err);     // `text` is shown once
 *     keys_get_command(digest, &command);                        // asynchronously: build,
 *     rc = keys_get_reply(reply, now_ms, &key, &err);            // and parse in the callback
 *
 * A key is `dk_` and 43 base64url characters of 256 random bits. Redis holds only its SHA-256,
 * under the hash tag `{k}`, which no worker may touch. Keys belong to accounts; the account is the
 * flow of its jobs. docs/protocol.md is the contract. Any thread. */
#ifndef DARKROOM_COMMON_KEYS_H
#define DARKROOM_COMMON_KEYS_H

#include "common/job.h"

#include <stdbool.h>
#include <stdint.h>

#define KEY_TEXT_SIZE 47    /* of the key itself, with the terminator */
#define KEY_ID_SIZE 18      /* k and 16 hex digits: what a key is called in lists and logs */
#define KEY_ACCOUNT_SIZE 18 /* a and 16 hex digits */
#define KEY_NAME_SIZE 65
#define KEY_ORIGINS_SIZE 1025

/* What a key permits; bits. */
enum scope { SCOPE_SUBMIT = 1, SCOPE_READ = 2, SCOPE_OPERATE = 4 };

struct key {
    char id[KEY_ID_SIZE];
    char account[KEY_ACCOUNT_SIZE];
    char name[KEY_NAME_SIZE];
    unsigned scopes;                /* of enum scope */
    enum job_priority ceiling;      /* the highest priority that it may ask for */
    double weight;                  /* of its jobs against other flows': 0.01 … 1000 */
    int64_t per_minute, burst;      /* submissions; per_minute 0: no limit */
    int64_t concurrency;            /* jobs of the account that may run at once; 0: no limit */
    int64_t max_queued;             /* jobs of the account and one model that may wait; 0: the
                                     * installation's limit */
    char origins[KEY_ORIGINS_SIZE]; /* whose pages may use it, separated by spaces; "" none */
    int64_t created_ms, revoked_ms; /* since 1970; revoked 0: it is good */
};

/* True for text of the form of a key, whether or not there is such a one. */
bool key_text_valid(const char *text);

#endif

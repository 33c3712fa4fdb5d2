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

#include "common/crypto.h"
#include "common/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct redis;
struct redis_command;
struct redis_reply;

#define KEY_TEXT_SIZE 47    /* of the key itself, with the terminator */
#define KEY_ID_SIZE 18      /* k and 16 hex digits: what a key is called in lists and logs */
#define KEY_ACCOUNT_SIZE 18 /* a and 16 hex digits */
#define KEY_NAME_SIZE 65
#define KEY_ORIGINS_SIZE 1025

/* Where a cluster keeps them, see redis_async_use(). */
int keys_slot(void);

/* In place of a limit of an account: what it has, or for a new one none. */
#define KEYS_AS_IT_WAS (-1)

/* What a key permits; bits. */
enum scope { SCOPE_SUBMIT = 1, SCOPE_READ = 2, SCOPE_OPERATE = 4, SCOPE_SCALE = 8 };

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

/* What Redis knows a key by. `text` may be any. */
int key_digest(const char *text, char out[CRYPTO_SHA256_HEX_SIZE]);

/* Is `text` an origin as browsers send it: scheme://host or scheme://host:port, lower case? */
bool key_origin_valid(const char *text, size_t size);
/* May pages of this origin use the key? */
bool key_allows_origin(const struct key *key, const char *origin);

/* "submit read" from the bits and back, separated by spaces or commas. ERR_INVALID. */
#define KEY_SCOPES_SIZE 32
void key_scopes_format(unsigned scopes, char out[KEY_SCOPES_SIZE]);
int key_scopes_parse(const char *text, unsigned *out_scopes, struct err *err);

/* ERR_INVALID or ERR_LIMIT with the member at fault; id and times are not looked at, and an empty
 * account is fine. */
int key_check(const struct key *key, struct err *err);

/* ---- for the command line: at once ---------------------------------------------------------- */

/* Makes a key as `key` says, of a new account where key->account is ""; fills id, account and
 * created_ms, and the account's limits. `out_text` is the only place where the key itself ever is.
 * ERR_NOT_FOUND: there is no such account. */
int keys_create(struct redis *redis, struct key *key, int64_t timeout_ms,
                char out_text[KEY_TEXT_SIZE], struct err *err);

/* Other limits for the account, KEYS_AS_IT_WAS for one that stays. ERR_NOT_FOUND. */
int keys_set_account(struct redis *redis, const char *account, int64_t concurrency,
                     int64_t max_queued, int64_t timeout_ms, struct err *err);

/* The dispatchers follow within two seconds. Harmless when repeated. ERR_NOT_FOUND. */
int keys_revoke(struct redis *redis, const char *id, int64_t timeout_ms, struct err *err);

/* Every key, in no order; revoked ones for 90 days. Revoked and good ones alike. */
typedef int keys_each(const struct key *key, void *data); /* not 0 ends the walk */
int keys_list(struct redis *redis, int64_t timeout_ms, keys_each *each, void *data,
              struct err *err);

/* ---- for the dispatcher: commands and replies ------------------------------------------------ */

/* ERR_NOT_FOUND, also of a revoked key; ERR_CORRUPT names what is expected. */
void keys_get_command(const char *digest, struct redis_command *command);
int keys_get_reply(const struct redis_reply *reply, struct key *out, struct err *err);

/* Does any good key allow pages of this origin? For a preflight, which does not tell the key. */
void keys_origin_command(const char *origin, struct redis_command *command);
bool keys_origin_reply(const struct redis_reply *reply);

/* Takes up to `count` tokens out of a bucket that all dispatchers share, or gives back (negative)
 * what was taken and not used. `bucket` is [A-Za-z0-9_-]{1,64}. */
void keys_take_command(const char *bucket, int64_t per_minute, int64_t burst, int64_t count,
                       struct redis_command *command);
int keys_take_reply(const struct redis_reply *reply, int64_t *out_taken, int64_t *out_wait_ms,
                    struct err *err);

#endif

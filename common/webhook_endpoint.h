/* SPDX-License-Identifier: MIT
 *
 * Webhook endpoints that accounts have registered, in Redis under the hash tag `{k}`.
 *
 *     endpoint_get_command(id, &command);              // asynchronously: build,
 *     rc = endpoint_get_reply(reply, &endpoint, &err); // and parse in the callback
 *     rc = webhook_open(keys, endpoint.url, endpoint.id, url, sizeof url);
 *
 * URL and secrets are kept sealed (webhook.h), bound to the endpoint's id; a struct holds them so.
 * Which endpoint hears of which jobs is noted a second time beside the account's jobs
 * (queue_hooks_listen_command()), for the script that ends a job sees nothing else. Conventions as
 * in keys.h. */
#ifndef DARKROOM_COMMON_WEBHOOK_ENDPOINT_H
#define DARKROOM_COMMON_WEBHOOK_ENDPOINT_H

#include "common/keys.h"
#include "common/webhook.h"

#define ENDPOINT_ID_SIZE 20 /* "wh_" and 16 hex digits, and the zero */
#define ENDPOINT_TEXT_SIZE 257
#define ENDPOINTS_MAX 16                         /* of one account */
#define ENDPOINT_OVERLAP_MS (24LL * 3600 * 1000) /* how long a secret goes on after a rotation */

/* Events, as the letters of the states in which a job ends. */
#define ENDPOINT_EVENTS_SIZE 4

struct endpoint {
    char id[ENDPOINT_ID_SIZE];
    char account[KEY_ACCOUNT_SIZE];
    char url[WEBHOOK_SEALED_SIZE];
    char secret[WEBHOOK_SEALED_SIZE];
    char old_secret[WEBHOOK_SEALED_SIZE]; /* "" unless old_until_ms is set */
    char events[ENDPOINT_EVENTS_SIZE];    /* "SFC", "S", "" … */
    char description[ENDPOINT_TEXT_SIZE];
    char reason[ENDPOINT_TEXT_SIZE]; /* why it is disabled */
    int64_t created_ms, old_until_ms;
    int64_t disabled_ms; /* 0: it is not */
    int64_t enabled_ms;  /* last; 0: it never had to be */
};

int endpoint_id_create(char out[ENDPOINT_ID_SIZE]);
bool endpoint_id_valid(const char *text);

/* "job.succeeded" and so on, from a state's letter and back; NULL and 0 for what is none. */
const char *endpoint_event_name(char letter);
char endpoint_event_letter(const char *name);

/* Of `endpoint` everything but the times is written; harmless when repeated. ERR_LIMIT: the account
 * has ENDPOINTS_MAX of them. */
void endpoint_create_command(const struct endpoint *endpoint, struct redis_command *command);
int endpoint_create_reply(const struct redis_reply *reply, int64_t *out_created_ms,
                          struct err *err);

/* ERR_NOT_FOUND. */
void endpoint_get_command(const char *id, struct redis_command *command);
int endpoint_get_reply(const struct redis_reply *reply, const char *id, struct endpoint *out,
                       struct err *err);

/* Up to ENDPOINTS_MAX; *out_count is how many. */
void endpoint_list_command(const char *account, struct redis_command *command);
int endpoint_list_reply(const struct redis_reply *reply, struct endpoint out[ENDPOINTS_MAX],
                        size_t *out_count, struct err *err);

/* Each only where the endpoint is of this account ("": of any); harmless when repeated. */
void endpoint_rotate_command(const char *id, const char *account, const char *sealed_secret,
                             struct redis_command *command);
void endpoint_enable_command(const char *id, const char *account, struct redis_command *command);
void endpoint_delete_command(const char *id, const char *account, struct redis_command *command);
/* As it was read before the try that found it gone: whoever enabled it since then wins. */
void endpoint_disable_command(const struct endpoint *endpoint, const char *reason,
                              struct redis_command *command);
/* Of these four. ERR_NOT_FOUND; ERR_CONFLICT: it was enabled since then. */
int endpoint_change_reply(const struct redis_reply *reply, struct err *err);

#endif

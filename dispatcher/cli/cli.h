/* SPDX-License-Identifier: MIT
 *
 * darkroom, the command line: what its files share. It speaks the HTTP API; only what no key may
 * do over HTTP, such as making keys, goes to Redis.
 *
 *     cli.c         commands, options, main
 *     cli_api.c     requests, problem documents, jobs as values
 *     cli_state.c   the tokens of submitted jobs, kept in a file
 *     cli_events.c  Server-Sent Events
 *     cli_view.c    progress bars and lines
 *     cli_redis.c   the connection of those commands that go to Redis itself
 *     cli_submit.c, cli_jobs.c  the commands of whoever hands in jobs
 *     cli_provenance.c  what a result says of itself
 *     cli_objects.c  the store's objects in a folder and back, for a backup
 *     cli_operate.c, cli_keys.c, cli_fsck.c, erase.c, health.c, replay.c  those of operators
 *
 * Functions return 0 or a code of err.h with one line for a person; main() turns that into an exit
 * status. One thread. */
#ifndef DARKROOM_DISPATCHER_CLI_CLI_H
#define DARKROOM_DISPATCHER_CLI_CLI_H

#include "common/config.h"
#include "common/id.h"
#include "common/json.h"
#include "common/redis.h"
#include "common/store_options.h"
#include "dispatcher/cli/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct http_client;

#define CLI_DEFAULT_SERVER "http://127.0.0.1:8080"
#define CLI_MAX_SERVER 512
#define CLI_MAX_INPUT_BYTES (64 << 20)
#define CLI_MAX_RESULT_BYTES (256 << 20)
#define CLI_MAX_TOKEN 64

/* Exit statuses beside err_exit_status(). */
enum { CLI_EXIT_FAILED = 1, CLI_EXIT_CANCELLED = 2, CLI_EXIT_INTERRUPTED = 130 };

struct cli_settings {
    char *server;
    char *model, *email, *lang, *crop, *output, *idempotency_key, *from;
    struct config_list params;
    char *key_file, *token_file;
    int64_t timeout_s, limit;
    bool wait, json;
    char *redis, *redis_password_file;
    struct redis_tls_files redis_tls;
    struct store_place store; /* of fsck, as what follows */
    char *secret_file;
    bool mend;
    int64_t shards;
    char *account, *name, *scopes, *priority, *weight, *origins; /* of a key */
    int64_t per_minute, burst, concurrency, max_queued;
    char *since, *until, *kind, *state; /* of notifications */
    char *email_file;                   /* of erase */
    bool dry_run, forget_choice;
    char *aws_endpoint, *aws_metadata; /* of scale and secrets */
    int64_t target_wait_s, start_s, least, most, every_s, down_after_s;
    bool once;
};

struct cli {
    struct cli_settings settings;
    struct http_client *http;                      /* owned */
    char key[CLI_MAX_TOKEN], token[CLI_MAX_TOKEN]; /* of --key-file, --token-file; "" without */
    char **words; /* borrowed: those of the command line that are no options */
    size_t word_count;
    struct cli_view view;
    int64_t deadline_ms;  /* of clock_ms(); 0: none */
    int refusal;          /* HTTP status of what the server refused; 0: nothing */
    int64_t upload_bytes; /* of the request under way */
    int exit_status;      /* of a command that did what it was told, such as CLI_EXIT_FAILED */
};

/* A job of ours: who runs it and what we may do with it. */
struct cli_job {
    char id[ID_PUBLIC_SIZE];
    char server[CLI_MAX_SERVER];
    char view[CLI_MAX_TOKEN], manage[CLI_MAX_TOKEN], erase[CLI_MAX_TOKEN]; /* "" where unknown */
    char model[65];
    char created_at[32];
};

/* ---- cli_api.c ------------------------------------------------------------------------------ */

/* All borrowed. */
struct cli_request {
    const char *server;
    const char *method; /* "GET", "POST", "DELETE" */
    const char *path;
    const char *token; /* NULL or "": none */
    const char *content_type;
    const char *idempotency_key; /* NULL: none */
    const void *body;
    size_t body_size;
    bool shows_upload;
};

/* Sends, reads the answer as JSON (owned by the caller; nullable where none is wanted). A problem
 * document becomes the error: its detail, with the field and the limit. */
int cli_call(struct cli *cli, const struct cli_request *request, json_t **out_answer,
             struct err *err);

/* That of --token-file, or else the key of --key-file, or NULL. Borrowed. */
const char *cli_token(const struct cli *cli);

/* "/v1/jobs/<id><suffix>" */
#define CLI_PATH_SIZE 96
void cli_job_path(const struct cli_job *job, const char *suffix, char out[CLI_PATH_SIZE]);

/* What a view shows, from a job resource. ERR_CORRUPT: the server sent something else. */
int cli_read_status(const json_t *resource, struct cli_status *out, struct err *err);

/* Follows a job until it ends (or the deadline: ERR_TIMEOUT), over dropped connections; shows it.
 * *out_resource is owned by the caller. */
int cli_follow(struct cli *cli, const struct cli_job *job, json_t **out_resource, struct err *err);

/* Fetches the result and writes it to settings.output ("-": standard output). */
int cli_save_result(struct cli *cli, const struct cli_job *job, struct err *err);

/* Prints the resource as JSON or as lines, and sets exit_status by its state. */
int cli_print_job(struct cli *cli, const json_t *resource, struct err *err);

/* Writes a value as one document to standard output. */
int cli_print_json(const json_t *value, struct err *err);

/* ---- cli_operate.c -------------------------------------------------------------------------- */

/* Asks with the key of --key-file; `body` (nullable) is borrowed, *out_answer owned by the caller.
 */
int cli_ask(struct cli *cli, const char *method, const char *path, const json_t *body,
            json_t **out_answer, struct err *err);

/* A member that is a text, else "". Borrowed from the object. */
const char *cli_text(const json_t *object, const char *name);

/* ---- cli_redis.c ---------------------------------------------------------------------------- */

struct redis;

/* By --redis and --redis-password-file. Does not connect yet; owned by the caller. */
int cli_open_redis(const struct cli *cli, struct redis **out_redis, struct err *err);

/* ---- cli_provenance.c ----------------------------------------------------------------------- */

/* The model and the parameters that a result names, if `server` can make it again. Both are owned
 * by the caller (free, json_decref). */
int cli_read_from(struct cli *cli, const char *server, const char *file, char **out_model,
                  json_t **out_params, struct err *err);
/* Says on standard error whether the file that was made is the one that it was made from. */
void cli_compare(const char *from, const char *made);

/* ---- cli_objects.c -------------------------------------------------------------------------- */

struct store;

/* By --store and its company; owned by the caller. */
int cli_open_store(const struct cli *cli, struct store **out_store, struct err *err);

/* ---- the commands --------------------------------------------------------------------------- */

int cli_submit(struct cli *cli, const char *unused, struct err *err);
int cli_info(struct cli *cli, const char *file, struct err *err);
int cli_get(struct cli *cli, const char *id, struct err *err);
int cli_watch(struct cli *cli, const char *id, struct err *err);
int cli_cancel(struct cli *cli, const char *id, struct err *err);
int cli_delete(struct cli *cli, const char *id, struct err *err);
int cli_list(struct cli *cli, const char *unused, struct err *err);
int cli_models(struct cli *cli, const char *unused, struct err *err);
int cli_health(struct cli *cli, const char *url, struct err *err);
int cli_fsck(struct cli *cli, const char *unused, struct err *err);
int cli_objects_save(struct cli *cli, const char *folder, struct err *err);
int cli_objects_load(struct cli *cli, const char *folder, struct err *err);
int cli_keys_create(struct cli *cli, const char *unused, struct err *err);
int cli_keys_limit(struct cli *cli, const char *account, struct err *err);
int cli_keys_list(struct cli *cli, const char *unused, struct err *err);
int cli_keys_revoke(struct cli *cli, const char *id, struct err *err);

int cli_queues(struct cli *cli, const char *unused, struct err *err);
int cli_workers(struct cli *cli, const char *unused, struct err *err);
int cli_dead(struct cli *cli, const char *unused, struct err *err);
int cli_dead_replay(struct cli *cli, const char *id, struct err *err);
int cli_replay(struct cli *cli, const char *unused, struct err *err);
int cli_erase(struct cli *cli, const char *unused, struct err *err);
int cli_unsent(struct cli *cli, const char *unused, struct err *err);
int cli_scale(struct cli *cli, const char *group, struct err *err);
int cli_secrets(struct cli *cli, const char *id, struct err *err);
int cli_pause(struct cli *cli, const char *model, struct err *err);
int cli_resume(struct cli *cli, const char *model, struct err *err);

#endif

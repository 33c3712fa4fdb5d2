/* SPDX-License-Identifier: MIT
 *
 * The home of hiredis: commands, replies, and a synchronous connection that comes back by itself.
 *
 *     struct redis_target target;
 *     rc = redis_target_init(&target, "unix:/run/redis.sock", NULL, &err);
 *     rc = redis_create(&target, &redis, &err);                  // does not connect yet
 *
 *     struct redis_command command;
 *     redis_command_init(&command, MAX_BYTES);
 *     redis_command_text(&command, "GET");
 *     redis_command_text(&command, key);
 *     rc = redis_call(redis, &command, 2000, &reply, &err);      // connects where needed
 *     ... redis_reply_text(reply) ...
 *     redis_reply_free(&reply);
 *     redis_command_fini(&command);
 *     redis_destroy(&redis);
 *
 * A call connects, authenticates, selects the database, and repeats the command on a new connection
 * until its deadline when the old one breaks: therefore send only what is safe to repeat (all
 * scripts of the queue are). NOSCRIPT is answered by sending the script's text.
 * Error replies are codes of err.h, by their first word: OOM, LOADING, READONLY, CLUSTERDOWN, BUSY
 * and their like are ERR_UNAVAILABLE, NOAUTH, WRONGPASS and NOPERM ERR_DENIED, WRONGTYPE and our
 * scripts' CORRUPT ERR_CORRUPT, our scripts' INVALID ERR_INVALID, the rest ERR_INTERNAL.
 * Writing to a broken connection raises SIGPIPE: the program ignores it (stop_init() does).
 * A connection, a command and a reply belong to one thread at a time. */
#ifndef DARKROOM_COMMON_REDIS_H
#define DARKROOM_COMMON_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct err;
struct redis;
struct redis_reply;

/* ---- where ---------------------------------------------------------------------------------- */

/* A value; holds the password, so keep it out of logs and dumps. */
struct redis_target {
    char host[256]; /* "" with a unix socket */
    char path[108]; /* unix socket, or "" */
    int port;
    int database;
    char user[65];      /* ACL user, or "" */
    char password[257]; /* or "" */
};

/* Reads `unix:/path[?db=N]` or `redis://[user@]host[:port][/db]`, and the password from the first
 * line of `password_file` (nullable). A password inside the URL is refused: it would be seen in the
 * process list. ERR_INVALID names what is wrong, ERR_IO / ERR_NOT_FOUND for the file. */
int redis_target_init(struct redis_target *target, const char *url, const char *password_file,
                      struct err *err);

/* ---- commands ------------------------------------------------------------------------------- */

/* A Lua script as embedded at build time; static storage. */
struct redis_script {
    const char *name;
    const char *sha1; /* 40 hex digits */
    const char *body;
    size_t size;
};

/* Arguments are binary-safe and copied. A failure (no memory, over the limit) sticks and is
 * reported by the call that sends the command, so that the builders need no checks. May be sent
 * often. */
struct redis_command {
    struct buf args;  /* RESP bulk strings */
    size_t count;     /* of arguments */
    size_t head_size; /* bytes of the first two, replaced when a script is unknown */
    const struct redis_script *script; /* borrowed; NULL for a plain command */
    int failure;                       /* 0, ERR_NOMEM or ERR_LIMIT */
};

void redis_command_init(struct redis_command *command, size_t max_bytes);
void redis_command_fini(struct redis_command *command);
void redis_command_clear(struct redis_command *command); /* empty, memory kept */
void redis_command_text(struct redis_command *command, const char *text);
void redis_command_bytes(struct redis_command *command, const void *data, size_t size);
void redis_command_int(struct redis_command *command, int64_t value);
/* Begins a call of `script` with `key_count` keys, which follow as arguments. */
void redis_command_script(struct redis_command *command, const struct redis_script *script,
                          size_t key_count);

/* ---- replies -------------------------------------------------------------------------------- */

enum redis_reply_type {
    REDIS_TEXT, /* bulk or simple string */
    REDIS_INT,
    REDIS_NIL,
    REDIS_ARRAY,
    REDIS_ERROR
};

/* The accessors take any reply, NULL included, and answer the zero of their type for a wrong one.
 * What they return is borrowed from the reply. */
enum redis_reply_type redis_reply_type(const struct redis_reply *reply);
const char *redis_reply_text(const struct redis_reply *reply); /* "" if not a text; zero-ended */
size_t redis_reply_size(const struct redis_reply *reply);      /* bytes of a text */
int64_t redis_reply_int(const struct redis_reply *reply);      /* also of a text of digits */
size_t redis_reply_count(const struct redis_reply *reply);     /* elements of an array */
const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t index);

/* 0 unless the reply is an error; then its code, with Redis' text in `err`. */
int redis_reply_check(const struct redis_reply *reply, struct err *err);
void redis_reply_free(struct redis_reply **reply); /* NULL is fine; sets it to NULL */

/* ---- the synchronous connection ------------------------------------------------------------- */

int redis_create(const struct redis_target *target, struct redis **out_redis, struct err *err);
void redis_destroy(struct redis **redis);

/* Sends one command and waits. *out_reply (nullable if of no interest) is owned by the caller.
 * ERR_UNAVAILABLE: not reachable until the deadline; ERR_TIMEOUT: sent, but no answer by then (the
 * connection is closed); otherwise the reply's own code, and then *out_reply is not set. */
int redis_call(struct redis *redis, const struct redis_command *command, int64_t timeout_ms,
               struct redis_reply **out_reply, struct err *err);

/* Sends `count` commands in one round trip. All of out_replies are set, or none (they may be error
 * replies: see redis_reply_check()). */
int redis_pipeline(struct redis *redis, const struct redis_command *const *commands, size_t count,
                   int64_t timeout_ms, struct redis_reply **out_replies, struct err *err);

#endif

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
 * scripts of the queue are).
 * A script is called as a function of its library (FCALL, Redis 7.0), which is loaded where it is
 * not there; a server that has no functions, or does not let us have them, gets EVALSHA, and the
 * script's text after NOSCRIPT.
 * A target is one server, a cluster or a master that sentinels know; the connection finds out by
 * itself where a command belongs, and where that has moved to: MOVED, ASK, TRYAGAIN, READONLY and a
 * promotion are its own business. In a cluster a command goes by its first argument that begins
 * with a hash tag, `{q:00}…`.
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

struct crypto_tls;
struct err;
struct redis;
struct redis_reply;

/* ---- where ---------------------------------------------------------------------------------- */

#define REDIS_SEEDS_MAX 16

enum redis_kind { REDIS_ONE, REDIS_CLUSTER, REDIS_SENTINEL };

struct redis_address {
    char host[256];
    int port;
};

/* PEM; NULL: the system's authorities, no certificate of our own. */
struct redis_tls_files {
    char *ca_file, *cert_file, *key_file;
};

/* A value; holds the password, so keep it out of logs and dumps. */
struct redis_target {
    enum redis_kind kind;
    char path[108];                              /* unix socket, or "" */
    struct redis_address node;                   /* REDIS_ONE without a path */
    struct redis_address seeds[REDIS_SEEDS_MAX]; /* some nodes of the cluster, or the sentinels */
    size_t seed_count;
    char master[65]; /* REDIS_SENTINEL: its name there */
    int database;
    char user[65];                /* ACL user, or "" */
    char password[257];           /* or "" */
    bool master_only;             /* a server that turns out to be a replica is no use */
    bool secure;                  /* rediss: everything goes over TLS */
    struct redis_tls_files files; /* borrowed, by whatever is made from this target, too */
    struct crypto_tls *tls;       /* of the connection whose copy this is; owned by that */
};

/* Reads one of
 *     unix:/path[?db=N]
 *     redis://[user@]host[:port][/db]
 *     redis+cluster://[user@]host[:port],host[:port],…
 *     redis+sentinel://[user@]host[:port],host[:port],…/master[/db]
 * or the same with `rediss` in place of `redis`: over TLS, sentinels too, with certificates that
 * are checked against the hosts as they are named here or by cluster and sentinels;
 * and the password from the first line of `password_file` (nullable). A password inside the URL is
 * refused: it would be seen in the process list; so is a file that is open to all. Ports are 6379,
 * of sentinels 26379, where they are left out; user and password are the servers', sentinels are
 * asked without. ERR_INVALID names what is wrong, ERR_IO / ERR_NOT_FOUND for the file. */
int redis_target_init(struct redis_target *target, const char *url, const char *password_file,
                      struct err *err);

/* Other files than the defaults; their texts are borrowed by the target and its copies. They are
 * read, as always, when a connection is created. ERR_INVALID where they cannot be of use. */
int redis_target_secure(struct redis_target *target, const struct redis_tls_files *files,
                        struct err *err);

/* ---- commands ------------------------------------------------------------------------------- */

/* Redis functions (FUNCTION LOAD), as embedded at build time; static storage. */
struct redis_library {
    const char *text;
    size_t size;
};

/* A Lua script as embedded at build time; static storage. */
struct redis_script {
    const char *name;
    const char *sha1; /* 40 hex digits */
    const char *body;
    size_t size;
    const char *function;                /* the same in the library, or NULL */
    const struct redis_library *library; /* or NULL */
};

/* Arguments are binary-safe and copied. A failure (no memory, over the limit) sticks and is
 * reported by the call that sends the command, so that the builders need no checks. May be sent
 * often. */
struct redis_command {
    struct buf args;  /* RESP bulk strings */
    size_t count;     /* of arguments */
    size_t head_size; /* bytes of the first two, which say by what a script is called */
    const struct redis_script *script; /* borrowed; NULL for a plain command */
    int slot;                          /* of the first key, see redis_key_slot(); -1: none */
    int failure;                       /* 0, ERR_NOMEM or ERR_LIMIT */
};

void redis_command_init(struct redis_command *command, size_t max_bytes);
void redis_command_fini(struct redis_command *command);
void redis_command_clear(struct redis_command *command); /* empty, memory kept */
void redis_command_text(struct redis_command *command, const char *text);
void redis_command_bytes(struct redis_command *command, const void *data, size_t size);
void redis_command_int(struct redis_command *command, int64_t value);
/* Begins a call of `script`, whose keys all begin with `prefix`, a hash tag; its arguments follow.
 * KEYS[1] is the prefix. */
void redis_command_script(struct redis_command *command, const struct redis_script *script,
                          const char *prefix);

/* Where a cluster keeps a key: 0 … 16383. */
#define REDIS_SLOTS 16384
int redis_key_slot(const void *key, size_t size);

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

/* True for the refusal of a master that has fewer replicas than it was told to have
 * (min-replicas-to-write): it may have been replaced, and what can be read there be old. */
bool redis_reply_is_cut_off(const struct redis_reply *reply);
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

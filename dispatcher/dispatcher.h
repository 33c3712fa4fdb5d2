/* SPDX-License-Identifier: MIT
 *
 * What the parts of the dispatcher share: one value, made by dispatcher_open(), that belongs to the
 * loop's thread. Threads of the offload see `store` and the keys, which do not change, and the
 * manifests of their call's edition.
 *
 *     rc = dispatcher_open(&settings, &dispatcher, &err);
 *     rc = dispatcher_run(&dispatcher);      // until a stop is asked for
 *     dispatcher_close(&dispatcher); */
#ifndef DARKROOM_DISPATCHER_DISPATCHER_H
#define DARKROOM_DISPATCHER_DISPATCHER_H

#include "common/address.h"
#include "common/manifest.h"
#include "common/queue.h"
#include "common/redis.h"
#include "common/redis_async.h"
#include "common/store.h"
#include "common/token.h"
#include "common/unsubscribe.h"
#include "common/webhook.h"
#include "dispatcher/access/client.h"
#include "dispatcher/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blocked;
struct call;
struct conversion;
struct crypto_mac;
struct disowned;
struct edition;
struct enqueue;
struct err;
struct events;
struct forecast_board;
struct gate;
struct housekeeping;
struct keyring;
struct http_server;
struct limits;
struct mail_watch;
struct metrics;
struct offload;
struct pages;
struct selfie2anime;
struct samples;
struct purge;
struct stats;
struct store_watch;
struct submission;
struct sweep;
struct tracer;

#define DISPATCHER_WORKER_TOKEN_SIZE 257

/* Results on their way into another format (jobs/convert.c), and the line behind them. */
struct conversions {
    int64_t running;
    struct conversion *first, *last; /* borrowed from their calls; `last` only where there is one */
};

/* What submissions that are done have left to the next ones (jobs/submit.c). */
struct submit_spares {
    struct submission *first; /* owned */
    unsigned count;
};

struct dispatcher {
    struct settings *settings; /* borrowed; a reload alone changes them */
    int argc;                  /* where they come from, */
    char **argv;               /* borrowed */
    int epoll_fd;
    char public_url[512]; /* without a slash at its end */
    char worker_token[DISPATCHER_WORKER_TOKEN_SIZE];

    /* All owned. */
    struct http_server *server;
    struct redis_async *redis;
    struct offload *offload;
    struct store *store;
    struct token_keys *tokens;
    struct address_keys *addresses;
    struct unsubscribe_keys *unsubscribe;
    struct blocked *blocked; /* NULL: no domain is */
    struct webhook_keys *webhooks;
    struct crypto_mac *flow_mac;
    struct keyring *keyring;
    struct limits *limits;
    struct events *events;
    struct housekeeping *housekeeping;
    struct mail_watch *mail_watch;
    struct purge *purge;
    struct metrics *metrics;
    struct tracer *tracer; /* NULL: nobody collects traces */
    struct samples *samples;
    struct stats *stats;
    struct disowned *disowned;
    struct enqueue *enqueue;
    struct forecast_board *forecast;
    struct store_watch *store_watch;
    struct sweep *sweep;
    struct gate *gate;

    struct redis_target redis_target;
    struct edition *edition; /* owned: the one in force, and behind it those still in use */
    /* Of it, borrowed; for the loop's thread. */
    struct manifest_set models;
    struct pages *pages;
    struct selfie2anime *selfie2anime; /* NULL: its routes are not served */
    unsigned fanouts;                  /* questions to all shards that are under way */
    bool reload_due;
    struct client_proxies proxies;
    struct network_set webhook_allow;
    struct queue queues[QUEUE_SHARDS_MAX]; /* see dispatcher_queue() */
    unsigned shards;
    struct redis_command command; /* scratch for dispatcher_send() */

    bool leaving;       /* a stop was asked for */
    bool redis_checked; /* this connection leads to a Redis that we may use */
    unsigned calls;     /* requests that are not done */
    unsigned max_connections, max_streams;
    unsigned peak_connections; /* since memory was last given back */
    int64_t trim_ms;
    size_t buffered_bytes; /* of request bodies, see call_reserve() */
    int64_t previews;      /* being decoded */
    struct conversions conversions;
    struct submit_spares spare_submissions;
};

int dispatcher_open(struct settings *settings, int argc, char **argv, struct dispatcher *dispatcher,
                    struct err *err);
int dispatcher_run(struct dispatcher *dispatcher);
void dispatcher_close(struct dispatcher *dispatcher);

/* Part of dispatcher_open(): the queues as the settings want them. The limit of all jobs together
 * is kept shard by shard, each with its part. */
void dispatcher_init_queues(struct dispatcher *dispatcher);

/* Their limits, again. */
void dispatcher_limit_queues(struct dispatcher *dispatcher);

/* Reads the configuration again; no question of fanout.h may be under way. */
void dispatcher_reload(struct dispatcher *dispatcher);

/* True while commands can be sent. */
bool dispatcher_redis_usable(const struct dispatcher *dispatcher);

/* The queue of one shard (below dispatcher->shards), of a flow, or of a job. An id of a shard that
 * we don't have gives one that answers ERR_NOT_FOUND. Borrowed. */
const struct queue *dispatcher_queue(const struct dispatcher *dispatcher, unsigned shard);
const struct queue *dispatcher_queue_of_flow(const struct dispatcher *dispatcher, const char *flow);
const struct queue *dispatcher_queue_of_id(const struct dispatcher *dispatcher,
                                           const char *public_id);

/* Sends dispatcher->command, which the caller has just built; its first key says which node of a
 * cluster gets it. ERR_UNAVAILABLE: certainly not sent. Otherwise `done` is called exactly once. */
int dispatcher_send(struct dispatcher *dispatcher, redis_async_done *done, void *data);

#endif

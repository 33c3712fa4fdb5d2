/* SPDX-License-Identifier: MIT
 *
 * Sends webhooks, many at once, so that a receiver that takes its time delays nobody but itself.
 *
 *     rc = hook_sender_create(&options, &sender, &err);
 *     while (!stop_requested())
 *         rc = hook_sender_tick(sender, 1000, &err);
 *     hook_sender_destroy(&sender);
 *
 * The order is claim, send, settle: dying in between sends the same event once more under the same
 * webhook-id, and never loses one. Every answer but 2xx is tried again with growing pauses for
 * three days, no sooner than its Retry-After says; 410 disables the endpoint. What is given up
 * stays for the operator, with its reason and without the URL. One thread. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_HOOK_SENDER_H
#define DARKROOM_DISPATCHER_NOTIFIER_HOOK_SENDER_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct hook_sender;
struct metrics;
struct network_set;
struct queue;
struct redis;
struct tracer;
struct webhook_keys;

/* Everything is borrowed for the life of the sender. */
struct hook_sender_options {
    const struct queue *queues; /* one for each shard */
    size_t queue_count;
    struct redis *redis; /* of this thread */
    const struct webhook_keys *keys;
    const struct network_set *allowed; /* internal addresses that may be called all the same */
    const char *ca_file;               /* certificates to trust; NULL: the system's */
    const char *public_url;            /* without a slash at its end */
    struct metrics *metrics;           /* NULL: nobody asks */
    struct tracer *tracer;             /* NULL: nobody collects traces */
    int wake_fd;        /* an eventfd that is written when there may be something new; -1: none */
    int64_t timeout_ms; /* of one request */
    int64_t lease_ms;   /* of a row: longer than the timeout */
    int64_t retry_ms;   /* the first pause */
    size_t slots;       /* requests at once */
    int per_target;     /* of one receiver, all notifiers together */
};

int hook_sender_create(const struct hook_sender_options *options, struct hook_sender **out,
                       struct err *err);
void hook_sender_destroy(struct hook_sender **sender);

/* Takes in what ended, begins what is due as far as slots are free, and moves what is under way,
 * for wait_ms at most. An error is one of Redis. */
int hook_sender_tick(struct hook_sender *sender, int64_t wait_ms, struct err *err);

/* Only moves what is under way: while Redis is away, its answers still come in. */
void hook_sender_wait(struct hook_sender *sender, int64_t wait_ms);

/* Requests under way. */
size_t hook_sender_busy(const struct hook_sender *sender);

/* What a reload may change; any thread. */
void hook_sender_limit(struct hook_sender *sender, int per_target, int64_t retry_ms);

#endif

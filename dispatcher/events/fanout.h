/* SPDX-License-Identifier: MIT
 *
 * One question to every shard.
 *
 *     static const struct fanout_verbs verbs = {ask_workers, read_workers, on_workers};
 *     rc = fanout_ask(dispatcher, &verbs, data);
 *
 * Each shard's answer is read as it comes, in no order; `done` follows the last one, exactly once,
 * with the first failure or 0. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_EVENTS_FANOUT_H
#define DARKROOM_DISPATCHER_EVENTS_FANOUT_H

struct dispatcher;
struct queue;
struct redis_command;
struct redis_reply;

struct fanout_verbs {
    void (*build)(const struct queue *queue, struct redis_command *command, void *data);
    int (*read)(const struct queue *queue, const struct redis_reply *reply, void *data);
    void (*done)(int rc, void *data);
};

/* `verbs` and `data` are borrowed until `done`. A failure (ERR_UNAVAILABLE, ERR_NOMEM): nothing was
 * sent and nothing is called. */
int fanout_ask(struct dispatcher *dispatcher, const struct fanout_verbs *verbs, void *data);

#endif

/* SPDX-License-Identifier: MIT
 *
 * What Redis and the samples know of every model, for who decides how many workers there are.
 *
 *     signal_ask(dispatcher, on_signal, data);
 *     signal_load(dispatcher, found, model, &load);    // and scale_judge(), operate/scale.h
 *
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_OPERATE_SIGNAL_H
#define DARKROOM_DISPATCHER_OPERATE_SIGNAL_H

#include "common/queue_operate.h"

struct buf;
struct dispatcher;
struct scale_load;

struct signal_found {
    const struct queue_counters *counters; /* of each model, in their order */
    const struct queue_busy *busy;         /* the same; over several shards at most as many */
    struct queue_busy all;
};

/* `found` is borrowed for the call; NULL unless rc is 0. */
typedef void signal_done(int rc, const struct signal_found *found, void *data);

/* With 0, `done` is called exactly once, later. */
int signal_ask(struct dispatcher *dispatcher, signal_done *done, void *data);

void signal_load(const struct dispatcher *dispatcher, const struct signal_found *found,
                 size_t model, struct scale_load *out);

/* Appends darkroom_scale_… of every model, with the usual policy. */
int signal_write_metrics(const struct dispatcher *dispatcher, const struct signal_found *found,
                         struct buf *out);

#endif

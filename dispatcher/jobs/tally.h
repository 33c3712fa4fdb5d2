/* SPDX-License-Identifier: MIT
 *
 * The counters of models, asked of every shard and summed.
 *
 *     rc = tally_ask(dispatcher, names, count, on_tally, data);
 *
 * Workers and slots are not summed, as every worker serves every shard. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_JOBS_TALLY_H
#define DARKROOM_DISPATCHER_JOBS_TALLY_H

#include "common/queue.h"

struct dispatcher;

/* `counters` has an entry for each name that was asked for and is borrowed; NULL unless rc is 0. */
typedef void tally_done(int rc, const struct queue_counters *counters, void *data);

/* `names` are borrowed during the call. With 0, `done` is called exactly once, later. */
int tally_ask(struct dispatcher *dispatcher, const char *const *names, size_t count,
              tally_done *done, void *data);

/* The same of all models of the dispatcher, in their order. */
int tally_ask_all(struct dispatcher *dispatcher, tally_done *done, void *data);

#endif

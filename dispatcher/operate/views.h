/* SPDX-License-Identifier: MIT
 *
 * What operators are shown of a queue and of the workers, as JSON: the same words in every route.
 *
 *     json_array_append_new(list, view_queue(model, &counters));
 *     rc = view_add_workers(list, reply);      // for each shard
 *
 * json_t that is returned is owned by the caller and NULL for want of memory. Pure; any thread. */
#ifndef DARKROOM_DISPATCHER_OPERATE_VIEWS_H
#define DARKROOM_DISPATCHER_OPERATE_VIEWS_H

#include "common/json.h"

#include <stdint.h>

struct call;
struct queue_counters;
struct redis_reply;

json_t *view_time(int64_t wall_ms);
/* Null where there are none. */
json_t *view_seconds(int64_t ms);

json_t *view_queue(const char *model, const struct queue_counters *counters);

/* Adds the workers that one shard tells of to the list of those that are known. Each runs jobs of
 * every shard. ERR_INTERNAL: the reply is none. */
int view_add_workers(json_t *list, const struct redis_reply *reply);

/* Answers with why the queue did not. */
void view_refuse_redis(struct call *call, int rc);

#endif

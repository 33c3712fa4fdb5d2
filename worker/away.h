/* SPDX-License-Identifier: MIT
 *
 * Shards that are out of reach, where there are several, and the jobs that can only be settled
 * there. They wait here, so that no thread waits with them and those of other shards go on.
 *
 *     away_set(away, shard, true);                  // the loop has lost it
 *     if (away_keep(away, task)) continue;          // a stage: it is ours until
 *     task = away_set(away, shard, false);          // the loop has found it again,
 *     task = away_end(away);                        // or a drain begins, in which threads may wait
 *
 * A task that is kept stays in the roster. Any thread. */
#ifndef DARKROOM_WORKER_AWAY_H
#define DARKROOM_WORKER_AWAY_H

#include <stdbool.h>
#include <stddef.h>

struct away;
struct task;

/* NULL when memory ran out. */
struct away *away_create(void);
void away_destroy(struct away **away); /* harmless on NULL */

bool away_is(struct away *away, unsigned shard);
size_t away_count(struct away *away); /* jobs that wait here */

/* True where the job's shard is away: whoever had it is rid of it. */
bool away_keep(struct away *away, struct task *task);

/* What waited for a shard that is there again, linked by `next`, the first to come first: it is for
 * the caller to settle. NULL: nothing. */
struct task *away_set(struct away *away, unsigned shard, bool is_away);

/* The same of all shards; none counts as away any more. */
struct task *away_end(struct away *away);

#endif

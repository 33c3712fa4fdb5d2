/* SPDX-License-Identifier: MIT
 *
 * Every lease that this worker holds: what the heartbeat extends and what bounds the claims.
 *
 *     struct roster *roster = roster_create(8);
 *     roster_add(roster, task);                        // a claim was answered
 *     n = roster_list(roster, shard, TASK_ON, leases, 8);     // the heartbeat
 *     roster_judge(roster, shard, id, epoch, TASK_CANCELLED); // its answer
 *     if (roster_sleep(roster, task, 200) != TASK_ON)  // a stage between two tries
 *         ...
 *     roster_remove(roster, task);                     // settled
 *
 * A task is borrowed from roster_add() to roster_remove(). Any thread. */
#ifndef DARKROOM_WORKER_ROSTER_H
#define DARKROOM_WORKER_ROSTER_H

#include "common/queue.h"
#include "worker/task.h"

#include <stddef.h>
#include <stdint.h>

struct roster;

/* One lease as the heartbeat sends it. */
struct roster_lease {
    uint64_t id;
    uint32_t epoch;
    int progress_permille;
};

/* NULL when memory or descriptors ran out. */
struct roster *roster_create(size_t capacity);
void roster_destroy(struct roster **roster); /* harmless on NULL */

size_t roster_count(struct roster *roster);
size_t roster_room(struct roster *roster); /* how many more fit */

/* Readable (epoll) once a lease has left, or roster_nudge() was called, until
 * roster_take_change(): the time to look for more work. */
int roster_change_fd(const struct roster *roster);
void roster_take_change(struct roster *roster);
void roster_nudge(struct roster *roster);

/* There must be room. */
void roster_add(struct roster *roster, struct task *task);
void roster_remove(struct roster *roster, struct task *task);

/* Copies at most `max` leases of a shard with this verdict; returns how many. With TASK_ON, those
 * that still go on: what has been in the network for longer than its limit is judged TASK_TIMED_OUT
 * first. */
size_t roster_list(struct roster *roster, unsigned shard, enum task_verdict verdict,
                   struct roster_lease *out_leases, size_t max);

/* True where a task has been in the network for twice its limit: the device hangs. */
bool roster_is_stuck(struct roster *roster);

/* True where what is in the network will, by its manifests' cost, still be there at `until_ms`
 * (clock_ms()), and nothing is on its way out: waiting for it is no use. */
bool roster_outlasts(struct roster *roster, int64_t until_ms);

/* The first verdict stays. Harmless for a lease that is not there. */
void roster_judge(struct roster *roster, unsigned shard, uint64_t id, uint32_t epoch,
                  enum task_verdict verdict);

/* The first stage that spends anything on a task asks first: false where it was given back. */
bool roster_begin(struct roster *roster, struct task *task);

/* Judges every task of a shard that hasn't begun TASK_RELEASED and lists them in the order in which
 * they were claimed; returns how many (at most `max`). */
size_t roster_release(struct roster *roster, unsigned shard, struct queue_lease *out_leases,
                      size_t max);

/* Waits, but ends early with a verdict on the task (nullable: TASK_ON then) or when hurried;
 * returns the verdict. */
enum task_verdict roster_sleep(struct roster *roster, const struct task *task, int64_t ms);

/* Ends every sleep, now and later: the drain's time is over. */
void roster_hurry(struct roster *roster);
bool roster_is_hurried(struct roster *roster);

#endif

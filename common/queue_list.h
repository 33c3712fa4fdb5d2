/* SPDX-License-Identifier: MIT
 *
 * Lists of jobs: those of an account, and those of an e-mail address, the newest first.
 *
 *     queue_list_command(&queue, account, -1, 50, &command);          // the first page
 *     for (i = 0; i < queue_list_count(reply); i++)
 *         rc = queue_list_reply(&queue, reply, i, &job, &err);
 *     cursor = queue_list_next(reply);                                // -1: that was all
 *
 *     queue_look_command(&queue, ids, count, &command);               // what became of these?
 *     rc = queue_look_reply(&queue, reply, i, &job, &err);
 *
 * A cursor stays good while jobs come in and are forgotten: nothing is seen twice or left out. It
 * is good for its own list only. Visitors have no list: their jobs are reached by their tokens.
 * Conventions as in queue.h. */
#ifndef DARKROOM_COMMON_QUEUE_LIST_H
#define DARKROOM_COMMON_QUEUE_LIST_H

#include "common/queue.h"

#define QUEUE_LIST_MAX 100 /* jobs of a page */
#define QUEUE_TEXT_MAX 64  /* bytes that are searched for */

/* Jobs of a flow that is an account (`a` and 16 hex digits): of any other there are none. Up to
 * QUEUE_LIST_MAX. */
void queue_list_command(const struct queue *queue, const char *flow, int64_t cursor, int64_t limit,
                        struct redis_command *command);
/* Of these, those that are wanted. Zeroed: all. */
struct queue_wanted {
    unsigned states;            /* 1u << enum job_state, or'ed; 0: any */
    const char *model;          /* NULL or "": any */
    int64_t since_ms, until_ms; /* submitted then, both counted in; 0: any time */
    /* Begins the public id, or is in the model's name or the parameters, whatever the case of its
     * letters; up to QUEUE_TEXT_MAX; NULL or "": any. */
    const char *text;
};
void queue_list_wanted_command(const struct queue *queue, const char *flow,
                               const struct queue_wanted *wanted, int64_t cursor, int64_t limit,
                               struct redis_command *command);

/* Jobs whose notify_address is this keyed hash, of all flows of the shard. */
void queue_by_address_command(const struct queue *queue, const char *address, int64_t cursor,
                              int64_t limit, struct redis_command *command);

/* After the jobs of an address were erased: what is left of it in the shard. Again, with what
 * `entry` became, until the reply says that it is all (*out_more false); `entry` begins as "-". */
#define QUEUE_ENTRY_SIZE 48
void queue_address_forget_command(const struct queue *queue, const char *address, const char *entry,
                                  struct redis_command *command);
int queue_address_forget_reply(const struct redis_reply *reply, char entry[QUEUE_ENTRY_SIZE],
                               bool *out_more, struct err *err);

/* A page may have fewer jobs than asked for, even none, and yet not be the last. */
size_t queue_list_count(const struct redis_reply *reply);
int64_t queue_list_next(const struct redis_reply *reply);
/* Without position, ETA, due time and event id. `out->spec` and `out->extra` are borrowed from the
 * reply. ERR_CORRUPT for a record that cannot be read: the others can. */
int queue_list_reply(const struct queue *queue, const struct redis_reply *reply, size_t index,
                     struct queue_job *out, struct err *err);

/* Many jobs of the shard by their public ids, up to QUEUE_LIST_MAX, for the price of little more
 * than one. */
void queue_look_command(const struct queue *queue, const char *const *public_ids, size_t count,
                        struct redis_command *command);
/* As queue_list_reply(), of the id at `index`; ERR_NOT_FOUND. */
int queue_look_reply(const struct queue *queue, const struct redis_reply *reply, size_t index,
                     struct queue_job *out, struct err *err);

#endif

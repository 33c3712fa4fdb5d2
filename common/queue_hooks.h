/* SPDX-License-Identifier: MIT
 *
 * Webhooks in the queue: who listens, rows that are due, and sending again.
 *
 *     queue_hooks_listen_command(&queue, account, "wh_…", "SF", &command);   // from now on
 *     queue_notify_intake(...);                                              // queue_outbox.h
 *     queue_hook_claim(&queue, redis, free_slots, 8, 60000, 2000, &rows, &err);
 *     for each row: ... queue_hook_job(&queue, row, &job, &err); send; queue_notify_settle() ...
 *     queue_hook_rows_fini(&rows);
 *
 * A row belongs to a target: an endpoint of an account, or host and flow of a URL that a job
 * brought. A claim takes at most so many rows of one target, all notifiers counted together, and
 * the targets in turn: a slow one keeps what is its own, and nothing else. Conventions as in
 * queue.h. */
#ifndef DARKROOM_COMMON_QUEUE_HOOKS_H
#define DARKROOM_COMMON_QUEUE_HOOKS_H

#include "common/queue_outbox.h"

#define QUEUE_HOOK_MAX 64
#define QUEUE_HOOK_TARGET_SIZE 24 /* "wh_" and 16 digits, "u" and 16 digits */

/* From now on this endpoint hears of the account's jobs that end in one of the states in `letters`
 * ("S", "F", "C" in any order; "" none but those that name it). NULL: it does not listen any more.
 * A plain command; its reply says nothing. */
void queue_hooks_listen_command(const struct queue *queue, const char *account,
                                const char *endpoint, const char *letters,
                                struct redis_command *command);

struct queue_hook_row {
    char notify_id[QUEUE_NOTIFY_ID_SIZE]; /* constant over all tries and replays */
    uint32_t epoch;                       /* of this lease; fences settle */
    int attempts;                         /* tries before this one */
    int64_t created_ms;
    char public_id[ID_PUBLIC_SIZE];
    char target[QUEUE_HOOK_TARGET_SIZE];
    char flow[JOB_FLOW_SIZE];
    const char *url;    /* sealed, of a URL that the job brought; "": the target is an endpoint */
    const void *record; /* the job as it ended */
    size_t record_size;
};

struct queue_hook_rows {
    struct redis_reply *reply; /* owned; what rows point to */
    struct queue_hook_row rows[QUEUE_HOOK_MAX];
    size_t count;
    int64_t next_due_ms; /* claim again in so many ms; -1: when something comes in */
};

/* Up to `max` rows, and of one target as many as keep it within `per_target` leases. */
int queue_hook_claim(const struct queue *queue, struct redis *redis, size_t max, int per_target,
                     int64_t lease_ms, int64_t timeout_ms, struct queue_hook_rows *out,
                     struct err *err);
void queue_hook_rows_fini(struct queue_hook_rows *rows);

/* The job as it ended; its texts are borrowed from the row. ERR_CORRUPT. */
int queue_hook_job(const struct queue *queue, const struct queue_hook_row *row,
                   struct queue_job *out, struct err *err);

/* ---- sending again -------------------------------------------------------------------------- */

enum queue_notify_kind { QUEUE_NOTIFY_BOTH, QUEUE_NOTIFY_MAIL, QUEUE_NOTIFY_WEBHOOK };

/* Which notifications. */
struct queue_resend {
    enum queue_notify_kind kind;
    const char *flow; /* only of this flow's jobs; NULL: of all */
    bool unsent_only; /* only what was given up; else also what arrived */
};

struct queue_resent {
    int64_t jobs, rows; /* that are due again */
    uint64_t cursor;    /* of a range: give it to the next call; 0: that was the last page */
};

/* Makes the rows of jobs that ended due now, under the ids that they had. */
#define QUEUE_RESEND_MAX 256
void queue_resend_command(const struct queue *queue, const struct queue_resend *which,
                          const char *const *public_ids, size_t count,
                          struct redis_command *command);
int queue_resend_reply(const struct redis_reply *reply, struct queue_resent *out, struct err *err);

/* The same for jobs that ended in [since_ms, until_ms), a page at a time, beginning with cursor 0.
 */
void queue_resend_range_command(const struct queue *queue, const struct queue_resend *which,
                                int64_t since_ms, int64_t until_ms, uint64_t cursor,
                                struct redis_command *command);
int queue_resend_range_reply(const struct redis_reply *reply, struct queue_resent *out,
                             struct err *err);

/* What was given up, the newest first. */
#define QUEUE_UNSENT_MAX 100
struct queue_unsent {
    char notify_id[QUEUE_NOTIFY_ID_SIZE];
    char public_id[ID_PUBLIC_SIZE];
    bool is_mail;
    enum job_state state;
    int attempts;
    int64_t created_ms, given_up_ms;
    char reason[257];
};
void queue_unsent_command(const struct queue *queue, int64_t offset, size_t limit,
                          struct redis_command *command);
/* Entry `index`; ERR_NOT_FOUND past the last. *out_total (nullable): how many there are in all. */
int queue_unsent_reply(const struct redis_reply *reply, size_t index, struct queue_unsent *out,
                       int64_t *out_total, struct err *err);

#endif

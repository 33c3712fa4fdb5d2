/* SPDX-License-Identifier: MIT
 *
 * What remains to be done once a job has ended: tell somebody, and delete objects.
 *
 * Notifications. A completion writes into the `out` stream in the same script.
 * queue_notify_intake() turns entries into rows, each with a place in a zset of due times and a
 * lease of its own, so that three days of retries for one receiver hold up nobody. A row's id never
 * changes: use it in the Message-ID. Webhooks' rows are claimed as queue_hooks.h says; settling is
 * the same for both.
 *
 *     queue_notify_intake(&queue, redis, 2000, &n, &err);
 *     queue_notify_claim(&queue, redis, 16, 60000, 2000, &rows, &err);
 *     for each row:
 *         ... ask mail_ledger.h, send ...
 *         queue_notify_settle(&queue, redis, &(struct queue_notified){...}, 2000, &verdict, &err);
 *     queue_notify_rows_fini(&rows);
 *
 * Trash. Scripts note the object keys that must go. queue_trash_take() lends some out for a while;
 * queue_trash_done() forgets those that are deleted. What is not acknowledged is lent again. Where
 * copies of them may be elsewhere (a CDN), they are lent out a second time, to be purged there.
 * Conventions as in queue.h. */
#ifndef DARKROOM_COMMON_QUEUE_OUTBOX_H
#define DARKROOM_COMMON_QUEUE_OUTBOX_H

#include "common/queue.h"
#include "common/queue_worker.h"
#include "common/trace.h"

#define QUEUE_NOTIFY_MAX 64
#define QUEUE_NOTIFY_ID_SIZE 80
#define QUEUE_NOTIFY_GIVE_UP_MS (3LL * 24 * 3600 * 1000)

struct queue_notify_row {
    char notify_id[QUEUE_NOTIFY_ID_SIZE]; /* constant over all tries */
    uint32_t epoch;                       /* of this lease; fences settle */
    int attempts;                         /* tries before this one */
    int64_t created_ms;
    enum job_state state; /* how the job ended: succeeded, failed */
    char public_id[ID_PUBLIC_SIZE];
    char model[JOB_MODEL_SIZE];
    char address[QUEUE_ADDRESS_SIZE]; /* keyed hash */
    char language[QUEUE_LANGUAGE_SIZE];
    char trace[TRACE_TEXT_SIZE]; /* of the submission; "": none */
    const char *blob;            /* sealed address; borrowed from the rows */
    size_t blob_size;
};

struct queue_notify_rows {
    struct redis_reply *reply; /* owned */
    struct queue_notify_row rows[QUEUE_NOTIFY_MAX];
    size_t count;
    int64_t next_due_ms; /* the next row is due in so many ms; -1: none */
};

/* Moves entries of the stream into rows; *out_moved is how many (call again while it is not 0). */
void queue_notify_intake_command(const struct queue *queue, struct redis_command *command);
int queue_notify_intake_reply(const struct redis_reply *reply, int *out_moved, struct err *err);
int queue_notify_intake(const struct queue *queue, struct redis *redis, int64_t timeout_ms,
                        int *out_moved, struct err *err);

/* Blocks until the stream holds an entry, or for wait_ms. 0 when there is one, ERR_TIMEOUT when
 * not. Occupies the connection. */
void queue_notify_wait_command(const struct queue *queue, int64_t wait_ms,
                               struct redis_command *command);
int queue_notify_wait(const struct queue *queue, struct redis *redis, int64_t wait_ms,
                      struct err *err);

/* Up to `max` rows that are due, leased for lease_ms. */
void queue_notify_claim_command(const struct queue *queue, size_t max, int64_t lease_ms,
                                struct redis_command *command);
int queue_notify_claim_reply(struct redis_reply **reply, struct queue_notify_rows *out,
                             struct err *err);
int queue_notify_claim(const struct queue *queue, struct redis *redis, size_t max, int64_t lease_ms,
                       int64_t timeout_ms, struct queue_notify_rows *out, struct err *err);
void queue_notify_rows_fini(struct queue_notify_rows *rows);

enum queue_notify_outcome {
    QUEUE_NOTIFY_SENT,
    QUEUE_NOTIFY_RETRY,    /* a failure of now: again after retry_ms; given up after three days */
    QUEUE_NOTIFY_WAIT,     /* not tried: again after retry_ms, which counts as no attempt */
    QUEUE_NOTIFY_REFUSED,  /* a failure for good */
    QUEUE_NOTIFY_UNWANTED, /* nobody wants it any more: forgotten */
    QUEUE_NOTIFY_HELD,     /* as WAIT, because no mails may go out now */
    QUEUE_NOTIFY_BACK      /* not tried: back in its line, for anybody, after retry_ms */
};
struct queue_notified {
    const char *notify_id;
    uint32_t epoch;
    enum queue_notify_outcome outcome;
    int64_t retry_ms;
    const char *reason; /* of a failure, one line without addresses; at most 256 bytes; or NULL */
};

/* OK, AGAIN, or LOST (the row's lease went to another notifier, or the job was erased).
 * *out_dead: it was given up, and is kept with its reason for the operator. */
void queue_notify_settle_command(const struct queue *queue, const struct queue_notified *notified,
                                 struct redis_command *command);
int queue_notify_settle_reply(const struct redis_reply *reply, enum queue_verdict *out_verdict,
                              bool *out_dead, struct err *err);
int queue_notify_settle(const struct queue *queue, struct redis *redis,
                        const struct queue_notified *notified, int64_t timeout_ms,
                        enum queue_verdict *out_verdict, bool *out_dead, struct err *err);

/* ---- trash ---------------------------------------------------------------------------------- */

#define QUEUE_TRASH_MAX 64

/* Up to `max` keys that are due, not lent again for lease_ms. */
void queue_trash_take_command(const struct queue *queue, size_t max, int64_t lease_ms,
                              struct redis_command *command);
/* Object key `index`; borrowed from the reply. NULL past the end. */
const char *queue_trash_key(const struct redis_reply *reply, size_t index);
/* `purge`: each is to be purged, too. */
void queue_trash_done_command(const struct queue *queue, const char *const *keys, size_t count,
                              bool purge, struct redis_command *command);

/* ---- purges --------------------------------------------------------------------------------- */

struct queue_purge {
    const char *name; /* for queue_purge_settle_command(); borrowed from the reply */
    const char *key;  /* of the object that was deleted; borrowed from the reply */
    int64_t age_ms;   /* since then */
};

/* Up to `max` (QUEUE_TRASH_MAX at most) that are due, not lent again for lease_ms. */
void queue_purge_take_command(const struct queue *queue, size_t max, int64_t lease_ms,
                              struct redis_command *command);
/* False past the end. */
bool queue_purge_at(const struct redis_reply *reply, size_t index, struct queue_purge *out);
/* `retry_ms` of each: when to try again; 0: it was purged, or is given up. */
void queue_purge_settle_command(const struct queue *queue, const char *const *names,
                                const int64_t *retry_ms, size_t count,
                                struct redis_command *command);

#endif

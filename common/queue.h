/* SPDX-License-Identifier: MIT
 *
 * The queue, as the dispatcher uses it; docs/protocol.md is the contract. Workers' verbs are in
 * queue_worker.h, mail rows and the trash in queue_outbox.h.
 *
 *     struct queue queue;
 *     queue_init(&queue, shard, 30000);
 *     rc = queue_check(&queue, redis, 2000, &err);          // refuses a Redis that evicts
 *
 *     queue_submit_command(&queue, &submit, 1, &command);   // asynchronously: build,
 *     redis_async_send(redis, &command, on_submitted, job);
 *     rc = queue_submit_reply(reply, 0, &result, &err);     // and parse in the callback
 *     rc = queue_submit(&queue, redis, &submit, 2000, &result, &err);   // or all at once
 *
 * Every verb is one script: atomic, and safe to repeat after a lost reply. Times are Redis' own.
 * `command` is initialised by the caller and cleared by queue_*_command(), which never fails: what
 * goes wrong (too large) is reported where the command is sent. queue_*_reply() take the reply that
 * the callback got with rc 0. ERR_INTERNAL: a reply that the protocol does not allow.
 * ERR_CORRUPT: a record in Redis that contradicts itself; the text names key and expectation.
 * struct queue is a value, constant after queue_init(): any thread. */
#ifndef DARKROOM_COMMON_QUEUE_H
#define DARKROOM_COMMON_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/id.h"
#include "common/job.h"

struct err;
struct redis;
struct redis_command;
struct redis_reply;

#define QUEUE_COMMAND_MAX (4 * 1024 * 1024) /* for redis_command_init(): fits every verb */
#define QUEUE_SUBMIT_MAX 128                /* jobs in one submit: 1 ms of Redis */
#define QUEUE_ADDRESS_SIZE 65               /* keyed hash of an e-mail address, as text */
#define QUEUE_BLOB_MAX 1024                 /* bytes of a sealed address */
#define QUEUE_EXTRA_MAX 8192                /* bytes of a job's extra lines */
#define QUEUE_PARENTS_MAX 16
#define QUEUE_RUN_MAX_MS 604800000          /* a week: the longest run that may be asked for */
#define QUEUE_BACKOFF_LIMIT_MS 600000       /* the greatest first backoff */
#define QUEUE_BACKOFF_MAX_LIMIT_MS 64800000 /* the greatest greatest backoff: 18 hours */

struct queue {
    unsigned shard;
    unsigned shards; /* of the whole data set; default 1 */
    int64_t lease_ms;
    int64_t retain_ms;       /* how long a finished job is kept; default 7 days */
    int64_t max_queued;      /* of the shard, all models; default 10 million */
    int64_t max_flow_queued; /* of one flow, one model; default 1 million */
};

#define QUEUE_SHARDS_MAX (ID_SHARD_MAX + 1)

/* Defaults for everything but shard and lease. */
void queue_init(struct queue *queue, unsigned shard, int64_t lease_ms);

/* In which of `shards` the jobs of a flow are. */
unsigned queue_shard_of_flow(const char *flow, unsigned shards);

/* Where a Redis Cluster keeps the shard. */
int queue_slot(const struct queue *queue);

/* Refuses a server that is too old (< 6.2) or that evicts (maxmemory-policy must be noeviction), or
 * a program with another number of shards: ERR_UNSUPPORTED, with what to change. ERR_PROTOCOL: see
 * queue_protocol(). */
int queue_check(const struct queue *queue, struct redis *redis, int64_t timeout_ms,
                struct err *err);

/* The same in two steps, for an asynchronous connection: `which` counts from 0; 0 when there is
 * none left. */
bool queue_check_command(const struct queue *queue, int which, struct redis_command *command);
int queue_check_reply(const struct queue *queue, const struct redis_reply *reply, int which,
                      struct err *err);

/* Part of that check: may this program work on the data that are there (docs/protocol.md,
 * "Versions")? The first program of a newer version writes its own down. ERR_PROTOCOL names both
 * versions, and nothing was changed. Claims, hellos, ticks and notifiers' claims say the same. */
void queue_protocol_command(const struct queue *queue, struct redis_command *command);
int queue_protocol(const struct queue *queue, struct redis *redis, int64_t timeout_ms,
                   struct err *err);

/* How full the server of this shard is: thousandths of its maxmemory; 0 where it has none. */
void queue_memory_command(const struct queue *queue, struct redis_command *command);
int queue_memory_reply(const struct redis_reply *reply, int *out_permille, struct err *err);

/* ---- submit --------------------------------------------------------------------------------- */

struct queue_submit {
    const char *public_id; /* of this shard; from id_public_create() */
    const char *model;
    const char *flow;
    enum job_priority priority;
    int64_t cost_ms;        /* expected milliseconds on the device: 1 … 16,000,000 */
    double weight;          /* of the flow: 1 unless it pays for more; 0.01 … 1000 */
    int64_t max_queued;     /* of the flow and model, in place of the queue's; 0: the queue's */
    int max_attempts;       /* 1 … 100 */
    int64_t backoff_ms;     /* before the second attempt, then doubled; 0: 1 s. By 10 ms */
    int64_t backoff_max_ms; /* 0: 5 min. By 1 s */
    int64_t run_max_ms;     /* one attempt may take so long; 0: any time. By 100 ms */
    int64_t deadline_ms;    /* since 1970: not finished by then, it fails; 0: never */
    int64_t
        deadline_after_ms; /* the same from when it may first start, where that is 0; 0: never */
    int64_t run_at_ms;     /* since 1970; 0: now */
    bool has_input;        /* inputs/<public id> exists and is ours to delete */
    bool wants_position;   /* all of a call alike; one alone is told in any case */
    const char *extension; /* of the result's file name: "png" */
    const char *notify_address; /* keyed hash; NULL or "": nobody is told */
    const void *notify_blob;    /* sealed address, up to QUEUE_BLOB_MAX */
    size_t notify_blob_size;
    const char *notify_language; /* of that mail: [a-z0-9-]{2,15}; NULL: "en" */
    bool notify_unwanted;        /* the address wants no mail: no blob, and its owner is told so */
    const void *spec;            /* job_spec_format(), up to JOB_SPEC_MAX */
    size_t spec_size;
    /* It waits until these have succeeded, and fails with the first that does not. They are jobs of
     * the same flow; up to QUEUE_PARENTS_MAX. */
    const char *const *parents;
    size_t parent_count;
    const char *input_from; /* one of them, whose result is its input; NULL: none */
    const char *batch; /* public id of the batch that it belongs to (queue_batch.h); NULL: none */
    /* What few jobs have, a line `<letter>=<value>\n` each: w webhook, i idempotency key, t trace.
     * Up to QUEUE_EXTRA_MAX bytes; NULL: nothing. Made of the members above: d deadline, p parents,
     * f input from, b batch, m mail. */
    const char *extra;
    size_t extra_size;
};

struct queue_submitted {
    bool repeated; /* this public id was already there: nothing was changed */
    enum job_state state;
    int64_t created_ms;
    int64_t position; /* jobs of this model that are to start before it; -1: not waiting */
    int64_t eta_ms;   /* until its result is expected; -1: no worker is alive */
};

/* ERR_INVALID with the member at fault. A command built from jobs that fail this is refused where
 * it is sent. */
int queue_submit_check(const struct queue *queue, const struct queue_submit *job, struct err *err);

/* Has it parents, or a batch? */
bool queue_submit_waits(const struct queue_submit *job);

/* All strings are borrowed during the call. `count` up to QUEUE_SUBMIT_MAX; each job is admitted or
 * refused on its own. All of them wait, or none. */
void queue_submit_command(const struct queue *queue, const struct queue_submit *jobs, size_t count,
                          struct redis_command *command);
/* The outcome of job `index`. ERR_UNAVAILABLE: the whole queue is full; ERR_LIMIT: this flow is;
 * ERR_CONFLICT: the id is taken by another job (make a new one), or with the field
 * "Idempotency-Key" see queue_submit_idem(); ERR_INVALID names the member; ERR_NOT_FOUND: a parent
 * that is not there, or is of another flow. */
int queue_submit_reply(const struct redis_reply *reply, size_t index, struct queue_submitted *out,
                       struct err *err);
/* After ERR_UNAVAILABLE or ERR_LIMIT for job `index`: in how many ms there should be room for one
 * more, from when claims made room lately. 0 where nothing was refused. */
int64_t queue_submit_retry_ms(const struct redis_reply *reply, size_t index);
int queue_submit(const struct queue *queue, struct redis *redis, const struct queue_submit *job,
                 int64_t timeout_ms, struct queue_submitted *out, struct err *err);

/* ---- get ------------------------------------------------------------------------------------ */

struct queue_job {
    char public_id[ID_PUBLIC_SIZE];
    uint64_t id;
    enum job_state state;
    enum job_priority priority;
    bool dead;  /* failed and in the dead letter, from where it may be replayed */
    bool waits; /* for its parents, or for its batch to be sealed */
    bool alone; /* claimed as a suspect, with no other beside it */
    bool has_input;
    char rating;    /* of a result by its owner: 'u' up, 'd' down, 0 none */
    uint32_t epoch; /* of the last claim; 0: never claimed */
    int attempts, max_attempts;
    int losses;   /* workers lost or preempted while they had it */
    int crashes;  /* of those, the ones that vanished while it was alone with them */
    int progress; /* per mille */
    int64_t cost_ms;
    int64_t backoff_ms, backoff_max_ms;
    int64_t run_max_ms;  /* 0: any time */
    int64_t deadline_ms; /* 0: none */
    int64_t created_ms, updated_ms;
    int64_t position, eta_ms; /* as in struct queue_submitted */
    int64_t due_ms; /* of a delayed job: when it will be queued, if it waits for no other; else 0 */
    char model[JOB_MODEL_SIZE];
    char flow[JOB_FLOW_SIZE];
    char extension[JOB_EXTENSION_SIZE];
    char result_type[65]; /* succeeded */
    int64_t result_bytes; /* succeeded */
    char error_code[33];  /* failed, or the last failure of a delayed job */
    char error_detail[257];
    const char *spec; /* borrowed from the reply */
    size_t spec_size;
    const char *extra; /* borrowed from the reply; see queue_extra_get() */
    size_t extra_size;
    int64_t mails_held_until_ms; /* no mail goes out until then; 0: they do. Not of the record: it
                                  * is for whoever shows the job to fill in */
    char event_id[48];           /* the last entry of the event stream when this was read */
};

void queue_get_command(const struct queue *queue, const char *public_id,
                       struct redis_command *command);
/* ERR_NOT_FOUND, ERR_CORRUPT. */
int queue_get_reply(const struct redis_reply *reply, struct queue_job *out, struct err *err);
/* As above; `out->spec` and `out->extra` are NULL. */
int queue_get(const struct queue *queue, struct redis *redis, const char *public_id,
              int64_t timeout_ms, struct queue_job *out, struct err *err);

/* The value of one of the job's extra lines, NUL-terminated; false where it has none or it is
 * longer than `size`. */
bool queue_extra_get(const struct queue_job *job, char key, char *out, size_t size);

/* What became of a job's mail. */
enum queue_mail {
    QUEUE_MAIL_NONE,     /* no address was left, or the job was cancelled */
    QUEUE_MAIL_WAITING,  /* for the job's end, or in line */
    QUEUE_MAIL_LIMITED,  /* in line until the address may get another one */
    QUEUE_MAIL_QUOTA,    /* in line until mails may go out again */
    QUEUE_MAIL_SENT,     /* the mail server has it */
    QUEUE_MAIL_FAILED,   /* given up: see queue_unsent */
    QUEUE_MAIL_UNWANTED, /* the address has unsubscribed */
};
#define QUEUE_LANGUAGE_SIZE 16
/* From the job's extra lines. `out_language` (nullable) is "" where there is no mail. */
enum queue_mail queue_mail_of(const struct queue_job *job, char out_language[QUEUE_LANGUAGE_SIZE]);

/* Position and ETA of many jobs (up to QUEUE_POSITIONS_MAX) for the price of little more than one:
 * for all who watch. */
#define QUEUE_POSITIONS_MAX 256
struct queue_position {
    int64_t position, eta_ms; /* -1, -1 unless the job waits in a lane */
};
void queue_positions_command(const struct queue *queue, const char *const *public_ids, size_t count,
                             struct redis_command *command);
int queue_positions_reply(const struct redis_reply *reply, size_t index, struct queue_position *out,
                          struct err *err);

/* ---- cancel, erase -------------------------------------------------------------------------- */

/* Queued and delayed jobs end at once. A running job ends at once too: its lease is void, the
 * worker learns it from a push or its next heartbeat, and whatever it uploads goes to the trash.
 * Harmless when repeated. *out_state is what the job is now: cancelled, or the final state that it
 * had already. */
void queue_cancel_command(const struct queue *queue, const char *public_id,
                          struct redis_command *command);
int queue_cancel_reply(const struct redis_reply *reply, enum job_state *out_state, struct err *err);
int queue_cancel(const struct queue *queue, struct redis *redis, const char *public_id,
                 int64_t timeout_ms, enum job_state *out_state, struct err *err);

/* Cancels, and forgets: record, mail rows and attempt history go, objects go to the trash. Harmless
 * when repeated: *out_found is false when there was nothing left. */
void queue_erase_command(const struct queue *queue, const char *public_id,
                         struct redis_command *command);
int queue_erase_reply(const struct redis_reply *reply, bool *out_found, struct err *err);
int queue_erase(const struct queue *queue, struct redis *redis, const char *public_id,
                int64_t timeout_ms, bool *out_found, struct err *err);

/* ---- grants --------------------------------------------------------------------------------- */

#define QUEUE_GRANTS_MAX 256
struct queue_lease {
    uint64_t id;
    uint32_t epoch;
};
struct queue_grant {
    bool held;                    /* false: no longer this worker's; nothing below is set */
    char input_key[JOB_KEY_SIZE]; /* of the object that is its input; "" where it has none */
    char public_id[ID_PUBLIC_SIZE];
    char model[JOB_MODEL_SIZE];
    char extension[JOB_EXTENSION_SIZE];
};

/* Does `worker` hold these leases? */
void queue_grants_command(const struct queue *queue, const char *worker,
                          const struct queue_lease *leases, size_t count,
                          struct redis_command *command);
int queue_grants_reply(const struct redis_reply *reply, size_t index, struct queue_grant *out,
                       struct err *err);

/* ---- events --------------------------------------------------------------------------------- */

/* One change of one job. Any event of a model other than progress may have moved the positions of
 * the jobs that wait for it. */
struct queue_event {
    const char *event_id; /* borrowed; several jobs may share one */
    char public_id[ID_PUBLIC_SIZE];
    enum job_state state; /* 0: erased */
    int progress;         /* per mille */
    char model[JOB_MODEL_SIZE];
};
typedef void queue_event_fn(const struct queue_event *event, void *data);

#define QUEUE_EVENT_ID_SIZE 48

/* XREAD BLOCK of the streams of `count` shards, each after its own id: for a connection of its own.
 */
void queue_events_command(const struct queue *queues, size_t count,
                          char (*after_ids)[QUEUE_EVENT_ID_SIZE], int64_t block_ms,
                          int64_t max_entries, struct redis_command *command);
/* Calls `each` (nullable) for every change, in the order of its shard, and writes the last entry's
 * id of each shard to out_last_ids, which stays as it was where there were none. */
int queue_events_reply(const struct queue *queues, size_t count, const struct redis_reply *reply,
                       queue_event_fn *each, void *data, char (*out_last_ids)[QUEUE_EVENT_ID_SIZE],
                       struct err *err);

/* "<ms>-<seq>", as a Last-Event-ID must look. */
bool queue_event_id_valid(const char *text);

/* ---- housekeeping --------------------------------------------------------------------------- */

/* Expires leases, promotes what is due, forgets what was kept long enough, drops workers that fell
 * silent: a bounded piece of each. Call it every second or so from any number of dispatchers. After
 * a gap (Redis was away, or everybody was) every lease gets one more term before any is expired. */
struct queue_ticked {
    int expired, promoted, forgotten, buried;
    bool more;   /* there is more to do now: call again */
    bool graced; /* a gap was found, leases were extended */
};
void queue_tick_command(const struct queue *queue, struct redis_command *command);
int queue_tick_reply(const struct redis_reply *reply, struct queue_ticked *out, struct err *err);
int queue_tick(const struct queue *queue, struct redis *redis, int64_t timeout_ms,
               struct queue_ticked *out, struct err *err);

struct queue_counters {
    int64_t queued, running, delayed;                      /* now */
    int64_t dead;                                          /* in the dead letter */
    int64_t submitted, succeeded, failed, cancelled, lost; /* since the beginning */
    int64_t workers, slots;                                /* alive */
    int64_t rated_up, rated_down; /* results, by their owners; they may think again */
    int64_t service_ms;           /* smoothed, of one job; 0: none finished yet */
    int64_t oldest_ms; /* age of the oldest job at the head of a lane (of at most 32 lanes) */
    int64_t paused;    /* 1 while nobody may claim */
};
void queue_counters_command(const struct queue *queue, const char *const *models, size_t count,
                            struct redis_command *command);
int queue_counters_reply(const struct redis_reply *reply, size_t index, struct queue_counters *out,
                         struct err *err);
int queue_counters(const struct queue *queue, struct redis *redis, const char *model,
                   int64_t timeout_ms, struct queue_counters *out, struct err *err);

#endif

/* SPDX-License-Identifier: MIT
 *
 * One claimed job on its way through the stages, and everything that it carries.
 *
 *     claim → grant → fetch + decode → infer → encode + upload + complete
 *
 * A task is owned by exactly one stage at a time and handed on through a ring; the last stage
 * settles and frees it. A stage that fails sets `rc` and `err` and sends the task straight to the
 * last one. Buffers are freed by the stage that used them last, not at the end.
 * Only the atomic members are touched by other threads meanwhile. */
#ifndef DARKROOM_WORKER_TASK_H
#define DARKROOM_WORKER_TASK_H

#include "common/buf.h"
#include "common/err.h"
#include "common/id.h"
#include "common/job.h"
#include "common/picture.h"
#include "common/trace.h"
#include "worker/digits.h"
#include "worker/outputs.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct resident;

/* What the outside has decided about a task meanwhile. */
enum task_verdict {
    TASK_ON,        /* go on */
    TASK_LOST,      /* the lease is somebody else's: drop it silently */
    TASK_CANCELLED, /* its owner doesn't want it any more: drop it silently */
    TASK_RELEASED,  /* it was given back before anything began: drop it silently */
    TASK_TIMED_OUT  /* it is past its model's limit: it fails, and is renewed no more */
};

/* What a job's time is made of, in the order of the road. */
enum task_step {
    STEP_GRANT,
    STEP_FETCH,
    STEP_DECODE,
    STEP_WAIT, /* in front of the network */
    STEP_INFER,
    STEP_ENCODE,
    STEP_UPLOAD,
    STEP_COMPLETE,
    STEP_COUNT
};

/* Presigned for this job and epoch. The links are secrets: never logged. */
struct task_grant {
    char *get_url;      /* owned; NULL: the job brings no input */
    char *put_url;      /* owned */
    char *put_type;     /* owned: the Content-Type that the link was signed for */
    char *crop_url;     /* owned; NULL: the picture as the network saw it is not kept */
    char *heat_map_url; /* owned; NULL: nobody wants to see where the network looked */
};

struct task {
    /* The claim; read-only afterwards. */
    unsigned shard;
    uint64_t id; /* inside Redis, unique within its shard */
    uint32_t epoch;
    uint32_t attempt; /* 1: the first */
    char public_id[ID_PUBLIC_SIZE];
    char extension[JOB_EXTENSION_SIZE];
    char trace[TRACE_TEXT_SIZE]; /* where its client sent one; else "" */
    bool alone;                  /* a suspect: nothing may run beside it */
    struct resident *resident;   /* borrowed: the model */
    struct job_spec spec;        /* owned */
    int64_t claimed_us;          /* clock_us() */
    int64_t limit_ms;            /* for the network; waiting for it doesn't count */
    int64_t created_ms;          /* since 1970, by Redis' clock */
    int64_t queued_ms;           /* from submit to claim, by two clocks: for the log only */

    /* What it gathers. */
    struct task_grant grant;
    struct picture square;   /* the network's input, a picture … */
    struct digits digits;    /* … or what it is to draw */
    struct buf crop_png;     /* the same as a file, where it is kept */
    struct outputs *outputs; /* held: what the network gave for its batch, … */
    const float *output;     /* … and of that for this one, [rows][out_values] */
    bool tried_upload;       /* something may lie in the store */
    bool uploaded;           /* it does */
    int64_t result_bytes;

    /* How it ends: 0 so far, or the first failure. */
    int rc;
    struct err err;
    bool release; /* back to the queue, uncharged: no grant, or no time left */

    int64_t step_us[STEP_COUNT];
    int64_t mark_us; /* where the present step began */

    /* Of its trace: see spans.h. */
    char step_spans[STEP_COUNT][TRACE_SPAN_SIZE]; /* "" until it is asked for */
    struct trace run;                             /* of the network, for several; or zeros */

    bool begun; /* the roster's: see roster_begin() */

    /* The residency's. */
    bool admitted;     /* its model stays loaded for it */
    struct task *next; /* while it is parked, or its shard is away */

    atomic_int verdict;         /* enum task_verdict; changed by the roster only */
    atomic_llong in_network_ms; /* clock_ms() when the network began with it; 0: not in there */
    atomic_int progress_permille;
};

/* NULL when memory ran out. */
struct task *task_create(void);

/* Harmless on NULL and on a half-filled task. */
void task_destroy(struct task **task);

void task_grant_fini(struct task_grant *grant);

static inline enum task_verdict task_verdict(const struct task *task)
{
    return (enum task_verdict)atomic_load(&task->verdict);
}

/* "grant", "fetch", …: as figures and traces have them. */
const char *task_step_name(enum task_step step);

/* True once no stage should work on it any more: failed, released or judged. */
bool task_is_over(const struct task *task);

/* The time since the last call (or the claim) goes to `step`. */
void task_mark(struct task *task, enum task_step step);

#endif

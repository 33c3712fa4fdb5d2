/* SPDX-License-Identifier: MIT
 *
 * The jobs of a POST /v1/batches, from its body to what the queue is told and the client is
 * answered.
 *
 *     rc = batch_build_check(&build, &refusal);     // every job against its manifest: all or none
 *     rc = batch_build_store(&build, &err);         // their pictures, and the answer
 *     batch_build_job(&build, i, &submit);          // one of them, for queue_submit_command()
 *     batch_build_fini(&build);
 *
 * All of this may take a while: on a thread, one at a time. */
#ifndef DARKROOM_DISPATCHER_JOBS_BATCH_BUILD_H
#define DARKROOM_DISPATCHER_JOBS_BATCH_BUILD_H

#include "common/buf.h"
#include "common/queue_batch.h"
#include "common/trace.h"
#include "dispatcher/access/identity.h"
#include "dispatcher/jobs/intake.h"
#include "dispatcher/jobs/job_mail.h"

struct call;
struct dispatcher;
struct queue_idem_found;

struct batch_item {
    char public_id[ID_PUBLIC_SIZE];
    struct intake intake;
    struct job_mail mail;
    const char *parents[QUEUE_PARENTS_MAX];
};

struct batch_build {
    /* The caller's. */
    const struct dispatcher *dispatcher; /* borrowed: store and keys, which do not change */
    const struct manifest_set *models;   /* borrowed */
    const struct identity *identity;     /* borrowed: of an account */
    const char *language;                /* borrowed: of mails, where a job names none */
    char batch_id[ID_PUBLIC_SIZE];
    struct buf body;             /* freed as soon as it was read */
    char trace[TRACE_TEXT_SIZE]; /* "" where the client sent none */

    size_t count;
    struct batch_item *items;       /* owned */
    struct buf answer;              /* the JSON of the 202 */
    char line[TRACE_TEXT_SIZE + 4]; /* of each job's record */
};

/* Reads the body: {"defaults": {…}, "jobs": [{…}, …]}, each job what POST /v1/jobs takes, with the
 * defaults beneath it. The field of an error is `jobs[<index>].<member>`. As intake_check(). */
int batch_build_check(struct batch_build *build, struct intake_refusal *refusal);

/* What the batch is, in 32 hex digits; as intake_fingerprint(). */
int batch_build_fingerprint(const struct batch_build *build, char out[INTAKE_FINGERPRINT_SIZE]);

int batch_build_store(struct batch_build *build, struct err *err);

/* Borrows from `build` and writes to it. */
void batch_build_job(struct batch_build *build, size_t index, struct queue_submit *out);

void batch_build_fini(struct batch_build *build);

/* What batches.c makes of a second submission with a key: that batch anew, 409 or 422. */
void batch_accept_again(struct call *call, const struct queue_idem_found *found);

/* Appends the answer to a submission: the batch, its tokens, and those of each job. */
int batch_write_accepted(const struct dispatcher *dispatcher, const char *batch_id,
                         const char *(*id_at)(const void *ids, size_t index), const void *ids,
                         size_t count, struct buf *out);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Is this a job that we can do? A submission is checked here against its model's manifest, and
 * becomes the description that the worker will read.
 *
 *     struct intake intake;
 *     struct intake_refusal refusal = {0};
 *     rc = intake_check(&models, form, public_id, &intake, &refusal);
 *     ... intake.input is what to store, intake.spec what to enqueue ...
 *     intake_fini(&intake);
 *
 * A picture is looked at from its header and structure; no pixel is decoded. Pure: any thread. */
#ifndef DARKROOM_DISPATCHER_JOBS_INTAKE_H
#define DARKROOM_DISPATCHER_JOBS_INTAKE_H

#include "common/address.h"
#include "common/buf.h"
#include "common/err.h"
#include "dispatcher/jobs/after.h"
#include "dispatcher/jobs/timing.h"

#include <stdbool.h>
#include <stdint.h>

struct form;
struct identity;
struct manifest;
struct manifest_set;

struct intake {
    const struct manifest *model;   /* borrowed from the set */
    bool has_picture;               /* it brings one, which is to be stored */
    struct buf input;               /* the picture's bytes; empty where it brings none */
    const char *input_type;         /* static storage: what it is, not what it was called */
    struct buf spec;                /* as job_spec_format() writes it */
    char email[ADDRESS_SIZE];       /* "" where none was given */
    char lang[QUEUE_LANGUAGE_SIZE]; /* of its mail, as it was asked for; "" where it was not */
    struct after after;             /* not permitted yet */
    struct timing timing;           /* not permitted yet */
    char *webhook; /* owned; URL or id of an endpoint, unchecked: job_hook.h; NULL: none */
};

struct intake_refusal {
    struct err err;
    bool malformed; /* the body as such cannot be read: 400 instead of 422 */
    int64_t limit;  /* the number that was broken; 0: none */
};

/* Takes the picture's memory out of `form`. Fills `out` on success only. ERR_INVALID, ERR_LIMIT,
 * ERR_CORRUPT, ERR_UNSUPPORTED: all of them the client's; ERR_NOMEM. */
int intake_check(const struct manifest_set *models, struct form *form, const char *public_id,
                 struct intake *out, struct intake_refusal *refusal);
/* The same for the members of a JSON object, which is borrowed. */
int intake_check_members(const struct manifest_set *models, json_t *members, const char *public_id,
                         struct intake *out, struct intake_refusal *refusal);

/* What the queue is told, except of the address, of parents and the extra lines. Borrows all. */
void intake_submit(const struct intake *intake, const struct identity *identity,
                   const char *public_id, struct queue_submit *out);

void intake_fini(struct intake *intake);

/* What the job is, in 32 hex digits: the same for the same picture and members, however they were
 * sent. `public_id` is the one of intake_check(), which does not count. Everything that a client
 * may ask for has to be in it, or one Idempotency-Key would stand for two jobs. */
#define INTAKE_FINGERPRINT_SIZE 33
int intake_fingerprint(const struct intake *intake, const char *public_id,
                       char out[INTAKE_FINGERPRINT_SIZE]);

#endif

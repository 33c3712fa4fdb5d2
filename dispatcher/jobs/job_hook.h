/* SPDX-License-Identifier: MIT
 *
 * The webhook that a job brings: the id of an endpoint of its account, or a URL of its own.
 *
 *     rc = job_hook_check(dispatcher, &call->identity, intake.webhook, &err);   // any thread
 *     if (endpoint_id_valid(intake.webhook)) ... job_hook_find(call, …)   // is it the account's?
 *     rc = job_hook_line(dispatcher, flow, public_id, intake.webhook, &extra);
 *
 * A URL is kept sealed. What it is called with is signed with a secret of its own job, which is
 * derived, shown in the answer to the submission and kept nowhere. */
#ifndef DARKROOM_DISPATCHER_JOBS_JOB_HOOK_H
#define DARKROOM_DISPATCHER_JOBS_JOB_HOOK_H

#include "common/webhook.h"

#include <stdbool.h>

struct buf;
struct call;
struct dispatcher;
struct err;
struct identity;
struct queue_job;
struct redis_reply;

/* May this caller bring it, and can it be called at all? ERR_DENIED, ERR_INVALID, ERR_LIMIT. */
int job_hook_check(const struct dispatcher *dispatcher, const struct identity *identity,
                   const char *webhook, struct err *err);

/* Asks for the endpoint `id`; read the reply with job_hook_found(). Loop's thread. */
int job_hook_find(struct call *call, const char *id,
                  void (*done)(int rc, const struct redis_reply *reply, void *data), void *data);
/* ERR_INVALID: the account has no such endpoint. */
int job_hook_found(const struct call *call, const struct redis_reply *reply, const char *id,
                   struct err *err);

/* Appends the line for the job's record. */
int job_hook_line(const struct dispatcher *dispatcher, const char *flow, const char *public_id,
                  const char *webhook, struct buf *extra);

/* The secret, where the job brought a URL: for the answer to its submission. False: it did not. */
bool job_hook_secret(const struct dispatcher *dispatcher, const struct queue_job *job,
                     char out[WEBHOOK_SECRET_SIZE]);

#endif

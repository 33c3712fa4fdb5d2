/* SPDX-License-Identifier: MIT
 *
 * 202, the answer to a submission, and what an Idempotency-Key makes of a second one
 * (draft-ietf-httpapi-idempotency-key-header).
 *
 *     if (!accept_read_key(call, idem.key)) return;       // 400 was answered
 *     rc = accept_send(call, &job, false);
 *     accept_again(call, &found);                          // 202 anew, 409 or 422
 *
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_JOBS_ACCEPT_H
#define DARKROOM_DISPATCHER_JOBS_ACCEPT_H

#include "common/queue_idem.h"

#include <stdbool.h>

struct call;
struct intake_refusal;
struct queue_job;

/* Hashes the request's Idempotency-Key, "" where it has none. False: the header is not 1 to 255
 * printable characters, with or without quotes. */
bool accept_read_key(struct call *call, char out[QUEUE_IDEM_HASH_SIZE]);

/* Answers with the job, its tokens, Location and Retry-After: 202, or 201 where the client would
 * wait for its end (wait.h) and it has ended. On failure nothing was answered. */
int accept_send(struct call *call, const struct queue_job *job, bool replayed);

/* Refuses what intake_check() refused with `rc`. */
void accept_refuse(struct call *call, int rc, const struct intake_refusal *refusal);

/* Answers a request whose key stands for something already: the job as it is now, or a refusal. */
void accept_again(struct call *call, const struct queue_idem_found *found);

#endif

/* SPDX-License-Identifier: MIT
 *
 * A job as its owner sees it: the resource of docs/api.md as JSON. Pure; any thread. */
#ifndef DARKROOM_DISPATCHER_JOBS_JOB_VIEW_H
#define DARKROOM_DISPATCHER_JOBS_JOB_VIEW_H

#include <stdbool.h>

struct buf;
struct queue_job;
struct token_keys;

#define JOB_VIEW_MAX 8192

/* Appends the resource on one line. `tokens` NULL: without any, as a webhook has it. `with_tokens`
 * only in the answer to a submission. */
int job_view_write(const struct queue_job *job, const char *public_url,
                   const struct token_keys *tokens, bool with_tokens, struct buf *out);

/* The answer to a submission that brought a webhook's URL: its secret is among the tokens. */
int job_view_write_hooked(const struct queue_job *job, const char *public_url,
                          const struct token_keys *tokens, const char *webhook_secret,
                          struct buf *out);

#endif

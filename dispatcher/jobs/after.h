/* SPDX-License-Identifier: MIT
 *
 * The jobs that a submission waits for, and whether whoever asks may name them.
 *
 *     rc = after_read(members, &after, &err);                    // "after" and an "input" of
 * {"job"} rc = after_permit(&after, tokens, has_key, shard, &err);
 *     after_apply(&after, parents, &submit);
 *
 * An account names jobs of its own. A visitor is no more than an address, so a visitor proves each
 * with its view or manage token; in both cases Redis takes only jobs of the same flow. Pure; any
 * thread. */
#ifndef DARKROOM_DISPATCHER_JOBS_AFTER_H
#define DARKROOM_DISPATCHER_JOBS_AFTER_H

#include "common/json.h"
#include "common/queue.h"
#include "common/token.h"

#include <stdbool.h>

struct err;

struct after {
    size_t count;
    size_t input; /* which of them gives the input; `count` where none does */
    struct after_job {
        char public_id[ID_PUBLIC_SIZE];
        char token[TOKEN_SIZE]; /* "" where none was given */
    } jobs[QUEUE_PARENTS_MAX];
};

/* Members of a submission: `after`, up to QUEUE_PARENTS_MAX of "<id>" or {"job": "<id>", "token":
 * "…"}, and `input`, where it is such an object; its job is waited for, named in `after` or not. */
int after_read(const json_t *members, struct after *out, struct err *err);

/* `shard` is the child's: a job of another is of another flow. ERR_DENIED, ERR_INVALID. */
int after_permit(const struct after *after, const struct token_keys *tokens, bool has_key,
                 unsigned shard, struct err *err);

/* Fills the members of *submit that are about it; both arrays are borrowed until it is sent. */
void after_apply(const struct after *after, const char *parents[QUEUE_PARENTS_MAX],
                 struct queue_submit *submit);

/* "<id>,<id>,…", as a job's extra line `p` has it. */
#define AFTER_TEXT_SIZE (QUEUE_PARENTS_MAX * ID_PUBLIC_SIZE + 1)
void after_text(const struct after *after, char out[AFTER_TEXT_SIZE]);

#endif

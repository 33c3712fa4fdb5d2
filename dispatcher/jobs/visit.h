/* SPDX-License-Identifier: MIT
 *
 * Somebody comes to one job: with one of its tokens, or with a key of its account. The token's MAC
 * is checked here; whether the job exists and whose it is only Redis knows. So a key, and a token
 * that is wrong, asks for the job first: an unknown id is 404, and 403 one that is not for them.
 *
 *     struct visit *visit = visit_begin(call, TOKEN_VIEW, sizeof *visit, show);
 *     if (visit)
 *         visit_ask_for_job(visit);          // show(visit, job), or it was refused
 *
 * A route that keeps more puts a struct visit first in a struct of its own. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_JOBS_VISIT_H
#define DARKROOM_DISPATCHER_JOBS_VISIT_H

#include "common/redis_async.h"
#include "dispatcher/call.h"

struct queue_job;
struct visit;

typedef void visit_fn(struct visit *visit, const struct queue_job *job);

struct visit {
    struct call *call; /* borrowed; valid until the answer */
    char public_id[ID_PUBLIC_SIZE];
    struct call_right right;
    visit_fn *show;
};

/* `size` bytes, zero but for the visit in front, freed with free() when the call ends unless the
 * caller sets another call->free_state. NULL: refused and answered. */
void *visit_begin(struct call *call, enum token_right right, size_t size, visit_fn *show);

/* The same for who has shown otherwise (by a cookie) that the job is theirs. */
void *visit_begin_granted(struct call *call, size_t size, visit_fn *show);

/* Sends the command in dispatcher->command; where that fails, it is answered. */
void visit_ask(struct visit *visit, redis_async_done *done);

/* Reads the job, and calls visit->show for who may see it. */
void visit_ask_for_job(struct visit *visit);

/* visit->show at once with NULL where the token is good, else once it is known whose the job is. */
void visit_act(struct visit *visit);

/* 404: deleted, expired, or never was. */
void visit_unknown(struct call *call, const char *public_id);

/* 409: the job's state is not one for this. */
void visit_conflict(struct visit *visit, const struct queue_job *job);

#endif

/* SPDX-License-Identifier: MIT
 *
 * A submission in the words of another service: what its body becomes, and how it is answered. The
 * routes of compat/ set call->dialect before the body is read; everything in between is
 * submit.c's. */
#ifndef DARKROOM_DISPATCHER_JOBS_DIALECT_H
#define DARKROOM_DISPATCHER_JOBS_DIALECT_H

#include "common/json.h"

struct call;
struct err;
struct queue_job;

struct dialect {
    /* Makes `body`, a JSON document of theirs, one of ours in place. On a thread; `context` is
     * call->dialect_context. Errors name members of theirs. */
    int (*translate)(const void *context, json_t *body, struct err *err);
    /* What a member of ours is called there, for errors; NULL: as here. */
    const char *(*field)(const char *field);
    int crop_slack; /* pixels by which a crop may reach over an edge: what their client rounds */
    /* Answers for a job that was accepted. On failure nothing was answered. */
    int (*accepted)(struct call *call, const struct queue_job *job);
};

#endif

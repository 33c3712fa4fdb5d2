/* SPDX-License-Identifier: MIT
 *
 * Who is asking, known before a route's own code runs.
 *
 *     if (!identity_require(call, SCOPE_OPERATE))
 *         return;                                       // 401 or 403 was answered
 *     flow = identity_flow(call);                       // of the jobs that it submits
 *     if (identity_owns(&call->identity, job.flow, SCOPE_READ)) ...
 *
 * A request with `Authorization: Bearer dk_…` comes from an account's API key; any other, job
 * tokens included, from a visitor, who is an address. A key that is unknown or revoked was answered
 * 401 before the route. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_ACCESS_IDENTITY_H
#define DARKROOM_DISPATCHER_ACCESS_IDENTITY_H

#include "common/job.h"
#include "common/keys.h"
#include "dispatcher/access/keyring.h"

#include <stdbool.h>
#include <stdint.h>

struct call;

struct identity {
    bool has_key;              /* everything below except the flow is a key's */
    char flow[JOB_FLOW_SIZE];  /* the account; of a visitor "" until identity_flow() */
    char key_id[KEY_ID_SIZE];  /* for logs */
    unsigned scopes;           /* of enum scope; 0 of a visitor */
    enum job_priority ceiling; /* a visitor's is normal */
    double weight;             /* of the flow; a visitor's is 1 */
    int64_t per_minute, burst; /* submissions of the key; per_minute 0: no limit */
    int64_t concurrency;       /* of the flow: jobs that may run at once; 0: no limit */
    int64_t max_queued;        /* of the flow and one model; 0: the installation's limit */
};

/* True if the request came with a key that has all of `scopes`. Else false: 401 was answered
 * where there is no key, 403 where it has not the scope. */
bool identity_require(struct call *call, unsigned scopes);

/* The same where visitors may, too. */
bool identity_permit(struct call *call, unsigned scopes);

/* The flow of the jobs that it submits: the account, or a keyed hash of the visitor's address.
 * NULL: it cannot be made, 503 was answered. */
const char *identity_flow(struct call *call);

/* May it do to a job of this flow what `scopes` stand for, without the job's own tokens? */
bool identity_owns(const struct identity *identity, const char *flow, unsigned scopes);

/* For routes.c: fills call->identity before the route, and judges the origin of a page that asks
 * (cors.h). `then` is called at once, or when Redis has told about the key, the exchange on hold
 * meanwhile; not at all where the request was refused. */
struct identity_wait {
    struct keyring_wait keyring;
    struct call *call;
    void (*then)(struct call *call);
};
void identity_begin(struct call *call, void (*then)(struct call *call));

#endif

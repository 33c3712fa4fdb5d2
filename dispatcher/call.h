/* SPDX-License-Identifier: MIT
 *
 * One request on its way through the dispatcher, and what every route does with it.
 *
 * A route has its state freed with the call, after the answer went out or the client left. While an
 * answer is owed the call stays valid, so a callback of Redis or of a thread may hold it. Loop's
 * thread only. */
#ifndef DARKROOM_DISPATCHER_CALL_H
#define DARKROOM_DISPATCHER_CALL_H

#include "common/buf.h"
#include "common/id.h"
#include "common/json.h"
#include "common/token.h"
#include "common/trace.h"
#include "dispatcher/access/identity.h"
#include "dispatcher/access/throttle.h"
#include "dispatcher/http/problem.h"
#include "dispatcher/http/router.h"
#include "dispatcher/traces.h"

#include <stdbool.h>
#include <stddef.h>

struct client_key;
struct dialect;
struct dispatcher;
struct edition;
struct err;
struct exchange;
struct manifest;
struct page_form;

struct call {
    struct dispatcher *dispatcher; /* borrowed */
    struct exchange *exchange;     /* borrowed */
    struct edition *edition;       /* held: the models that it began with */
    struct router_match match;
    struct identity identity;
    struct identity_wait identity_wait;
    struct throttle_wait throttle_wait;
    void *state; /* of the route, owned */
    void (*free_state)(void *state);
    const struct dialect *dialect; /* borrowed; of a submission in foreign words, else NULL */
    const void *dialect_context;   /* borrowed, and read by threads */
    struct page_form *page; /* a person sent this without scripts and gets pages; owned; or NULL */
    size_t reserved;        /* of the memory for bodies */
    struct call_trace trace;
    struct buf body; /* what call_take_body() asked for */
};

/* The 34 digits in the path. False: there is no such id, and 404 was answered. */
bool call_public_id(struct call *call, char out[ID_PUBLIC_SIZE]);

/* The model that the path names. NULL: there is none, and 404 was answered. Borrowed. */
const struct manifest *call_model(struct call *call);

/* The address of whoever asks, seen through the proxies that we trust. */
void call_client(const struct call *call, struct client_key *out);

/* The step of a trace that a job of this request is below (traces.h); the answer will tell it.
 * False: the request is part of none. */
bool call_trace(struct call *call, char out[TRACE_TEXT_SIZE]);

/* What stands behind `Authorization: Bearer`, or NULL. Borrowed. */
const char *call_bearer(const struct call *call);

#define CALL_TOKEN_SIZE 128

/* The token of `Authorization: Bearer` or of `?token=`. False: none, and 401 was answered. A token
 * that is too long or malformed becomes "", which permits nothing. */
bool call_token(struct call *call, char out[CALL_TOKEN_SIZE]);

/* How a request may come at a job: with one of the job's tokens, or with a key of its account. */
struct call_right {
    bool by_token;
    unsigned scope; /* that a key needs */
};

/* False: it brought neither, or a key without the scope, and was answered. */
bool call_ask_right(struct call *call, enum token_right right, const char *public_id,
                    struct call_right *out);
/* May it, now that the job's flow is known? */
bool call_has_right(const struct call *call, const struct call_right *right, const char *flow);

/* Of a request that hands in jobs: may its body come? False: it is larger than max_bytes, or the
 * queue is away, and 413 or 503 was answered. */
bool call_admit_body(struct call *call, size_t max_bytes);

/* Sets memory for a body aside until the call ends. False: too much is in use, 503 was answered. */
bool call_reserve(struct call *call, size_t bytes);

/* From a route's `headers`: keeps a small body of at most max_bytes for call_parse_body(). */
void call_take_body(struct call *call, size_t max_bytes);

/* The body as JSON of at most `depth`; owned by the caller. NULL: it is none, 400 was answered. */
json_t *call_parse_body(struct call *call, int depth);

/* Answers with what a member of the body broke. */
void call_refuse_err(struct call *call, int rc, const struct err *err);

/* Answers with JSON; `body` is emptied. */
void call_send_json(struct call *call, unsigned status, struct buf *body);
/* The same as 200, to GET with an ETag, or as 304 where the client has just that already. */
void call_send_tagged(struct call *call, struct buf *body);

/* Answers with `value`, which is taken and may be NULL for want of memory: then with 503. */
void call_send_value(struct call *call, unsigned status, json_t *value);

/* A number of the query, which stays as it is where there is none. False: not one within [min,
 * max], and 422 was answered. */
bool call_number(struct call *call, const char *name, int64_t min, int64_t max, int64_t *value);

/* Answers with a problem of the kind, with one line of detail (nullable). */
void call_refuse(struct call *call, enum problem_kind kind, const char *detail);

#endif

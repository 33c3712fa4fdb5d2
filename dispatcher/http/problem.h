/* SPDX-License-Identifier: MIT
 *
 * Refusals as problem documents (RFC 9457).
 *
 *     problem_send(exchange, &(struct problem){.kind = PROBLEM_INVALID, .field = "crop",
 *                  .detail = "the crop reaches outside the picture", .limit = 512});
 *     problem_send_err(exchange, rc, &err, public_id);
 *
 * What each kind means on the wire is one table; what a code of err.h becomes is another. Details
 * never repeat what was sent. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_HTTP_PROBLEM_H
#define DARKROOM_DISPATCHER_HTTP_PROBLEM_H

#include <stdint.h>

struct buf;
struct err;
struct exchange;

enum problem_kind {
    PROBLEM_MALFORMED = 1,
    PROBLEM_UNAUTHORIZED,
    PROBLEM_FORBIDDEN,
    PROBLEM_NOT_FOUND,
    PROBLEM_METHOD,
    PROBLEM_NOT_ACCEPTABLE,
    PROBLEM_CONFLICT,
    PROBLEM_IN_FLIGHT,  /* another request with this Idempotency-Key is not done yet */
    PROBLEM_KEY_REUSED, /* the Idempotency-Key came with another body before */
    PROBLEM_LENGTH_REQUIRED,
    PROBLEM_TOO_LARGE,
    PROBLEM_MEDIA_TYPE,
    PROBLEM_INVALID,
    PROBLEM_RATE_LIMITED,
    PROBLEM_INTERNAL,
    PROBLEM_UNAVAILABLE
};

/* Texts are borrowed for the call. */
struct problem {
    enum problem_kind kind;
    const char *detail;    /* one line; NULL: the title says it all */
    const char *field;     /* the member at fault; NULL or "" */
    int64_t limit;         /* the number that it broke; 0: none */
    const char *job;       /* public id; NULL */
    const char *allow;     /* for METHOD: the Allow header */
    int64_t retry_after_s; /* 0: the kind's default */
};

unsigned problem_status(enum problem_kind kind);

/* What a kind is on the wire; texts of static storage. */
struct problem_facts {
    unsigned status;
    const char *code, *title;
    int retry_after_s; /* 0: it does not help to wait */
};
void problem_describe(enum problem_kind kind, struct problem_facts *out);

/* The kind that a negative code stands for. */
enum problem_kind problem_of(int code);

/* Appends the document. */
int problem_write(struct buf *out, const struct problem *problem);

void problem_send(struct exchange *exchange, const struct problem *problem);
/* TOO_LARGE for a body, in words; 0: no body is expected at all. */
void problem_send_too_large(struct exchange *exchange, int64_t max_bytes);
void problem_send_err(struct exchange *exchange, int code, const struct err *err, const char *job);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Token buckets that all dispatchers share, without a question to Redis for each token.
 *
 *     rc = limits_create(&(struct limits_options){context, ask}, &limits);
 *     verdict = limits_take(limits, &bucket, clock_ms(), &wait, &wait_ms);
 *     if (verdict == LIMITS_WAITS) ...              // wait.done(&wait, verdict, wait_ms) comes
 * later limits_answer(limits, question, rc, taken, wait_ms, clock_ms());   // what Redis said
 *     next_ms = limits_tick(limits, clock_ms());
 *
 * The bucket itself is in Redis. A quiet client's request takes its one token there. For a busy one
 * we take ahead what it will use in the next 20 ms, at most an eighth of the bucket; what is not
 * used within 100 ms is given back. Each token is counted when it is taken, so that over any
 * stretch of time the clients of all dispatchers together get at most burst + rate × (that time +
 * 0.2 s). When Redis says that the bucket is empty nobody asks again before the next token is due.
 * While Redis does not answer each dispatcher counts for itself, so that one node of a cluster that
 * is away stops nobody whose jobs go elsewhere.
 * A table of fixed size remembers who is busy; the least recent gives way. One thread; time is
 * given, never asked for. */
#ifndef DARKROOM_DISPATCHER_ACCESS_LIMITS_H
#define DARKROOM_DISPATCHER_ACCESS_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

struct limits;
struct limits_question;

#define LIMITS_NAME_SIZE 40

/* A value. */
struct limits_bucket {
    char name[LIMITS_NAME_SIZE]; /* a letter and hex digits that nobody can aim at */
    int64_t per_minute;          /* how fast it fills; 0: no limit at all */
    int64_t burst;               /* what it holds */
};

enum limits_verdict {
    LIMITS_TAKEN,
    LIMITS_REFUSED, /* the next token comes in *out_wait_ms */
    LIMITS_BUSY,    /* the table has no place: others are being asked for */
    LIMITS_WAITS    /* `done` will tell */
};

/* One who waits; memory of the caller. */
struct limits_wait {
    struct limits_wait *next; /* of this module */
    void (*done)(struct limits_wait *wait, enum limits_verdict verdict, int64_t wait_ms);
};

struct limits_options {
    void *context; /* borrowed */
    /* Asks Redis for `count` tokens (negative: gives back). With 0, limits_answer() follows exactly
     * once, not from within; for a `question` of NULL never. */
    int (*ask)(void *context, const struct limits_bucket *bucket, int64_t count,
               struct limits_question *question);
};

int limits_create(const struct limits_options *options, struct limits **out);
/* No question may be under way any more. */
void limits_destroy(struct limits **limits);

/* Takes one token. With LIMITS_WAITS `wait` is borrowed until its `done` was called. */
enum limits_verdict limits_take(struct limits *limits, const struct limits_bucket *bucket,
                                int64_t now_ms, struct limits_wait *wait, int64_t *out_wait_ms);

/* `rc` below 0: there is no answer, and those who wait are counted here. */
void limits_answer(struct limits_question *question, int rc, int64_t taken, int64_t wait_ms,
                   int64_t now_ms);

/* Gives back what was not used. Returns when it wants to be called again. */
int64_t limits_tick(struct limits *limits, int64_t now_ms);

#endif

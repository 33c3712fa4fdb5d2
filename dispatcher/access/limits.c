/* SPDX-License-Identifier: MIT */
#include "dispatcher/access/limits.h"

#include "common/base64.h"
#include "common/err.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 2048
#define PLACES 4      /* of a row */
#define AHEAD_MS 20   /* so much of a busy client's future is taken at once … */
#define AHEAD_PART 8  /* … but no more than this part of its bucket */
#define KEEP_MS 100   /* and kept no longer */
#define DOUBT_MS 1000 /* somebody may have given tokens back */

/* One bucket as far as we know it; also the question about it. */
struct limits_question {
    struct limits *limits;
    struct limits_bucket bucket;
    int64_t credit, credit_until_ms; /* tokens in hand */
    int64_t chunk;                   /* that were taken last */
    int64_t empty_until_ms, next_token_ms;
    int64_t asked_ms, used; /* tokens that were used since */
    int64_t
        own_full_us; /* our own count while Redis is away: when the bucket would be full again */
    int64_t seen_ms;
    bool asking;
    struct limits_wait *first, *last;
    int64_t waiting;
    struct limits_question *next_lender; /* those with credit */
    bool lends;
};

struct limits {
    struct limits_options options;
    struct limits_question *lenders;
    struct limits_question table[ROWS][PLACES];
};

int limits_create(const struct limits_options *options, struct limits **out)
{
    struct limits *limits = calloc(1, sizeof *limits);
    if (!limits)
        return ERR_NOMEM;
    limits->options = *options;
    *out = limits;
    return 0;
}

void limits_destroy(struct limits **limits)
{
    free(*limits);
    *limits = NULL;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* NULL: everything in its row is busy. */
static struct limits_question *find(struct limits *limits, const struct limits_bucket *bucket,
                                    int64_t now_ms)
{
    unsigned char hash[2] = {0};
    assert(strlen(bucket->name) > 4);
    hex_decode(bucket->name + 1, 4, hash, sizeof hash);
    struct limits_question *row = limits->table[(hash[0] << 8 | hash[1]) % ROWS], *oldest = NULL;
    for (size_t i = 0; i < PLACES; i++) {
        if (strcmp(row[i].bucket.name, bucket->name) == 0) {
            row[i].bucket = *bucket;
            row[i].seen_ms = now_ms;
            return &row[i];
        }
        if (!row[i].asking && !row[i].lends && (!oldest || row[i].seen_ms < oldest->seen_ms))
            oldest = &row[i];
    }
    if (oldest)
        *oldest = (struct limits_question){.limits = limits, .bucket = *bucket, .seen_ms = now_ms};
    return oldest;
}

static void lend(struct limits_question *question)
{
    if (question->lends)
        return;
    question->lends = true;
    question->next_lender = question->limits->lenders;
    question->limits->lenders = question;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* What it will use in the next AHEAD_MS if it goes on as it did since we asked last. */
static int64_t ahead(const struct limits_question *question, int64_t now_ms)
{
    int64_t passed_ms = now_ms > question->asked_ms ? now_ms - question->asked_ms : 1;
    int64_t count = question->used * AHEAD_MS / passed_ms;
    int64_t most = question->bucket.burst / AHEAD_PART;
    return count < most ? count : most;
}

static int ask(struct limits_question *question, int64_t now_ms)
{
    const struct limits_options *options = &question->limits->options;
    int64_t count = ahead(question, now_ms);
    if (count < question->waiting)
        count = question->waiting;
    if (count > question->bucket.burst)
        count = question->bucket.burst;
    if (count < 1)
        count = 1;
    int rc = options->ask(options->context, &question->bucket, count, question);
    question->asking = rc == 0;
    question->asked_ms = now_ms;
    question->used = 0;
    return rc;
}

static void put(struct limits_question *question, struct limits_wait *wait)
{
    wait->next = NULL;
    if (question->first)
        question->last->next = wait;
    else
        question->first = wait;
    question->last = wait;
    question->waiting++;
}

/* The script's rule (rate_take.lua), with a bucket of our own. */
static enum limits_verdict take_own(struct limits_question *question, int64_t now_ms,
                                    int64_t *out_wait_ms)
{
    const struct limits_bucket *bucket = &question->bucket;
    int64_t interval_us = 60000000 / bucket->per_minute, now_us = now_ms * 1000;
    int64_t full_us = question->own_full_us > now_us ? question->own_full_us : now_us;
    int64_t wait_us = full_us + interval_us - now_us - bucket->burst * interval_us;
    *out_wait_ms = wait_us > 0 ? (wait_us + 999) / 1000 : 0;
    if (wait_us > 0)
        return LIMITS_REFUSED;
    question->own_full_us = full_us + interval_us;
    return LIMITS_TAKEN;
}

enum limits_verdict limits_take(struct limits *limits, const struct limits_bucket *bucket,
                                int64_t now_ms, struct limits_wait *wait, int64_t *out_wait_ms)
{
    *out_wait_ms = 0;
    if (bucket->per_minute <= 0)
        return LIMITS_TAKEN;
    struct limits_question *question = find(limits, bucket, now_ms);
    if (!question)
        return LIMITS_BUSY;
    if (question->credit > 0 && now_ms < question->credit_until_ms) {
        question->credit--;
        question->used++;
        if (2 * question->credit < question->chunk && !question->asking)
            ask(question, now_ms);
        return LIMITS_TAKEN;
    }
    if (now_ms < question->empty_until_ms) {
        *out_wait_ms = question->next_token_ms > now_ms ? question->next_token_ms - now_ms : 1;
        return LIMITS_REFUSED;
    }
    put(question, wait);
    if (question->asking || ask(question, now_ms) == 0)
        return LIMITS_WAITS;
    question->first = question->last = NULL; /* it was the only one */
    question->waiting = 0;
    return take_own(question, now_ms, out_wait_ms);
}

/* ---- answers --------------------------------------------------------------------------------- */

/* The callbacks may take from this bucket again. */
static void tell(struct limits_question *question, int64_t count, enum limits_verdict verdict,
                 int64_t wait_ms)
{
    while (count-- > 0 && question->first) {
        struct limits_wait *wait = question->first;
        question->first = wait->next;
        question->waiting--;
        wait->done(wait, verdict, wait_ms);
    }
}

static void tell_own(struct limits_question *question, int64_t now_ms)
{
    for (int64_t count = question->waiting; count > 0; count--) {
        int64_t wait_ms;
        enum limits_verdict verdict = take_own(question, now_ms, &wait_ms);
        tell(question, 1, verdict, wait_ms);
    }
}

void limits_answer(struct limits_question *question, int rc, int64_t taken, int64_t wait_ms,
                   int64_t now_ms)
{
    question->asking = false;
    if (rc < 0) {
        tell_own(question, now_ms);
        return;
    }
    if (taken <= 0) {
        question->next_token_ms = now_ms + wait_ms;
        question->empty_until_ms = now_ms + (wait_ms < DOUBT_MS ? wait_ms : DOUBT_MS);
        tell(question, question->waiting, LIMITS_REFUSED, wait_ms);
        return;
    }
    int64_t served = taken < question->waiting ? taken : question->waiting;
    question->chunk = taken;
    question->used += served;
    if (taken > served) {
        question->credit += taken - served;
        question->credit_until_ms = now_ms + KEEP_MS;
        lend(question);
    }
    tell(question, served, LIMITS_TAKEN, 0);
    if (question->first && !question->asking && ask(question, now_ms) < 0)
        tell_own(question, now_ms);
}

int64_t limits_tick(struct limits *limits, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    struct limits_question **place = &limits->lenders;
    while (*place) {
        struct limits_question *question = *place;
        if (question->credit > 0 && now_ms < question->credit_until_ms) {
            if (question->credit_until_ms < next_ms)
                next_ms = question->credit_until_ms;
            place = &question->next_lender;
            continue;
        }
        /* Where this cannot be sent, or is lost, the tokens count as used. */
        if (question->credit > 0)
            limits->options.ask(limits->options.context, &question->bucket, -question->credit,
                                NULL);
        question->credit = 0;
        question->lends = false;
        *place = question->next_lender;
    }
    return next_ms;
}

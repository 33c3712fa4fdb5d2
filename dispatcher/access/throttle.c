/* SPDX-License-Identifier: MIT */
#include "dispatcher/access/throttle.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/keys.h"
#include "common/log.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"

#include <stdio.h>

static void on_taken(int rc, const struct redis_reply *reply, void *data)
{
    int64_t taken = 0, wait_ms = 0;
    struct err err = {0};
    if (rc == 0)
        rc = keys_take_reply(reply, &taken, &wait_ms, &err);
    else if (reply)
        redis_reply_check(reply, &err);
    if (rc < 0 && rc != ERR_UNAVAILABLE)
        log_event(LOG_ERROR, "limits.unreadable", "code", LOG_S, err_name(rc), "detail", LOG_S,
                  err.text, NULL);
    limits_answer(data, rc, taken, wait_ms, clock_ms());
}

static int ask(void *context, const struct limits_bucket *bucket, int64_t count,
               struct limits_question *question)
{
    struct dispatcher *dispatcher = context;
    keys_take_command(bucket->name, bucket->per_minute, bucket->burst, count, &dispatcher->command);
    return dispatcher_send(dispatcher, question ? on_taken : NULL, question);
}

int throttle_create(struct dispatcher *dispatcher, struct limits **out)
{
    return limits_create(&(struct limits_options){.context = dispatcher, .ask = ask}, out);
}

static void go_on(struct call *call, enum limits_verdict verdict, int64_t wait_ms)
{
    const struct identity *identity = &call->identity;
    if (verdict == LIMITS_TAKEN)
        call->throttle_wait.then(call);
    else if (verdict == LIMITS_BUSY)
        call_refuse(call, PROBLEM_UNAVAILABLE, "too many clients at once");
    else
        problem_send(call->exchange,
                     &(struct problem){
                         .kind = PROBLEM_RATE_LIMITED,
                         .detail = identity->has_key ? "too many submissions with this API key"
                                                     : "too many submissions from this address",
                         .limit = identity->has_key
                                      ? identity->per_minute
                                      : call->dispatcher->settings->submits_per_minute,
                         .retry_after_s = (wait_ms + 999) / 1000});
}

static void on_verdict(struct limits_wait *wait, enum limits_verdict verdict, int64_t wait_ms)
{
    struct call *call = ((struct throttle_wait *)(void *)wait)->call;
    struct exchange *exchange = call->exchange;
    go_on(call, verdict, wait_ms);
    exchange_go_on(exchange);
}

void throttle_take(struct call *call, void (*then)(struct call *call))
{
    const struct settings *settings = call->dispatcher->settings;
    const struct identity *identity = &call->identity;
    struct limits_bucket bucket = {.per_minute = settings->submits_per_minute,
                                   .burst = settings->submits_burst};
    int64_t wait_ms;
    const char *flow = identity_flow(call);
    if (!flow)
        return;
    if (identity->has_key) {
        bucket.per_minute = identity->per_minute;
        bucket.burst = identity->burst;
    }
    if (bucket.per_minute == 0) {
        then(call);
        return;
    }
    snprintf(bucket.name, sizeof bucket.name, "%s", identity->has_key ? identity->key_id : flow);
    call->throttle_wait =
        (struct throttle_wait){.limits.done = on_verdict, .call = call, .then = then};
    enum limits_verdict verdict = limits_take(call->dispatcher->limits, &bucket, clock_ms(),
                                              &call->throttle_wait.limits, &wait_ms);
    if (verdict == LIMITS_WAITS)
        exchange_hold(call->exchange);
    else
        go_on(call, verdict, wait_ms);
}

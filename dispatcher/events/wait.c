/* SPDX-License-Identifier: MIT */
#include "dispatcher/events/wait.h"

#include "common/clock.h"
#include "common/job.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/events_parts.h"
#include "dispatcher/http/prefer.h"
#include "dispatcher/http/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_PREFER 512

struct job_wait {
    struct call *call; /* borrowed; valid until `done` has answered */
    wait_done *done;
    struct watch *watch;           /* borrowed: it stays while something waits there */
    struct job_wait *next_watched; /* of the watch */
    struct waits *waits;
    struct job_wait *before, *behind; /* of those with as many seconds */
    int64_t seconds, until_ms;
};

static int64_t seconds_wanted(const struct call *call)
{
    char list[MAX_PREFER];
    if (!exchange_header(call->exchange, "Prefer") ||
        !exchange_header_list(call->exchange, "Prefer", list, sizeof list))
        return 0;
    return prefer_wait(list, WAIT_MAX_S);
}

bool wait_is_wanted(const struct call *call)
{
    return seconds_wanted(call) > 0;
}

static void note_applied(struct call *call, int64_t seconds)
{
    char text[32];
    snprintf(text, sizeof text, "wait=%" PRId64, seconds);
    exchange_add_header(call->exchange, "Preference-Applied", text);
}

/* ---- the lists ------------------------------------------------------------------------------- */

static void link_in(struct waits *waits, struct job_wait *wait)
{
    wait->waits = waits;
    wait->before = waits->last[wait->seconds];
    if (wait->before)
        wait->before->behind = wait;
    else
        waits->first[wait->seconds] = wait;
    waits->last[wait->seconds] = wait;
    waits->count++;
}

static void link_out(struct job_wait *wait)
{
    struct waits *waits = wait->waits;
    if (wait->before)
        wait->before->behind = wait->behind;
    else
        waits->first[wait->seconds] = wait->behind;
    if (wait->behind)
        wait->behind->before = wait->before;
    else
        waits->last[wait->seconds] = wait->before;
    waits->count--;
}

/* Neither the watch nor a list knows of it any more when its owner is called. */
static void finish(struct job_wait *wait, const struct queue_job *job, bool gone)
{
    struct call *call = wait->call;
    wait_done *done = wait->done;
    link_out(wait);
    free(wait);
    done(call, job, gone);
}

void waits_end(struct job_wait *list, const struct queue_job *job, bool gone)
{
    while (list) {
        struct job_wait *wait = list;
        list = wait->next_watched;
        finish(wait, job, gone);
    }
}

/* One gives up: it is answered with the job as it was last seen. */
static void give_up(struct job_wait *wait)
{
    struct watch *watch = wait->watch;
    struct job_wait **place = &watch->waits;
    while (*place != wait)
        place = &(*place)->next_watched;
    *place = wait->next_watched;
    finish(wait, &watch->job, false);
    watch_release(watch);
}

int64_t waits_tick(struct waits *waits, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    for (int seconds = 1; waits->count > 0 && seconds <= WAIT_MAX_S; seconds++) {
        struct job_wait *first;
        while ((first = waits->first[seconds]) && first->until_ms <= now_ms)
            give_up(first);
        if (first && first->until_ms < next_ms)
            next_ms = first->until_ms;
    }
    return next_ms;
}

/* ---- begin ----------------------------------------------------------------------------------- */

/* Closing its side may only mean that it has no more to ask; either way it is not kept waiting. */
static void on_client_left(void *data)
{
    give_up(data);
}

bool wait_begin(struct call *call, const struct queue_job *job, wait_done *done)
{
    struct events *events = call->dispatcher->events;
    int64_t seconds = seconds_wanted(call);
    if (seconds == 0)
        return false;
    if (job_state_is_final(job->state)) {
        note_applied(call, seconds);
        return false;
    }
    struct job_wait *wait =
        events->ended || events->waits.count >= events->waits.most ? NULL : calloc(1, sizeof *wait);
    struct watch *watch = wait ? watches_add(&events->watches, job->public_id) : NULL;
    if (!watch || (!watch->known && watch_take(watch, job) < 0)) {
        if (watch)
            watch_release(watch);
        free(wait);
        return false;
    }
    *wait = (struct job_wait){.call = call,
                              .done = done,
                              .watch = watch,
                              .next_watched = watch->waits,
                              .seconds = seconds,
                              .until_ms = clock_ms() + seconds * 1000};
    watch->waits = wait;
    link_in(&events->waits, wait);
    note_applied(call, seconds);
    /* What happened between its reading and this moment is seen by one more reading. */
    watch_make_dirty(watch);
    if (!exchange_watch_client(call->exchange, on_client_left, wait))
        give_up(wait);
    return true;
}

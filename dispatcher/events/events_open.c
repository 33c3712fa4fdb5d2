/* SPDX-License-Identifier: MIT
 *
 * GET /v1/jobs/{id}/events. The job is read first; then the stream is opened on the client's own
 * socket. Who brings a Last-Event-ID is told what changed since then, once each, or nothing where
 * nothing did. That is known from the window of changes, if it reaches back so far, and once it has
 * reached the moment at which the job was read: until then the visit waits. Beyond the window, the
 * job as it is now stands for all that happened. */
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/events.h"
#include "dispatcher/events/events_parts.h"
#include "dispatcher/http/server.h"
#include "dispatcher/http/sse.h"
#include "dispatcher/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a visit waits for our reading of the streams to reach its job's. */
#define CATCH_UP_MS 2000

struct visit {
    struct call *call;     /* borrowed; valid until the answer */
    struct stream *stream; /* owned until it is open; then by the table of streams */
    char public_id[ID_PUBLIC_SIZE];
    struct call_right right;
    unsigned seen;          /* the watch's version when the first read was sent */
    struct window_id after; /* of Last-Event-ID; {0, 0} without one */
    struct queue_job job;   /* as read */
    char *extra;            /* owned: its lines */
    bool waiting;           /* in the list of those who return */
    int64_t until_ms;       /* how long */
    struct visit *next;
};

static const char *const headers[] = {"Content-Type",
                                      "text/event-stream",
                                      "Cache-Control",
                                      "no-store",
                                      "X-Accel-Buffering",
                                      "no",
                                      NULL};

/* ---- opening ---- */

/* HEAD asks for no stream. */
static void answer_head(struct exchange *exchange)
{
    struct answer *answer = answer_static("", 0);
    for (const char *const *header = headers; header[0]; header += 2)
        answer_header(answer, header[0], header[1]);
    exchange_respond(exchange, 200, answer);
}

/* The job was read for one of them; those who watched before have not seen this yet. */
static void take_reading(struct visit *visit, struct watch *watch)
{
    bool news = watch->known && !events_same_view(&watch->job, &visit->job);
    if (watch_take(watch, &visit->job) < 0)
        watch_make_dirty(watch);
    else if (news)
        watch_show(watch);
    /* An event that came while the job was being read may be newer than what was read. */
    if (watch->version != visit->seen)
        watch_make_dirty(watch);
}

/* From here on the stream belongs to the table. False: it was refused, or the client has left. */
static bool open_stream(struct visit *visit)
{
    struct events *events = visit->call->dispatcher->events;
    struct stream *stream = visit->stream;
    struct buf head;
    int fd;
    buf_init(&head, 4096);
    if (sse_is_full(events->sse) ||
        exchange_detach(visit->call->exchange, 200, headers, &head, &fd) < 0) {
        call_refuse(visit->call, PROBLEM_UNAVAILABLE, "too many event streams");
        buf_fini(&head);
        return false;
    }
    struct sse_stream *socket = sse_open(events->sse, fd, stream);
    if (socket) {
        take_reading(visit, stream->watch);
        visit->stream = NULL;
        watch_open_stream(stream, socket);
        sse_write(socket, head.data, head.size);
    }
    buf_fini(&head);
    return socket != NULL;
}

static void end_if_final(struct stream *stream, const struct queue_job *job)
{
    if (job_state_is_final(job->state))
        watch_end(stream->watch, false);
}

static void open_with_snapshot(struct visit *visit)
{
    struct stream *stream = visit->stream;
    if (!open_stream(visit))
        return;
    watch_tell(stream, &visit->job);
    end_if_final(stream, &visit->job);
}

/* What the job was after that change: the rest as it is now. */
static void tell_change(struct stream *stream, const struct queue_job *now,
                        const struct window_change *change)
{
    struct queue_job then = *now;
    then.state = (enum job_state)change->state;
    then.progress = change->progress;
    then.updated_ms = (int64_t)change->id.ms;
    then.position = then.eta_ms = -1;
    snprintf(then.event_id, sizeof then.event_id, "%" PRIu64 "-%" PRIu64, change->id.ms,
             change->id.sequence);
    watch_tell(stream, &then);
}

/* Everything in (after, until], the last of it as the job is now. */
static void open_with_changes(struct visit *visit, const struct window *window)
{
    struct stream *stream = visit->stream;
    const struct queue_job *job = &visit->job;
    struct window_id after = visit->after, until = window_id_parse(job->event_id);
    size_t cursor = 0;
    const struct window_change *next,
        *last = window_next(window, &cursor, visit->public_id, after, until);
    if (!last && job_state_is_final(job->state)) {
        exchange_respond(visit->call->exchange, 204, NULL);
        return;
    }
    if (!open_stream(visit))
        return;
    if (!last)
        watch_write_comment(stream);
    while (last) {
        next = window_next(window, &cursor, visit->public_id, after, until);
        if (next)
            tell_change(stream, job, last);
        else
            watch_tell(stream, job);
        last = next;
    }
    end_if_final(stream, job);
}

/* ---- those who come back ---- */

static void unlink_visit(struct visit *visit)
{
    struct visit **place = &visit->call->dispatcher->events->returning;
    while (visit->waiting && *place != visit)
        place = &(*place)->next;
    if (visit->waiting)
        *place = visit->next;
    visit->waiting = false;
}

static void wait_for_window(struct visit *visit, int64_t now_ms)
{
    struct events *events = visit->call->dispatcher->events;
    visit->until_ms = now_ms + CATCH_UP_MS;
    visit->waiting = true;
    visit->next = events->returning;
    events->returning = visit;
}

/* A client that saw the end and comes back by habit, as EventSource does, is told to stay away. */
static bool saw_the_end(const struct visit *visit)
{
    return job_state_is_final(visit->job.state) &&
           visit->after.ms >= (uint64_t)visit->job.updated_ms;
}

/* False: the window does not reach the job's reading yet. */
static bool settle(struct visit *visit, bool patient)
{
    const struct window *window = events_window(visit->call->dispatcher->events, visit->public_id);
    struct window_id now = window_id_parse(visit->job.event_id);
    int order = window_id_compare(visit->after, now);
    if (visit->after.ms == 0 || order > 0)
        open_with_snapshot(visit); /* new here, or from a stream that is no more */
    else if (order == 0)
        open_with_changes(visit, window);
    else if (patient && window_id_compare(window->last, now) < 0)
        return false;
    else if (window_covers(window, visit->after))
        open_with_changes(visit, window);
    else if (saw_the_end(visit))
        exchange_respond(visit->call->exchange, 204, NULL);
    else
        open_with_snapshot(visit);
    return true;
}

int64_t events_retry_returning(struct events *events, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    for (struct visit *visit = events->returning, *next; visit; visit = next) {
        next = visit->next;
        if (settle(visit, now_ms < visit->until_ms))
            unlink_visit(visit);
        else if (visit->until_ms < next_ms)
            next_ms = visit->until_ms;
    }
    return next_ms;
}

void events_refuse_returning(struct events *events)
{
    for (struct visit *visit = events->returning, *next; visit; visit = next) {
        next = visit->next;
        unlink_visit(visit);
        call_refuse(visit->call, PROBLEM_UNAVAILABLE, NULL);
    }
}

/* ---- the route ---- */

static void show(struct visit *visit)
{
    struct events *events = visit->call->dispatcher->events;
    if (events->ended)
        call_refuse(visit->call, PROBLEM_UNAVAILABLE, NULL);
    else if (exchange_method(visit->call->exchange) == METHOD_HEAD)
        answer_head(visit->call->exchange);
    else if (!settle(visit, true))
        wait_for_window(visit, clock_ms());
}

static void on_snapshot(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    const char *id = visit->public_id;
    struct exchange *exchange = visit->call->exchange;
    if (rc == 0)
        rc = queue_get_reply(reply, &visit->job, NULL);
    if (rc == 0)
        rc = watch_keep_job(&visit->job, &visit->extra);
    if (rc == ERR_NOT_FOUND)
        problem_send(exchange, &(struct problem){.kind = PROBLEM_NOT_FOUND, .job = id});
    else if (rc < 0)
        problem_send(exchange, &(struct problem){.kind = PROBLEM_UNAVAILABLE, .job = id});
    else if (!call_has_right(visit->call, &visit->right, visit->job.flow))
        problem_send(exchange, &(struct problem){.kind = PROBLEM_FORBIDDEN, .job = id});
    else
        show(visit);
}

static void free_visit(void *state)
{
    struct visit *visit = state;
    unlink_visit(visit);
    if (visit->stream)
        watch_detach(visit->stream);
    free(visit->stream);
    free(visit->extra);
    free(visit);
}

static struct visit *make_visit(struct call *call, const char *public_id)
{
    struct events *events = call->dispatcher->events;
    struct visit *visit = calloc(1, sizeof *visit);
    struct stream *stream = calloc(1, sizeof *stream);
    struct watch *watch = visit && stream ? watches_add(&events->watches, public_id) : NULL;
    if (!watch) {
        free(visit);
        free(stream);
        return NULL;
    }
    const char *last = exchange_header(call->exchange, "Last-Event-ID");
    visit->call = call;
    visit->stream = stream;
    visit->after = window_id_parse(last ? last : "");
    visit->seen = watch->version;
    memcpy(visit->public_id, public_id, ID_PUBLIC_SIZE);
    watch_attach(watch, stream);
    return visit;
}

void job_events(struct dispatcher *dispatcher, struct call *call)
{
    char public_id[ID_PUBLIC_SIZE];
    struct call_right right;
    if (!call_public_id(call, public_id) || !call_ask_right(call, TOKEN_VIEW, public_id, &right))
        return;
    struct visit *visit = dispatcher->events->ended ? NULL : make_visit(call, public_id);
    if (!visit) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    visit->right = right;
    call->state = visit;
    call->free_state = free_visit;
    queue_get_command(dispatcher_queue_of_id(dispatcher, public_id), public_id,
                      &dispatcher->command);
    if (dispatcher_send(dispatcher, on_snapshot, visit) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

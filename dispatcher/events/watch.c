/* SPDX-License-Identifier: MIT */
#include "dispatcher/events/watch.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/wait.h"
#include "dispatcher/http/sse.h"
#include "dispatcher/jobs/job_view.h"
#include "dispatcher/upkeep/mail_watch.h"

#include <stdlib.h>
#include <string.h>

/* ---- watches ---- */

static struct watch **bucket_of(struct watches *watches, const char *public_id)
{
    /* The id's digits are random; eight of them are hash enough. */
    char digits[9];
    memcpy(digits, public_id + 2, 8);
    digits[8] = 0;
    return &watches->buckets[strtoul(digits, NULL, 16) % WATCH_BUCKETS];
}

struct watch *watches_find(struct watches *watches, const char *public_id)
{
    struct watch *watch = *bucket_of(watches, public_id);
    while (watch && strcmp(watch->job.public_id, public_id) != 0)
        watch = watch->next;
    return watch;
}

struct watch *watches_add(struct watches *watches, const char *public_id)
{
    struct watch *watch = watches_find(watches, public_id);
    if (watch || !(watch = calloc(1, sizeof *watch)))
        return watch;
    struct watch **bucket = bucket_of(watches, public_id);
    watch->watches = watches;
    memcpy(watch->job.public_id, public_id, ID_PUBLIC_SIZE);
    watch->next = *bucket;
    *bucket = watch;
    return watch;
}

void watch_release(struct watch *watch)
{
    struct watches *watches = watch->watches;
    if (watch->streams || watch->waits)
        return;
    if (!watch->gone) {
        struct watch **place = bucket_of(watches, watch->job.public_id);
        while (*place != watch)
            place = &(*place)->next;
        *place = watch->next;
        watch->gone = true;
    }
    /* The list of dirty ones and a read under way still point here. */
    if (!watch->dirty && !watch->reading) {
        free(watch->extra);
        free(watch);
    }
}

int watch_keep_job(struct queue_job *job, char **slot)
{
    char *extra = NULL;
    if (job->extra_size > 0 && !(extra = malloc(job->extra_size)))
        return ERR_NOMEM;
    if (extra)
        memcpy(extra, job->extra, job->extra_size);
    free(*slot);
    job->extra = *slot = extra;
    job->spec = NULL;
    job->spec_size = 0;
    return 0;
}

int watch_take(struct watch *watch, const struct queue_job *job)
{
    struct queue_job copy = *job;
    int rc = watch_keep_job(&copy, &watch->extra);
    if (rc < 0)
        return rc;
    watch->job = copy;
    watch->known = true;
    return 0;
}

void watch_make_dirty(struct watch *watch)
{
    struct watches *watches = watch->watches;
    watch->version++;
    if (watch->dirty)
        return;
    watch->dirty = true;
    watch->next_dirty = NULL;
    if (watches->dirty)
        watches->dirty_tail->next_dirty = watch;
    else
        watches->dirty = watch;
    watches->dirty_tail = watch;
}

/* ---- streams ---- */

static void unlink_age(struct stream *stream)
{
    struct watches *watches = stream->watch->watches;
    if (stream->older)
        stream->older->newer = stream->newer;
    else
        watches->oldest = stream->newer;
    if (stream->newer)
        stream->newer->older = stream->older;
    else
        watches->newest = stream->older;
    stream->older = stream->newer = NULL;
}

static void link_age(struct stream *stream, int64_t now_ms)
{
    struct watches *watches = stream->watch->watches;
    stream->written_ms = now_ms;
    stream->older = watches->newest;
    if (watches->newest)
        watches->newest->newer = stream;
    else
        watches->oldest = stream;
    watches->newest = stream;
}

static void put(struct stream *stream, const void *data, size_t size, int64_t now_ms)
{
    /* A reader that is gone or too slow is reported soon: events.c detaches it then. */
    sse_write(stream->socket, data, size);
    unlink_age(stream);
    link_age(stream, now_ms);
}

static void end(struct stream *stream)
{
    if (!stream->open)
        return;
    stream->open = false;
    unlink_age(stream);
    stream->watch->watches->stream_count--;
    sse_end(stream->socket);
}

void watch_attach(struct watch *watch, struct stream *stream)
{
    stream->watch = watch;
    stream->next = watch->streams;
    watch->streams = stream;
}

void watch_open_stream(struct stream *stream, struct sse_stream *socket)
{
    stream->socket = socket;
    stream->open = true;
    stream->watch->watches->stream_count++;
    link_age(stream, clock_ms());
}

void watch_detach(struct stream *stream)
{
    struct watch *watch = stream->watch;
    if (!watch)
        return;
    if (stream->open) {
        unlink_age(stream);
        watch->watches->stream_count--;
    }
    struct stream **place = &watch->streams;
    while (*place != stream)
        place = &(*place)->next;
    *place = stream->next;
    stream->watch = NULL;
    watch_release(watch);
}

/* ---- what is sent ---- */

static int format_event(const struct watches *watches, const struct queue_job *job, struct buf *out)
{
    const struct dispatcher *dispatcher = watches->dispatcher;
    struct queue_job scratch;
    int rc = buf_printf(out, "event: job\nid: %s\ndata: ", job->event_id);
    if (rc == 0)
        rc = job_view_write(mail_watch_shown(dispatcher->mail_watch, job, &scratch),
                            dispatcher->public_url, dispatcher->tokens, false, out);
    return rc == 0 ? buf_append_text(out, "\n\n") : rc;
}

void watch_tell(struct stream *stream, const struct queue_job *job)
{
    struct buf text;
    buf_init(&text, JOB_VIEW_MAX + 256);
    if (stream->open && format_event(stream->watch->watches, job, &text) == 0)
        put(stream, text.data, text.size, clock_ms());
    buf_fini(&text);
}

void watch_write_comment(struct stream *stream)
{
    if (stream->open)
        put(stream, ":\n\n", 3, clock_ms());
}

void watch_show(struct watch *watch)
{
    struct buf text;
    int64_t now_ms = clock_ms();
    bool final = job_state_is_final(watch->job.state);
    buf_init(&text, JOB_VIEW_MAX + 256);
    if (format_event(watch->watches, &watch->job, &text) == 0)
        for (struct stream *stream = watch->streams; stream; stream = stream->next)
            if (stream->open)
                put(stream, text.data, text.size, now_ms);
    buf_fini(&text);
    if (final)
        watch_end(watch, false);
}

void watch_end(struct watch *watch, bool gone)
{
    struct job_wait *waits = watch->waits;
    for (struct stream *stream = watch->streams; stream; stream = stream->next)
        end(stream);
    if (!waits)
        return;
    watch->waits = NULL;
    waits_end(waits, &watch->job, gone);
    watch_release(watch);
}

/* ---- all of them ---- */

void watches_make_all_dirty(struct watches *watches)
{
    for (size_t i = 0; i < WATCH_BUCKETS; i++)
        for (struct watch *watch = watches->buckets[i]; watch; watch = watch->next)
            watch_make_dirty(watch);
}

void watches_end_all(struct watches *watches)
{
    for (size_t i = 0; i < WATCH_BUCKETS; i++)
        for (struct watch *watch = watches->buckets[i], *next; watch; watch = next) {
            next = watch->next;
            watch_end(watch, false);
        }
}

struct watch *watches_take_dirty(struct watches *watches)
{
    /* An event that came during a read is newer than that read: wait until it is back. */
    while (watches->dirty && !watches->dirty->reading) {
        struct watch *watch = watches->dirty;
        watches->dirty = watch->next_dirty;
        watch->dirty = false;
        if (!watch->gone)
            return watch;
        watch_release(watch);
    }
    return NULL;
}

int64_t watches_write_comments(struct watches *watches, int64_t silent_ms, int64_t now_ms)
{
    while (watches->oldest && now_ms - watches->oldest->written_ms >= silent_ms)
        put(watches->oldest, ":\n\n", 3, now_ms);
    return watches->oldest ? watches->oldest->written_ms + silent_ms : INT64_MAX;
}

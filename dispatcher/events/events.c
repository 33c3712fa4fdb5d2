/* SPDX-License-Identifier: MIT */
#include "dispatcher/events/events.h"

#include "common/err.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/events_parts.h"
#include "dispatcher/http/sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MS 10000
#define MAX_ENTRIES 512
#define COMMENT_MS 15000
#define POSITIONS_MS 1000
/* Of one tick; a Redis that is busy with our questions serves nobody else. */
#define MAX_READS 64
/* Streams that one step of telling positions writes to, or a little more: between the steps the
 * loop serves everybody else. */
#define POSITIONS_STEP 256
/* Of all shards together; 56 bytes each. */
#define WINDOW_CHANGES 65536
/* Whenever one connection wakes up, libmicrohttpd looks at all that sleep. */
#define MAX_WAITS 1024
#define FIRST_EVENT_ID "0-0"

bool events_same_view(const struct queue_job *a, const struct queue_job *b)
{
    return a->state == b->state && a->position == b->position && a->eta_ms == b->eta_ms &&
           a->progress == b->progress && a->attempts == b->attempts &&
           a->updated_ms == b->updated_ms;
}

/* ---- reading jobs whose events came ---- */

static void on_read(int rc, const struct redis_reply *reply, void *data)
{
    struct watch *watch = data;
    struct queue_job job;
    watch->reading = false;
    if (rc == 0)
        rc = queue_get_reply(reply, &job, NULL);
    if (watch->gone) {
        watch_release(watch);
    } else if (rc == ERR_NOT_FOUND) {
        watch_end(watch, true); /* erased; whoever asks again gets 404 */
    } else if (rc == ERR_UNAVAILABLE) {
        watch_make_dirty(watch);
    } else if (rc < 0) {
        watch_end(watch, false);
    } else {
        bool news = !watch->known || !events_same_view(&watch->job, &job);
        if (watch_take(watch, &job) < 0)
            watch_make_dirty(watch);
        else if (news)
            watch_show(watch);
    }
}

static void read_dirty(struct events *events)
{
    struct dispatcher *dispatcher = events->dispatcher;
    for (int i = 0; i < MAX_READS && dispatcher_redis_usable(dispatcher); i++) {
        struct watch *watch = watches_take_dirty(&events->watches);
        if (!watch)
            return;
        queue_get_command(dispatcher_queue_of_id(dispatcher, watch->job.public_id),
                          watch->job.public_id, &dispatcher->command);
        watch->reading = dispatcher_send(dispatcher, on_read, watch) == 0;
        if (!watch->reading) {
            watch_make_dirty(watch);
            return;
        }
    }
}

/* ---- positions of those that wait ---- */

struct position_batch {
    struct events *events;
    char ids[QUEUE_POSITIONS_MAX][ID_PUBLIC_SIZE];
    size_t count;
};

static void on_positions(int rc, const struct redis_reply *reply, void *data)
{
    struct position_batch *batch = data;
    struct events *events = batch->events;
    events->position_batches--;
    for (size_t i = 0; rc == 0 && i < batch->count; i++) {
        struct queue_position position;
        struct watch *watch = watches_find(&events->watches, batch->ids[i]);
        /* -1: it no longer waits, and an event tells about that. */
        if (!watch || !watch->known || watch->job.state != JOB_QUEUED ||
            queue_positions_reply(reply, i, &position, NULL) < 0 || position.position < 0)
            continue;
        if (position.position == watch->job.position &&
            (position.eta_ms + 999) / 1000 == (watch->job.eta_ms + 999) / 1000)
            continue;
        watch->job.position = position.position;
        watch->job.eta_ms = position.eta_ms;
        watch_show(watch);
    }
    free(batch);
}

static bool is_asked(const struct events *events, const char *name)
{
    for (size_t i = 0; i < events->dispatcher->models.count; i++)
        if (strcmp(events->marks[i].name, name) == 0)
            return events->marks[i].asked;
    return false;
}

static void send_positions(struct position_batch *batch)
{
    struct events *events = batch->events;
    struct dispatcher *dispatcher = events->dispatcher;
    const char *ids[QUEUE_POSITIONS_MAX];
    for (size_t i = 0; i < batch->count; i++)
        ids[i] = batch->ids[i];
    queue_positions_command(dispatcher_queue_of_id(dispatcher, ids[0]), ids, batch->count,
                            &dispatcher->command);
    if (dispatcher_send(dispatcher, on_positions, batch) == 0)
        events->position_batches++;
    else
        free(batch);
}

/* True when the batch, which is made where there is none, is full. */
static bool put_position(struct events *events, struct position_batch **slot, const char *public_id)
{
    struct position_batch *batch = *slot ? *slot : calloc(1, sizeof *batch);
    if (!batch)
        return false; /* the next round asks again */
    *slot = batch;
    batch->events = events;
    memcpy(batch->ids[batch->count++], public_id, ID_PUBLIC_SIZE);
    return batch->count == QUEUE_POSITIONS_MAX;
}

/* One round over the watches begins, for those models that something happened to since the last. */
static void begin_positions(struct events *events)
{
    for (size_t i = 0; i < events->dispatcher->models.count; i++) {
        events->marks[i].asked = events->marks[i].moved;
        events->marks[i].moved = false;
    }
    events->position_bucket = 0;
}

/* Puts the waiting jobs of one bucket into batches, which are sent when they are full; gives the
 * number of their streams. */
static size_t put_bucket(struct events *events, struct position_batch **open, size_t bucket)
{
    size_t streams = 0;
    for (struct watch *watch = events->watches.buckets[bucket]; watch; watch = watch->next) {
        if (!watch->known || watch->job.state != JOB_QUEUED || !is_asked(events, watch->job.model))
            continue;
        for (const struct stream *stream = watch->streams; stream; stream = stream->next)
            streams++;
        struct position_batch **slot =
            &open[id_public_shard(watch->job.public_id) % events->dispatcher->shards];
        if (!put_position(events, slot, watch->job.public_id))
            continue;
        send_positions(*slot);
        *slot = NULL;
    }
    return streams;
}

/* The next step of the round. */
static void ask_positions(struct events *events)
{
    struct position_batch *open[QUEUE_SHARDS_MAX] = {0};
    size_t streams = 0;
    while (events->position_bucket < WATCH_BUCKETS && streams < POSITIONS_STEP)
        streams += put_bucket(events, open, events->position_bucket++);
    for (unsigned shard = 0; shard < events->dispatcher->shards; shard++)
        if (open[shard])
            send_positions(open[shard]);
}

static bool any_moved(const struct events *events)
{
    for (size_t i = 0; i < events->dispatcher->models.count; i++)
        if (events->marks[i].moved)
            return true;
    return false;
}

/* ---- the stream of events ---- */

struct window *events_window(struct events *events, const char *public_id)
{
    return &events->windows[id_public_shard(public_id) % events->dispatcher->shards];
}

static void on_event(const struct queue_event *event, void *data)
{
    struct events *events = data;
    if (!id_public_valid(event->public_id))
        return; /* written by hand */
    struct watch *watch = watches_find(&events->watches, event->public_id);
    window_add(events_window(events, event->public_id), event);
    if (watch)
        watch_make_dirty(watch);
    if (event->state == JOB_RUNNING && event->progress > 0)
        return; /* moves nobody */
    for (size_t i = 0; i < events->dispatcher->models.count; i++)
        if (strcmp(events->marks[i].name, event->model) == 0)
            events->marks[i].moved = true;
}

static void on_events(int rc, const struct redis_reply *reply, void *data)
{
    struct feed *feed = data;
    struct events *events = feed->events;
    feed->reading = false;
    if (rc == 0)
        queue_events_reply(events->dispatcher->queues + feed->first, feed->count, reply, on_event,
                           events, events->last_ids + feed->first, NULL);
}

/* From the beginning of what Redis keeps, so that the windows are as long as they can be; nobody is
 * told twice, since what has not changed is not shown. */
static void start_over(struct feed *feed)
{
    struct events *events = feed->events;
    for (unsigned shard = feed->first; shard < feed->first + feed->count; shard++) {
        window_clear(&events->windows[shard]);
        memcpy(events->last_ids[shard], FIRST_EVENT_ID, sizeof FIRST_EVENT_ID);
    }
    /* What happened meanwhile may have left the stream: look at every job once. */
    watches_make_all_dirty(&events->watches);
}

static bool is_there(const struct feed *feed)
{
    return redis_async_reaches(feed->redis,
                               queue_slot(&feed->events->dispatcher->queues[feed->first]));
}

static void read_events(struct feed *feed, int64_t now_ms)
{
    struct events *events = feed->events;
    if (!is_there(feed))
        feed->was_connected = feed->reading = false;
    if (feed->reading || !is_there(feed))
        return;
    /* After a standstill of our own, too, entries may be missing. */
    if (!feed->was_connected || now_ms - feed->asked_ms > 2 * BLOCK_MS)
        start_over(feed);
    feed->was_connected = true;
    feed->asked_ms = now_ms;
    queue_events_command(events->dispatcher->queues + feed->first, feed->count,
                         events->last_ids + feed->first, BLOCK_MS, MAX_ENTRIES, &events->command);
    feed->reading = redis_async_send(feed->redis, &events->command, on_events, feed) == 0;
}

/* ---- the hub ---- */

static int open_feeds(struct events *events, void *epoll_tag, struct err *err)
{
    const struct dispatcher *dispatcher = events->dispatcher;
    bool cluster = dispatcher->redis_target.kind == REDIS_CLUSTER;
    unsigned step = cluster ? 1 : dispatcher->shards;
    int rc = 0;
    events->feeds = calloc(dispatcher->shards / step, sizeof *events->feeds);
    if (!events->feeds)
        return err_set(err, ERR_NOMEM, NULL, "no memory for events");
    for (unsigned first = 0; rc == 0 && first < dispatcher->shards; first += step) {
        struct feed *feed = &events->feeds[events->feed_count];
        *feed = (struct feed){.events = events, .first = first, .count = step};
        rc = redis_async_create(&dispatcher->redis_target, dispatcher->epoll_fd, epoll_tag,
                                &feed->redis, err);
        if (rc < 0)
            break;
        events->feed_count++;
        redis_async_use(feed->redis, queue_slot(&dispatcher->queues[first]));
        /* A blocking read is silent for BLOCK_MS by design. */
        redis_async_set_timeout(feed->redis, BLOCK_MS + dispatcher->settings->redis_timeout_ms);
    }
    return rc;
}

int events_reserve(struct events *events, size_t models)
{
    struct model_mark *marks = calloc(models + 1, sizeof *marks);
    if (!marks)
        return ERR_NOMEM;
    free(events->next_marks);
    events->next_marks = marks;
    return 0;
}

/* All have moved, as far as we know. */
void events_adopt(struct events *events)
{
    free(events->marks);
    events->marks = events->next_marks;
    events->next_marks = NULL;
    for (size_t i = 0; i < events->dispatcher->models.count; i++) {
        snprintf(events->marks[i].name, sizeof events->marks[i].name, "%s",
                 events->dispatcher->models.items[i].name);
        events->marks[i].moved = events->marks[i].asked = true;
    }
}

static void on_gone(void *owner)
{
    struct stream *stream = owner;
    watch_detach(stream);
    free(stream);
}

int events_create(struct dispatcher *dispatcher, void *epoll_tag, unsigned max_streams,
                  struct events **out, struct err *err)
{
    struct events *events = calloc(1, sizeof *events);
    if (events)
        events->dispatcher = dispatcher;
    if (!events || events_reserve(events, dispatcher->models.count) < 0) {
        free(events);
        return err_set(err, ERR_NOMEM, NULL, "no memory for events");
    }
    events->watches.dispatcher = dispatcher;
    events->position_bucket = WATCH_BUCKETS;
    /* The others are for those who are answered at once. */
    events->waits.most =
        dispatcher->max_connections / 2 < MAX_WAITS ? dispatcher->max_connections / 2 : MAX_WAITS;
    for (unsigned shard = 0; shard < dispatcher->shards; shard++)
        window_init(&events->windows[shard], WINDOW_CHANGES / dispatcher->shards);
    redis_command_init(&events->command, 32768);
    events_adopt(events);
    int rc = sse_create(max_streams, on_gone, &events->sse, err);
    if (rc == 0)
        rc = open_feeds(events, epoll_tag, err);
    if (rc < 0)
        events_destroy(&events);
    else
        *out = events;
    return rc;
}

void events_end_all(struct events *events)
{
    events->ended = true;
    watches_end_all(&events->watches);
    events_refuse_returning(events);
}

void events_destroy(struct events **slot)
{
    struct events *events = *slot;
    *slot = NULL;
    if (!events)
        return;
    for (unsigned i = 0; i < events->feed_count; i++)
        redis_async_destroy(&events->feeds[i].redis);
    free(events->feeds);
    sse_destroy(&events->sse);
    for (unsigned shard = 0; shard < events->dispatcher->shards; shard++)
        window_fini(&events->windows[shard]);
    while (watches_take_dirty(&events->watches))
        ;
    redis_command_fini(&events->command);
    free(events->next_marks);
    free(events->marks);
    free(events);
}

void events_handle(struct events *events, uint32_t epoll_events)
{
    /* Only one server's connection looks at them, and that has one feed. */
    for (unsigned i = 0; i < events->feed_count; i++)
        redis_async_handle(events->feeds[i].redis, epoll_events);
}

/* Returns when it wants to be called next. */
static int64_t tell_positions(struct events *events, int64_t now_ms)
{
    if (events->position_batches > 0)
        return INT64_MAX; /* their answers are the next event */
    if (events->position_bucket == WATCH_BUCKETS) {
        if (!any_moved(events))
            return INT64_MAX;
        if (now_ms < events->positions_ms)
            return events->positions_ms;
        events->positions_ms = now_ms + POSITIONS_MS;
        begin_positions(events);
    }
    ask_positions(events);
    return events->position_batches > 0 ? INT64_MAX : now_ms;
}

int64_t events_tick(struct events *events, int64_t now_ms)
{
    int64_t sse_ms = sse_tick(events->sse, now_ms);
    for (unsigned i = 0; i < events->feed_count; i++)
        read_events(&events->feeds[i], now_ms);
    read_dirty(events);
    int64_t returning_ms = events_retry_returning(events, now_ms);
    int64_t waits_ms = waits_tick(&events->waits, now_ms);
    int64_t next_ms = watches_write_comments(&events->watches, COMMENT_MS, now_ms);
    int64_t positions_ms = tell_positions(events, now_ms);
    next_ms = positions_ms < next_ms ? positions_ms : next_ms;
    struct watch *dirty = events->watches.dirty;
    if (dirty && !dirty->reading && dispatcher_redis_usable(events->dispatcher))
        next_ms = now_ms;
    next_ms = returning_ms < next_ms ? returning_ms : next_ms;
    next_ms = sse_ms < next_ms ? sse_ms : next_ms;
    next_ms = waits_ms < next_ms ? waits_ms : next_ms;
    for (unsigned i = 0; i < events->feed_count; i++) {
        int64_t redis_ms = redis_async_tick(events->feeds[i].redis, now_ms);
        next_ms = redis_ms < next_ms ? redis_ms : next_ms;
    }
    return next_ms;
}

int events_streams_fd(const struct events *events)
{
    return sse_fd(events->sse);
}

void events_streams_handle(struct events *events)
{
    sse_handle(events->sse);
}

unsigned events_sockets(const struct events *events)
{
    return sse_count(events->sse);
}

int64_t events_waits(const struct events *events)
{
    return events->waits.count;
}

int64_t events_streams(const struct events *events)
{
    return events->watches.stream_count;
}

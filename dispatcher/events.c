/* SPDX-License-Identifier: MIT */
#include "dispatcher/events.h"

#include "common/err.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http_server.h"
#include "dispatcher/routes.h"
#include "dispatcher/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MS 10000
#define MAX_ENTRIES 512
#define COMMENT_MS 15000
#define POSITIONS_MS 1000
/* Of one tick; a Redis that is busy with our questions serves nobody else. */
#define MAX_READS 64
#define MAX_POSITION_BATCHES 8

struct model_mark {
    char name[JOB_MODEL_SIZE];
    bool moved; /* something happened since positions were asked */
};

/* The question for a shard's last event. */
struct beginning {
    struct feed *feed;
    unsigned shard;
    bool asked;
};

/* A connection that waits for the events of some shards: of all, or in a cluster, where one command
 * cannot wait for the keys of several slots, of one. */
struct feed {
    struct events *events;
    struct redis_async *redis; /* owned */
    unsigned first, count;     /* shards */
    bool was_connected, reading;
};

struct events {
    struct dispatcher *dispatcher;
    struct watches watches;
    char last_ids[QUEUE_SHARDS_MAX][QUEUE_EVENT_ID_SIZE];
    struct beginning beginnings[QUEUE_SHARDS_MAX];
    struct feed *feeds; /* owned */
    unsigned feed_count;
    bool ended;
    struct model_mark *marks; /* owned; one for each model */
    int64_t positions_ms;     /* when they are due */
    size_t position_bucket;   /* where the next round goes on */
    int position_batches;     /* under way */
    struct redis_command command;
};

static bool same_view(const struct queue_job *a, const struct queue_job *b)
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
    job.spec = NULL;
    if (watch->gone) {
        watch_release(watch);
    } else if (rc == ERR_NOT_FOUND) {
        watch_end(watch); /* erased; whoever asks again gets 404 */
    } else if (rc == ERR_UNAVAILABLE) {
        watch_make_dirty(watch);
    } else if (rc < 0) {
        watch_end(watch);
    } else {
        bool news = !watch->known || !same_view(&watch->job, &job);
        watch->job = job;
        watch->known = true;
        if (news)
            watch_show(watch, NULL);
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
        watch_show(watch, NULL);
    }
    free(batch);
}

static bool model_moved(const struct events *events, const char *name)
{
    for (size_t i = 0; i < events->dispatcher->models.count; i++)
        if (strcmp(events->marks[i].name, name) == 0)
            return events->marks[i].moved;
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

/* One round over the watches, or as far as MAX_POSITION_BATCHES reach; the next goes on there. */
static void ask_positions(struct events *events)
{
    struct position_batch *open[QUEUE_SHARDS_MAX] = {0};
    unsigned shards = events->dispatcher->shards;
    int batches = 0;
    size_t visited;
    for (visited = 0; visited < WATCH_BUCKETS && batches < MAX_POSITION_BATCHES; visited++) {
        size_t bucket = (events->position_bucket + visited) % WATCH_BUCKETS;
        for (struct watch *watch = events->watches.buckets[bucket]; watch; watch = watch->next) {
            if (!watch->known || watch->job.state != JOB_QUEUED ||
                !model_moved(events, watch->job.model))
                continue;
            struct position_batch **slot = &open[id_public_shard(watch->job.public_id) % shards];
            if (!put_position(events, slot, watch->job.public_id))
                continue;
            send_positions(*slot);
            *slot = NULL;
            batches++;
        }
    }
    for (unsigned shard = 0; shard < shards; shard++)
        if (open[shard])
            send_positions(open[shard]);
    events->position_bucket = (events->position_bucket + visited) % WATCH_BUCKETS;
    if (visited == WATCH_BUCKETS) /* else the marks stay for those who had no turn */
        for (size_t i = 0; i < events->dispatcher->models.count; i++)
            events->marks[i].moved = false;
}

static bool any_moved(const struct events *events)
{
    for (size_t i = 0; i < events->dispatcher->models.count; i++)
        if (events->marks[i].moved)
            return true;
    return false;
}

/* ---- the stream of events ---- */

static void on_event(const struct queue_event *event, void *data)
{
    struct events *events = data;
    struct watch *watch = watches_find(&events->watches, event->public_id);
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

/* ---- where to begin ---- */

static void on_last_event(int rc, const struct redis_reply *reply, void *data)
{
    struct beginning *beginning = data;
    beginning->asked = false;
    if (rc == 0)
        queue_last_event_reply(reply, beginning->feed->events->last_ids[beginning->shard], NULL);
}

/* True once every shard has an id to go on from. */
static bool has_begun(struct feed *feed)
{
    struct events *events = feed->events;
    bool begun = true;
    for (unsigned shard = feed->first; shard < feed->first + feed->count; shard++) {
        struct beginning *beginning = &events->beginnings[shard];
        if (events->last_ids[shard][0])
            continue;
        begun = false;
        if (beginning->asked)
            continue;
        queue_last_event_command(dispatcher_queue(events->dispatcher, shard), &events->command);
        beginning->asked =
            redis_async_send(feed->redis, &events->command, on_last_event, beginning) == 0;
    }
    return begun;
}

static bool is_there(const struct feed *feed)
{
    return redis_async_reaches(feed->redis,
                               queue_slot(&feed->events->dispatcher->queues[feed->first]));
}

static void read_events(struct feed *feed)
{
    struct events *events = feed->events;
    if (!is_there(feed))
        feed->was_connected = feed->reading = false;
    if (feed->reading || !is_there(feed) || !has_begun(feed))
        return;
    if (!feed->was_connected) {
        /* What happened meanwhile may have left the window: look at every job once. */
        feed->was_connected = true;
        watches_make_all_dirty(&events->watches);
    }
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
        for (unsigned shard = first; shard < first + step; shard++)
            events->beginnings[shard] = (struct beginning){.feed = feed, .shard = shard};
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

int events_create(struct dispatcher *dispatcher, void *epoll_tag, struct events **out,
                  struct err *err)
{
    struct events *events = calloc(1, sizeof *events);
    if (!events || !(events->marks = calloc(dispatcher->models.count + 1, sizeof *events->marks))) {
        free(events);
        return err_set(err, ERR_NOMEM, NULL, "no memory for events");
    }
    events->dispatcher = dispatcher;
    events->watches.dispatcher = dispatcher;
    redis_command_init(&events->command, 32768);
    for (size_t i = 0; i < dispatcher->models.count; i++)
        snprintf(events->marks[i].name, sizeof events->marks[i].name, "%s",
                 dispatcher->models.items[i].name);
    int rc = open_feeds(events, epoll_tag, err);
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
    while (watches_take_dirty(&events->watches))
        ;
    redis_command_fini(&events->command);
    free(events->marks);
    free(events);
}

void events_handle(struct events *events, uint32_t epoll_events)
{
    /* Only one server's connection looks at them, and that has one feed. */
    for (unsigned i = 0; i < events->feed_count; i++)
        redis_async_handle(events->feeds[i].redis, epoll_events);
}

int64_t events_tick(struct events *events, int64_t now_ms)
{
    for (unsigned i = 0; i < events->feed_count; i++)
        read_events(&events->feeds[i]);
    read_dirty(events);
    int64_t next_ms = watches_write_comments(&events->watches, COMMENT_MS, now_ms);
    bool positions = any_moved(events) && events->position_batches == 0;
    if (positions && now_ms >= events->positions_ms) {
        events->positions_ms = now_ms + POSITIONS_MS;
        ask_positions(events);
        positions = any_moved(events);
    }
    if (positions && events->positions_ms < next_ms)
        next_ms = events->positions_ms;
    struct watch *dirty = events->watches.dirty;
    if (dirty && !dirty->reading && dispatcher_redis_usable(events->dispatcher))
        next_ms = now_ms;
    for (unsigned i = 0; i < events->feed_count; i++) {
        int64_t redis_ms = redis_async_tick(events->feeds[i].redis, now_ms);
        next_ms = redis_ms < next_ms ? redis_ms : next_ms;
    }
    return next_ms;
}

int64_t events_streams(const struct events *events)
{
    return events->watches.stream_count;
}

/* ---- the route ---- */

struct visit {
    struct stream stream;
    struct call *call; /* borrowed; valid until the answer */
    struct call_right right;
    unsigned seen; /* the watch's version when the first read was sent */
};

/* A client that saw the end and comes back by habit (EventSource does) is told to stay away. */
static bool saw_the_end(const struct call *call, const struct queue_job *job)
{
    const char *id = exchange_header(call->exchange, "Last-Event-ID");
    return id && queue_event_id_valid(id) && job_state_is_final(job->state) &&
           strtoll(id, NULL, 10) >= job->updated_ms;
}

static void open_stream(struct visit *visit, const struct queue_job *job)
{
    static const char *const headers[] = {"Content-Type",
                                          "text/event-stream",
                                          "Cache-Control",
                                          "no-store",
                                          "X-Accel-Buffering",
                                          "no",
                                          NULL};
    struct exchange *exchange = visit->call->exchange;
    struct watch *watch = visit->stream.watch;
    if (saw_the_end(visit->call, job)) {
        exchange_respond(exchange, 204, NULL);
        return;
    }
    if (exchange_stream_begin(exchange, 200, headers) < 0) {
        call_refuse(visit->call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    watch_open_stream(&visit->stream);
    watch->job = *job;
    watch->job.spec = NULL;
    watch->known = true;
    watch_show(watch, &visit->stream);
    /* An event that came while the job was being read may be newer than what was read. */
    if (watch->version != visit->seen)
        watch_make_dirty(watch);
}

static void on_snapshot(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct queue_job job;
    const char *id = visit->stream.watch->job.public_id;
    struct exchange *exchange = visit->call->exchange;
    if (rc == 0)
        rc = queue_get_reply(reply, &job, NULL);
    if (rc == ERR_NOT_FOUND)
        problem_send(exchange, &(struct problem){.kind = PROBLEM_NOT_FOUND, .job = id});
    else if (rc < 0)
        problem_send(exchange, &(struct problem){.kind = PROBLEM_UNAVAILABLE, .job = id});
    else if (!call_has_right(visit->call, &visit->right, job.flow))
        problem_send(exchange, &(struct problem){.kind = PROBLEM_FORBIDDEN, .job = id});
    else
        open_stream(visit, &job);
}

static void free_visit(void *state)
{
    struct visit *visit = state;
    watch_detach(&visit->stream);
    free(visit);
}

void job_events(struct dispatcher *dispatcher, struct call *call)
{
    struct events *events = dispatcher->events;
    char public_id[ID_PUBLIC_SIZE];
    struct call_right right;
    if (!call_public_id(call, public_id) || !call_ask_right(call, TOKEN_VIEW, public_id, &right))
        return;
    struct visit *visit = events->ended ? NULL : calloc(1, sizeof *visit);
    struct watch *watch = visit ? watches_add(&events->watches, public_id) : NULL;
    if (!watch) {
        free(visit);
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    visit->call = call;
    visit->stream.exchange = call->exchange;
    visit->right = right;
    visit->seen = watch->version;
    watch_attach(watch, &visit->stream);
    call->state = visit;
    call->free_state = free_visit;
    queue_get_command(dispatcher_queue_of_id(dispatcher, public_id), public_id,
                      &dispatcher->command);
    if (dispatcher_send(dispatcher, on_snapshot, visit) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

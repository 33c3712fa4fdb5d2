/* SPDX-License-Identifier: MIT
 *
 * Who watches which job: a table of watched jobs, each with its streams, and all streams in the
 * order of their last write.
 *
 *     struct watch *watch = watches_add(watches, public_id);
 *     watch_attach(watch, stream);            // it waits for its first sight of the job
 *     watch_open_stream(stream);              // the answer begins
 *     watch_show(watch);                      // everybody gets watch->job as it is now
 *     watch_tell(stream, &job);               // one gets one state of it
 *     watch_detach(stream);                   // the last one takes the watch along
 *
 * A watch is "dirty" from an event until the job was read anew; `version` counts its events. Plain
 * data, for events.c and this module. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_EVENTS_WATCH_H
#define DARKROOM_DISPATCHER_EVENTS_WATCH_H

#include "common/queue.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dispatcher;
struct job_wait;
struct sse_stream;
struct watch;
struct watches;

#define WATCH_BUCKETS 4096

struct stream {
    struct sse_stream *socket;    /* borrowed; NULL until the stream is open */
    struct watch *watch;          /* NULL while not attached */
    struct stream *next;          /* of the watch */
    struct stream *older, *newer; /* by the last write */
    int64_t written_ms;
    bool open; /* until it was ended or the client left */
};

/* One job that somebody watches. */
struct watch {
    struct watch *next; /* of the bucket */
    struct watch *next_dirty;
    struct watches *watches;
    struct stream *streams; /* borrowed */
    struct job_wait *waits; /* owned; see wait.h */
    unsigned version;       /* counts events */
    bool dirty;             /* in the list of those to be read */
    bool reading;
    bool gone;            /* nobody watches any more; freed once neither dirty nor reading */
    bool known;           /* `job` holds more than the id */
    struct queue_job job; /* as last shown; without spec */
    char *extra;          /* owned: the job's lines; NULL: none */
};

struct watches {
    const struct dispatcher *dispatcher; /* borrowed */
    struct watch *buckets[WATCH_BUCKETS];
    struct watch *dirty, *dirty_tail;
    struct stream *oldest, *newest;
    int64_t stream_count; /* of the open ones */
};

/* NULL where nobody watches the job. */
struct watch *watches_find(struct watches *watches, const char *public_id);
/* Finds or makes; NULL without memory. */
struct watch *watches_add(struct watches *watches, const char *public_id);
/* Something happened to every job, for all we know. */
void watches_make_all_dirty(struct watches *watches);
void watches_end_all(struct watches *watches);
/* Takes the first dirty watch out of the list, or gives NULL: none is left, or its read is still
 * under way. A watch that is gone is freed on the way. */
struct watch *watches_take_dirty(struct watches *watches);
/* A comment line to all that were silent for so long; returns when the next one is due. */
int64_t watches_write_comments(struct watches *watches, int64_t silent_ms, int64_t now_ms);

void watch_attach(struct watch *watch, struct stream *stream);
void watch_detach(struct stream *stream);
void watch_open_stream(struct stream *stream, struct sse_stream *socket);
void watch_make_dirty(struct watch *watch);
/* Makes a job that was just read outlive the reply: its extra lines are copied to *slot, which the
 * caller frees, and what was there is freed. The spec is left out. ERR_NOMEM: nothing changed. */
int watch_keep_job(struct queue_job *job, char **slot);
/* Takes a copy of the job as it was read. ERR_NOMEM: the watch is as it was. */
int watch_take(struct watch *watch, const struct queue_job *job);
/* Frees a watch without streams and waits, as soon as nothing else points to it. */
void watch_release(struct watch *watch);
/* Writes the job to all open streams; after a final state they end. */
void watch_show(struct watch *watch);
/* Writes one state of the job, which need not be that of now, to one open stream. */
void watch_tell(struct stream *stream, const struct queue_job *job);
/* A comment line: something to read, and nothing to learn. */
void watch_write_comment(struct stream *stream);
/* Ends its streams, and answers who waits. May be the end of the watch. */
void watch_end(struct watch *watch, bool gone);

#endif

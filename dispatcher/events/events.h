/* SPDX-License-Identifier: MIT
 *
 * Server-Sent Events: who watches which job, fed by one XREAD BLOCK on a connection of its own (in
 * a cluster one for each shard).
 *
 *     rc = events_create(dispatcher, &tag, &events, &err);
 *     epoll: tag ready → events_handle(events, mask)
 *     epoll: events_streams_fd(events) readable → events_streams_handle(events)
 *     next_ms = events_tick(events, clock_ms());
 *     events_end_all(events);  events_destroy(&events);
 *
 * A job that is watched has one entry, however many streams look at it. An event makes the entry
 * read the job once and write the resource to all of its streams, so that what a stream shows is
 * always a whole, current job; when Redis was away every entry is read again. Waiting jobs get
 * their position anew at most once a second, and only if something happened to their model. An idle
 * stream costs its socket and a comment line every 15 s. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_EVENTS_EVENTS_H
#define DARKROOM_DISPATCHER_EVENTS_EVENTS_H

#include <stddef.h>
#include <stdint.h>

struct dispatcher;
struct err;
struct events;

/* Room for the marks of so many models, or ERR_NOMEM; then events_adopt() takes those that the
 * dispatcher has now. */
int events_reserve(struct events *events, size_t models);
void events_adopt(struct events *events);

int events_create(struct dispatcher *dispatcher, void *epoll_tag, unsigned max_streams,
                  struct events **out, struct err *err);
/* Ends every stream; no new ones begin. The answers still have to go out. */
void events_end_all(struct events *events);
void events_destroy(struct events **events);

void events_handle(struct events *events, uint32_t epoll_events);
int64_t events_tick(struct events *events, int64_t now_ms);

/* To be watched for EPOLLIN: something happened on the streams' own sockets. */
int events_streams_fd(const struct events *events);
void events_streams_handle(struct events *events);

/* How many streams are open; and how many sockets there are, with those that still have to be told
 * their last bytes. */
int64_t events_streams(const struct events *events);
int64_t events_waits(const struct events *events); /* see wait.h */
unsigned events_sockets(const struct events *events);

#endif

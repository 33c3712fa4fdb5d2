/* SPDX-License-Identifier: MIT
 *
 * A few threads beside the event loop for what would block it: files, the object store.
 *
 *     rc = offload_open(2, 64, &offload, &err);
 *     epoll: offload_fd(offload) readable → offload_finish(offload)
 *     rc = offload_submit(offload, work, done, task);   // work on a thread, done on the loop
 *
 * Bounded: a full queue refuses, and the caller answers 503. `done` is called exactly once for
 * each accepted task, in the loop's thread, inside offload_finish(). */
#ifndef DARKROOM_DISPATCHER_OFFLOAD_H
#define DARKROOM_DISPATCHER_OFFLOAD_H

struct err;
struct offload;

typedef void offload_function(void *task);

int offload_open(unsigned threads, unsigned capacity, struct offload **out, struct err *err);
/* Works off what was accepted, without calling `done`: finish first. Nulls the pointer. */
void offload_close(struct offload **offload);

int offload_fd(const struct offload *offload);

/* `task` is borrowed until `done`. ERR_LIMIT while `capacity` tasks are under way. Loop's thread
 * only. */
int offload_submit(struct offload *offload, offload_function *work, offload_function *done,
                   void *task);

/* Calls `done` of all that have ended. Loop's thread only. */
void offload_finish(struct offload *offload);

/* How many are under way. Loop's thread only. */
unsigned offload_pending(const struct offload *offload);

#endif

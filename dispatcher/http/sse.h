/* SPDX-License-Identifier: MIT
 *
 * Answers without end, on sockets that the HTTP server has let go of. docs/decisions/0023 says why.
 *
 *     rc = sse_create(16384, on_gone, &sse, &err);
 *     epoll: sse_fd(sse) readable → sse_handle(sse)
 *     stream = sse_open(sse, fd, owner);      // fd: from exchange_detach()
 *     sse_write(stream, head, head_size);
 *     sse_write(stream, text, size);          // now and then
 *     sse_end(stream);                        // closes once everything is with the client
 *     next_ms = sse_tick(sse, now_ms);        // calls on_gone(owner)
 *
 * Nothing blocks. A reader that falls MAX_BEHIND bytes behind is cut. A client that closes its
 * side is probed with a comment, since it may only have said that it has no more to ask. An idle
 * stream costs some 100 bytes here. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_HTTP_SSE_H
#define DARKROOM_DISPATCHER_HTTP_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct sse;
struct sse_stream;

/* Called once for each stream, from sse_tick() or sse_destroy(): it has ended or the client has
 * left, and the stream is no more after this call. */
typedef void sse_gone(void *owner);

int sse_create(unsigned max_streams, sse_gone *gone, struct sse **out, struct err *err);
/* Closes all streams. Nulls the pointer. */
void sse_destroy(struct sse **sse);

/* To be watched for EPOLLIN. */
int sse_fd(const struct sse *sse);
void sse_handle(struct sse *sse);
/* Returns when it wants to be called next; INT64_MAX: after sse_handle() or a write. */
int64_t sse_tick(struct sse *sse, int64_t now_ms);

/* `fd` (a socket that does not block) is taken, on failure too. `owner` is borrowed. NULL: there
 * are too many, or memory is short. */
struct sse_stream *sse_open(struct sse *sse, int fd, void *owner);

/* ERR_LOST: the client is gone, or the stream was ended. ERR_LIMIT: it is too slow, and is cut.
 * Either way on_gone() follows. */
int sse_write(struct sse_stream *stream, const void *data, size_t size);
void sse_end(struct sse_stream *stream);

/* True while sse_open() would refuse for want of room. */
bool sse_is_full(const struct sse *sse);

/* How many there are, those included that still have to be told the last bytes. */
unsigned sse_count(const struct sse *sse);

#endif

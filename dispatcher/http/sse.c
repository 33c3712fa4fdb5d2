/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/sse.h"

#include "common/err.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_BEHIND (256 * 1024)
#define MAX_EVENTS 64
/* What was written and not acknowledged for so long has no reader any more. */
#define USER_TIMEOUT_MS 60000

struct sse_stream {
    struct sse *sse; /* borrowed */
    void *owner;     /* borrowed */
    char *data;      /* owned; what the socket did not take yet; NULL while there is none */
    uint32_t size, capacity;
    uint32_t watched; /* events of epoll */
    int fd;           /* owned; -1 once closed */
    bool ended;       /* nothing more will be written */
    struct sse_stream *newer, *older;
    struct sse_stream *next_gone;
};

struct sse {
    int epoll_fd;
    unsigned count, max_streams;
    sse_gone *gone;
    struct sse_stream *newest;
    struct sse_stream *gones; /* closed, to be reported */
};

int sse_create(unsigned max_streams, sse_gone *gone, struct sse **out, struct err *err)
{
    struct sse *sse = calloc(1, sizeof *sse);
    if (!sse)
        return err_set(err, ERR_NOMEM, NULL, "no memory for event streams");
    sse->max_streams = max_streams;
    sse->gone = gone;
    sse->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (sse->epoll_fd < 0) {
        free(sse);
        return err_set_errno(err, NULL, "epoll");
    }
    *out = sse;
    return 0;
}

/* ---- the end of a stream ---- */

/* Closing over bytes that were not read sends a reset, which may overtake what was written. */
static void discard_input(int fd)
{
    char scratch[4096];
    for (int i = 0; i < 16; i++)
        if (recv(fd, scratch, sizeof scratch, MSG_DONTWAIT) <= 0)
            return;
}

static void close_stream(struct sse_stream *stream)
{
    struct sse *sse = stream->sse;
    if (stream->fd < 0)
        return;
    discard_input(stream->fd);
    /* The HTTP server may still have its descriptor of this socket, so closing ours alone would
     * leave it in the epoll. */
    epoll_ctl(sse->epoll_fd, EPOLL_CTL_DEL, stream->fd, NULL);
    close(stream->fd);
    stream->fd = -1;
    free(stream->data);
    stream->data = NULL;
    stream->size = 0;
    stream->next_gone = sse->gones;
    sse->gones = stream;
}

static void report_gone(struct sse *sse)
{
    while (sse->gones) {
        struct sse_stream *stream = sse->gones;
        sse->gones = stream->next_gone;
        if (stream->newer)
            stream->newer->older = stream->older;
        else
            sse->newest = stream->older;
        if (stream->older)
            stream->older->newer = stream->newer;
        sse->count--;
        sse->gone(stream->owner);
        free(stream);
    }
}

void sse_destroy(struct sse **slot)
{
    struct sse *sse = *slot;
    *slot = NULL;
    if (!sse)
        return;
    for (struct sse_stream *stream = sse->newest; stream; stream = stream->older)
        close_stream(stream);
    report_gone(sse);
    close(sse->epoll_fd);
    free(sse);
}

/* ---- the socket ---- */

static void watch(struct sse_stream *stream, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = stream};
    if (stream->watched != events &&
        epoll_ctl(stream->sse->epoll_fd, EPOLL_CTL_MOD, stream->fd, &event) == 0)
        stream->watched = events;
}

struct sse_stream *sse_open(struct sse *sse, int fd, void *owner)
{
    static const int one = 1, zero = 0, patience_ms = USER_TIMEOUT_MS;
    struct sse_stream *stream = sse->count < sse->max_streams ? calloc(1, sizeof *stream) : NULL;
    struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = stream};
    if (!stream || epoll_ctl(sse->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        close(fd);
        free(stream);
        return NULL;
    }
    /* Whatever the HTTP server left: an event is to leave at once. */
    setsockopt(fd, IPPROTO_TCP, TCP_CORK, &zero, sizeof zero);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof patience_ms);
    *stream = (struct sse_stream){
        .sse = sse, .owner = owner, .fd = fd, .watched = EPOLLRDHUP, .older = sse->newest};
    if (sse->newest)
        sse->newest->newer = stream;
    sse->newest = stream;
    sse->count++;
    return stream;
}

/* How much of it the socket took; negative: the client is gone. */
static ssize_t send_some(const struct sse_stream *stream, const char *data, size_t size)
{
    size_t sent = 0;
    while (sent < size) {
        ssize_t now = send(stream->fd, data + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (now < 0 && errno == EINTR)
            continue;
        if (now < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (now < 0)
            return -1;
        sent += (size_t)now;
    }
    return (ssize_t)sent;
}

static int keep(struct sse_stream *stream, const char *data, size_t size)
{
    if (size > MAX_BEHIND - stream->size)
        return ERR_LIMIT;
    if (stream->size + size > stream->capacity) {
        size_t capacity = (stream->size + size + 4095) / 4096 * 4096;
        char *grown = realloc(stream->data, capacity);
        if (!grown)
            return ERR_NOMEM;
        stream->data = grown;
        stream->capacity = (uint32_t)capacity;
    }
    memcpy(stream->data + stream->size, data, size);
    stream->size += (uint32_t)size;
    return 0;
}

int sse_write(struct sse_stream *stream, const void *data, size_t size)
{
    if (stream->fd < 0 || stream->ended)
        return ERR_LOST;
    ssize_t sent = stream->size > 0 ? 0 : send_some(stream, data, size);
    int rc = sent < 0 ? ERR_LOST : 0;
    if (rc == 0 && (size_t)sent < size) {
        rc = keep(stream, (const char *)data + sent, size - (size_t)sent);
        watch(stream, stream->watched | EPOLLOUT);
    }
    if (rc < 0)
        close_stream(stream);
    return rc;
}

void sse_end(struct sse_stream *stream)
{
    stream->ended = true;
    if (stream->size == 0)
        close_stream(stream);
}

static void write_kept(struct sse_stream *stream)
{
    ssize_t sent = send_some(stream, stream->data, stream->size);
    if (sent < 0) {
        close_stream(stream);
        return;
    }
    stream->size -= (uint32_t)sent;
    memmove(stream->data, stream->data + sent, stream->size);
    if (stream->size > 0)
        return;
    free(stream->data); /* an idle stream holds no buffer */
    stream->data = NULL;
    stream->capacity = 0;
    if (stream->ended)
        close_stream(stream);
    else
        watch(stream, stream->watched & ~(uint32_t)EPOLLOUT);
}

static void handle(struct sse_stream *stream, uint32_t events)
{
    if (stream->fd < 0)
        return;
    if (events & (EPOLLERR | EPOLLHUP)) {
        close_stream(stream);
        return;
    }
    if (events & EPOLLOUT)
        write_kept(stream);
    if (stream->fd < 0 || !(events & EPOLLRDHUP))
        return;
    /* It may have closed for good or only have said all it had to say. If it is gone, this comes
     * back as a reset; and it is told once only. */
    watch(stream, stream->watched & ~(uint32_t)EPOLLRDHUP);
    sse_write(stream, ":\n\n", 3);
}

int sse_fd(const struct sse *sse)
{
    return sse->epoll_fd;
}

void sse_handle(struct sse *sse)
{
    struct epoll_event events[MAX_EVENTS];
    int count = epoll_wait(sse->epoll_fd, events, MAX_EVENTS, 0);
    for (int i = 0; i < count; i++)
        handle(events[i].data.ptr, events[i].events);
}

int64_t sse_tick(struct sse *sse, int64_t now_ms)
{
    bool any = sse->gones != NULL;
    report_gone(sse);
    return any ? now_ms : INT64_MAX;
}

bool sse_is_full(const struct sse *sse)
{
    return sse->count >= sse->max_streams;
}

unsigned sse_count(const struct sse *sse)
{
    return sse->count;
}

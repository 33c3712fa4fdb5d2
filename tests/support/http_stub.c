/* SPDX-License-Identifier: MIT */
#include "tests/support/http_stub.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_REQUEST (64 << 20)

struct http_stub {
    stub_handler *handler;
    void *context;
    pthread_t thread;
    int listen_fd, stop_fd;
    atomic_int connections, requests;
    char url[64];
};

/* False where the test is over. */
static bool wait_readable(struct http_stub *stub, int fd)
{
    struct pollfd fds[2] = {{fd, POLLIN, 0}, {stub->stop_fd, POLLIN, 0}};
    while (poll(fds, 2, -1) < 0)
        ;
    return !fds[1].revents;
}

static bool read_more(struct http_stub *stub, int fd, struct buf *in)
{
    char chunk[65536];
    if (!wait_readable(stub, fd))
        return false;
    ssize_t got = read(fd, chunk, sizeof chunk);
    return got > 0 && buf_append(in, chunk, (size_t)got) == 0;
}

/* Reads one request; `head_size` comes out, the body follows it. */
static bool read_request(struct http_stub *stub, int fd, struct buf *in, size_t *head_size,
                         size_t *body_size)
{
    const char *end;
    while (!(end = strstr(buf_text(in), "\r\n\r\n")))
        if (!read_more(stub, fd, in))
            return false;
    *head_size = (size_t)(end + 4 - buf_text(in));
    const char *length = strcasestr(buf_text(in), "\r\ncontent-length:");
    *body_size = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    while (in->size < *head_size + *body_size)
        if (!read_more(stub, fd, in))
            return false;
    return true;
}

static enum stub_next answer(struct http_stub *stub, int fd, struct buf *in, struct buf *out)
{
    size_t head_size = 0, body_size = 0;
    if (!read_request(stub, fd, in, &head_size, &body_size))
        return STUB_CLOSE;
    char *head = strndup(buf_text(in), head_size);
    struct stub_request request = {head, in->data + head_size, body_size};
    enum stub_next next = stub->handler(&request, out, stub->context);
    free(head);
    atomic_fetch_add(&stub->requests, 1);
    for (size_t sent = 0; sent < out->size;) {
        ssize_t n = send(fd, out->data + sent, out->size - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return STUB_CLOSE;
        sent += (size_t)n;
    }
    return next;
}

static void serve(struct http_stub *stub, int fd)
{
    enum stub_next next;
    struct buf in, out;
    buf_init(&in, MAX_REQUEST);
    buf_init(&out, MAX_REQUEST);
    do {
        buf_clear(&in);
        buf_clear(&out);
        next = answer(stub, fd, &in, &out);
    } while (next == STUB_KEEP);
    char byte;
    while (next == STUB_HANG && wait_readable(stub, fd) && read(fd, &byte, 1) > 0)
        ;
    if (next == STUB_RESET) {
        struct linger abrupt = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
    }
    buf_fini(&in);
    buf_fini(&out);
}

static void *run(void *context)
{
    struct http_stub *stub = context;
    while (wait_readable(stub, stub->listen_fd)) {
        int fd = accept4(stub->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        atomic_fetch_add(&stub->connections, 1);
        serve(stub, fd);
        close(fd);
    }
    return NULL;
}

struct http_stub *http_stub_start(stub_handler *handler, void *context)
{
    struct http_stub *stub = calloc(1, sizeof *stub);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (!stub)
        abort();
    stub->handler = handler;
    stub->context = context;
    stub->stop_fd = eventfd(0, EFD_CLOEXEC);
    stub->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stub->stop_fd < 0 || bind(stub->listen_fd, (struct sockaddr *)&address, size) < 0 ||
        listen(stub->listen_fd, 16) < 0 ||
        getsockname(stub->listen_fd, (struct sockaddr *)&address, &size) < 0)
        abort();
    snprintf(stub->url, sizeof stub->url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    if (pthread_create(&stub->thread, NULL, run, stub) != 0)
        abort();
    return stub;
}

void http_stub_stop(struct http_stub **stub)
{
    if (!*stub)
        return;
    uint64_t one = 1;
    if (write((*stub)->stop_fd, &one, sizeof one) != sizeof one)
        abort();
    pthread_join((*stub)->thread, NULL);
    close((*stub)->listen_fd);
    close((*stub)->stop_fd);
    free(*stub);
    *stub = NULL;
}

const char *http_stub_url(const struct http_stub *stub)
{
    return stub->url;
}

int http_stub_connections(struct http_stub *stub)
{
    return atomic_load(&stub->connections);
}

int http_stub_requests(struct http_stub *stub)
{
    return atomic_load(&stub->requests);
}

/* SPDX-License-Identifier: MIT */
#include "common/metrics_server.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/listen.h"
#include "common/metrics.h"
#include "common/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_REQUEST 8192
#define MAX_TEXT (4 * 1024 * 1024)
#define CLIENT_MS 2000
#define PAUSE_MS 100 /* where no connection can be taken: the process has no files left */

struct metrics_server {
    struct metrics *metrics; /* borrowed */
    void (*refresh)(void *context);
    void *context;
    int listen_fd, stop_fd; /* owned */
    uint16_t port;
    pthread_t thread;
};

/* False: the stop, or the end of its time. */
static bool wait_for(const struct metrics_server *server, int fd, short events, int64_t end_ms)
{
    struct pollfd fds[] = {{.fd = server->stop_fd, .events = POLLIN}, {.fd = fd, .events = events}};
    int64_t left_ms = end_ms - clock_ms();
    if (left_ms <= 0 || poll(fds, 2, (int)left_ms) <= 0)
        return false;
    return !fds[0].revents;
}

/* The head of a request, as far as the empty line; what stands behind its first line is ignored. */
static bool read_request(const struct metrics_server *server, int fd, int64_t end_ms,
                         char text[MAX_REQUEST])
{
    size_t size = 0;
    while (size < MAX_REQUEST - 1) {
        ssize_t got = recv(fd, text + size, MAX_REQUEST - 1 - size, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (got < 0 && !wait_for(server, fd, POLLIN, end_ms))
            return false;
        if (got <= 0)
            continue;
        size += (size_t)got;
        text[size] = 0;
        if (strstr(text, "\r\n\r\n"))
            return true;
    }
    return false;
}

static void send_all(const struct metrics_server *server, int fd, int64_t end_ms,
                     const struct buf *text)
{
    for (size_t sent = 0; sent < text->size;) {
        ssize_t got = send(fd, text->data + sent, text->size - sent, MSG_NOSIGNAL);
        if (got > 0)
            sent += (size_t)got;
        else if (errno != EAGAIN && errno != EINTR)
            return;
        else if (!wait_for(server, fd, POLLOUT, end_ms))
            return;
    }
}

static int write_answer(const char *status, const struct buf *body, struct buf *out)
{
    return buf_printf(out,
                      "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                      "Content-Length: %zu\r\nCache-Control: no-store\r\nConnection: close\r\n%s"
                      "\r\n%s",
                      status, body->size,
                      *status == '4' && status[2] == '5' ? "Allow: GET\r\n" : "", buf_text(body));
}

/* Whether a request, past its method, is for `path`, whatever its query. */
static bool is_for(const char *target, const char *path)
{
    size_t length = strlen(path);
    return !strncmp(target, path, length) && strchr(" ?", target[length]) && target[length];
}

static int write_figures(const struct metrics_server *server, struct buf *body)
{
    if (server->refresh)
        server->refresh(server->context);
    int rc = metrics_write(server->metrics, body);
    return rc == 0 ? metrics_write_process(body) : rc;
}

static int answer(const struct metrics_server *server, const char *request, struct buf *out)
{
    static const char get[] = "GET ", away[] = "503 Service Unavailable";
    const char *target = request + sizeof get - 1, *status = "200 OK";
    struct buf body;
    buf_init(&body, MAX_TEXT);
    int rc = 0;
    if (strncmp(request, get, sizeof get - 1)) {
        status = "405 Method Not Allowed";
    } else if (is_for(target, "/healthz")) {
        bool alive = supervisor_is_alive(clock_ms());
        status = alive ? status : away;
        rc = buf_append_text(&body, alive ? "ok\n" : "the loop that does the work hangs\n");
    } else if (is_for(target, "/readyz")) {
        bool ready = supervisor_is_ready() && supervisor_is_alive(clock_ms());
        status = ready ? status : away;
        rc = buf_append_text(&body, ready ? "ready\n" : "not ready\n");
    } else if (is_for(target, "/metrics")) {
        rc = write_figures(server, &body);
    } else {
        status = "404 Not Found";
        rc = buf_append_text(&body, "The figures are at /metrics.\n");
    }
    if (rc < 0) {
        status = away;
        buf_clear(&body);
    }
    rc = write_answer(status, &body, out);
    buf_fini(&body);
    return rc;
}

static void serve(const struct metrics_server *server, int fd)
{
    char request[MAX_REQUEST];
    int64_t end_ms = clock_ms() + CLIENT_MS;
    struct buf out;
    buf_init(&out, MAX_TEXT + MAX_REQUEST);
    if (read_request(server, fd, end_ms, request) && answer(server, request, &out) == 0)
        send_all(server, fd, end_ms, &out);
    buf_fini(&out);
    close(fd);
}

static void *run(void *argument)
{
    const struct metrics_server *server = argument;
    struct pollfd fds[] = {{.fd = server->stop_fd, .events = POLLIN},
                           {.fd = server->listen_fd, .events = POLLIN}};
    while (!fds[0].revents) {
        if (poll(fds, 2, -1) < 0 || !fds[1].revents || fds[0].revents)
            continue;
        int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            serve(server, fd);
        else
            poll(fds, 1, PAUSE_MS);
    }
    return NULL;
}

/* Signals are the main thread's. */
static int start_thread(struct metrics_server *server)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&server->thread, NULL, run, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure == 0)
        pthread_setname_np(server->thread, "dk-metrics");
    return failure;
}

int metrics_server_start(const char *address, struct metrics *metrics,
                         void (*refresh)(void *context), void *context,
                         struct metrics_server **out_server, struct err *err)
{
    struct metrics_server *server = calloc(1, sizeof *server);
    if (!server)
        return ERR_NOMEM;
    *server = (struct metrics_server){
        .metrics = metrics, .refresh = refresh, .context = context, .listen_fd = -1};
    server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = server->stop_fd < 0 ? err_set_errno(err, "metrics", "eventfd") : 0;
    if (rc == 0)
        rc = listen_open("metrics", address, &server->listen_fd, &server->port, err);
    if (rc == 0 && (errno = start_thread(server)))
        rc = err_set_errno(err, "metrics", "a thread");
    if (rc == 0) {
        *out_server = server;
        return 0;
    }
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    if (server->stop_fd >= 0)
        close(server->stop_fd);
    free(server);
    return rc;
}

void metrics_server_stop(struct metrics_server **server)
{
    const uint64_t one = 1;
    if (!*server)
        return;
    ssize_t written = write((*server)->stop_fd, &one, sizeof one);
    (void)written;
    pthread_join((*server)->thread, NULL);
    close((*server)->listen_fd);
    close((*server)->stop_fd);
    free(*server);
    *server = NULL;
}

uint16_t metrics_server_port(const struct metrics_server *server)
{
    return server->port;
}

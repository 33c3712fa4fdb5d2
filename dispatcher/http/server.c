/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/exchange.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/listen.h"
#include "dispatcher/http/uri.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Per connection, for headers in and out and for a piece of the body: what browsers' headers need.
 */
#define CONNECTION_BYTES 12288
#define MAX_TURNS 64
#define MAX_LEFT 64 /* at a time */
/* Of a handshake that has begun when the door is shut: the third packet's way. */
#define DOOR_MS 20
/* An answer that is owed is waited for awake, since sleeping takes the socket out of the epoll and
 * back in; Redis' answer is there by then. MHD looks at whoever is awake in each of its runs and
 * says that it is busy, so it is not run for these alone; but where a request is being read or sent
 * it might be, and then they stay awake for so many runs only. */
#define AWAKE_MS 5
#define AWAKE_RUNS 4

/* ---- what MHD calls ---- */

static void *on_target(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange)
        return NULL;
    exchange->server = context;
    exchange->server->moving++;
    exchange->connection = connection;
    exchange->started_ms = exchange->server->now_ms;
    /* A target that is no good stays NULL and is refused once the method is known. */
    if (http_uri_split(uri, &exchange->target, &exchange->query) < 0)
        exchange->target = NULL;
    return exchange;
}

static enum method method_of(const char *name)
{
    static const struct {
        const char *name;
        enum method method;
    } rows[] = {{"GET", METHOD_GET}, {"HEAD", METHOD_HEAD},     {"POST", METHOD_POST},
                {"PUT", METHOD_PUT}, {"DELETE", METHOD_DELETE}, {"OPTIONS", METHOD_OPTIONS}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].method;
    return METHOD_OTHER;
}

static void drop_response(struct exchange *exchange)
{
    if (exchange->answer && !exchange->shared)
        MHD_destroy_response(exchange->answer);
    exchange->answer = NULL;
}

static enum MHD_Result queue_response(struct exchange *exchange)
{
    /* No: MHD closes its descriptor, and that is all that it does with MHD_USE_TURBO; without it,
     * it would shut the socket down, which whoever took it still writes to. */
    enum MHD_Result rc = MHD_NO;
    /* Once is enough, also for an answer that many requests get. */
    if (exchange->answer && exchange->server->leaving)
        MHD_add_response_header(exchange->answer, "Connection", "close");
    if (exchange->answer)
        rc = MHD_queue_response(exchange->connection, exchange->status, exchange->answer);
    drop_response(exchange);
    exchange->queued = rc == MHD_YES;
    return rc;
}

static void refuse(struct exchange *exchange, int code, int64_t limit)
{
    const struct exchange_handlers *callbacks = &exchange->server->callbacks;
    callbacks->refuse(callbacks->context, exchange, code, limit);
}

static bool wants_continue(const struct exchange *exchange)
{
    const char *expect = exchange_header(exchange, "Expect");
    return expect && strcasecmp(expect, "100-continue") == 0;
}

void exchange_check_size(struct exchange *exchange)
{
    int64_t size = exchange_body_size(exchange);
    if (!exchange_answered(exchange) && size > 0 && (uint64_t)size > exchange->max_body)
        refuse(exchange, ERR_LIMIT, (int64_t)exchange->max_body);
}

static void open_request(struct exchange *exchange)
{
    const struct exchange_handlers *callbacks = &exchange->server->callbacks;
    if (!exchange->target) {
        exchange->target = calloc(1, 2);
        refuse(exchange, ERR_INVALID, 0);
        return;
    }
    callbacks->headers(callbacks->context, exchange);
    if (exchange->holds == 0)
        exchange_check_size(exchange);
}

static bool refuses_body(const struct exchange *exchange)
{
    int64_t size = exchange_body_size(exchange);
    size_t most = exchange->max_body + exchange->server->options.drain_bytes;
    return exchange_answered(exchange) && size != 0 &&
           (wants_continue(exchange) || size > (int64_t)most);
}

static void take_body(struct exchange *exchange, const char *data, size_t size)
{
    const struct exchange_handlers *callbacks = &exchange->server->callbacks;
    exchange->body_seen += size;
    if (exchange_answered(exchange))
        return;
    if (exchange->body_seen > exchange->max_body)
        refuse(exchange, ERR_LIMIT, (int64_t)exchange->max_body);
    else
        exchange->sink(callbacks->context, exchange, data, size);
}

/* A refused body is read to its end, so that the answer arrives; but not for ever. */
static bool drained_enough(const struct exchange *exchange)
{
    const struct http_server_options *options = &exchange->server->options;
    return (exchange_answered(exchange) &&
            exchange->body_seen > exchange->max_body + options->drain_bytes) ||
           exchange->server->now_ms - exchange->started_ms > options->request_ms;
}

static void sleep_on(struct exchange *exchange)
{
    MHD_suspend_connection(exchange->connection);
    exchange->suspended = true;
    exchange->server->moving--;
}

static void complete(struct exchange *exchange)
{
    const struct exchange_handlers *callbacks = &exchange->server->callbacks;
    exchange->completed = true;
    if (!exchange_answered(exchange))
        callbacks->complete(callbacks->context, exchange);
    if (exchange_answered(exchange))
        return;
    if (exchange->slow) {
        sleep_on(exchange);
        return;
    }
    exchange->awake = true;
    exchange->server->awake++;
    exchange->sleep_ms = exchange->server->now_ms + AWAKE_MS;
    exchange->server->moving--;
}

static void end_awake(struct exchange *exchange)
{
    if (!exchange->awake)
        return;
    exchange->awake = false;
    exchange->server->awake--;
    exchange->server->moving++;
}

/* MHD asks in each run of a request that neither sleeps nor is answered. */
static void stay_awake(struct exchange *exchange)
{
    const struct http_server *server = exchange->server;
    if (server->now_ms < exchange->sleep_ms &&
        (server->moving == 0 || exchange->awake_runs++ < AWAKE_RUNS))
        return;
    end_awake(exchange);
    sleep_on(exchange);
}

static enum MHD_Result on_access(void *context, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_size, void **slot)
{
    struct exchange *exchange = *slot;
    if (!exchange)
        return MHD_NO;
    if (!exchange->opened) {
        exchange->opened = true;
        exchange->method_name = method;
        exchange->method = method_of(method);
        exchange->body_size = exchange_read_body_size(exchange);
        open_request(exchange);
        if (exchange->holds > 0) {
            sleep_on(exchange);
            exchange->held = true;
            return MHD_YES;
        }
        /* MHD closes a connection whose answer came before it was done with the request, so an
         * answer waits for the next call, unless there is a body better not sent. */
        return refuses_body(exchange) ? queue_response(exchange) : MHD_YES;
    }
    if (exchange->held) {
        /* After a sleep in the first call MHD makes that call again. */
        exchange->held = false;
        return refuses_body(exchange) ? queue_response(exchange) : MHD_YES;
    }
    if (*upload_size > 0) {
        if (drained_enough(exchange))
            return MHD_NO;
        take_body(exchange, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    if (!exchange->completed)
        complete(exchange);
    else if (!exchange_answered(exchange))
        stay_awake(exchange);
    if (!exchange_answered(exchange))
        return MHD_YES;
    end_awake(exchange);
    return queue_response(exchange);
}

static void finish(struct exchange *exchange)
{
    const struct exchange_handlers *callbacks = &exchange->server->callbacks;
    bool sent = exchange->queued || exchange->detached;
    if (exchange->opened)
        callbacks->done(callbacks->context, exchange, sent ? exchange->status : 0,
                        clock_ms() - exchange->started_ms);
    drop_response(exchange);
    for (unsigned i = 0; i < exchange->header_count; i++)
        free(exchange->headers[i].value);
    free(exchange->target);
    free(exchange);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *exchange = *slot;
    if (!exchange)
        return;
    *slot = NULL;
    end_awake(exchange);
    exchange->server->moving--;
    void (*left)(void *data) = exchange->left;
    exchange_forget_client(exchange);
    if (!exchange->completed || exchange_answered(exchange)) {
        finish(exchange);
        return;
    }
    /* The client left while its request was awake, and whoever owes the answer still holds it. */
    exchange->connection = NULL;
    exchange->method_name = "-";
    if (left)
        left(exchange->left_data);
}

/* The last word on those whose answers came after their clients had left. */
static void bury_orphans(struct http_server *server)
{
    while (server->orphans) {
        struct exchange *exchange = server->orphans;
        server->orphans = exchange->next_orphan;
        finish(exchange);
    }
}

/* ---- the server ---- */

int http_server_open(const struct http_server_options *options,
                     const struct exchange_handlers *callbacks, struct http_server **out,
                     struct err *err)
{
    int rc;
    struct http_server *server = calloc(1, sizeof *server);
    if (!server)
        return err_set(err, ERR_NOMEM, NULL, "no memory for the HTTP server");
    server->callbacks = *callbacks;
    server->options = *options;
    server->options.listen = NULL;
    server->clients_fd = -1;
    int listen_fd = -1;
    if ((server->clients_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) {
        rc = err_set_errno(err, NULL, "epoll");
        goto out;
    }
    if ((rc = listen_open("listen", options->listen, &listen_fd, &server->port, err)) < 0)
        goto out;
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_access, server,
        MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_CONNECTION_LIMIT, options->connections,
        MHD_OPTION_CONNECTION_TIMEOUT, options->idle_seconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_BYTES, MHD_OPTION_URI_LOG_CALLBACK, on_target, server,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_END);
    if (!server->daemon) {
        rc = err_set(err, ERR_IO, "listen", "the HTTP server does not start");
        goto out;
    }
    listen_fd = -1;
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info) {
        rc = err_set(err, ERR_INTERNAL, NULL, "libmicrohttpd was built without epoll");
        goto out;
    }
    server->fd = info->epoll_fd;
    *out = server;
    server = NULL;
    rc = 0;
out:
    if (listen_fd >= 0)
        close(listen_fd);
    http_server_close(&server);
    return rc;
}

void http_server_close(struct http_server **slot)
{
    struct http_server *server = *slot;
    *slot = NULL;
    if (!server)
        return;
    bury_orphans(server);
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    if (server->clients_fd >= 0)
        close(server->clients_fd);
    free(server);
}

int http_server_fd(const struct http_server *server)
{
    return server->fd;
}

int http_server_clients_fd(const struct http_server *server)
{
    return server->clients_fd;
}

void http_server_clients_handle(struct http_server *server)
{
    struct epoll_event events[MAX_LEFT];
    int count = epoll_wait(server->clients_fd, events, MAX_LEFT, 0);
    for (int i = 0; i < count; i++) {
        struct exchange *exchange = events[i].data.ptr;
        void (*left)(void *data) = exchange->left;
        if (exchange_forget_client(exchange))
            left(exchange->left_data);
    }
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

void http_server_handle(struct http_server *server)
{
    server->readable = true;
}

/* All that there is waits for its answer, none came, and it is not yet time to put it to sleep. */
static bool has_nothing_to_do(const struct http_server *server)
{
    return !server->readable && !server->resumed && server->now_ms < server->idle_until_ms;
}

int http_server_run(struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG timeout = 0;
    bury_orphans(server);
    server->now_ms = clock_ms();
    if (has_nothing_to_do(server))
        return (int)(server->idle_until_ms - server->now_ms);
    server->readable = false;
    server->idle_until_ms = 0;
    for (int turn = 0; turn < MAX_TURNS; turn++) {
        server->resumed = false;
        MHD_run(server->daemon);
        if (server->resumed)
            continue;
        if (MHD_get_timeout(server->daemon, &timeout) != MHD_YES)
            return -1;
        if (timeout > 0)
            return timeout > 60000 ? 60000 : (int)timeout;
        if (server->awake > 0)
            break; /* it is for others to go on now */
    }
    if (server->awake == 0 || server->moving > 0 || server->resumed)
        return 0;
    server->idle_until_ms = server->now_ms + AWAKE_MS;
    return AWAKE_MS;
}

void http_server_leave(struct http_server *server)
{
    server->leaving = true;
}

/* From now on the kernel drops who asks to be let in: it asks again, when nobody listens any more,
 * and is refused. Without this whoever came between the last accept and the close would be let in
 * and reset, with a request perhaps that nobody dares to repeat. */
static void shut_door(int listen_fd)
{
    static struct sock_filter drop_syn[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13), /* the flags in TCP's header */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
    };
    static const struct sock_fprog program = {sizeof drop_syn / sizeof drop_syn[0], drop_syn};
    setsockopt(listen_fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

void http_server_quiesce(struct http_server *server)
{
    server->leaving = true;
    int listen_fd = MHD_quiesce_daemon(server->daemon);
    if (listen_fd < 0)
        return;
    shut_door(listen_fd);
    /* Whom the kernel has let in already, or is about to. */
    struct pollfd door = {.fd = listen_fd, .events = POLLIN};
    while (poll(&door, 1, DOOR_MS) > 0) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        int fd =
            accept4(listen_fd, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            break;
        MHD_add_connection(server->daemon, fd, (struct sockaddr *)&address, size);
        server->readable = true;
    }
    close(listen_fd);
}

unsigned http_server_connections(const struct http_server *server)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info ? info->num_connections : 0;
}

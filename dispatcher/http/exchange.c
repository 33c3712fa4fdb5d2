/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/exchange.h"

#include "common/buf.h"
#include "common/err.h"
#include "dispatcher/http/list.h"
#include "dispatcher/http/uri.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

/* ---- requests ---- */

enum method exchange_method(const struct exchange *exchange)
{
    return exchange->method;
}

const char *exchange_method_name(const struct exchange *exchange)
{
    return exchange->method_name;
}

const char *exchange_path(const struct exchange *exchange)
{
    return exchange->target ? exchange->target : "";
}

const char *exchange_header(const struct exchange *exchange, const char *name)
{
    const char *value = NULL;
    if (!exchange->connection)
        return NULL;
    /* By size first: most headers are told apart without looking at them. */
    MHD_lookup_connection_value_n(exchange->connection, MHD_HEADER_KIND, name, strlen(name), &value,
                                  NULL);
    return value;
}

struct collection {
    const char *name;
    struct http_list list;
};

static enum MHD_Result on_value(void *context, enum MHD_ValueKind kind, const char *name,
                                const char *value)
{
    struct collection *collection = context;
    if (strcasecmp(name, collection->name) == 0 && value)
        http_list_add(&collection->list, value);
    return MHD_YES;
}

bool exchange_header_list(const struct exchange *exchange, const char *name, char *out,
                          size_t out_size)
{
    struct collection collection = {.name = name};
    http_list_init(&collection.list, out, out_size);
    MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, on_value, &collection);
    return collection.list.count > 0;
}

int exchange_query(const struct exchange *exchange, const char *name, char *out, size_t out_size)
{
    return http_uri_argument(exchange->query, name, out, out_size);
}

const char *exchange_raw_query(const struct exchange *exchange)
{
    return exchange->query ? exchange->query : "";
}

struct answer *exchange_problem(struct exchange *exchange, const struct problem *problem)
{
    const struct exchange_handlers *callbacks = &exchange->server->callbacks;
    return callbacks->problem ? callbacks->problem(callbacks->context, exchange, problem) : NULL;
}

int64_t exchange_body_size(const struct exchange *exchange)
{
    return exchange->body_size;
}

int64_t exchange_read_body_size(const struct exchange *exchange)
{
    if (exchange_header(exchange, "Transfer-Encoding"))
        return -1;
    const char *text = exchange_header(exchange, "Content-Length");
    if (!text)
        return 0;
    /* MHD has checked the syntax; what does not fit is larger than any limit. */
    errno = 0;
    long long size = strtoll(text, NULL, 10);
    return errno || size < 0 ? INT64_MAX : size;
}

const struct sockaddr *exchange_peer(const struct exchange *exchange)
{
    const union MHD_ConnectionInfo *info =
        exchange->connection
            ? MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)
            : NULL;
    return info ? info->client_addr : NULL;
}

void exchange_set_user(struct exchange *exchange, void *user)
{
    exchange->user = user;
}

void *exchange_user(const struct exchange *exchange)
{
    return exchange->user;
}

void exchange_set_body(struct exchange *exchange, size_t max_bytes, exchange_sink *sink)
{
    assert(exchange->opened && !exchange->completed);
    exchange->max_body = max_bytes;
    exchange->sink = sink;
}

bool exchange_answered(const struct exchange *exchange)
{
    return exchange->status != 0;
}

/* ---- responses ---- */

static void wake(struct exchange *exchange)
{
    struct http_server *server = exchange->server;
    if (!exchange->connection) {
        /* Not from within the call that answers, which may still look at the request. */
        exchange->next_orphan = server->orphans;
        server->orphans = exchange;
        return;
    }
    server->resumed |= exchange->awake;
    if (!exchange->suspended || exchange->holds > 0)
        return;
    exchange->suspended = false;
    server->moving++;
    server->resumed = true;
    MHD_resume_connection(exchange->connection);
}

void exchange_hold(struct exchange *exchange)
{
    exchange->holds++;
}

void exchange_go_on(struct exchange *exchange)
{
    assert(exchange->holds > 0);
    if (--exchange->holds > 0)
        return;
    exchange_check_size(exchange);
    wake(exchange);
}

void exchange_expect_wait(struct exchange *exchange)
{
    exchange->slow = true;
}

bool exchange_add_header(struct exchange *exchange, const char *name, const char *value)
{
    unsigned count = exchange->header_count;
    char *copy = count < EXCHANGE_MAX_HEADERS ? strdup(value) : NULL;
    if (!copy)
        return false;
    exchange->headers[count].name = name;
    exchange->headers[count].value = copy;
    exchange->header_count++;
    return true;
}

bool exchange_has_headers(const struct exchange *exchange)
{
    return exchange->header_count > 0;
}

static void add_headers(const struct exchange *exchange, struct answer *answer)
{
    for (unsigned i = 0; i < exchange->header_count; i++)
        answer_header(answer, exchange->headers[i].name, exchange->headers[i].value);
}

static int socket_of(const struct exchange *exchange)
{
    const union MHD_ConnectionInfo *info = NULL;
    if (exchange->connection)
        info = MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

bool exchange_watch_client(struct exchange *exchange, void (*left)(void *data), void *data)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = exchange};
    int fd = socket_of(exchange);
    if (fd < 0 || exchange->left ||
        epoll_ctl(exchange->server->clients_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return false;
    exchange->left = left;
    exchange->left_data = data;
    return true;
}

bool exchange_forget_client(struct exchange *exchange)
{
    if (!exchange->left)
        return false;
    exchange->left = NULL;
    epoll_ctl(exchange->server->clients_fd, EPOLL_CTL_DEL, socket_of(exchange), NULL);
    return true;
}

void exchange_respond(struct exchange *exchange, unsigned status, struct answer *answer)
{
    if (exchange_answered(exchange)) {
        answer_free(answer);
        return;
    }
    if (!answer)
        answer = answer_static("", 0);
    add_headers(exchange, answer);
    exchange_forget_client(exchange);
    exchange->answer = answer_unwrap(answer);
    exchange->status = status;
    wake(exchange);
}

void exchange_respond_shared(struct exchange *exchange, unsigned status, struct answer *answer)
{
    if (exchange_answered(exchange))
        return;
    exchange_forget_client(exchange);
    exchange->answer = answer_unwrap(answer);
    exchange->shared = true;
    exchange->status = status;
    wake(exchange);
}

/* ---- leaving ---- */

static int put_date(struct buf *out)
{
    char date[40];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    return buf_join(out, "Date: ", date, "\r\n", NULL);
}

static int put_header(const char *name, const char *value, struct buf *out)
{
    return answer_value_clean(value) ? buf_join(out, name, ": ", value, "\r\n", NULL) : 0;
}

static int put_head(const struct exchange *exchange, unsigned status, const char *const *headers,
                    struct buf *out)
{
    int rc = buf_printf(out, "HTTP/1.1 %u %s\r\n", status, MHD_get_reason_phrase_for(status));
    if (rc == 0)
        rc = put_date(out);
    for (; rc == 0 && headers[0]; headers += 2)
        rc = put_header(headers[0], headers[1], out);
    for (unsigned i = 0; rc == 0 && i < exchange->header_count; i++)
        rc = put_header(exchange->headers[i].name, exchange->headers[i].value, out);
    return rc == 0 ? buf_append_text(out, "Connection: close\r\n\r\n") : rc;
}

int exchange_detach(struct exchange *exchange, unsigned status, const char *const *headers,
                    struct buf *head, int *out_fd)
{
    if (exchange_answered(exchange))
        return ERR_CONFLICT;
    int rc = put_head(exchange, status, headers, head);
    int fd = rc == 0 ? fcntl(socket_of(exchange), F_DUPFD_CLOEXEC, 0) : -1;
    if (fd < 0)
        return rc < 0 ? rc : ERR_UNAVAILABLE;
    exchange->status = status;
    exchange->detached = true;
    wake(exchange);
    *out_fd = fd;
    return 0;
}

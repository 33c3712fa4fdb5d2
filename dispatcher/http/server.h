/* SPDX-License-Identifier: MIT
 *
 * HTTP/1.1 for one event loop: the home of libmicrohttpd.
 *
 *     struct exchange_handlers callbacks = {app, on_headers, on_complete, on_refuse, on_done};
 *     rc = http_server_open(&options, &callbacks, &server, &err);
 *     epoll: add http_server_fd(server)
 *     for (;;) { timeout = http_server_run(server); epoll_wait(..., timeout); ... }
 *     http_server_close(&server);
 *
 * A request goes through `headers` (body not read yet; the place for refusals, and for
 * exchange_set_body()), the body sink, and `complete`. Whoever has not answered when `complete`
 * returns answers later with exchange_respond(): the connection sleeps meanwhile, and the request
 * stays valid until then. After `done` it is gone.
 *
 * An answer before the body was read is sent at once to a client that asked with `Expect:
 * 100-continue`; other clients are already sending, so their body is read and dropped first (up
 * to a bound), for a connection closed over unread bytes would lose the answer on its way.
 *
 * Everything here belongs to the loop's thread. */
#ifndef DARKROOM_DISPATCHER_HTTP_SERVER_H
#define DARKROOM_DISPATCHER_HTTP_SERVER_H

#include "dispatcher/http/answer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;
struct err;
struct sockaddr;
struct http_server;
struct exchange;
struct answer;
struct problem;

enum method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_OTHER
};

struct http_server_options {
    const char *listen;    /* "host:port", "[v6]:port"; port 0: any. Borrowed for the call */
    unsigned connections;  /* at most so many at once */
    unsigned idle_seconds; /* a silent connection is closed */
    int64_t request_ms;    /* reading one body may not take longer */
    size_t drain_bytes;    /* of a refused body, at most so much is read and dropped */
};

/* `context` and the functions are borrowed for the life of the server. */
struct exchange_handlers {
    void *context;
    void (*headers)(void *context, struct exchange *exchange);
    void (*complete)(void *context, struct exchange *exchange);
    /* The server itself refuses: ERR_LIMIT, the body passes `limit`; ERR_INVALID, the target is
     * not one. Must answer. */
    void (*refuse)(void *context, struct exchange *exchange, int code, int64_t limit);
    /* The last word on a request, answered or not (status 0); free what hangs on it. */
    void (*done)(void *context, struct exchange *exchange, unsigned status, int64_t ms);
    /* A problem in another form than its document; NULL: as it is. The pointer may be NULL. */
    struct answer *(*problem)(void *context, struct exchange *exchange,
                              const struct problem *problem);
};

int http_server_open(const struct http_server_options *options,
                     const struct exchange_handlers *callbacks, struct http_server **out,
                     struct err *err);
/* Every request must have been answered. Nulls the pointer. */
void http_server_close(struct http_server **server);

int http_server_fd(const struct http_server *server);
uint16_t http_server_port(const struct http_server *server);

/* Something is to be read at the descriptor; http_server_run() does the rest. */
void http_server_handle(struct http_server *server);

/* Does all that can be done now; milliseconds until it must be called again at the latest, or -1.
 * Call it in each turn of the loop, after everything that may have answered requests. */
int http_server_run(struct http_server *server);

/* To be watched for EPOLLIN: clients left that somebody asked to hear of. */
int http_server_clients_fd(const struct http_server *server);
void http_server_clients_handle(struct http_server *server);

/* From now on each answer is the last one of its connection, and says so. */
void http_server_leave(struct http_server *server);
/* And nobody is let in any more: the port is free, and a client that tries is refused at once. Who
 * was let in before is served. */
void http_server_quiesce(struct http_server *server);
unsigned http_server_connections(const struct http_server *server);

/* ---- requests ---- */

enum method exchange_method(const struct exchange *exchange);
const char *exchange_method_name(const struct exchange *exchange);

/* The path, percent-decoded, without controls. Borrowed. */
const char *exchange_path(const struct exchange *exchange);

/* A header by its name in any case, or NULL. Borrowed while the request lives. */
const char *exchange_header(const struct exchange *exchange, const char *name);

/* All headers of this name as one list, in their order, separated by commas (RFC 9110, 5.3). Where
 * they do not fit the first ones are left out. False: there is none. */
bool exchange_header_list(const struct exchange *exchange, const char *name, char *out,
                          size_t out_size);

/* The decoded value of a query argument. ERR_NOT_FOUND, ERR_INVALID (bad escapes, controls),
 * ERR_LIMIT when it does not fit. */
int exchange_query(const struct exchange *exchange, const char *name, char *out, size_t out_size);

/* The query as it came, percent-encoded; "" without one. Borrowed. */
const char *exchange_raw_query(const struct exchange *exchange);

/* Announced size of the body; 0 without one, -1 if it comes in chunks. */
int64_t exchange_body_size(const struct exchange *exchange);

/* The socket's peer. Borrowed. */
const struct sockaddr *exchange_peer(const struct exchange *exchange);

/* One pointer of the application's, freed by it in `done`. */
void exchange_set_user(struct exchange *exchange, void *user);
void *exchange_user(const struct exchange *exchange);

/* From `headers` only: accept a body of at most `max_bytes`, piece by piece. A sink that does not
 * want to go on answers the request; further pieces are dropped. Without this call a request may
 * have no body at all. */
typedef void exchange_sink(void *context, struct exchange *exchange, const void *data, size_t size);
void exchange_set_body(struct exchange *exchange, size_t max_bytes, exchange_sink *sink);

/* From `headers`: the request goes no further, and no body is taken, until exchange_go_on() was
 * called as often; meanwhile it may be answered or given a body. Whoever holds has to go on. */
void exchange_hold(struct exchange *exchange);
void exchange_go_on(struct exchange *exchange);

/* The answer takes longer than Redis does: a thread writes a file, say. The request sleeps at once
 * instead of waiting awake. For `complete`, or before. */
void exchange_expect_wait(struct exchange *exchange);

/* ---- responses ---- */

/* A header for whatever the answer will be, save for a shared one. `name` is borrowed for the life
 * of the request, `value` copied. Up to EXCHANGE_MAX_HEADERS; false: one too many, or no memory. */
#define EXCHANGE_MAX_HEADERS 8
bool exchange_add_header(struct exchange *exchange, const char *name, const char *value);
bool exchange_has_headers(const struct exchange *exchange);

/* Answers. `response` is taken (NULL: a bare status). Only the first answer counts. */
void exchange_respond(struct exchange *exchange, unsigned status, struct answer *answer);
/* The same for a response that many requests get: borrowed, and to outlive the server. */
void exchange_respond_shared(struct exchange *exchange, unsigned status, struct answer *answer);
bool exchange_answered(const struct exchange *exchange);

/* What the application makes of a problem instead of its document, or NULL. */
struct answer *exchange_problem(struct exchange *exchange, const struct problem *problem);

/* For an answer that is owed for long: `left` is called once when the client closes its side, which
 * nobody would see otherwise while the connection sleeps; not any more once it was answered. False:
 * it has left already, or cannot be watched. */
bool exchange_watch_client(struct exchange *exchange, void (*left)(void *data), void *data);

/* Takes the client's socket out of the server's hands: *out_fd, owned by the caller, does not
 * block, and `head` gets what has to be written to it first, status line and headers (each "Name",
 * "value", …, NULL); the connection closes at the body's end. The server forgets the connection
 * without a word on it, and `done` comes soon. ERR_CONFLICT: answered already; ERR_UNAVAILABLE: no
 * descriptor. */
int exchange_detach(struct exchange *exchange, unsigned status, const char *const *headers,
                    struct buf *head, int *out_fd);

#endif

/* SPDX-License-Identifier: MIT
 *
 * GET and PUT /o/{key}: the local store over HTTP, for whoever holds a signed link. The key is what
 * was signed, never a path that somebody typed. Files are opened and written by threads. What is
 * served here came from strangers, so a browser may neither guess its type nor run it. */
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/etag.h"
#include "dispatcher/http/server.h"
#include "dispatcher/offload.h"
#include "dispatcher/routes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

struct transfer {
    struct call *call; /* borrowed; valid until the answer */
    struct store_permit permit;
    struct buf body; /* of a PUT */
    int fd;          /* of a GET; -1 */
    int64_t bytes;
    char etag[ETAG_SIZE];
    int rc;
    struct err err;
};

static void free_transfer(void *state)
{
    struct transfer *transfer = state;
    if (transfer->fd >= 0)
        close(transfer->fd);
    buf_fini(&transfer->body);
    free(transfer);
}

/* NULL where the argument is missing or cannot be read, which no valid link has. */
static const char *argument(const struct call *call, const char *name, char *out, size_t size)
{
    return exchange_query(call->exchange, name, out, size) == 0 ? out : NULL;
}

/* NULL: refused and answered. */
static struct transfer *begin(struct dispatcher *dispatcher, struct call *call, const char *method)
{
    char key[STORE_KEY_SIZE], expires[24], max_bytes[24], type[STORE_TYPE_SIZE], signature[128];
    struct err err = {0};
    if (!store_is_local(dispatcher->store) || !router_capture(&call->match, 0, key, sizeof key)) {
        call_refuse(call, PROBLEM_NOT_FOUND, "no such object");
        return NULL;
    }
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (!transfer) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return NULL;
    }
    transfer->call = call;
    transfer->fd = -1;
    call->state = transfer;
    call->free_state = free_transfer;
    struct store_link_query query = {
        .method = method,
        .key = key,
        .expires = argument(call, "e", expires, sizeof expires),
        .max_bytes = argument(call, "n", max_bytes, sizeof max_bytes),
        .type = argument(call, "t", type, sizeof type),
        .signature = argument(call, "s", signature, sizeof signature),
    };
    int rc = store_verify_link(dispatcher->store, &query, clock_wall_ms() / 1000, &transfer->permit,
                               &err);
    if (rc == 0)
        return transfer;
    call_refuse(call, PROBLEM_FORBIDDEN, err.text);
    return NULL;
}

/* ---- GET ---- */

/* By size and time of writing, as web servers do: reading it all would cost more than it spares. */
static void tag(struct transfer *transfer)
{
    struct stat status;
    if (fstat(transfer->fd, &status) == 0)
        snprintf(transfer->etag, sizeof transfer->etag, "\"%" PRIx64 "-%" PRIx64 "%08lx\"",
                 (uint64_t)status.st_size, (uint64_t)status.st_mtim.tv_sec,
                 (unsigned long)status.st_mtim.tv_nsec & 0xffffffff);
}

static void open_object(void *task)
{
    struct transfer *transfer = task;
    transfer->rc = store_open_object(transfer->call->dispatcher->store, &transfer->permit,
                                     &transfer->fd, &transfer->bytes, &transfer->err);
    if (transfer->rc < 0)
        transfer->fd = -1;
    else
        tag(transfer);
}

/* A name of ours for whoever saves it: the object's first digits and its own ending. */
static void put_disposition(struct answer *answer, const char *key)
{
    const char *id = strchr(key, '/');
    const char *dot = strrchr(key, '.');
    char text[96];
    snprintf(text, sizeof text, "inline; filename=\"darkroom-%.8s%.8s\"", id ? id + 1 : key,
             dot ? dot : "");
    answer_header(answer, "Content-Disposition", text);
}

static void send_object(void *task)
{
    struct transfer *transfer = task;
    if (transfer->rc == ERR_NOT_FOUND) {
        call_refuse(transfer->call, PROBLEM_NOT_FOUND, "this object is gone");
        return;
    }
    if (transfer->rc < 0) {
        log_event(LOG_ERROR, "object.unreadable", "detail", LOG_S, transfer->err.text, NULL);
        call_refuse(transfer->call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    bool known = transfer->etag[0] && etag_known(transfer->call->exchange, transfer->etag);
    struct answer *answer =
        known ? answer_static("", 0) : answer_file(transfer->fd, 0, (uint64_t)transfer->bytes);
    if (!known)
        transfer->fd = -1;
    const char *type = transfer->permit.content_type;
    answer_header(answer, "Content-Type", *type ? type : "application/octet-stream");
    answer_header(answer, "X-Content-Type-Options", "nosniff");
    answer_header(answer, "Content-Security-Policy", "default-src 'none'; sandbox");
    answer_header(answer, "Cross-Origin-Resource-Policy", "same-origin");
    answer_header(answer, "Referrer-Policy", "no-referrer");
    answer_header(answer, "Cache-Control", "private, max-age=300");
    if (transfer->etag[0])
        answer_header(answer, "ETag", transfer->etag);
    put_disposition(answer, transfer->permit.key);
    exchange_respond(transfer->call->exchange, known ? 304 : 200, answer);
}

void object_get(struct dispatcher *dispatcher, struct call *call)
{
    struct transfer *transfer = begin(dispatcher, call, "GET");
    if (transfer && offload_submit(dispatcher->offload, open_object, send_object, transfer) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "too many transfers at once");
}

/* ---- PUT ---- */

static void on_body(void *context, struct exchange *exchange, const void *data, size_t size)
{
    struct call *call = exchange_user(exchange);
    struct transfer *transfer = call->state;
    if (buf_append(&transfer->body, data, size) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}

void object_put_headers(struct dispatcher *dispatcher, struct call *call)
{
    struct transfer *transfer = begin(dispatcher, call, "PUT");
    if (!transfer)
        return;
    int64_t size = exchange_body_size(call->exchange), most = transfer->permit.max_bytes;
    const char *type = exchange_header(call->exchange, "Content-Type");
    if (size < 0)
        call_refuse(call, PROBLEM_LENGTH_REQUIRED, NULL);
    else if (size > most)
        problem_send_too_large(call->exchange, most);
    else if (!type || strcasecmp(type, transfer->permit.content_type) != 0)
        call_refuse(call, PROBLEM_MEDIA_TYPE, "the link is for another Content-Type");
    else if (call_reserve(call, (size_t)size)) {
        buf_init(&transfer->body, (size_t)size);
        exchange_set_body(call->exchange, (size_t)size, on_body);
    }
}

static void write_object(void *task)
{
    struct transfer *transfer = task;
    struct store *store = transfer->call->dispatcher->store;
    struct store_upload *upload = NULL;
    transfer->rc = store_upload_begin(store, &transfer->permit, &upload, &transfer->err);
    if (transfer->rc == 0)
        transfer->rc =
            store_upload_append(upload, transfer->body.data, transfer->body.size, &transfer->err);
    if (transfer->rc == 0)
        transfer->rc = store_upload_commit(&upload, &transfer->err);
    store_upload_abort(&upload);
}

static void on_written(void *task)
{
    struct transfer *transfer = task;
    if (transfer->rc == 0) {
        exchange_respond(transfer->call->exchange, 200, NULL);
        return;
    }
    log_event(LOG_ERROR, "object.unwritten", "detail", LOG_S, transfer->err.text, NULL);
    problem_send_err(transfer->call->exchange, transfer->rc, NULL, NULL);
}

void object_put(struct dispatcher *dispatcher, struct call *call)
{
    struct transfer *transfer = call->state;
    exchange_expect_wait(call->exchange);
    if (offload_submit(dispatcher->offload, write_object, on_written, transfer) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "too many transfers at once");
}

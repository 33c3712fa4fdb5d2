/* SPDX-License-Identifier: MIT */
#include "dispatcher/call.h"

#include "common/buf.h"
#include "common/err.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/etag.h"
#include "dispatcher/http/server.h"

#include <string.h>
#include <strings.h>

#define MAX_VALUE_BYTES (4 * 1024 * 1024)

bool call_public_id(struct call *call, char out[ID_PUBLIC_SIZE])
{
    if (router_capture(&call->match, 0, out, ID_PUBLIC_SIZE) && id_public_valid(out) &&
        id_public_shard(out) < call->dispatcher->shards)
        return true;
    call_refuse(call, PROBLEM_NOT_FOUND, "no job has such an id");
    return false;
}

const struct manifest *call_model(struct call *call)
{
    char name[MANIFEST_MAX_NAME + 1];
    const struct manifest *model = NULL;
    if (router_capture(&call->match, 0, name, sizeof name))
        model = manifest_set_find(&call->dispatcher->models, name);
    if (!model)
        call_refuse(call, PROBLEM_NOT_FOUND, "there is no model of this name");
    return model;
}

void call_client(const struct call *call, struct client_key *out)
{
    /* A proxy may have written a line of its own behind those that the client made up. */
    char forwarded[512];
    bool found =
        call->dispatcher->proxies.networks.count > 0 &&
        exchange_header_list(call->exchange, "X-Forwarded-For", forwarded, sizeof forwarded);
    client_key(&call->dispatcher->proxies, exchange_peer(call->exchange), found ? forwarded : NULL,
               out);
}

bool call_trace(struct call *call, char out[TRACE_TEXT_SIZE])
{
    if (!traces_enter(call))
        return false;
    trace_format(&call->trace.enqueue, out);
    exchange_add_header(call->exchange, "traceparent", out);
    return true;
}

const char *call_bearer(const struct call *call)
{
    const char *header = exchange_header(call->exchange, "Authorization");
    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return NULL;
    return header + 7 + strspn(header + 7, " ");
}

bool call_token(struct call *call, char out[CALL_TOKEN_SIZE])
{
    const char *bearer = call_bearer(call);
    out[0] = 0;
    if (bearer) {
        if (strlen(bearer) < CALL_TOKEN_SIZE)
            memcpy(out, bearer, strlen(bearer) + 1);
        return true;
    }
    int rc = exchange_query(call->exchange, "token", out, CALL_TOKEN_SIZE);
    if (rc == ERR_NOT_FOUND) {
        call_refuse(call, PROBLEM_UNAUTHORIZED, "give the job's token as a bearer or as ?token=");
        return false;
    }
    if (rc < 0)
        out[0] = 0;
    return true;
}

bool call_ask_right(struct call *call, enum token_right right, const char *public_id,
                    struct call_right *out)
{
    char token[CALL_TOKEN_SIZE];
    *out = (struct call_right){.scope = right == TOKEN_VIEW || right == TOKEN_SHARE ? SCOPE_READ
                                                                                    : SCOPE_SUBMIT};
    if (call->identity.has_key)
        return identity_require(call, out->scope);
    if (!call_token(call, token))
        return false;
    out->by_token = token_allows(call->dispatcher->tokens, right, public_id, token);
    return true;
}

bool call_has_right(const struct call *call, const struct call_right *right, const char *flow)
{
    return right->by_token || identity_owns(&call->identity, flow, right->scope);
}

bool call_admit_body(struct call *call, size_t max_bytes)
{
    if (exchange_body_size(call->exchange) > (int64_t)max_bytes)
        problem_send_too_large(call->exchange, (int64_t)max_bytes);
    else if (!dispatcher_redis_usable(call->dispatcher))
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    else
        return true;
    return false;
}

bool call_reserve(struct call *call, size_t bytes)
{
    struct dispatcher *dispatcher = call->dispatcher;
    size_t most = (size_t)dispatcher->settings->max_buffered_bytes;
    /* A reload may have made it less than what is in use. */
    if (dispatcher->buffered_bytes >= most || bytes > most - dispatcher->buffered_bytes) {
        call_refuse(call, PROBLEM_UNAVAILABLE, "too many uploads at once");
        return false;
    }
    dispatcher->buffered_bytes += bytes;
    call->reserved += bytes;
    return true;
}

static void on_body(void *context, struct exchange *exchange, const void *data, size_t size)
{
    struct call *call = exchange_user(exchange);
    if (buf_append(&call->body, data, size) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}

void call_take_body(struct call *call, size_t max_bytes)
{
    buf_init(&call->body, max_bytes);
    exchange_set_body(call->exchange, max_bytes, on_body);
}

json_t *call_parse_body(struct call *call, int depth)
{
    struct json_limits limits = {.max_bytes = call->body.max_size, .max_depth = depth};
    struct err err = {0};
    json_t *body = NULL;
    if (json_parse(call->body.data, call->body.size, limits, &body, &err) < 0)
        call_refuse(call, PROBLEM_MALFORMED, err.text);
    return body;
}

void call_refuse_err(struct call *call, int rc, const struct err *err)
{
    problem_send(
        call->exchange,
        &(struct problem){.kind = problem_of(rc), .detail = err->text, .field = err->field});
}

void call_send_json(struct call *call, unsigned status, struct buf *body)
{
    size_t size;
    void *data = buf_steal(body, &size);
    struct answer *answer = answer_take(data, size);
    answer_header(answer, "Content-Type", "application/json");
    answer_header(answer, "Cache-Control", "no-store");
    answer_header(answer, "X-Content-Type-Options", "nosniff");
    exchange_respond(call->exchange, status, answer);
}

void call_send_tagged(struct call *call, struct buf *body)
{
    enum method method = exchange_method(call->exchange);
    char etag[ETAG_SIZE];
    bool known = false;
    if ((method == METHOD_GET || method == METHOD_HEAD) &&
        etag_of(body->data, body->size, etag) == 0) {
        exchange_add_header(call->exchange, "ETag", etag);
        known = etag_known(call->exchange, etag);
    }
    if (known)
        buf_clear(body);
    call_send_json(call, known ? 304 : 200, body);
}

void call_send_value(struct call *call, unsigned status, json_t *value)
{
    struct buf body;
    buf_init(&body, MAX_VALUE_BYTES);
    if (value && json_append(&body, value, JSON_COMPACT | JSON_ENSURE_ASCII) == 0)
        call_send_json(call, status, &body);
    else
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
    buf_fini(&body);
    json_decref(value);
}

bool call_number(struct call *call, const char *name, int64_t min, int64_t max, int64_t *value)
{
    char text[24], *end = text;
    int rc = exchange_query(call->exchange, name, text, sizeof text);
    if (rc == ERR_NOT_FOUND)
        return true;
    int64_t number = rc == 0 ? strtoll(text, &end, 10) : 0;
    if (end == text || *end || number < min || number > max) {
        problem_send(call->exchange, &(struct problem){.kind = PROBLEM_INVALID,
                                                       .detail = "not a number in its range",
                                                       .field = name,
                                                       .limit = max});
        return false;
    }
    *value = number;
    return true;
}

void call_refuse(struct call *call, enum problem_kind kind, const char *detail)
{
    problem_send(call->exchange, &(struct problem){.kind = kind, .detail = detail});
}

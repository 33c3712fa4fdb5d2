/* SPDX-License-Identifier: MIT
 *
 * /v1/webhooks: where an account wants to hear of its jobs. An endpoint is noted in two places: as
 * itself under `{k}`, and beside the account's jobs, where the script that ends one looks. The
 * second is written first and deleted last: dying in between leaves a listener without an endpoint,
 * of which the notifier makes nothing, and never an endpoint that hears nothing. */
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"
#include "common/queue_hooks.h"
#include "common/webhook_endpoint.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/routes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BODY_BYTES 8192

struct visit {
    struct call *call; /* borrowed; valid until the answer */
    struct buf body;
    struct endpoint endpoint;
    char secret[WEBHOOK_SECRET_SIZE]; /* to be shown in this answer; "" none */
    unsigned status;                  /* of a good answer */
};

static void free_visit(void *state)
{
    struct visit *visit = state;
    buf_fini(&visit->body);
    crypto_wipe(visit->secret, sizeof visit->secret);
    free(visit);
}

/* NULL: the caller has no right, the id is none or there is no memory, and that was answered. */
static struct visit *begin(struct call *call, enum scope scope, bool has_id)
{
    char id[ENDPOINT_ID_SIZE] = "";
    if (!identity_require(call, scope))
        return NULL;
    if (has_id && (!router_capture(&call->match, 0, id, sizeof id) || !endpoint_id_valid(id))) {
        call_refuse(call, PROBLEM_NOT_FOUND, "no endpoint has such an id");
        return NULL;
    }
    struct visit *visit = calloc(1, sizeof *visit);
    if (!visit) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return NULL;
    }
    visit->call = call;
    visit->status = 200;
    memcpy(visit->endpoint.id, id, sizeof id);
    snprintf(visit->endpoint.account, sizeof visit->endpoint.account, "%.17s", call->identity.flow);
    buf_init(&visit->body, MAX_BODY_BYTES);
    call->state = visit;
    call->free_state = free_visit;
    return visit;
}

/* Sends dispatcher->command. */
static void ask(struct visit *visit, redis_async_done *done)
{
    if (dispatcher_send(visit->call->dispatcher, done, visit) < 0)
        call_refuse(visit->call, PROBLEM_UNAVAILABLE, "Redis cannot be reached");
}

static void refuse(struct visit *visit, int rc, const struct err *err)
{
    if (rc == ERR_CORRUPT || rc == ERR_INTERNAL)
        log_event(LOG_ERROR, "webhook.broken", "endpoint", LOG_S, visit->endpoint.id, "detail",
                  LOG_S, err->text, NULL);
    if (rc == ERR_NOT_FOUND)
        call_refuse(visit->call, PROBLEM_NOT_FOUND, "the account has no such endpoint");
    else if (rc == ERR_LIMIT)
        problem_send(visit->call->exchange, &(struct problem){.kind = PROBLEM_CONFLICT,
                                                              .detail = err->text,
                                                              .limit = ENDPOINTS_MAX});
    else
        problem_send_err(visit->call->exchange, rc, NULL, NULL);
}

static void listen_command(struct visit *visit, const char *letters)
{
    struct dispatcher *dispatcher = visit->call->dispatcher;
    queue_hooks_listen_command(dispatcher_queue_of_flow(dispatcher, visit->endpoint.account),
                               visit->endpoint.account, visit->endpoint.id, letters,
                               &dispatcher->command);
}

/* ---- what is shown --------------------------------------------------------------------------- */

static json_t *time_of(int64_t ms)
{
    char text[CLOCK_ISO_SIZE];
    if (!ms)
        return json_null();
    clock_iso(ms, text);
    return json_string(text);
}

/* NULL for want of memory, or where the URL was sealed with another secret. */
static json_t *view(const struct visit *visit, const struct endpoint *endpoint)
{
    char url[WEBHOOK_URL_SIZE];
    json_t *events = json_array();
    for (const char *letter = endpoint->events; *letter; letter++)
        json_array_append_new(events, json_string(endpoint_event_name(*letter)));
    int rc = webhook_open(visit->call->dispatcher->webhooks, endpoint->url, endpoint->id, url,
                          sizeof url);
    json_t *shown = json_pack(
        "{s:s, s:s?, s:o, s:s, s:o, s:o, s:o, s:o}", "id", endpoint->id, "url",
        rc == 0 ? url : NULL, "events", events, "description", endpoint->description, "created_at",
        time_of(endpoint->created_ms), "disabled_at", time_of(endpoint->disabled_ms),
        "disabled_reason", endpoint->disabled_ms ? json_string(endpoint->reason) : json_null(),
        "old_secret_until",
        time_of(endpoint->old_until_ms > clock_wall_ms() ? endpoint->old_until_ms : 0));
    if (shown && visit->secret[0])
        json_object_set_new(shown, "secret", json_string(visit->secret));
    return shown;
}

static void on_shown(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct endpoint found;
    struct err err = {0};
    if (rc == 0)
        rc = endpoint_get_reply(reply, visit->endpoint.id, &found, &err);
    if (rc == 0 && strcmp(found.account, visit->endpoint.account) != 0)
        rc = ERR_NOT_FOUND; /* another account's is as good as none */
    if (rc < 0)
        refuse(visit, rc, &err);
    else
        call_send_value(visit->call, visit->status, view(visit, &found));
}

static void show(struct visit *visit)
{
    endpoint_get_command(visit->endpoint.id, &visit->call->dispatcher->command);
    ask(visit, on_shown);
}

void webhook_get(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = begin(call, SCOPE_READ, true);
    if (visit)
        show(visit);
}

static void on_list(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct err err = {0};
    size_t count = 0;
    struct endpoint *endpoints = calloc(ENDPOINTS_MAX, sizeof *endpoints);
    json_t *list = json_array();
    if (rc == 0 && !endpoints)
        rc = ERR_NOMEM;
    if (rc == 0)
        rc = endpoint_list_reply(reply, endpoints, &count, &err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        json_array_append_new(list, view(visit, &endpoints[i]));
    if (rc < 0)
        refuse(visit, rc, &err);
    else
        call_send_value(visit->call, visit->status, json_pack("{s:O}", "webhooks", list));
    json_decref(list);
    free(endpoints);
}

void webhook_list(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = begin(call, SCOPE_READ, false);
    if (!visit)
        return;
    endpoint_list_command(visit->endpoint.account, &dispatcher->command);
    ask(visit, on_list);
}

/* ---- register -------------------------------------------------------------------------------- */

static void on_body(void *context, struct exchange *exchange, const void *data, size_t size)
{
    struct call *call = exchange_user(exchange);
    struct visit *visit = call->state;
    if (buf_append(&visit->body, data, size) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}

void webhook_create_headers(struct dispatcher *dispatcher, struct call *call)
{
    if (begin(call, SCOPE_SUBMIT, false))
        exchange_set_body(call->exchange, MAX_BODY_BYTES, on_body);
}

static int read_events(const json_t *body, char out[ENDPOINT_EVENTS_SIZE], struct err *err)
{
    json_t *events = NULL;
    size_t used = 0;
    int rc = json_get_array(body, "events", ENDPOINT_EVENTS_SIZE - 1, &events, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(events); i++) {
        const char *name = json_string_value(json_array_get(events, i));
        char letter = name ? endpoint_event_letter(name) : 0;
        if (!letter || memchr(out, letter, used))
            rc = err_set(err, ERR_INVALID, "events",
                         "events are job.succeeded, job.failed and job.cancelled, each once");
        out[used++] = letter;
    }
    out[rc == 0 ? used : 0] = 0;
    return rc;
}

/* An account's own id, URL and secret, sealed. */
static int fill(struct visit *visit, const json_t *body, struct err *err)
{
    static const char *const known[] = {"url", "events", "description", NULL};
    const struct dispatcher *dispatcher = visit->call->dispatcher;
    struct endpoint *endpoint = &visit->endpoint;
    const char *url = NULL, *description = "";
    int rc = json_check_members(body, NULL, known, err);
    if (rc == 0)
        rc = json_get_text(body, "url", WEBHOOK_URL_SIZE - 1, &url, err);
    if (rc == 0)
        rc = webhook_url_check(url, &dispatcher->webhook_allow, err);
    if (rc == 0)
        rc = read_events(body, endpoint->events, err);
    if (rc == 0)
        rc =
            json_opt_text(body, "description", sizeof endpoint->description - 1, &description, err);
    if (rc < 0)
        return rc;
    snprintf(endpoint->description, sizeof endpoint->description, "%s", description);
    rc = endpoint_id_create(endpoint->id);
    if (rc == 0)
        rc = webhook_secret_create(visit->secret);
    if (rc == 0)
        rc = webhook_seal(dispatcher->webhooks, url, endpoint->id, endpoint->url);
    if (rc == 0)
        rc = webhook_seal(dispatcher->webhooks, visit->secret, endpoint->id, endpoint->secret);
    return rc;
}

static void on_withdrawn(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct err err = {0};
    err_set(&err, ERR_LIMIT, NULL, "an account may have %d endpoints", ENDPOINTS_MAX);
    refuse(visit, rc < 0 ? rc : ERR_LIMIT, &err);
}

static void on_created(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct err err = {0};
    if (rc == 0)
        rc = endpoint_create_reply(reply, &visit->endpoint.created_ms, &err);
    if (rc == ERR_LIMIT) {
        listen_command(visit, NULL);
        ask(visit, on_withdrawn);
    } else if (rc < 0) {
        refuse(visit, rc, &err);
    } else {
        log_event(LOG_INFO, "webhook.registered", "endpoint", LOG_S, visit->endpoint.id, "account",
                  LOG_S, visit->endpoint.account, NULL);
        visit->status = 201;
        call_send_value(visit->call, visit->status, view(visit, &visit->endpoint));
    }
}

static void on_listening(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    if (rc < 0) {
        refuse(visit, rc, NULL);
        return;
    }
    endpoint_create_command(&visit->endpoint, &visit->call->dispatcher->command);
    ask(visit, on_created);
}

void webhook_create(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = call->state;
    struct err err = {0};
    json_t *body = NULL;
    struct json_limits limits = {.max_bytes = MAX_BODY_BYTES, .max_depth = 3};
    int rc = json_parse(visit->body.data, visit->body.size, limits, &body, &err);
    if (rc < 0) {
        call_refuse(call, PROBLEM_MALFORMED, err.text);
        return;
    }
    rc = fill(visit, body, &err);
    json_decref(body);
    if (rc < 0) {
        if (strcmp(err.field, "webhook") == 0)
            snprintf(err.field, sizeof err.field, "url");
        problem_send(
            call->exchange,
            &(struct problem){.kind = PROBLEM_INVALID, .detail = err.text, .field = err.field});
        return;
    }
    listen_command(visit, visit->endpoint.events);
    ask(visit, on_listening);
}

/* ---- rotate, enable, delete ------------------------------------------------------------------ */

static void on_changed(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct err err = {0};
    if (rc == 0)
        rc = endpoint_change_reply(reply, &err);
    if (rc < 0)
        refuse(visit, rc, &err);
    else
        show(visit);
}

void webhook_rotate(struct dispatcher *dispatcher, struct call *call)
{
    char sealed[WEBHOOK_SEALED_SIZE];
    struct visit *visit = begin(call, SCOPE_SUBMIT, true);
    if (!visit)
        return;
    int rc = webhook_secret_create(visit->secret);
    if (rc == 0)
        rc = webhook_seal(dispatcher->webhooks, visit->secret, visit->endpoint.id, sealed);
    if (rc < 0) {
        refuse(visit, rc, &(struct err){.text = "no secret can be made"});
        return;
    }
    endpoint_rotate_command(visit->endpoint.id, visit->endpoint.account, sealed,
                            &dispatcher->command);
    ask(visit, on_changed);
}

static void on_heard(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    if (rc < 0)
        refuse(visit, rc, NULL);
    else
        show(visit);
}

/* Only the endpoint itself knows which events it wanted. */
static void on_enabled_found(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct endpoint found;
    struct err err = {0};
    if (rc == 0)
        rc = endpoint_get_reply(reply, visit->endpoint.id, &found, &err);
    if (rc < 0) {
        refuse(visit, rc, &err);
        return;
    }
    listen_command(visit, found.events);
    ask(visit, on_heard);
}

static void on_enabled(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct err err = {0};
    if (rc == 0)
        rc = endpoint_change_reply(reply, &err);
    if (rc < 0) {
        refuse(visit, rc, &err);
        return;
    }
    endpoint_get_command(visit->endpoint.id, &visit->call->dispatcher->command);
    ask(visit, on_enabled_found);
}

void webhook_enable(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = begin(call, SCOPE_SUBMIT, true);
    if (!visit)
        return;
    endpoint_enable_command(visit->endpoint.id, visit->endpoint.account, &dispatcher->command);
    ask(visit, on_enabled);
}

static void on_silent(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    if (rc < 0) {
        refuse(visit, rc, NULL);
        return;
    }
    log_event(LOG_INFO, "webhook.deleted", "endpoint", LOG_S, visit->endpoint.id, "account", LOG_S,
              visit->endpoint.account, NULL);
    exchange_respond(visit->call->exchange, 204, NULL);
}

static void on_deleted(int rc, const struct redis_reply *reply, void *data)
{
    struct visit *visit = data;
    struct err err = {0};
    if (rc == 0)
        rc = endpoint_change_reply(reply, &err);
    if (rc < 0) {
        refuse(visit, rc, &err);
        return;
    }
    listen_command(visit, NULL);
    ask(visit, on_silent);
}

void webhook_delete(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = begin(call, SCOPE_SUBMIT, true);
    if (!visit)
        return;
    endpoint_delete_command(visit->endpoint.id, visit->endpoint.account, &dispatcher->command);
    ask(visit, on_deleted);
}

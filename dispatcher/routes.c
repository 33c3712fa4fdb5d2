/* SPDX-License-Identifier: MIT */
#include "dispatcher/routes.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "dispatcher/access/cors.h"
#include "dispatcher/call.h"
#include "dispatcher/compat/selfie2anime.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/edition.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/enqueue.h"
#include "dispatcher/operate/measures.h"
#include "dispatcher/pages/pages.h"
#include "dispatcher/pages/submit_form.h"

#include <stdlib.h>
#include <string.h>

#define GET (1u << METHOD_GET)
#define POST (1u << METHOD_POST)
#define PUT (1u << METHOD_PUT)
#define DELETE (1u << METHOD_DELETE)

const struct route routes[] = {
    {POST, "/v1/jobs", "submit", submit_headers, submit},
    {GET, "/v1/jobs", "jobs", NULL, jobs_list},
    {POST, "/v1/jobs/states", "job_states", job_states_headers, job_states},
    {GET, "/v1/jobs/{}", "job", NULL, job_get},
    {DELETE, "/v1/jobs/{}", "erase", NULL, job_erase},
    {GET, "/v1/jobs/{}/events", "events", NULL, job_events},
    {GET, "/v1/jobs/{}/result", "result", NULL, job_result},
    {GET, "/v1/jobs/{}/crop", "crop", NULL, job_crop},
    {GET, "/v1/jobs/{}/heat-map", "heat_map", NULL, job_heat_map},
    {PUT, "/v1/jobs/{}/rating", "rating", job_rate_headers, job_rate},
    {POST, "/v1/jobs/{}/cancel", "cancel", NULL, job_cancel},
    {POST, "/v1/batches", "batch_submit", batch_submit_headers, batch_submit},
    {GET, "/v1/batches/{}", "batch", NULL, batch_get},
    {DELETE, "/v1/batches/{}", "batch_erase", NULL, batch_erase},
    {POST, "/v1/batches/{}/cancel", "batch_cancel", NULL, batch_cancel},
    {GET, "/v1/models", "models", NULL, models_get},
    {GET, "/v1/models/{}", "model", NULL, model_get},
    {POST, "/v1/previews", "preview", preview_headers, preview},
    {POST, "/v1/provenance", "provenance", provenance_headers, provenance},
    {GET, "/v1/queues", "queues", NULL, operate_queues},
    {POST, "/v1/queues/{}/pause", "pause", NULL, operate_pause},
    {POST, "/v1/queues/{}/resume", "resume", NULL, operate_resume},
    {GET, "/v1/stats", "stats", NULL, stats_get},
    {GET, "/v1/workers", "workers", NULL, operate_workers},
    {GET, "/v1/dead", "dead", NULL, dead_list},
    {POST, "/v1/dead/replay", "replay_many", dead_replay_many_headers, dead_replay_many},
    {POST, "/v1/dead/{}/replay", "replay", NULL, dead_replay},
    {GET, "/v1/fleet", "fleet", NULL, fleet_get},
    {GET, "/v1/scale", "scale", NULL, scale_get},
    {POST, "/v1/webhooks", "webhook_create", webhook_create_headers, webhook_create},
    {GET, "/v1/webhooks", "webhooks", NULL, webhook_list},
    {GET, "/v1/webhooks/{}", "webhook", NULL, webhook_get},
    {DELETE, "/v1/webhooks/{}", "webhook_delete", NULL, webhook_delete},
    {POST, "/v1/webhooks/{}/rotate", "webhook_rotate", NULL, webhook_rotate},
    {POST, "/v1/webhooks/{}/enable", "webhook_enable", NULL, webhook_enable},
    {POST, "/v1/addresses/erase", "address_erase", address_erase_headers, address_erase},
    {GET, "/v1/notifications", "notifications", NULL, notifications_list},
    {POST, "/v1/notifications/replay", "notifications_replay", notifications_replay_headers,
     notifications_replay},
    {POST, "/v1/grants", "grants", grants_headers, grants},
    {GET, "/o/{*}", "object_get", NULL, object_get},
    {PUT, "/o/{*}", "object_put", object_put_headers, object_put},
    {GET, "/healthz", "healthz", NULL, healthz},
    {GET, "/readyz", "readyz", NULL, readyz},
    {GET, "/metrics", "metrics", NULL, metrics_get},
    {GET, "/openapi.json", "openapi", NULL, openapi_get},
    {GET, "/", "page", NULL, page_home},
    {GET, "/about", "page", NULL, page_about},
    {GET, "/terms", "page", NULL, page_terms},
    {GET, "/privacy", "page", NULL, page_privacy},
    {GET, "/history", "page", NULL, page_history},
    {GET, "/fleet", "page", NULL, page_fleet},
    {GET, "/docs", "page", NULL, page_docs},
    {GET, "/docs/{}", "page", NULL, page_operation},
    {GET, "/robots.txt", "asset", NULL, page_robots},
    {GET, "/again", "page", NULL, page_again},
    {POST, "/again", "page", page_again_headers, page_again_read},
    {GET, "/m/{}", "page", NULL, page_model},
    {POST, "/m/{}", "page_submit", page_submit_headers, submit},
    {GET, "/j/{}", "page", NULL, page_job},
    {POST, "/j/{}/cancel", "page_cancel", NULL, page_cancel},
    {POST, "/j/{}/rating", "page_rate", NULL, page_rate},
    {GET, "/j/{}/delete", "page", NULL, page_delete},
    {POST, "/j/{}/delete", "page_erase", NULL, page_erase},
    {GET, "/u/{}", "unsubscribe", NULL, page_unsubscribe},
    {POST, "/u/{}", "unsubscribe", unsubscribe_headers, page_unsubscribe_act},
    {POST, "/u/{}/again", "unsubscribe", unsubscribe_headers, page_subscribe_act},
    {GET, "/assets/{*}", "asset", NULL, page_asset},
};
const size_t route_count = sizeof routes / sizeof routes[0];

static void refuse_method(struct call *call)
{
    char allow[64];
    router_allow_text(call->match.allowed, allow);
    problem_send(call->exchange, &(struct problem){.kind = PROBLEM_METHOD, .allow = allow});
}

static struct call *attach(struct dispatcher *dispatcher, struct exchange *exchange)
{
    struct call *call = calloc(1, sizeof *call);
    if (call)
        *call = (struct call){
            .dispatcher = dispatcher, .exchange = exchange, .edition = edition_hold(dispatcher)};
    if (call && dispatcher->tracer)
        call->trace.begin_us = clock_us();
    dispatcher->calls += call != NULL;
    exchange_set_user(exchange, call);
    return call;
}

static const struct route preflight = {1u << METHOD_OPTIONS, "/v1/{*}", "preflight", NULL,
                                       cors_preflight};

/* Now that it is known who asks. */
static void open_route(struct call *call)
{
    if (call->match.route->headers)
        call->match.route->headers(call->dispatcher, call);
}

/* A page of any origin may ask, and is told so in whatever it is answered. */
static void begin_open(struct call *call)
{
    exchange_add_header(call->exchange, "Access-Control-Allow-Origin", "*");
    call->identity = (struct identity){.ceiling = JOB_PRIORITY_NORMAL, .weight = 1};
    open_route(call);
}

static int find_route(const struct dispatcher *dispatcher, const struct exchange *exchange,
                      struct router_match *match)
{
    enum method method = exchange_method(exchange);
    const char *path = exchange_path(exchange);
    int rc = router_find(routes, route_count, method, path, match);
    if (rc == ERR_NOT_FOUND && dispatcher->selfie2anime)
        rc = router_find(selfie2anime_routes, selfie2anime_route_count, method, path, match);
    return rc;
}

static void on_headers(void *context, struct exchange *exchange)
{
    struct dispatcher *dispatcher = context;
    struct call *call = attach(dispatcher, exchange);
    if (!call) {
        problem_send(exchange, &(struct problem){.kind = PROBLEM_UNAVAILABLE});
        return;
    }
    if (cors_is_preflight(exchange)) {
        call->match.route = &preflight;
        return;
    }
    int rc = find_route(dispatcher, exchange, &call->match);
    if (rc == ERR_NOT_FOUND)
        call_refuse(call, PROBLEM_NOT_FOUND, "no such route");
    else if (rc < 0)
        refuse_method(call);
    else if (call->match.route->open)
        begin_open(call);
    else
        identity_begin(call, open_route);
}

static void on_complete(void *context, struct exchange *exchange)
{
    struct dispatcher *dispatcher = context;
    struct call *call = exchange_user(exchange);
    enqueue_ahead(dispatcher->enqueue);
    call->match.route->complete(dispatcher, call);
}

static void on_refuse(void *context, struct exchange *exchange, int code, int64_t limit)
{
    if (code == ERR_LIMIT)
        problem_send_too_large(exchange, limit);
    else
        problem_send(exchange, &(struct problem){.kind = PROBLEM_MALFORMED,
                                                 .detail = "the target of the request is not one"});
}

static void on_done(void *context, struct exchange *exchange, unsigned status, int64_t ms)
{
    struct dispatcher *dispatcher = context;
    struct call *call = exchange_user(exchange);
    const char *route = call && call->match.route ? call->match.route->name : "none";
    char trace[TRACE_ID_SIZE] = "";
    if (call && call->trace.entered)
        memcpy(trace, call->trace.request.id, sizeof trace);
    else
        trace_id_of(exchange_header(exchange, "traceparent"), trace);
    measures_count_request(dispatcher->metrics, route, status, ms);
    log_event(LOG_DEBUG, "http.request", "route", LOG_S, route, "method", LOG_S,
              exchange_method_name(exchange), "status", LOG_I, (int64_t)status, "ms", LOG_I, ms,
              trace[0] ? "trace_id" : NULL, LOG_S, trace, NULL);
    if (!call)
        return;
    traces_done(call, exchange, status);
    if (call->free_state)
        call->free_state(call->state);
    page_form_destroy(&call->page);
    buf_fini(&call->body);
    dispatcher->buffered_bytes -= call->reserved;
    edition_release(dispatcher, call->edition);
    dispatcher->calls--;
    free(call);
}

void routes_handlers(struct dispatcher *dispatcher, struct exchange_handlers *out)
{
    *out = (struct exchange_handlers){.context = dispatcher,
                                      .headers = on_headers,
                                      .complete = on_complete,
                                      .refuse = on_refuse,
                                      .done = on_done,
                                      .problem = pages_problem};
}

/* SPDX-License-Identifier: MIT */
#include "dispatcher/access/cors.h"

#include "common/err.h"
#include "common/keys.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"

#include <string.h>

#define EXPOSED                                                                                    \
    "Location, Retry-After, Idempotency-Replayed, Content-Disposition, ETag, Preference-Applied, " \
    "traceparent"
#define ALLOWED_HEADERS                                                                            \
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, If-None-Match, "         \
    "traceparent"
#define ALLOWED_METHODS "GET, HEAD, POST, PUT, DELETE"
#define MAX_AGE "600"

static bool in_list(const char *list, const char *origin)
{
    size_t size = strlen(origin);
    for (; list && *list; list += strspn(list, ", ")) {
        size_t length = strcspn(list, ", ");
        if (length == size && size > 0 && memcmp(list, origin, size) == 0)
            return true;
        list += length;
    }
    return false;
}

int cors_check_list(const char *origins, struct err *err)
{
    for (origins += strspn(origins, ", "); *origins; origins += strspn(origins, ", ")) {
        size_t size = strcspn(origins, ", ");
        if (!key_origin_valid(origins, size))
            return err_set(err, ERR_INVALID, "cors-origins",
                           "'%.*s' is no origin such as https://example.org",
                           (int)(size < 80 ? size : 80), origins);
        origins += size;
    }
    return 0;
}

/* Our own pages, by the public URL or by the address that the browser used. */
static bool is_own(const struct call *call, const char *origin)
{
    const char *url = call->dispatcher->public_url;
    const char *host = exchange_header(call->exchange, "Host");
    size_t size = strlen(origin);
    const char *rest = strstr(origin, "://");
    if (strncmp(url, origin, size) == 0 && (url[size] == 0 || url[size] == '/'))
        return true;
    return rest && host && strcmp(rest + 3, host) == 0;
}

bool cors_is_own_page(const struct call *call)
{
    const char *origin = exchange_header(call->exchange, "Origin");
    const char *site = exchange_header(call->exchange, "Sec-Fetch-Site");
    if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
        return false;
    return !origin || is_own(call, origin);
}

static void note_headers(struct exchange *exchange, const char *origin)
{
    exchange_add_header(exchange, "Access-Control-Allow-Origin", origin);
    exchange_add_header(exchange, "Access-Control-Expose-Headers", EXPOSED);
}

/* ---- the request itself ---- */

static bool changes_things(const struct exchange *exchange)
{
    enum method method = exchange_method(exchange);
    return method != METHOD_GET && method != METHOD_HEAD;
}

bool cors_admit(struct call *call, const struct key *key)
{
    struct exchange *exchange = call->exchange;
    const char *origin = exchange_header(exchange, "Origin");
    if (!origin)
        return true;
    exchange_add_header(exchange, "Vary", "Origin");
    bool listed = key ? key_allows_origin(key, origin)
                      : in_list(call->dispatcher->settings->cors_origins, origin);
    if (listed) {
        note_headers(exchange, origin);
        return true;
    }
    if (is_own(call, origin) || (!key && !changes_things(exchange)))
        return true;
    call_refuse(call, PROBLEM_FORBIDDEN,
                key ? "the API key may not be used by pages of this origin"
                    : "pages of this origin may not do this");
    return false;
}

/* ---- preflight ---- */

bool cors_is_preflight(const struct exchange *exchange)
{
    const char *path = exchange_path(exchange);
    return exchange_method(exchange) == METHOD_OPTIONS &&
           (strncmp(path, "/v1/", 4) == 0 || strncmp(path, "/o/", 3) == 0) &&
           exchange_header(exchange, "Origin") &&
           exchange_header(exchange, "Access-Control-Request-Method");
}

static void answer_preflight(struct call *call, bool allowed)
{
    struct exchange *exchange = call->exchange;
    if (!allowed) {
        call_refuse(call, PROBLEM_FORBIDDEN, "no API key allows pages of this origin");
        return;
    }
    struct answer *answer = answer_static("", 0);
    answer_header(answer, "Access-Control-Allow-Origin", exchange_header(exchange, "Origin"));
    answer_header(answer, "Access-Control-Allow-Methods", ALLOWED_METHODS);
    answer_header(answer, "Access-Control-Allow-Headers", ALLOWED_HEADERS);
    answer_header(answer, "Access-Control-Max-Age", MAX_AGE);
    exchange_respond(exchange, 204, answer);
}

static void on_origin(int rc, const struct redis_reply *reply, void *data)
{
    struct call *call = data;
    if (rc < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
    else
        answer_preflight(call, keys_origin_reply(reply));
}

void cors_preflight(struct dispatcher *dispatcher, struct call *call)
{
    const char *origin = exchange_header(call->exchange, "Origin");
    exchange_add_header(call->exchange, "Vary",
                        "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    if (in_list(dispatcher->settings->cors_origins, origin)) {
        answer_preflight(call, true);
        return;
    }
    /* What is no origin need not be looked for. */
    if (!key_origin_valid(origin, strlen(origin))) {
        answer_preflight(call, false);
        return;
    }
    keys_origin_command(origin, &dispatcher->command);
    if (dispatcher_send(dispatcher, on_origin, call) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/problem.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "dispatcher/http/server.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define MAX_PROBLEM_BYTES 4096

static const struct problem_facts rows[] = {
    [PROBLEM_MALFORMED] = {400, "malformed", "The request cannot be read", 0},
    [PROBLEM_UNAUTHORIZED] = {401, "unauthorized", "A token is needed", 0},
    [PROBLEM_FORBIDDEN] = {403, "forbidden", "This token does not permit it", 0},
    [PROBLEM_NOT_FOUND] = {404, "not-found", "There is no such thing here", 0},
    [PROBLEM_METHOD] = {405, "method", "The method does not fit the resource", 0},
    [PROBLEM_NOT_ACCEPTABLE] = {406, "not-acceptable", "No such representation", 0},
    [PROBLEM_CONFLICT] = {409, "conflict", "The state does not allow it", 0},
    [PROBLEM_IN_FLIGHT] = {409, "in-flight", "A request with this key is still at work", 1},
    [PROBLEM_KEY_REUSED] = {422, "key-reused", "This key was used with another body", 0},
    [PROBLEM_LENGTH_REQUIRED] = {411, "length-required", "A Content-Length is needed", 0},
    [PROBLEM_TOO_LARGE] = {413, "too-large", "The body is too large", 0},
    [PROBLEM_MEDIA_TYPE] = {415, "media-type", "The media type is not supported", 0},
    [PROBLEM_INVALID] = {422, "invalid", "A member breaks a rule", 0},
    [PROBLEM_RATE_LIMITED] = {429, "rate-limited", "Too many requests", 1},
    [PROBLEM_INTERNAL] = {500, "internal", "Something is broken on our side", 0},
    [PROBLEM_UNAVAILABLE] = {503, "unavailable", "Not available at the moment", 2},
};

static const enum problem_kind of_code[] = {
    [-ERR_OK] = PROBLEM_INTERNAL,
    [-ERR_NOMEM] = PROBLEM_UNAVAILABLE,
    [-ERR_IO] = PROBLEM_UNAVAILABLE,
    [-ERR_INVALID] = PROBLEM_INVALID,
    [-ERR_LIMIT] = PROBLEM_INVALID,
    [-ERR_CORRUPT] = PROBLEM_INVALID,
    [-ERR_UNSUPPORTED] = PROBLEM_INVALID,
    [-ERR_NOT_FOUND] = PROBLEM_NOT_FOUND,
    [-ERR_DENIED] = PROBLEM_FORBIDDEN,
    [-ERR_CONFLICT] = PROBLEM_CONFLICT,
    [-ERR_UNAVAILABLE] = PROBLEM_UNAVAILABLE,
    [-ERR_TIMEOUT] = PROBLEM_UNAVAILABLE,
    [-ERR_LOST] = PROBLEM_CONFLICT,
    [-ERR_CANCELLED] = PROBLEM_CONFLICT,
    [-ERR_DEVICE] = PROBLEM_INTERNAL,
    [-ERR_INTERNAL] = PROBLEM_INTERNAL,
    [-ERR_PROTOCOL] = PROBLEM_UNAVAILABLE,
};

unsigned problem_status(enum problem_kind kind)
{
    return rows[kind].status;
}

void problem_describe(enum problem_kind kind, struct problem_facts *out)
{
    *out = rows[kind];
}

enum problem_kind problem_of(int code)
{
    assert(code <= 0 && -code < (int)(sizeof of_code / sizeof of_code[0]));
    return of_code[-code];
}

static int set_text(json_t *object, const char *name, const char *text)
{
    return text && *text ? json_object_set_new(object, name, json_string(text)) : 0;
}

int problem_write(struct buf *out, const struct problem *problem)
{
    char type[64];
    snprintf(type, sizeof type, "/problems/%s", rows[problem->kind].code);
    json_t *object = json_pack("{s:s, s:s, s:i}", "type", type, "title", rows[problem->kind].title,
                               "status", (int)rows[problem->kind].status);
    int rc = object ? 0 : ERR_NOMEM;
    if (rc == 0 &&
        (set_text(object, "detail", problem->detail) || set_text(object, "field", problem->field) ||
         set_text(object, "job", problem->job) ||
         (problem->limit > 0 &&
          json_object_set_new(object, "limit", json_integer(problem->limit)))))
        rc = ERR_NOMEM;
    if (rc == 0)
        rc = json_append(out, object, JSON_COMPACT);
    json_decref(object);
    return rc;
}

static struct answer *make_document(const struct problem *problem)
{
    struct buf body;
    size_t size = 0;
    buf_init(&body, MAX_PROBLEM_BYTES);
    /* Without memory for the words the status still goes out. */
    if (problem_write(&body, problem) < 0)
        buf_clear(&body);
    void *data = buf_steal(&body, &size);
    struct answer *answer = data ? answer_take(data, size) : answer_static("", 0);
    answer_header(answer, "Content-Type", "application/problem+json");
    answer_header(answer, "Cache-Control", "no-store");
    answer_header(answer, "X-Content-Type-Options", "nosniff");
    buf_fini(&body);
    return answer;
}

void problem_send(struct exchange *exchange, const struct problem *problem)
{
    struct answer *answer = exchange_problem(exchange, problem);
    if (!answer)
        answer = make_document(problem);
    if (problem->kind == PROBLEM_UNAUTHORIZED)
        answer_header(answer, "WWW-Authenticate", "Bearer realm=\"darkroom\"");
    if (problem->allow)
        answer_header(answer, "Allow", problem->allow);
    int64_t wait_s =
        problem->retry_after_s ? problem->retry_after_s : rows[problem->kind].retry_after_s;
    if (wait_s > 0) {
        char text[24];
        snprintf(text, sizeof text, "%" PRId64, wait_s);
        answer_header(answer, "Retry-After", text);
    }
    exchange_respond(exchange, rows[problem->kind].status, answer);
}

void problem_send_too_large(struct exchange *exchange, int64_t max_bytes)
{
    char detail[64] = "no body is expected";
    if (max_bytes > 0)
        snprintf(detail, sizeof detail, "the body may have at most %" PRId64 " bytes", max_bytes);
    problem_send(exchange, &(struct problem){
                               .kind = PROBLEM_TOO_LARGE, .detail = detail, .limit = max_bytes});
}

void problem_send_err(struct exchange *exchange, int code, const struct err *err, const char *job)
{
    /* What went wrong inside stays inside: only what the client can change is told. */
    enum problem_kind kind = problem_of(code);
    bool theirs = rows[kind].status < 500;
    problem_send(exchange, &(struct problem){.kind = kind,
                                             .detail = theirs && err ? err->text : NULL,
                                             .field = theirs && err ? err->field : NULL,
                                             .job = job});
}

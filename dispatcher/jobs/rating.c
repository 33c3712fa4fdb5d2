/* SPDX-License-Identifier: MIT
 *
 * PUT /v1/jobs/{id}/rating: what the owner thinks of a result. */
#include "common/buf.h"
#include "common/err.h"
#include "common/queue_finished.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/visit.h"
#include "dispatcher/routes.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BODY_BYTES 256

struct rating {
    struct visit visit;
    struct buf body;
    char value; /* 'u', 'd', 0 */
};

static void free_rating(void *state)
{
    struct rating *rating = state;
    buf_fini(&rating->body);
    free(rating);
}

static void on_rated(int rc, const struct redis_reply *reply, void *data)
{
    struct rating *rating = data;
    struct call *call = rating->visit.call;
    struct queue_job job = {0};
    struct err err = {0};
    static const char *const names[] = {"up", "down"};
    if (rc == 0)
        rc = queue_rating_reply(reply, &job.state, &err);
    memcpy(job.public_id, rating->visit.public_id, sizeof job.public_id);
    if (rc < 0)
        problem_send_err(call->exchange, rc, &err, rating->visit.public_id);
    else if (job.state != JOB_SUCCEEDED)
        visit_conflict(&rating->visit, &job);
    else
        call_send_value(call, 200,
                        rating->value ? json_pack("{s:s}", "rating", names[rating->value == 'd'])
                                      : json_pack("{s:n}", "rating"));
}

static void send_rating(struct visit *visit, const struct queue_job *job)
{
    struct rating *rating = (struct rating *)visit;
    struct dispatcher *dispatcher = visit->call->dispatcher;
    (void)job;
    queue_rating_command(dispatcher_queue_of_id(dispatcher, visit->public_id), visit->public_id,
                         rating->value, &dispatcher->command);
    visit_ask(visit, on_rated);
}

static void on_body(void *context, struct exchange *exchange, const void *data, size_t size)
{
    struct call *call = exchange_user(exchange);
    struct rating *rating = call->state;
    if (buf_append(&rating->body, data, size) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}

void job_rate_headers(struct dispatcher *dispatcher, struct call *call)
{
    struct rating *rating = visit_begin(call, TOKEN_VIEW, sizeof *rating, send_rating);
    if (!rating)
        return;
    buf_init(&rating->body, MAX_BODY_BYTES);
    call->free_state = free_rating;
    exchange_set_body(call->exchange, MAX_BODY_BYTES, on_body);
}

static int read_rating(const struct buf *body, char *out, bool *out_malformed, struct err *err)
{
    static const char *const known[] = {"rating", NULL};
    struct json_limits limits = {.max_bytes = MAX_BODY_BYTES, .max_depth = 2};
    json_t *document = NULL;
    int rc = json_parse(body->data, body->size, limits, &document, err);
    *out_malformed = rc == ERR_INVALID;
    if (rc == 0)
        rc = json_check_members(document, NULL, known, err);
    const json_t *value = rc == 0 ? json_object_get(document, "rating") : NULL;
    const char *text = json_string_value(value);
    if (rc == 0 && json_is_null(value))
        *out = 0;
    else if (rc == 0 && text && (!strcmp(text, "up") || !strcmp(text, "down")))
        *out = text[0];
    else if (rc == 0)
        rc = err_set(err, ERR_INVALID, "rating", "rating must be up, down or null");
    json_decref(document);
    return rc;
}

void job_rate(struct dispatcher *dispatcher, struct call *call)
{
    struct rating *rating = call->state;
    struct err err = {0};
    bool malformed = false;
    int rc = read_rating(&rating->body, &rating->value, &malformed, &err);
    if (malformed)
        call_refuse(call, PROBLEM_MALFORMED, err.text);
    else if (rc < 0)
        problem_send_err(call->exchange, rc, &err, rating->visit.public_id);
    else
        visit_act(&rating->visit);
}

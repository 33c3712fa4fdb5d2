/* SPDX-License-Identifier: MIT
 *
 * /v1/notifications: what could not be delivered, and sending again. An operator sees and re-sends
 * everybody's, an account its own jobs'. What is sent again keeps the id that it had. */
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"
#include "common/queue_hooks.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/fanout.h"
#include "dispatcher/http/server.h"
#include "dispatcher/operate/mails.h"
#include "dispatcher/routes.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BODY_BYTES 32768
#define MAX_KIND 16

/* ---- what was given up ----------------------------------------------------------------------- */

struct unsent_list {
    struct call *call; /* borrowed */
    struct queue_unsent *items;
    size_t count, capacity;
    int64_t total;
};

static void free_unsent(void *state)
{
    struct unsent_list *list = state;
    free(list->items);
    free(list);
}

static void build_unsent(const struct queue *queue, struct redis_command *command, void *data)
{
    queue_unsent_command(queue, 0, QUEUE_UNSENT_MAX, command);
}

static int read_unsent(const struct queue *queue, const struct redis_reply *reply, void *data)
{
    struct unsent_list *list = data;
    int64_t total = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && list->count < list->capacity; i++) {
        rc = queue_unsent_reply(reply, i, &list->items[list->count], &total, NULL);
        list->count += rc == 0;
    }
    list->total += total;
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int newest_first(const void *a, const void *b)
{
    int64_t first = ((const struct queue_unsent *)a)->given_up_ms;
    int64_t second = ((const struct queue_unsent *)b)->given_up_ms;
    return (first < second) - (first > second);
}

static json_t *unsent_view(const struct queue_unsent *item)
{
    char created[CLOCK_ISO_SIZE], given_up[CLOCK_ISO_SIZE];
    clock_iso(item->created_ms, created);
    clock_iso(item->given_up_ms, given_up);
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s}", "id", item->notify_id, "kind",
                     item->is_mail ? "mail" : "webhook", "job", item->public_id, "state",
                     job_state_name(item->state), "attempts", item->attempts, "created_at", created,
                     "given_up_at", given_up, "reason", item->reason);
}

static void on_unsent(int rc, void *data)
{
    struct unsent_list *list = data;
    if (rc < 0) {
        problem_send_err(list->call->exchange, rc, NULL, NULL);
        return;
    }
    json_t *items = json_array();
    qsort(list->items, list->count, sizeof *list->items, newest_first);
    for (size_t i = 0; i < list->count && i < QUEUE_UNSENT_MAX; i++)
        json_array_append_new(items, unsent_view(&list->items[i]));
    call_send_value(list->call, 200,
                    json_pack("{s:I, s:o, s:o?}", "total", (json_int_t)list->total, "unsent", items,
                              "mail", mails_view(list->call->dispatcher)));
}

void notifications_list(struct dispatcher *dispatcher, struct call *call)
{
    static const struct fanout_verbs verbs = {build_unsent, read_unsent, on_unsent};
    if (!identity_require(call, SCOPE_OPERATE))
        return;
    struct unsent_list *list = calloc(1, sizeof *list);
    size_t capacity = (size_t)dispatcher->shards * QUEUE_UNSENT_MAX;
    if (list)
        list->items = calloc(capacity, sizeof *list->items);
    if (!list || !list->items) {
        free(list);
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    list->call = call;
    list->capacity = capacity;
    call->state = list;
    call->free_state = free_unsent;
    if (fanout_ask(dispatcher, &verbs, list) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, "Redis cannot be reached");
}

/* ---- sending again --------------------------------------------------------------------------- */

struct resending {
    struct call *call; /* borrowed; valid until the answer */
    struct buf body;
    struct queue_resend which;
    char (*ids)[ID_PUBLIC_SIZE]; /* owned; NULL: a range */
    size_t id_count, open;       /* open: answers of Redis that are owed */
    int64_t since_ms, until_ms;
    unsigned shard, end_shard;
    int rc;
    int64_t jobs, rows;
};

static void free_resending(void *state)
{
    struct resending *resending = state;
    buf_fini(&resending->body);
    free(resending->ids);
    free(resending);
}

static void on_body(void *context, struct exchange *exchange, const void *data, size_t size)
{
    struct call *call = exchange_user(exchange);
    struct resending *resending = call->state;
    if (buf_append(&resending->body, data, size) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}

void notifications_replay_headers(struct dispatcher *dispatcher, struct call *call)
{
    bool operator= call->identity.has_key &&(call->identity.scopes &SCOPE_OPERATE);
    if (!operator&& !identity_require(call, SCOPE_SUBMIT))
        return;
    struct resending *resending = calloc(1, sizeof *resending);
    if (!resending) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    resending->call = call;
    resending->which.flow = operator? NULL : call->identity.flow;
    buf_init(&resending->body, MAX_BODY_BYTES);
    call->state = resending;
    call->free_state = free_resending;
    exchange_set_body(call->exchange, MAX_BODY_BYTES, on_body);
}

static void report(struct resending *resending)
{
    log_event(LOG_INFO, "notifications.replayed", "key", LOG_S, resending->call->identity.key_id,
              "jobs", LOG_I, resending->jobs, "notifications", LOG_I, resending->rows, NULL);
    call_send_value(resending->call, 200,
                    json_pack("{s:I, s:I}", "jobs", (json_int_t)resending->jobs, "notifications",
                              (json_int_t)resending->rows));
}

/* Once nothing is owed any more: the answer. */
static void close_one(struct resending *resending, int rc)
{
    if (rc < 0 && resending->rc == 0)
        resending->rc = rc;
    if (--resending->open > 0)
        return;
    if (resending->rc < 0)
        problem_send_err(resending->call->exchange, resending->rc, NULL, NULL);
    else
        report(resending);
}

static void on_resent(int rc, const struct redis_reply *reply, void *data)
{
    struct resending *resending = data;
    struct queue_resent resent;
    if (rc == 0)
        rc = queue_resend_reply(reply, &resent, NULL);
    if (rc == 0) {
        resending->jobs += resent.jobs;
        resending->rows += resent.rows;
    }
    close_one(resending, rc);
}

static void resend_ids(struct resending *resending)
{
    struct dispatcher *dispatcher = resending->call->dispatcher;
    int rc = 0;
    resending->open = 1; /* this loop's own */
    for (size_t i = 0; rc == 0 && i < resending->id_count; i++) {
        const char *id = resending->ids[i];
        queue_resend_command(dispatcher_queue_of_id(dispatcher, id), &resending->which, &id, 1,
                             &dispatcher->command);
        rc = dispatcher_send(dispatcher, on_resent, resending);
        resending->open += rc == 0;
    }
    close_one(resending, rc);
}

static void resend_page(struct resending *resending, uint64_t cursor);

static void on_page(int rc, const struct redis_reply *reply, void *data)
{
    struct resending *resending = data;
    struct queue_resent resent;
    if (rc == 0)
        rc = queue_resend_range_reply(reply, &resent, NULL);
    if (rc < 0) {
        close_one(resending, rc);
        return;
    }
    resending->jobs += resent.jobs;
    resending->rows += resent.rows;
    if (resent.cursor == 0)
        resending->shard++;
    resend_page(resending, resent.cursor);
}

static void resend_page(struct resending *resending, uint64_t cursor)
{
    struct dispatcher *dispatcher = resending->call->dispatcher;
    if (resending->shard >= resending->end_shard) {
        close_one(resending, 0);
        return;
    }
    queue_resend_range_command(dispatcher_queue(dispatcher, resending->shard), &resending->which,
                               resending->since_ms, resending->until_ms, cursor,
                               &dispatcher->command);
    if (dispatcher_send(dispatcher, on_page, resending) < 0)
        close_one(resending, ERR_UNAVAILABLE);
}

/* An account's jobs are all in one shard. */
static void resend_range(struct resending *resending)
{
    struct dispatcher *dispatcher = resending->call->dispatcher;
    resending->open = 1;
    resending->shard = 0;
    resending->end_shard = dispatcher->shards;
    if (resending->which.flow) {
        resending->shard = dispatcher_queue_of_flow(dispatcher, resending->which.flow)->shard;
        resending->end_shard = resending->shard + 1;
    }
    resend_page(resending, 0);
}

static int read_time(const json_t *body, const char *name, int64_t *out, struct err *err)
{
    const char *text = NULL;
    int rc = json_opt_text(body, name, CLOCK_ISO_SIZE + 8, &text, err);
    if (rc == 0 && text && clock_parse_iso(text, out) < 0)
        rc =
            err_set(err, ERR_INVALID, name, "%s must be a time such as 2026-01-05T10:11:12Z", name);
    return rc;
}

static int read_ids(struct resending *resending, const json_t *body, struct err *err)
{
    json_t *ids = NULL;
    int rc = json_opt_array(body, "ids", QUEUE_RESEND_MAX, &ids, err);
    size_t count = json_array_size(ids);
    if (rc < 0 || !ids)
        return rc;
    resending->ids = calloc(count + 1, sizeof *resending->ids);
    if (!resending->ids)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (!id || !id_public_valid(id))
            return err_set(err, ERR_INVALID, "ids", "ids must be ids of jobs");
        memcpy(resending->ids[i], id, ID_PUBLIC_SIZE);
    }
    resending->id_count = count;
    return 0;
}

static int read_words(struct resending *resending, const json_t *body, struct err *err)
{
    const char *kind = NULL, *state = NULL;
    int rc = json_opt_text(body, "kind", MAX_KIND, &kind, err);
    if (rc == 0)
        rc = json_opt_text(body, "state", MAX_KIND, &state, err);
    if (rc < 0)
        return rc;
    if (kind && strcmp(kind, "mail") && strcmp(kind, "webhook"))
        return err_set(err, ERR_INVALID, "kind", "kind is mail or webhook; both where left out");
    if (state && strcmp(state, "unsent"))
        return err_set(err, ERR_INVALID, "state", "state is unsent; all where left out");
    resending->which.unsent_only = state != NULL;
    resending->which.kind = !kind                   ? QUEUE_NOTIFY_BOTH
                            : !strcmp(kind, "mail") ? QUEUE_NOTIFY_MAIL
                                                    : QUEUE_NOTIFY_WEBHOOK;
    return 0;
}

static int read_question(struct resending *resending, const json_t *body, struct err *err)
{
    static const char *const known[] = {"ids", "since", "until", "kind", "state", NULL};
    int rc = json_check_members(body, NULL, known, err);
    resending->since_ms = -1;
    resending->until_ms = clock_wall_ms() + 1000;
    if (rc == 0)
        rc = read_words(resending, body, err);
    if (rc == 0)
        rc = read_ids(resending, body, err);
    if (rc == 0)
        rc = read_time(body, "since", &resending->since_ms, err);
    if (rc == 0)
        rc = read_time(body, "until", &resending->until_ms, err);
    if (rc == 0 && !resending->ids == (resending->since_ms < 0))
        rc = err_set(err, ERR_INVALID, resending->ids ? "ids" : "since",
                     "either ids or since is needed");
    return rc;
}

void notifications_replay(struct dispatcher *dispatcher, struct call *call)
{
    struct resending *resending = call->state;
    struct err err = {0};
    json_t *body = NULL;
    struct json_limits limits = {.max_bytes = MAX_BODY_BYTES, .max_depth = 3};
    int rc = json_parse(resending->body.data, resending->body.size, limits, &body, &err);
    if (rc < 0) {
        call_refuse(call, PROBLEM_MALFORMED, err.text);
        return;
    }
    rc = read_question(resending, body, &err);
    json_decref(body);
    if (rc < 0)
        problem_send(
            call->exchange,
            &(struct problem){.kind = problem_of(rc), .detail = err.text, .field = err.field});
    else if (resending->ids)
        resend_ids(resending);
    else
        resend_range(resending);
}

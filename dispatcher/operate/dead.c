/* SPDX-License-Identifier: MIT
 *
 * The dead letter: /v1/dead, and giving what lies there another chance. Wants a key with the scope
 * operate. */
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"
#include "common/queue_operate.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/fanout.h"
#include "dispatcher/http/server.h"
#include "dispatcher/operate/views.h"
#include "dispatcher/routes.h"

#include <stdlib.h>
#include <string.h>

#define DEAD_LIMIT 50
#define MAX_BODY_BYTES 16384

/* ---- looking --------------------------------------------------------------------------------- */

/* A page of the dead letters of all shards. */
struct letters {
    struct call *call; /* borrowed; valid until the answer */
    json_t *list;      /* owned */
    int64_t total, offset, limit;
};

static void free_letters(void *state)
{
    struct letters *letters = state;
    json_decref(letters->list);
    free(letters);
}

static void build_dead(const struct queue *queue, struct redis_command *command, void *data)
{
    const struct letters *letters = data;
    queue_dead_command(queue, 0, letters->offset + letters->limit, command);
}

static json_t *history_view(const struct queue_dead *dead)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < dead->history_count; i++)
        json_array_append_new(
            list, json_pack("{s:i, s:o, s:s}", "epoch", (int)dead->history[i].epoch, "at",
                            view_time(dead->history[i].at_ms), "what", dead->history[i].what));
    return list;
}

static json_t *dead_view(const struct queue_dead *dead)
{
    const struct queue_job *job = &dead->job;
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:{s:s, s:s}, s:i, s:i, s:i, s:o}", "id",
                     job->public_id, "model", job->model, "flow", job->flow, "created_at",
                     view_time(job->created_ms), "died_at", view_time(dead->died_ms), "error",
                     "code", job->error_code, "detail", job->error_detail, "attempts",
                     job->attempts, "losses", job->losses, "crashes", job->crashes, "history",
                     history_view(dead));
}

static int read_dead(const struct queue *queue, const struct redis_reply *reply, void *data)
{
    struct letters *letters = data;
    letters->total += queue_dead_total(reply);
    for (size_t i = 0; i < queue_dead_count(reply); i++) {
        struct queue_dead dead;
        /* A record that cannot be read is for fsck, and hides none of the others. */
        if (queue_dead_reply(queue, reply, i, &dead, NULL) == 0)
            json_array_append_new(letters->list, dead_view(&dead));
    }
    return 0;
}

static int newest_first(const void *a, const void *b)
{
    json_t *const *first = a, *const *second = b;
    return strcmp(json_string_value(json_object_get(*second, "died_at")),
                  json_string_value(json_object_get(*first, "died_at")));
}

/* The page that was asked for, out of the first offset + limit of every shard. */
static json_t *dead_page(const struct letters *letters)
{
    size_t count = json_array_size(letters->list);
    json_t *page = json_array();
    json_t **sorted = calloc(count + 1, sizeof *sorted);
    for (size_t i = 0; sorted && i < count; i++)
        sorted[i] = json_array_get(letters->list, i);
    if (sorted)
        qsort(sorted, count, sizeof *sorted, newest_first);
    for (size_t i = (size_t)letters->offset;
         sorted && i < count && i < (size_t)(letters->offset + letters->limit); i++)
        json_array_append(page, sorted[i]);
    free(sorted);
    return page;
}

static void on_dead(int rc, void *data)
{
    struct letters *letters = data;
    if (rc < 0)
        view_refuse_redis(letters->call, rc);
    else
        call_send_value(letters->call, 200,
                        json_pack("{s:I, s:o}", "total", (json_int_t)letters->total, "dead",
                                  dead_page(letters)));
}

void dead_list(struct dispatcher *dispatcher, struct call *call)
{
    static const struct fanout_verbs verbs = {build_dead, read_dead, on_dead};
    if (!identity_require(call, SCOPE_OPERATE))
        return;
    struct letters *letters = calloc(1, sizeof *letters);
    if (!letters) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    *letters = (struct letters){.call = call, .list = json_array(), .limit = DEAD_LIMIT};
    call->state = letters;
    call->free_state = free_letters;
    if (!call_number(call, "limit", 1, QUEUE_DEAD_MAX, &letters->limit) ||
        !call_number(call, "offset", 0, QUEUE_DEAD_MAX - letters->limit, &letters->offset))
        return;
    int rc = fanout_ask(dispatcher, &verbs, letters);
    if (rc < 0)
        view_refuse_redis(call, rc);
}

/* ---- another chance -------------------------------------------------------------------------- */

static void log_replayed(const struct call *call, const char *id)
{
    log_event(LOG_INFO, "job.requeued", "job", LOG_S, id, "key", LOG_S, call->identity.key_id,
              NULL);
}

static void on_replayed(int rc, const struct redis_reply *reply, void *data)
{
    struct call *call = data;
    struct err err = {0};
    char id[ID_PUBLIC_SIZE];
    if (rc == 0)
        rc = queue_replay_reply(reply, &err);
    if (rc < 0 && !err.text[0]) {
        view_refuse_redis(call, rc);
        return;
    }
    if (rc < 0) {
        problem_send_err(call->exchange, rc, &err, NULL);
        return;
    }
    router_capture(&call->match, 0, id, sizeof id);
    log_replayed(call, id);
    call_send_value(call, 200, json_pack("{s:s, s:s}", "id", id, "state", "queued"));
}

void dead_replay(struct dispatcher *dispatcher, struct call *call)
{
    char id[ID_PUBLIC_SIZE];
    if (!identity_require(call, SCOPE_OPERATE) || !call_public_id(call, id))
        return;
    queue_replay_command(dispatcher_queue_of_id(dispatcher, id), id, &dispatcher->command);
    int rc = dispatcher_send(dispatcher, on_replayed, call);
    if (rc < 0)
        view_refuse_redis(call, rc);
}

/* ---- another chance for many ----------------------------------------------------------------- */

struct replays {
    struct call *call; /* borrowed; valid until the answer */
    json_t *skipped;   /* owned */
    int64_t replayed;
    unsigned open; /* answers that are owed, and one for who asks */
    int rc;        /* the first failure */
    size_t count;
    struct replayed {
        struct replays *replays;
        char public_id[ID_PUBLIC_SIZE];
    } items[QUEUE_DEAD_MAX];
};

static void free_replays(void *state)
{
    struct replays *replays = state;
    json_decref(replays->skipped);
    free(replays);
}

static void close_one(struct replays *replays, int rc)
{
    if (replays->rc == 0)
        replays->rc = rc;
    if (--replays->open > 0)
        return;
    if (replays->rc < 0)
        view_refuse_redis(replays->call, replays->rc);
    else
        call_send_value(replays->call, 200,
                        json_pack("{s:I, s:O}", "replayed", (json_int_t)replays->replayed,
                                  "skipped", replays->skipped));
}

/* What is gone, or was replayed by somebody else, is no failure of the others. */
static void on_one_replayed(int rc, const struct redis_reply *reply, void *data)
{
    const struct replayed *item = data;
    struct replays *replays = item->replays;
    struct err err = {0};
    if (rc == 0)
        rc = queue_replay_reply(reply, &err);
    if (rc == 0) {
        replays->replayed++;
        log_replayed(replays->call, item->public_id);
    } else if (rc == ERR_NOT_FOUND || rc == ERR_CONFLICT) {
        json_array_append_new(replays->skipped, json_string(item->public_id));
        rc = 0;
    }
    close_one(replays, rc);
}

static int read_replays(struct replays *replays, const json_t *body, struct err *err)
{
    static const char *const known[] = {"ids", NULL};
    json_t *ids = NULL;
    int rc = json_check_members(body, NULL, known, err);
    if (rc == 0)
        rc = json_get_array(body, "ids", QUEUE_DEAD_MAX, &ids, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (!id || !id_public_valid(id))
            return err_set(err, ERR_INVALID, "ids", "ids[%zu] is no id of a job", i);
        replays->items[i].replays = replays;
        memcpy(replays->items[i].public_id, id, ID_PUBLIC_SIZE);
        replays->count++;
    }
    return rc;
}

static int ask_replay(struct replays *replays, struct replayed *item)
{
    struct dispatcher *dispatcher = replays->call->dispatcher;
    if (id_public_shard(item->public_id) >= dispatcher->shards) {
        json_array_append_new(replays->skipped, json_string(item->public_id));
        return 0;
    }
    queue_replay_command(dispatcher_queue_of_id(dispatcher, item->public_id), item->public_id,
                         &dispatcher->command);
    int rc = dispatcher_send(dispatcher, on_one_replayed, item);
    replays->open += rc == 0;
    return rc;
}

void dead_replay_many_headers(struct dispatcher *dispatcher, struct call *call)
{
    if (identity_require(call, SCOPE_OPERATE))
        call_take_body(call, MAX_BODY_BYTES);
}

void dead_replay_many(struct dispatcher *dispatcher, struct call *call)
{
    struct err err = {0};
    struct replays *replays = calloc(1, sizeof *replays);
    json_t *body = replays ? call_parse_body(call, 2) : NULL;
    if (!replays)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
    call->state = replays;
    call->free_state = replays ? free_replays : NULL;
    if (!body)
        return;
    replays->call = call;
    replays->skipped = json_array();
    int rc = read_replays(replays, body, &err);
    json_decref(body);
    if (rc < 0) {
        call_refuse_err(call, rc, &err);
        return;
    }
    replays->open = 1;
    for (size_t i = 0; rc == 0 && i < replays->count; i++)
        rc = ask_replay(replays, &replays->items[i]);
    close_one(replays, rc);
}

/* SPDX-License-Identifier: MIT
 *
 * POST /v1/jobs/states: what became of many jobs, for who has their tokens or a key of their
 * account, so that a page that lists them asks once and not a hundred times. It changes nothing. A
 * token is checked before Redis hears of the job. */
#include "common/err.h"
#include "common/log.h"
#include "common/queue_list.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/job_view.h"
#include "dispatcher/routes.h"
#include "dispatcher/upkeep/mail_watch.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BODY_BYTES 32768

struct sight {
    char public_id[ID_PUBLIC_SIZE];
    bool by_token;
    enum { SIGHT_MISSING, SIGHT_REFUSED, SIGHT_SHOWN } outcome;
    struct buf view; /* of SIGHT_SHOWN */
};

struct looking {
    struct call *call; /* borrowed; valid until the answer */
    struct sight sights[QUEUE_LIST_MAX];
    size_t count;
    unsigned open; /* answers of Redis that are owed, and one for the loop that asks */
    int rc;        /* the first failure */
    /* One question for each shard that has any of the jobs. */
    struct look {
        struct looking *looking;
        const struct queue *queue;
        size_t count;
        size_t which[QUEUE_LIST_MAX]; /* of sights, in the order in which Redis was asked */
    } * looks;                        /* owned */
    size_t look_count;
};

static void free_looking(void *state)
{
    struct looking *looking = state;
    for (size_t i = 0; i < QUEUE_LIST_MAX; i++)
        buf_fini(&looking->sights[i].view);
    free(looking->looks);
    free(looking);
}

/* ---- what is asked for ----------------------------------------------------------------------- */

static int read_sight(struct looking *looking, const json_t *item, struct err *err)
{
    static const char *const known[] = {"id", "token", NULL};
    const struct call *call = looking->call;
    struct sight *sight = &looking->sights[looking->count];
    const char *id = NULL, *token = NULL;
    int rc = json_check_members(item, "jobs", known, err);
    if (rc == 0)
        rc = json_get_text(item, "jobs.id", 64, &id, err);
    if (rc == 0)
        rc = json_opt_text(item, "jobs.token", CALL_TOKEN_SIZE, &token, err);
    if (rc < 0)
        return rc;
    if (!id_public_valid(id))
        return err_set(err, ERR_INVALID, "jobs", "jobs[%zu].id is no id of a job", looking->count);
    memcpy(sight->public_id, id, ID_PUBLIC_SIZE);
    buf_init(&sight->view, JOB_VIEW_MAX);
    sight->by_token = token && token_allows(call->dispatcher->tokens, TOKEN_VIEW, id, token);
    bool by_key = call->identity.has_key && (call->identity.scopes & SCOPE_READ);
    if (!sight->by_token && !by_key)
        sight->outcome = SIGHT_REFUSED;
    looking->count++;
    return 0;
}

static int read_body(struct looking *looking, const json_t *body, struct err *err)
{
    static const char *const known[] = {"jobs", NULL};
    json_t *jobs = NULL;
    int rc = json_check_members(body, NULL, known, err);
    if (rc == 0)
        rc = json_get_array(body, "jobs", QUEUE_LIST_MAX, &jobs, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(jobs); i++)
        rc = read_sight(looking, json_array_get(jobs, i), err);
    return rc;
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* The ids of an outcome, or the jobs themselves. */
static int put_list(const struct looking *looking, int outcome, struct buf *out)
{
    bool first = true;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < looking->count; i++) {
        const struct sight *sight = &looking->sights[i];
        if ((int)sight->outcome != outcome)
            continue;
        if (!first)
            rc = buf_append_text(out, ",");
        if (rc == 0 && outcome == SIGHT_SHOWN)
            rc = buf_append(out, sight->view.data, sight->view.size);
        else if (rc == 0)
            rc = buf_join(out, "\"", sight->public_id, "\"", NULL);
        first = false;
    }
    return rc;
}

static void answer(struct looking *looking)
{
    struct buf body;
    buf_init(&body, (QUEUE_LIST_MAX + 1) * JOB_VIEW_MAX);
    int rc = buf_append_text(&body, "{\"jobs\":[");
    if (rc == 0)
        rc = put_list(looking, SIGHT_SHOWN, &body);
    if (rc == 0)
        rc = buf_append_text(&body, "],\"missing\":[");
    if (rc == 0)
        rc = put_list(looking, SIGHT_MISSING, &body);
    if (rc == 0)
        rc = buf_append_text(&body, "],\"refused\":[");
    if (rc == 0)
        rc = put_list(looking, SIGHT_REFUSED, &body);
    if (rc == 0)
        rc = buf_append_text(&body, "]}");
    if (rc == 0)
        call_send_json(looking->call, 200, &body);
    else
        call_refuse(looking->call, PROBLEM_UNAVAILABLE, NULL);
    buf_fini(&body);
}

static void close_one(struct looking *looking, int rc)
{
    if (looking->rc == 0)
        looking->rc = rc;
    if (--looking->open > 0)
        return;
    if (looking->rc < 0)
        problem_send_err(looking->call->exchange, looking->rc, NULL, NULL);
    else
        answer(looking);
}

/* ---- the questions --------------------------------------------------------------------------- */

static int read_job(struct looking *looking, struct sight *sight, const struct queue_job *job)
{
    const struct dispatcher *dispatcher = looking->call->dispatcher;
    if (!sight->by_token && !identity_owns(&looking->call->identity, job->flow, SCOPE_READ)) {
        sight->outcome = SIGHT_REFUSED;
        return 0;
    }
    sight->outcome = SIGHT_SHOWN;
    struct queue_job scratch;
    return job_view_write(mail_watch_shown(dispatcher->mail_watch, job, &scratch),
                          dispatcher->public_url, dispatcher->tokens, false, &sight->view);
}

static void on_looked(int rc, const struct redis_reply *reply, void *data)
{
    struct look *look = data;
    for (size_t i = 0; rc == 0 && i < look->count; i++) {
        struct sight *sight = &look->looking->sights[look->which[i]];
        struct queue_job job;
        struct err err = {0};
        int read = queue_look_reply(look->queue, reply, i, &job, &err);
        if (read == ERR_CORRUPT) /* hides none of the others */
            log_event(LOG_ERROR, "job.corrupt", "job", LOG_S, sight->public_id, "detail", LOG_S,
                      err.text, NULL);
        else if (read == 0)
            rc = read_job(look->looking, sight, &job);
        else if (read != ERR_NOT_FOUND)
            rc = read;
    }
    close_one(look->looking, rc);
}

static struct look *look_for(struct looking *looking, const struct queue *queue)
{
    for (size_t i = 0; i < looking->look_count; i++)
        if (looking->looks[i].queue == queue)
            return &looking->looks[i];
    struct look *look = &looking->looks[looking->look_count++];
    *look = (struct look){.looking = looking, .queue = queue};
    return look;
}

/* Those that may be shown and can be there, by their shards. */
static int sort_by_shard(struct looking *looking)
{
    const struct dispatcher *dispatcher = looking->call->dispatcher;
    size_t most = looking->count < dispatcher->shards ? looking->count : dispatcher->shards;
    looking->looks = calloc(most + 1, sizeof *looking->looks);
    if (!looking->looks)
        return ERR_NOMEM;
    for (size_t i = 0; i < looking->count; i++) {
        const struct sight *sight = &looking->sights[i];
        if (sight->outcome != SIGHT_MISSING ||
            id_public_shard(sight->public_id) >= dispatcher->shards)
            continue;
        struct look *look = look_for(looking, dispatcher_queue_of_id(dispatcher, sight->public_id));
        look->which[look->count++] = i;
    }
    return 0;
}

static int ask(struct looking *looking, struct look *look)
{
    struct dispatcher *dispatcher = looking->call->dispatcher;
    const char *ids[QUEUE_LIST_MAX];
    for (size_t i = 0; i < look->count; i++)
        ids[i] = looking->sights[look->which[i]].public_id;
    queue_look_command(look->queue, ids, look->count, &dispatcher->command);
    return dispatcher_send(dispatcher, on_looked, look);
}

void job_states_headers(struct dispatcher *dispatcher, struct call *call)
{
    if (identity_permit(call, SCOPE_READ))
        call_take_body(call, MAX_BODY_BYTES);
}

void job_states(struct dispatcher *dispatcher, struct call *call)
{
    struct err err = {0};
    struct looking *looking = calloc(1, sizeof *looking);
    if (!looking) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    looking->call = call;
    call->state = looking;
    call->free_state = free_looking;
    json_t *body = call_parse_body(call, 3);
    if (!body)
        return;
    int rc = read_body(looking, body, &err);
    json_decref(body);
    if (rc < 0) {
        call_refuse_err(call, rc, &err);
        return;
    }
    looking->open = 1;
    rc = sort_by_shard(looking);
    for (size_t i = 0; rc == 0 && i < looking->look_count; i++) {
        rc = ask(looking, &looking->looks[i]);
        looking->open += rc == 0;
    }
    close_one(looking, rc);
}

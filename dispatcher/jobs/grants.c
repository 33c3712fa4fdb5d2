/* SPDX-License-Identifier: MIT
 *
 * POST /v1/grants: a worker shows the leases that it holds and gets a presigned GET and PUT for
 * each. Redis, not the worker's word, says whether a lease is held; the keys are ours. */
#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/routes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PICTURE_TYPE "image/png"
#define MAX_REQUEST_BYTES (64 * 1024)
#define MAX_ANSWER_BYTES (16 * 1024 * 1024)
#define MAX_SMALL_ID ((int64_t)1 << 53)

struct asking {
    struct call *call; /* borrowed; valid until the answer */
    struct buf body;
    struct queue_lease leases[QUEUE_GRANTS_MAX];
    size_t count;
};

static void free_asking(void *state)
{
    struct asking *asking = state;
    buf_fini(&asking->body);
    free(asking);
}

/* Both sides are padded with zeros to one length, so the comparison tells nothing by its time. */
static bool is_worker(const struct dispatcher *dispatcher, const char *token)
{
    char padded[DISPATCHER_WORKER_TOKEN_SIZE] = {0};
    static_assert(sizeof padded >= CALL_TOKEN_SIZE, "any token that was read fits");
    memcpy(padded, token, strlen(token));
    return crypto_equal(padded, dispatcher->worker_token, sizeof padded);
}

static void on_body(void *context, struct exchange *exchange, const void *data, size_t size)
{
    struct call *call = exchange_user(exchange);
    struct asking *asking = call->state;
    if (buf_append(&asking->body, data, size) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}

void grants_headers(struct dispatcher *dispatcher, struct call *call)
{
    char token[CALL_TOKEN_SIZE];
    if (!call_token(call, token))
        return;
    if (!is_worker(dispatcher, token)) {
        call_refuse(call, PROBLEM_FORBIDDEN, "this is not the workers' token");
        return;
    }
    struct asking *asking = calloc(1, sizeof *asking);
    if (!asking) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    asking->call = call;
    buf_init(&asking->body, MAX_REQUEST_BYTES);
    call->state = asking;
    call->free_state = free_asking;
    exchange_set_body(call->exchange, MAX_REQUEST_BYTES, on_body);
}

/* ---- the answer ---- */

static int add_put(const struct dispatcher *dispatcher, const char *name, const char *key,
                   const char *content_type, json_t *item, struct err *err)
{
    struct store_link put;
    const struct store_link_request request = {.method = STORE_PUT,
                                               .key = key,
                                               .lifetime_s = dispatcher->settings->grant_seconds,
                                               .max_bytes = dispatcher->settings->max_upload_bytes,
                                               .content_type = content_type};
    int rc = store_presign(dispatcher->store, &request, &put, err);
    if (rc < 0)
        return rc;
    return json_object_set_new(item, name, json_string(put.url)) ? ERR_NOMEM : 0;
}

static int add_get(const struct dispatcher *dispatcher, const char *key, json_t *item,
                   struct err *err)
{
    struct store_link get;
    const struct store_link_request request = {
        .method = STORE_GET, .key = key, .lifetime_s = dispatcher->settings->grant_seconds};
    int rc = store_presign(dispatcher->store, &request, &get, err);
    if (rc < 0)
        return rc;
    return json_object_set_new(item, "get", json_string(get.url)) ? ERR_NOMEM : 0;
}

static int add_links(const struct dispatcher *dispatcher, const struct queue_grant *grant,
                     uint32_t epoch, json_t *item, struct err *err)
{
    char key[JOB_KEY_SIZE];
    const struct manifest *model = manifest_set_find(&dispatcher->models, grant->model);
    const char *type = model ? model->output_content_type : PICTURE_TYPE;
    int rc = grant->input_key[0] ? add_get(dispatcher, grant->input_key, item, err) : 0;
    if (rc == 0 && model && model->keep_crop && grant->input_key[0]) {
        job_crop_key(grant->public_id, epoch, key);
        rc = add_put(dispatcher, "put_crop", key, PICTURE_TYPE, item, err);
    }
    if (rc == 0 && model && model->heat_map) {
        job_heat_map_key(grant->public_id, epoch, key);
        rc = add_put(dispatcher, "put_heat_map", key, PICTURE_TYPE, item, err);
    }
    job_result_key(grant->public_id, epoch, grant->extension, key);
    if (rc == 0)
        rc = add_put(dispatcher, "put", key, type, item, err);
    if (rc == 0 &&
        (json_object_set_new(item, "result_key", json_string(key)) ||
         json_object_set_new(item, "put_headers", json_pack("{s:s}", "Content-Type", type))))
        rc = ERR_NOMEM;
    return rc;
}

static int add_grant(const struct asking *asking, size_t index, const struct redis_reply *reply,
                     json_t *items)
{
    const struct queue_lease *lease = &asking->leases[index];
    struct queue_grant grant;
    struct err err = {0};
    json_t *item =
        json_pack("{s:I, s:I}", "id", (json_int_t)lease->id, "epoch", (json_int_t)lease->epoch);
    int rc = item ? queue_grants_reply(reply, index, &grant, &err) : ERR_NOMEM;
    if (rc == 0 && !grant.held)
        rc = json_object_set_new(item, "error", json_string("lost")) ? ERR_NOMEM : 0;
    else if (rc == 0)
        rc = add_links(asking->call->dispatcher, &grant, lease->epoch, item, &err);
    if (rc < 0)
        log_event(LOG_ERROR, "grant.failed", "id", LOG_I, (int64_t)lease->id, "code", LOG_S,
                  err_name(rc), "detail", LOG_S, err.text, NULL);
    return json_array_append_new(items, item) && rc == 0 ? ERR_NOMEM : rc;
}

static void on_grants(int rc, const struct redis_reply *reply, void *data)
{
    struct asking *asking = data;
    struct buf out;
    json_t *items = json_array();
    json_t *answer = json_pack("{s:o}", "grants", items);
    buf_init(&out, MAX_ANSWER_BYTES);
    if (rc == 0 && !answer)
        rc = ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < asking->count; i++)
        rc = add_grant(asking, i, reply, items);
    if (rc == 0)
        rc = json_append(&out, answer, JSON_COMPACT);
    if (rc < 0)
        call_refuse(asking->call, PROBLEM_UNAVAILABLE, NULL);
    else
        call_send_json(asking->call, 200, &out);
    json_decref(answer);
    buf_fini(&out);
}

/* ---- the question ---- */

static int read_leases(struct asking *asking, const json_t *body, struct err *err)
{
    static const char *const known[] = {"id", "epoch", NULL};
    json_t *jobs;
    int rc = json_get_array(body, "jobs", QUEUE_GRANTS_MAX, &jobs, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(jobs); i++) {
        const json_t *item = json_array_get(jobs, i);
        int64_t id = 0, epoch = 0;
        rc = json_check_members(item, "jobs", known, err);
        if (rc == 0)
            rc = json_get_int(item, "jobs.id", 0, MAX_SMALL_ID, &id, err);
        if (rc == 0)
            rc = json_get_int(item, "jobs.epoch", 1, UINT32_MAX, &epoch, err);
        asking->leases[asking->count++] = (struct queue_lease){(uint64_t)id, (uint32_t)epoch};
    }
    if (rc == 0 && asking->count == 0)
        rc = err_set(err, ERR_INVALID, "jobs", "jobs must name at least one job");
    return rc;
}

void grants(struct dispatcher *dispatcher, struct call *call)
{
    static const char *const known[] = {"worker", "shard", "jobs", NULL};
    struct asking *asking = call->state;
    struct err err = {0};
    json_t *body = NULL;
    const char *worker = NULL;
    int64_t shard = 0;
    int rc = json_parse(asking->body.data, asking->body.size,
                        (struct json_limits){.max_bytes = MAX_REQUEST_BYTES, .max_depth = 4}, &body,
                        &err);
    if (rc < 0) {
        call_refuse(call, PROBLEM_MALFORMED, err.text);
        return;
    }
    rc = json_check_members(body, NULL, known, &err);
    if (rc == 0)
        rc = json_get_text(body, "worker", 64, &worker, &err);
    if (rc == 0 && !id_worker_valid(worker))
        rc = err_set(&err, ERR_INVALID, "worker", "worker must be w- and 32 hex digits");
    if (rc == 0)
        rc = json_opt_int(body, "shard", 0, dispatcher->shards - 1, &shard, &err);
    if (rc == 0)
        rc = read_leases(asking, body, &err);
    if (rc == 0) {
        queue_grants_command(dispatcher_queue(dispatcher, (unsigned)shard), worker, asking->leases,
                             asking->count, &dispatcher->command);
        rc = dispatcher_send(dispatcher, on_grants, asking);
    }
    json_decref(body);
    if (rc < 0)
        problem_send_err(call->exchange, rc, &err, NULL);
}

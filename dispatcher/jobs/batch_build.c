/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/batch_build.h"

#include "common/base64.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/json.h"
#include "common/manifest.h"
#include "dispatcher/dispatcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 10
#define ANSWER_MAX (256 * (QUEUE_BATCH_MAX + 4))

/* ---- check ----------------------------------------------------------------------------------- */

/* Which job it was. */
static int blame(size_t index, int rc, const struct intake_refusal *cause,
                 struct intake_refusal *out)
{
    char field[sizeof cause->err.field];
    if (snprintf(field, sizeof field, "jobs[%zu]%s%s", index, cause->err.field[0] ? "." : "",
                 cause->err.field) >= (int)sizeof field)
        snprintf(field, sizeof field, "jobs[%zu]", index);
    out->limit = cause->limit;
    return err_set(&out->err, rc, field, "job %zu: %s", index,
                   cause->err.text[0] ? cause->err.text : err_name(rc));
}

static int check_item(struct batch_build *build, const json_t *defaults, json_t *given,
                      struct batch_item *item, struct intake_refusal *refusal)
{
    const struct dispatcher *dispatcher = build->dispatcher;
    struct err *err = &refusal->err;
    if (!json_is_object(given))
        return err_set(err, ERR_INVALID, NULL, "a job must be an object");
    json_t *members = defaults ? json_copy((json_t *)defaults) : json_object();
    int rc = members && json_object_update(members, given) == 0 ? 0 : ERR_NOMEM;
    if (rc == 0)
        rc = intake_check_members(build->models, members, item->public_id, &item->intake, refusal);
    json_decref(members);
    if (rc < 0)
        return rc;
    if (item->intake.webhook)
        return err_set(err, ERR_INVALID, "webhook",
                       "jobs of a batch bring no webhook: register an endpoint");
    if ((rc = timing_permit(&item->intake.timing, build->identity->ceiling, err)) < 0 ||
        (rc = after_permit(&item->intake.after, dispatcher->tokens, true,
                           id_public_shard(item->public_id), err)) < 0)
        return rc;
    if ((rc = job_mail_check(dispatcher, &item->intake, err)) < 0)
        return rc;
    return job_mail_prepare(dispatcher, &item->intake, build->language, item->public_id,
                            &item->mail);
}

static int check_items(struct batch_build *build, const json_t *defaults, json_t *jobs,
                       struct intake_refusal *refusal)
{
    size_t count = json_array_size(jobs);
    unsigned shard = id_public_shard(build->batch_id);
    int rc = 0;
    if (count == 0)
        return err_set(&refusal->err, ERR_INVALID, "jobs", "jobs must hold at least one job");
    if (!(build->items = calloc(count, sizeof *build->items)))
        return ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct intake_refusal cause = {.malformed = false};
        id_public_create(shard, build->items[i].public_id);
        rc = check_item(build, defaults, json_array_get(jobs, i), &build->items[i], &cause);
        build->count = i + 1;
        if (rc < 0)
            rc = blame(i, rc, &cause, refusal);
    }
    return rc;
}

int batch_build_check(struct batch_build *build, struct intake_refusal *refusal)
{
    static const char *const known[] = {"defaults", "jobs", NULL};
    const struct json_limits limits = {.max_bytes = build->body.max_size, .max_depth = MAX_DEPTH};
    struct err *err = &refusal->err;
    json_t *whole = NULL, *defaults = NULL, *jobs = NULL;
    int rc = json_parse(build->body.data, build->body.size, limits, &whole, err);
    refusal->malformed = rc < 0 && rc != ERR_NOMEM;
    buf_fini(&build->body); /* jansson has a copy */
    if (rc == 0)
        rc = json_check_members(whole, NULL, known, err);
    if (rc == 0)
        rc = json_opt_object(whole, "defaults", &defaults, err);
    if (rc == 0)
        rc = json_get_array(whole, "jobs", QUEUE_BATCH_MAX, &jobs, err);
    if (rc == 0)
        rc = check_items(build, defaults, jobs, refusal);
    json_decref(whole);
    return rc;
}

int batch_build_fingerprint(const struct batch_build *build, char out[INTAKE_FINGERPRINT_SIZE])
{
    struct crypto_sha256 *hash = NULL;
    unsigned char digest[CRYPTO_SHA256_SIZE];
    int rc = crypto_sha256_create(&hash);
    for (size_t i = 0; rc == 0 && i < build->count; i++) {
        char one[INTAKE_FINGERPRINT_SIZE];
        rc = intake_fingerprint(&build->items[i].intake, build->items[i].public_id, one);
        if (rc == 0)
            rc = crypto_sha256_update(hash, one, sizeof one);
    }
    if (rc == 0)
        rc = crypto_sha256_final(hash, digest);
    crypto_sha256_destroy(&hash);
    if (rc == 0)
        hex_encode(digest, 16, out);
    return rc;
}

/* ---- store ----------------------------------------------------------------------------------- */

static const char *item_id(const void *ids, size_t index)
{
    return ((const struct batch_item *)ids)[index].public_id;
}

int batch_build_store(struct batch_build *build, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < build->count; i++) {
        struct intake *intake = &build->items[i].intake;
        char key[JOB_KEY_SIZE];
        if (!intake->has_picture)
            continue;
        job_input_key(build->items[i].public_id, key);
        rc = store_put(build->dispatcher->store, key, intake->input.data, intake->input.size,
                       intake->input_type, err);
        buf_fini(&intake->input);
    }
    buf_init(&build->answer, ANSWER_MAX);
    return rc == 0 ? batch_write_accepted(build->dispatcher, build->batch_id, item_id, build->items,
                                          build->count, &build->answer)
                   : rc;
}

/* ---- what comes of it ------------------------------------------------------------------------ */

void batch_build_job(struct batch_build *build, size_t index, struct queue_submit *out)
{
    struct batch_item *item = &build->items[index];
    intake_submit(&item->intake, build->identity, item->public_id, out);
    job_mail_apply(&item->mail, out);
    out->batch = build->batch_id;
    if (build->trace[0]) {
        out->extra_size = (size_t)snprintf(build->line, sizeof build->line, "t=%s\n", build->trace);
        out->extra = build->line;
    }
    after_apply(&item->intake.after, item->parents, out);
}

void batch_build_fini(struct batch_build *build)
{
    buf_fini(&build->body);
    buf_fini(&build->answer);
    for (size_t i = 0; i < build->count; i++)
        intake_fini(&build->items[i].intake);
    free(build->items);
    build->items = NULL;
    build->count = 0;
}

static int put_tokens(const struct token_keys *keys, const char *public_id, struct buf *out)
{
    static const struct {
        enum token_right right;
        const char *name;
    } rights[] = {{TOKEN_VIEW, "view"}, {TOKEN_MANAGE, "manage"}, {TOKEN_DELETE, "delete"}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < 3; i++) {
        char token[TOKEN_SIZE];
        rc = token_make(keys, rights[i].right, public_id, token);
        if (rc == 0)
            rc = buf_join(out, i ? ",\"" : "\"", rights[i].name, "\":\"", token, "\"", NULL);
    }
    return rc;
}

int batch_write_accepted(const struct dispatcher *dispatcher, const char *batch_id,
                         const char *(*id_at)(const void *ids, size_t index), const void *ids,
                         size_t count, struct buf *out)
{
    int rc = buf_printf(out,
                        "{\"id\":\"%s\",\"count\":%zu,\"links\":{\"self\":\"%s/v1/batches/%s\"},"
                        "\"tokens\":{",
                        batch_id, count, dispatcher->public_url, batch_id);
    if (rc == 0)
        rc = put_tokens(dispatcher->tokens, batch_id, out);
    if (rc == 0)
        rc = buf_append_text(out, "},\"jobs\":[");
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc =
            buf_join(out, i ? ",{\"id\":\"" : "{\"id\":\"", id_at(ids, i), "\",\"tokens\":{", NULL);
        if (rc == 0)
            rc = put_tokens(dispatcher->tokens, id_at(ids, i), out);
        if (rc == 0)
            rc = buf_append_text(out, "}}");
    }
    return rc == 0 ? buf_append_text(out, "]}") : rc;
}

/* SPDX-License-Identifier: MIT */
#include "dispatcher/pages/job_data.h"

#include "common/catalogue.h"
#include "common/clock.h"
#include "common/job.h"
#include "common/manifest.h"
#include "common/manifest_texts.h"
#include "common/queue.h"
#include "common/store.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/pages/page.h"

#include <stdio.h>
#include <string.h>

#define MAX_DEPTH 8
/* Longer parameters are not handed on: addresses of many thousand characters get lost on the way.
 */
#define MAX_LINK 3000

/* {"iso", "text"}: for <time>, which scripts put into the visitor's own zone. */
static json_t *moment(int64_t ms)
{
    char iso[CLOCK_ISO_SIZE];
    clock_iso(ms, iso);
    return json_pack("{s:s, s:o}", "iso", iso, "text",
                     json_sprintf("%.10s %.5s UTC", iso, iso + 11));
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* In the unit that a person would use, rounded up; "unknown" where nobody works. */
static json_t *wait_of(int64_t eta_ms)
{
    int64_t seconds = (eta_ms + 999) / 1000;
    if (eta_ms < 0)
        return json_pack("{s:b}", "unknown", true);
    if (seconds < 90)
        return json_pack("{s:{s:I}}", "seconds", "n", (json_int_t)(seconds > 1 ? seconds : 1));
    if (seconds < 90 * 60)
        return json_pack("{s:{s:I}}", "minutes", "n", (json_int_t)((seconds + 59) / 60));
    return json_pack("{s:{s:I}}", "hours", "n", (json_int_t)((seconds + 3599) / 3600));
}

static void add_place(json_t *data, const struct queue_job *job)
{
    if (job->state != JOB_QUEUED)
        return;
    if (job->position == 0)
        json_object_set_new(data, "next", json_true());
    else if (job->position > 0)
        json_object_set_new(data, "ahead", json_pack("{s:I}", "n", (json_int_t)job->position));
    json_object_set_new(data, "wait", wait_of(job->eta_ms));
}

/* What a delayed job waits for: others, the time that was asked for, or the next try. */
static void add_delay(json_t *data, const struct queue_job *job)
{
    if (job->state != JOB_DELAYED)
        return;
    if (job->waits)
        json_object_set_new(data, "after", json_true());
    else
        json_object_set_new(data, job->attempts > 0 ? "retry" : "run_at",
                            json_pack("{s:i, s:o}", "n", job->attempts, "at", moment(job->due_ms)));
}

static void add_mail(json_t *data, const struct queue_job *job)
{
    static const char *const names[] = {
        [QUEUE_MAIL_NONE] = "none",        [QUEUE_MAIL_WAITING] = "coming",
        [QUEUE_MAIL_LIMITED] = "limit",    [QUEUE_MAIL_QUOTA] = "quota",
        [QUEUE_MAIL_SENT] = "sent",        [QUEUE_MAIL_FAILED] = "failed",
        [QUEUE_MAIL_UNWANTED] = "unwanted"};
    enum queue_mail mail = queue_mail_of(job, NULL);
    bool held = job->mails_held_until_ms > 0;
    if (mail == QUEUE_MAIL_WAITING && held)
        mail = QUEUE_MAIL_QUOTA;
    json_t *view = json_pack("{s:b}", names[mail], true);
    if (mail == QUEUE_MAIL_QUOTA && held)
        json_object_set_new(view, "until", moment(job->mails_held_until_ms));
    json_object_set_new(data, "mail", view);
}

/* ---- ended ----------------------------------------------------------------------------------- */

const char *job_failure_text(const char *code)
{
    static const struct {
        const char *code, *text;
    } rows[] = {
        {"corrupt", "status.fail_corrupt"},      {"unsupported", "status.fail_unsupported"},
        {"limit", "status.fail_limit"},          {"invalid", "status.fail_invalid"},
        {"not-found", "status.fail_gone"},       {"timeout", "status.fail_timeout"},
        {"deadline", "status.fail_deadline"},    {"crashed", "status.fail_crashed"},
        {"parent_failed", "status.fail_parent"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!strcmp(rows[i].code, code))
            return rows[i].text;
    return "status.fail_other";
}

static void add_failure(json_t *data, struct call *call, const struct queue_job *job)
{
    if (job->state != JOB_FAILED)
        return;
    json_object_set_new(data, "failure",
                        json_pack("{s:s, s:s, s:o?}", "text",
                                  page_text(call, job_failure_text(job->error_code)), "code",
                                  job->error_code, "detail",
                                  job->error_detail[0] ? json_string(job->error_detail) : NULL));
}

/* The parameters as they were, or NULL. Owned by the caller. */
static json_t *params_of(const struct queue_job *job)
{
    struct job_spec spec = {.params = NULL};
    struct json_limits limits = {.max_bytes = JOB_PARAMS_MAX, .max_depth = MAX_DEPTH};
    json_t *params = NULL;
    if (job_spec_parse(job->spec, job->spec_size, &spec, NULL) == 0 && spec.params)
        json_parse(spec.params, strlen(spec.params), limits, &params, NULL);
    job_spec_fini(&spec);
    return params;
}

/* [{"title", "value"}] for people, with the titles that the manifest has in their language. */
static json_t *list_params(const json_t *params, const json_t *view)
{
    const json_t *properties = json_object_get(json_object_get(view, "params"), "properties");
    json_t *list = json_array(), *value;
    const char *name;
    json_object_foreach((json_t *)params, name, value)
    {
        const json_t *property = json_object_get(properties, name);
        const char *title = json_string_value(json_object_get(property, "title"));
        const char *text = json_string_value(value);
        const char *label =
            text ? json_string_value(json_object_get(json_object_get(property, "labels"), text))
                 : NULL;
        char *dump = text ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        json_array_append_new(list, json_pack("{s:s, s:s?}", "title", title ? title : name, "value",
                                              label  ? label
                                              : text ? text
                                                     : dump));
        free(dump);
    }
    return list;
}

/* Percent-encoded, for a query. */
static int append_escaped(struct buf *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    int rc = 0;
    for (; rc == 0 && *text; text++)
        rc = buf_printf(out, strchr(plain, *text) ? "%c" : "%%%02X", (unsigned char)*text);
    return rc;
}

/* Where the same is done with other settings: docs/pages.md. */
static json_t *again_link(const struct queue_job *job, const struct manifest *model,
                          const struct job_rights *rights, const json_t *params)
{
    struct buf link;
    buf_init(&link, MAX_LINK);
    buf_join(&link, "/m/", model->name, "?", NULL);
    if (model->has_input && model->keep_crop && job->state == JOB_SUCCEEDED)
        buf_join(&link, "again=", job->public_id, "&token=", rights->token, "&", NULL);
    char *text =
        json_object_size(params) > 0 ? json_dumps(params, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    size_t before = link.size;
    int rc = text ? buf_append_text(&link, "p=") : 0;
    if (text && rc == 0)
        rc = append_escaped(&link, text);
    if (rc < 0)
        buf_truncate(&link, before);
    free(text);
    json_t *value = json_string(buf_text(&link));
    buf_fini(&link);
    return value;
}

static bool has_settings(const json_t *view)
{
    return json_object_size(json_object_get(json_object_get(view, "params"), "properties")) > 0;
}

static void add_model(json_t *data, struct call *call, const struct queue_job *job,
                      const struct job_rights *rights)
{
    struct dispatcher *dispatcher = call->dispatcher;
    const struct manifest *model = manifest_set_find(&dispatcher->models, job->model);
    json_t *view = NULL, *params = rights->view ? params_of(job) : NULL;
    const char *language = page_language(dispatcher, call->exchange)->tag;
    if (model && manifest_texts_view(model, language, &view, NULL) == 0) {
        json_object_set(data, "model", json_object_get(view, "title"));
        json_object_set_new(data, "model_link", json_sprintf("/m/%s", model->name));
        if (rights->view && has_settings(view))
            json_object_set_new(data, "again", again_link(job, model, rights, params));
        if (rights->view && model->has_input && model->keep_crop)
            json_object_set_new(
                data, "before",
                json_sprintf("/v1/jobs/%s/crop?token=%s", job->public_id, rights->token));
        if (rights->view && model->heat_map)
            json_object_set_new(
                data, "heat_map",
                json_sprintf("/v1/jobs/%s/heat-map?token=%s", job->public_id, rights->token));
    } else {
        json_object_set_new(data, "model", json_string(job->model));
    }
    if (json_object_size(params) > 0)
        json_object_set_new(data, "params", list_params(params, view));
    json_decref(view);
    json_decref(params);
}

static json_t *downloads(const struct queue_job *job, const struct job_rights *rights)
{
    static const char *const formats[][2] = {{"png", "PNG"}, {"jpeg", "JPEG"}, {"webp", "WebP"}};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:o}", "format", formats[i][1], "link",
                            json_sprintf("/v1/jobs/%s/result?format=%s&token=%s", job->public_id,
                                         formats[i][0], rights->token)));
    return list;
}

static int64_t kept_until_ms(const struct dispatcher *dispatcher, const struct queue_job *job)
{
    const struct manifest *model = manifest_set_find(&dispatcher->models, job->model);
    return job->updated_ms +
           (model && model->result_s ? 1000 * model->result_s : dispatcher->settings->retain_ms);
}

static void add_result(json_t *data, struct call *call, const struct queue_job *job,
                       const struct job_rights *rights)
{
    const struct dispatcher *dispatcher = call->dispatcher;
    const char *url = dispatcher->public_url, *id = job->public_id;
    char share[TOKEN_SIZE];
    if (job->state != JOB_SUCCEEDED || token_make(dispatcher->tokens, TOKEN_SHARE, id, share) < 0)
        return;
    json_object_set_new(data, "share", json_sprintf("%s/j/%s?token=%s", url, id, share));
    json_object_set_new(data, "result",
                        json_sprintf("/v1/jobs/%s/result?token=%s", id, rights->token));
    json_object_set_new(data, "kept_until", moment(kept_until_ms(dispatcher, job)));
    if (strncmp(job->result_type, "image/", 6) == 0) {
        json_object_set_new(
            data, "picture",
            json_sprintf("%s/v1/jobs/%s/result?format=jpeg&token=%s", url, id, share));
        json_object_set_new(data, "downloads", downloads(job, rights));
    }
    json_object_set_new(data, "rated_up", json_boolean(job->rating == 'u'));
    json_object_set_new(data, "rated_down", json_boolean(job->rating == 'd'));
}

json_t *job_data(struct call *call, const struct queue_job *job, const struct job_rights *rights)
{
    bool ended = job_state_is_final(job->state);
    json_t *data =
        json_pack("{s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:o, s:o}", "id", job->public_id,
                  "token", rights->token, "state", job_state_name(job->state),
                  job_state_name(job->state), true, "waiting", !ended, "owner", rights->view,
                  "may_cancel", rights->manage && !ended, "may_delete", rights->erase, "created",
                  moment(job->created_ms), "updated", moment(job->updated_ms));
    if (!data)
        return NULL;
    add_place(data, job);
    add_delay(data, job);
    if (job->state == JOB_RUNNING && job->progress > 0)
        json_object_set_new(data, "percent", json_pack("{s:i}", "n", job->progress / 10));
    if (rights->view)
        add_mail(data, job);
    add_failure(data, call, job);
    add_model(data, call, job, rights);
    add_result(data, call, job, rights);
    return data;
}

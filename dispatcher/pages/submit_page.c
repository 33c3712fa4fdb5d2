/* SPDX-License-Identifier: MIT */
#include "dispatcher/pages/submit_page.h"

#include "common/buf.h"
#include "common/catalogue.h"
#include "common/id.h"
#include "common/manifest.h"
#include "common/manifest_texts.h"
#include "common/template.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/again.h"
#include "dispatcher/jobs/forecast.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/pages/submit_fields.h"

#include <stdio.h>
#include <string.h>

#define MAX_LINE 1000

/* A text of the section "submit" with its places filled in from `data` (taken). */
static json_t *say(const struct submit_page *page, const char *name, json_t *data)
{
    const struct catalogue_language *language =
        page_language(page->call->dispatcher, page->call->exchange);
    struct template_options options = {.texts = language->texts};
    char path[64];
    struct buf line;
    buf_init(&line, MAX_LINE);
    snprintf(path, sizeof path, "submit.%s", name);
    int rc = template_render(path, page_text(page->call, path), data, &options, &line, NULL);
    json_t *text = rc == 0 ? json_string(buf_text(&line)) : NULL;
    buf_fini(&line);
    json_decref(data);
    return text;
}

/* ---- the queue ------------------------------------------------------------------------------- */

/* "20 s": nobody can promise to the second. A minute and a half is where minutes begin. */
static json_t *wait_text(const struct submit_page *page, int64_t wait_ms)
{
    int64_t seconds = (wait_ms + 999) / 1000;
    json_int_t n = seconds > 20 ? (seconds + 9) / 10 * 10 : seconds > 5 ? (seconds + 4) / 5 * 5 : 5;
    const char *name = "seconds";
    if (seconds >= 90 * 60) {
        n = (seconds + 1800) / 3600;
        name = "hours";
    } else if (seconds >= 90) {
        n = (seconds + 30) / 60;
        name = "minutes";
    }
    return say(page, name, json_pack("{s:I}", "n", n));
}

static json_t *queue_line(const struct submit_page *page)
{
    const struct forecast *forecast = page->forecast;
    enum forecast_state state = forecast ? forecast->state : FORECAST_UNKNOWN;
    const char *name = "queue_unknown";
    switch (state) {
    case FORECAST_OPEN: name = forecast->wait_ms < 0 ? "queue_asleep" : "queue_open"; break;
    case FORECAST_PAUSED: name = "queue_paused"; break;
    case FORECAST_FULL: name = "queue_full"; break;
    case FORECAST_UNKNOWN: return say(page, name, NULL);
    }
    json_t *wait = forecast->wait_ms < 0 ? NULL : wait_text(page, forecast->wait_ms);
    return say(page, name,
               json_pack("{s:I, s:o*}", "queued", (json_int_t)forecast->queued, "wait", wait));
}

/* ---- problems -------------------------------------------------------------------------------- */

/* Of what kind a refusal of the picture is can be told from the limit that it broke. */
static const char *input_problem(const struct submit_page *page)
{
    const struct problem *problem = page->problem;
    if (problem->detail && strstr(problem->detail, "required"))
        return "problem_no_input";
    if (problem->limit == (int64_t)page->model->limits.max_bytes)
        return "problem_too_large";
    return problem->limit > 0 ? "problem_too_many" : "problem_bad_input";
}

/* Beside which field, and the text's name. A parameter's own name is the field. */
static const char *problem_name(const struct submit_page *page, const char **out_field)
{
    const struct problem *problem = page->problem;
    const char *field = problem->field ? problem->field : "";
    *out_field = "form";
    if (problem->kind == PROBLEM_RATE_LIMITED)
        return "problem_rate";
    if (problem->kind == PROBLEM_UNAVAILABLE)
        return "problem_unavailable";
    if (problem->kind == PROBLEM_IN_FLIGHT)
        return "problem_in_flight";
    if (problem->kind == PROBLEM_KEY_REUSED || problem->kind == PROBLEM_CONFLICT)
        return "problem_reused";
    if (problem->kind == PROBLEM_TOO_LARGE) {
        *out_field = "input";
        return "problem_too_large";
    }
    if (problem->kind == PROBLEM_INVALID && strncmp(field, "params.", 7) == 0) {
        *out_field = field + 7;
        return "problem_param";
    }
    *out_field = field;
    if (strcmp(field, "input") == 0)
        return input_problem(page);
    if (strcmp(field, "email") == 0)
        return "problem_email";
    if (strcmp(field, "consent") == 0)
        return "problem_consent";
    *out_field = "form";
    return "problem_other";
}

static json_t *limits_of(const struct manifest *model)
{
    return json_pack("{s:I, s:I, s:i, s:I, s:I, s:i, s:i}", "max_bytes",
                     (json_int_t)model->limits.max_bytes, "max_pixels",
                     (json_int_t)model->limits.max_pixels, "max_side", model->limits.max_side,
                     "max_mb", (json_int_t)(model->limits.max_bytes / 1000000), "max_megapixels",
                     (json_int_t)(model->limits.max_pixels / 1000000), "aspect_width",
                     model->aspect_width, "aspect_height", model->aspect_height);
}

static json_t *find_field(const json_t *fields, const char *name)
{
    for (size_t i = 0; i < json_array_size(fields); i++) {
        json_t *field = json_array_get(fields, i);
        if (strcmp(json_string_value(json_object_get(field, "name")), name) == 0)
            return field;
    }
    return NULL;
}

static void add_problem(const struct submit_page *page, json_t *data)
{
    const char *field;
    const char *name = problem_name(page, &field);
    json_t *text = say(page, name, limits_of(page->model));
    json_t *param = find_field(json_object_get(data, "fields"), field);
    if (param && strcmp(name, "problem_param") == 0)
        json_object_set(param, "problem", text);
    else
        json_object_set_new(data, "problem", json_pack("{s:O?}", field, text));
    json_object_set_new(data, "failed", say(page, "failed", NULL));
    json_decref(text);
}

/* ---- all of it ------------------------------------------------------------------------------- */

json_t *submit_page_data(const struct submit_page *page)
{
    const char *language = page_language(page->call->dispatcher, page->call->exchange)->tag;
    char key[ID_NAME_SIZE];
    json_t *model;
    if (manifest_texts_view(page->model, language, &model, NULL) < 0)
        return NULL;
    id_nonce_create(key);
    /* What was typed may be no text at all: then nothing was. */
    json_t *email = page->email ? json_string(page->email) : NULL;
    json_t *data =
        json_pack("{s:o?, s:o?, s:o*, s:b, s:s, s:o?}", "fields",
                  submit_fields_view(model, page->params), "queue_line", queue_line(page), "email",
                  email, "consent", page->consent, "key", key, "model", model);
    if (data && page->model->has_input && page->again && page->again->public_id[0])
        json_object_set_new(
            data, "again",
            json_pack("{s:s, s:s}", "id", page->again->public_id, "token", page->again->token));
    else if (data && page->model->has_input)
        json_object_set_new(data, "picture", limits_of(page->model));
    if (data && page->problem)
        add_problem(page, data);
    return data;
}

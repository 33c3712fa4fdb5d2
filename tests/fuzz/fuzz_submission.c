/* SPDX-License-Identifier: MIT
 *
 * A Content-Type up to the first newline, then the body of POST /v1/jobs, or behind "page " that of
 * POST /m/{model}: it is refused with words, or it becomes a job that the worker can read and whose
 * texts are clean. */
#include "common/err.h"
#include "common/job.h"
#include "common/manifest.h"
#include "dispatcher/jobs/form.h"
#include "dispatcher/jobs/intake.h"
#include "dispatcher/pages/submit_fields.h"

#include "tests/fuzz/target.h"

#include <stdio.h>
#include <string.h>

#define MAX_BODY 65536

static const char manifest_text[] =
    "{\"name\":\"m\",\"title\":\"t\",\"description\":\"d\",\"architecture\":\"ugatit\","
    "\"variant\":\"pytorch\",\"weights\":{\"file\":\"m.safetensors\"},"
    "\"input\":{\"kind\":\"image\",\"max_bytes\":5000,\"max_megapixels\":1.5,\"size\":64},"
    "\"params\":{\"type\":\"object\",\"properties\":{"
    "\"s\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1,\"default\":0.5},"
    "\"p\":{\"type\":\"string\",\"enum\":[\"white\",\"cream\"],\"default\":\"white\"}},"
    "\"additionalProperties\":false},"
    "\"output\":{\"kind\":\"image\",\"content_type\":\"image/png\"},\"batch\":{\"max\":1},"
    "\"cost_ms\":1,\"max_attempts\":1,\"timeout_ms\":1000,\"license\":\"MIT\",\"training\":\"no\"}";

/* Of the manifest's parameters, and once more inside a view as a page has it. */
static const char schema_text[] =
    "{\"type\":\"object\",\"properties\":{"
    "\"s\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1,\"default\":0.5},"
    "\"p\":{\"type\":\"string\",\"enum\":[\"white\",\"cream\"],\"default\":\"white\"}},"
    "\"view\":{\"params\":{\"properties\":{"
    "\"s\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1},\"b\":{\"type\":\"boolean\"},"
    "\"p\":{\"type\":\"string\",\"enum\":[\"white\",\"cream\"]},"
    "\"seed\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":9}}}}}";

static void check_job(const struct intake *intake)
{
    struct job_spec spec;
    fuzz_check(intake->model && intake->input_type && intake->input.size > 0);
    fuzz_check(intake->input.size <= intake->model->limits.max_bytes);
    fuzz_check(job_spec_parse(intake->spec.data, intake->spec.size, &spec, NULL) == 0);
    fuzz_check(spec.input_bytes == (int64_t)intake->input.size);
    fuzz_check(!spec.has_crop || (spec.crop.width > 0 && spec.crop.height > 0));
    for (const char *c = intake->email; *c; c++)
        fuzz_check(*c > ' ' && *c < 0x7f);
    job_spec_fini(&spec);
}

/* As pages/submit_form.c settles a page's form. */
static void settle(struct form *form)
{
    json_t *schema = json_loads(schema_text, 0, NULL);
    json_t *params = submit_fields_read(schema, form->params);
    json_t *fields = submit_fields_view(json_object_get(schema, "view"), form->params);
    fuzz_check(schema && params && fields);
    if (json_append(&form->fields[FORM_PARAMS], params, JSON_COMPACT) < 0)
        buf_clear(&form->fields[FORM_PARAMS]);
    fuzz_check(buf_append_text(&form->fields[FORM_MODEL], "m") == 0);
    json_decref(fields);
    json_decref(params);
    json_decref(schema);
}

static void submit(const struct manifest_set *models, const char *type, const uint8_t *body,
                   size_t size)
{
    static const char public_id[] = "00000102030405060708090a0b0c0d0e0f";
    struct form *form = NULL;
    struct err err = {0};
    struct intake intake;
    struct intake_refusal refusal = {.malformed = false};
    bool is_page = strncmp(type, "page ", 5) == 0;
    int rc = form_create(is_page ? type + 5 : type, MAX_BODY, is_page, &form, &err);
    for (size_t at = 0; rc == 0 && at < size; at += 100)
        rc = form_feed(form, body + at, size - at < 100 ? size - at : 100, &err);
    if (rc == 0)
        rc = form_finish(form, &err);
    fuzz_check(rc == 0 || err.text[0]);
    if (rc == 0 && is_page)
        settle(form);
    if (rc == 0 && intake_check(models, form, public_id, &intake, &refusal) == 0) {
        check_job(&intake);
        intake_fini(&intake);
    } else if (rc == 0) {
        fuzz_check(refusal.err.text[0]);
    }
    form_destroy(&form);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char type[256];
    struct manifest model;
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    if (!newline || newline - data >= (ptrdiff_t)sizeof type || size > MAX_BODY)
        return 0;
    snprintf(type, sizeof type, "%.*s", (int)(newline - data), (const char *)data);
    fuzz_check(manifest_parse(manifest_text, sizeof manifest_text - 1, ".", &model, NULL) == 0);
    struct manifest_set models = {.items = &model, .count = 1};
    submit(&models, type, newline + 1, size - (size_t)(newline + 1 - data));
    manifest_fini(&model);
    return 0;
}

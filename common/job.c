/* SPDX-License-Identifier: MIT */
#include "common/job.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/id.h"
#include "common/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_END (JOB_CANCELLED + 1)
#define BIT(state) (1u << (state))
#define COORDINATE_MAX 1000000

/* The legality table; common/lua/record.lua has the same for the scripts. */
static const struct {
    const char *name;
    char letter;
    bool final;
    unsigned next; /* states that may follow */
} states[STATE_END] = {
    [JOB_QUEUED] = {"queued", 'Q', false, BIT(JOB_RUNNING) | BIT(JOB_FAILED) | BIT(JOB_CANCELLED)},
    [JOB_RUNNING] = {"running", 'R', false,
                     BIT(JOB_QUEUED) | BIT(JOB_DELAYED) | BIT(JOB_SUCCEEDED) | BIT(JOB_FAILED) |
                         BIT(JOB_CANCELLED)},
    [JOB_DELAYED] = {"delayed", 'D', false, BIT(JOB_QUEUED) | BIT(JOB_FAILED) | BIT(JOB_CANCELLED)},
    [JOB_SUCCEEDED] = {"succeeded", 'S', true, 0},
    [JOB_FAILED] = {"failed", 'F', true, BIT(JOB_QUEUED)},
    [JOB_CANCELLED] = {"cancelled", 'C', true, 0},
};

static bool is_state(enum job_state state)
{
    return (int)state >= JOB_QUEUED && (int)state < STATE_END;
}

static const char *const priorities[JOB_PRIORITY_COUNT] = {
    [JOB_PRIORITY_HIGH] = "high", [JOB_PRIORITY_NORMAL] = "normal", [JOB_PRIORITY_LOW] = "low"};

const char *job_priority_name(enum job_priority priority)
{
    return priorities[priority];
}

int job_priority_from_name(const char *name)
{
    for (int i = 0; i < JOB_PRIORITY_COUNT; i++)
        if (strcmp(priorities[i], name) == 0)
            return i;
    return -1;
}

const char *job_state_name(enum job_state state)
{
    assert(is_state(state));
    return states[state].name;
}

char job_state_letter(enum job_state state)
{
    assert(is_state(state));
    return states[state].letter;
}

enum job_state job_state_from_letter(char letter)
{
    for (int state = JOB_QUEUED; state < STATE_END; state++)
        if (states[state].letter == letter)
            return (enum job_state)state;
    return 0;
}

bool job_state_is_final(enum job_state state)
{
    assert(is_state(state));
    return states[state].final;
}

bool job_state_may_follow(enum job_state from, enum job_state to)
{
    assert(is_state(from) && is_state(to));
    return (states[from].next & BIT(to)) != 0;
}

/* Looked at with every job, so no strspn(), which makes a table of all 256 bytes first. */

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool job_model_valid(const char *text)
{
    size_t length = 0;
    while (is_lower_or_digit(text[length]) ||
           (length > 0 && (text[length] == '.' || text[length] == '_' || text[length] == '-')))
        length++;
    return text[length] == 0 && length > 0 && length < JOB_MODEL_SIZE;
}

bool job_flow_valid(const char *text)
{
    size_t length = 0;
    while (is_lower_or_digit(text[length]) || (text[length] >= 'A' && text[length] <= 'Z') ||
           text[length] == '_' || text[length] == '-')
        length++;
    return text[length] == 0 && length > 0 && length < JOB_FLOW_SIZE;
}

void job_input_key(const char *public_id, char out[JOB_KEY_SIZE])
{
    assert(id_public_valid(public_id));
    stpcpy(stpcpy(out, "inputs/"), public_id);
}

void job_result_key(const char *public_id, uint32_t epoch, const char *extension,
                    char out[JOB_KEY_SIZE])
{
    assert(id_public_valid(public_id));
    snprintf(out, JOB_KEY_SIZE, "results/%s/%" PRIu32 "/result.%s", public_id, epoch, extension);
}

void job_crop_key(const char *public_id, uint32_t epoch, char out[JOB_KEY_SIZE])
{
    assert(id_public_valid(public_id));
    snprintf(out, JOB_KEY_SIZE, "results/%s/%" PRIu32 "/crop.png", public_id, epoch);
}

void job_heat_map_key(const char *public_id, uint32_t epoch, char out[JOB_KEY_SIZE])
{
    assert(id_public_valid(public_id));
    snprintf(out, JOB_KEY_SIZE, "results/%s/%" PRIu32 "/heat-map.png", public_id, epoch);
}

bool job_key_public_id(const char *key, char out[ID_PUBLIC_SIZE])
{
    const char *id = strchr(key, '/');
    if (!id || (strncmp(key, "inputs/", 7) != 0 && strncmp(key, "results/", 8) != 0))
        return false;
    size_t size = strcspn(++id, "/");
    if (size != ID_PUBLIC_SIZE - 1)
        return false;
    memcpy(out, id, size);
    out[size] = 0;
    return id_public_valid(out);
}

/* ---- the description of the work ------------------------------------------------------------- */

static const struct json_limits limits = {.max_bytes = JOB_SPEC_MAX, .max_depth = 8};

static int put_input(const struct job_spec *spec, struct buf *out)
{
    if (!spec->input_key[0])
        return buf_append_text(out, "null");
    json_t *input = json_pack("{s:s, s:I, s:s}", "key", spec->input_key, "bytes",
                              (json_int_t)spec->input_bytes, "type", spec->input_type);
    int rc = input ? json_append(out, input, JSON_COMPACT) : ERR_NOMEM;
    json_decref(input);
    return rc;
}

static int put_crop(const struct job_spec *spec, struct buf *out)
{
    const struct job_crop *crop = &spec->crop;
    if (!spec->has_crop)
        return buf_append_text(out, "null");
    return buf_printf(out, "[%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "]", crop->x, crop->y,
                      crop->width, crop->height);
}

static int put_params(const json_t *params, struct buf *out)
{
    size_t before = out->size;
    int rc = json_append(out, params, JSON_COMPACT | JSON_SORT_KEYS);
    return rc == 0 && out->size - before > JOB_PARAMS_MAX ? ERR_LIMIT : rc;
}

int job_spec_format(const struct job_spec *spec, const json_t *params, struct buf *out,
                    struct err *err)
{
    struct buf line;
    buf_init(&line, JOB_SPEC_MAX);
    int rc = buf_reserve(&line, 512); /* what most need */
    if (rc == 0)
        rc = buf_append_text(&line, "{\"input\":");
    if (rc == 0)
        rc = put_input(spec, &line);
    if (rc == 0)
        rc = buf_append_text(&line, ",\"crop\":");
    if (rc == 0)
        rc = put_crop(spec, &line);
    if (rc == 0)
        rc = buf_append_text(&line, ",\"params\":");
    if (rc == 0)
        rc = put_params(params, &line);
    if (rc == 0)
        rc = buf_append_text(&line, "}");
    if (rc == 0)
        rc = buf_append(out, line.data, line.size);
    buf_fini(&line);
    if (rc == ERR_LIMIT)
        err_set(err, rc, "params", "the parameters have more than %d bytes", JOB_PARAMS_MAX);
    return rc < 0 ? err_set(err, rc, NULL, "no memory for a job's description") : 0;
}

static int parse_input(const json_t *whole, struct job_spec *spec, struct err *err)
{
    json_t *input = NULL;
    const char *key = NULL, *type = NULL;
    int rc = json_opt_object(whole, "input", &input, err);
    if (rc < 0 || !input)
        return rc;
    if ((rc = json_get_text(input, "input.key", JOB_KEY_SIZE - 1, &key, err)) < 0 ||
        (rc = json_get_int(input, "input.bytes", 0, INT64_MAX, &spec->input_bytes, err)) < 0 ||
        (rc = json_get_text(input, "input.type", sizeof spec->input_type - 1, &type, err)) < 0)
        return rc;
    snprintf(spec->input_key, sizeof spec->input_key, "%s", key);
    snprintf(spec->input_type, sizeof spec->input_type, "%s", type);
    return 0;
}

static int parse_crop(const json_t *whole, struct job_spec *spec, struct err *err)
{
    json_t *crop = NULL;
    int rc = json_opt_array(whole, "crop", 4, &crop, err);
    if (rc < 0 || !crop)
        return rc;
    int64_t *const out[4] = {&spec->crop.x, &spec->crop.y, &spec->crop.width, &spec->crop.height};
    for (size_t i = 0; i < 4; i++) {
        const json_t *value = json_array_get(crop, i);
        json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
        if (number < (i < 2 ? 0 : 1) || number > COORDINATE_MAX)
            return err_set(err, ERR_INVALID, "crop",
                           "must be [x, y, width, height], whole numbers up to %d", COORDINATE_MAX);
        *out[i] = number;
    }
    spec->has_crop = true;
    return 0;
}

int job_spec_parse(const void *data, size_t size, struct job_spec *out_spec, struct err *err)
{
    struct job_spec spec = {0};
    json_t *whole = NULL, *params = NULL;
    int rc = json_parse(data, size, limits, &whole, err);
    if (rc == 0)
        rc = json_check_members(whole, NULL, (const char *const[]){"input", "crop", "params", NULL},
                                err);
    if (rc == 0)
        rc = parse_input(whole, &spec, err);
    if (rc == 0)
        rc = parse_crop(whole, &spec, err);
    if (rc == 0)
        rc = json_get_object(whole, "params", &params, err);
    if (rc == 0 && !(spec.params = json_dumps(params, JSON_COMPACT)))
        rc = err_set(err, ERR_NOMEM, NULL, "no memory for a job's parameters");
    if (rc == 0) {
        *out_spec = spec;
        spec.params = NULL;
    }
    job_spec_fini(&spec);
    json_decref(whole);
    return rc;
}

void job_spec_fini(struct job_spec *spec)
{
    free(spec->params);
    spec->params = NULL;
}

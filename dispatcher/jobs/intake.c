/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/intake.h"

#include "common/base64.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/job.h"
#include "common/json.h"
#include "common/manifest.h"
#include "common/picture.h"
#include "common/webhook_endpoint.h"
#include "dispatcher/access/identity.h"
#include "dispatcher/jobs/dialect.h"
#include "dispatcher/jobs/form.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_JSON_DEPTH 8

/* The members in one shape, whichever way they came. Texts are borrowed. */
struct members {
    const char *model, *email, *input; /* input: base64 or data URL, JSON only */
    const char *webhook;               /* a URL or the id of an endpoint */
    json_t *crop, *params;             /* borrowed */
    struct after after;                /* JSON only */
    const char *priority, *run_at, *deadline, *lang;
    json_t *body, *own_crop, *own_params;
};

static void members_fini(struct members *members)
{
    json_decref(members->body);
    json_decref(members->own_crop);
    json_decref(members->own_params);
}

/* {"url": …} or {"id": …}. */
static int webhook_from_json(struct members *members, struct err *err)
{
    static const char *const known[] = {"url", "id", NULL};
    json_t *webhook = NULL;
    const char *url = NULL, *id = NULL;
    int rc = json_opt_object(members->body, "webhook", &webhook, err);
    if (rc < 0 || !webhook)
        return rc;
    if ((rc = json_check_members(webhook, "webhook", known, err)) < 0 ||
        (rc = json_opt_text(webhook, "webhook.url", FORM_MAX_TEXT, &url, err)) < 0 ||
        (rc = json_opt_text(webhook, "webhook.id", FORM_MAX_TEXT, &id, err)) < 0)
        return rc;
    if (!url == !id || (id && !endpoint_id_valid(id)))
        return err_set(err, ERR_INVALID, "webhook",
                       "webhook must have a url or the id of an endpoint");
    members->webhook = url ? url : id;
    return 0;
}

/* From members->body, which is borrowed further on. */
static int from_members(struct members *members, struct err *err)
{
    static const char *const known[] = {"model",  "input",    "crop",  "params",
                                        "email",  "webhook",  "after", "priority",
                                        "run_at", "deadline", "lang",  NULL};
    int rc;
    if ((rc = json_check_members(members->body, NULL, known, err)) < 0 ||
        (rc = json_get_text(members->body, "model", FORM_MAX_TEXT, &members->model, err)) < 0 ||
        (rc = after_read(members->body, &members->after, err)) < 0 ||
        (!json_is_object(json_object_get(members->body, "input")) &&
         (rc = json_opt_text(members->body, "input", SIZE_MAX, &members->input, err)) < 0) ||
        (rc = json_opt_text(members->body, "priority", FORM_MAX_TEXT, &members->priority, err)) <
            0 ||
        (rc = json_opt_text(members->body, "run_at", FORM_MAX_TEXT, &members->run_at, err)) < 0 ||
        (rc = json_opt_text(members->body, "deadline", FORM_MAX_TEXT, &members->deadline, err)) <
            0 ||
        (rc = json_opt_text(members->body, "lang", FORM_MAX_TEXT, &members->lang, err)) < 0 ||
        (rc = json_opt_object(members->body, "crop", &members->crop, err)) < 0 ||
        (rc = json_opt_object(members->body, "params", &members->params, err)) < 0)
        return rc;
    if ((rc = json_opt_text(members->body, "email", FORM_MAX_TEXT, &members->email, err)) < 0)
        return rc;
    return webhook_from_json(members, err);
}

static int from_json(struct form *form, struct members *members, struct intake_refusal *refusal)
{
    struct err *err = &refusal->err;
    struct json_limits limits = {.max_bytes = form->json.max_size, .max_depth = MAX_JSON_DEPTH};
    int rc = json_parse(form->json.data, form->json.size, limits, &members->body, err);
    if (rc < 0) {
        refusal->malformed = rc != ERR_NOMEM;
        return rc;
    }
    buf_fini(&form->json); /* up to 10 MB that jansson has copied */
    if (form->dialect)
        rc = form->dialect->translate(form->dialect_context, members->body, err);
    return rc == 0 ? from_members(members, err) : rc;
}

/* `text` is a part of its own: an object, or for a crop also x,y,width,height. */
static int object_of(const struct buf *text, const char *field, json_t **out, struct err *err)
{
    struct json_limits limits = {.max_bytes = FORM_MAX_TEXT, .max_depth = MAX_JSON_DEPTH};
    if (json_parse(text->data, text->size, limits, out, NULL) < 0 || !json_is_object(*out))
        return err_set(err, ERR_INVALID, field, "%s must be a JSON object", field);
    return 0;
}

static int crop_of(const struct buf *text, json_t **out, struct err *err)
{
    int value[4], used = 0;
    const char *c = buf_text(text);
    if (strlen(c) == text->size && strspn(c, "0123456789,") == text->size && text->size < 60 &&
        sscanf(c, "%9d,%9d,%9d,%9d%n", &value[0], &value[1], &value[2], &value[3], &used) == 4 &&
        (size_t)used == text->size) {
        *out = json_pack("{s:i, s:i, s:i, s:i}", "x", value[0], "y", value[1], "width", value[2],
                         "height", value[3]);
        return *out ? 0 : err_set(err, ERR_NOMEM, NULL, "no memory for a crop");
    }
    if (text->size > 0 && *c == '{')
        return object_of(text, "crop", out, err);
    return err_set(err, ERR_INVALID, "crop", "crop must be x,y,width,height or a JSON object");
}

static int text_of(const struct form *form, enum form_field field, const char **out,
                   struct err *err)
{
    const struct buf *text = &form->fields[field];
    if (text->size == 0) /* browsers send the empty fields of a form, too */
        return 0;
    if (!json_text_is_clean(buf_text(text), text->size))
        return err_set(err, ERR_INVALID, form_field_name(field), "%s holds a control character",
                       form_field_name(field));
    *out = buf_text(text);
    return 0;
}

static int from_parts(struct form *form, struct members *members, struct err *err)
{
    int rc = text_of(form, FORM_MODEL, &members->model, err);
    if (rc == 0 && !members->model)
        rc = err_set(err, ERR_INVALID, "model", "model is required");
    if (rc == 0)
        rc = text_of(form, FORM_EMAIL, &members->email, err);
    if (rc == 0)
        rc = text_of(form, FORM_PRIORITY, &members->priority, err);
    if (rc == 0)
        rc = text_of(form, FORM_RUN_AT, &members->run_at, err);
    if (rc == 0)
        rc = text_of(form, FORM_DEADLINE, &members->deadline, err);
    if (rc == 0)
        rc = text_of(form, FORM_WEBHOOK, &members->webhook, err);
    if (rc == 0)
        rc = text_of(form, FORM_LANG, &members->lang, err);
    if (rc == 0 && form->fields[FORM_CROP].size > 0)
        rc = crop_of(&form->fields[FORM_CROP], &members->own_crop, err);
    if (rc == 0 && form->fields[FORM_PARAMS].size > 0)
        rc = object_of(&form->fields[FORM_PARAMS], "params", &members->own_params, err);
    members->crop = members->own_crop;
    members->params = members->own_params;
    return rc;
}

/* base64, alone or behind "data:…;base64,". The announced type is not believed, so not read. */
static int decode_input(const char *text, struct buf *out, struct err *err)
{
    if (strncasecmp(text, "data:", 5) == 0) {
        const char *comma = strchr(text, ',');
        if (!comma || comma - text < 12 || strncasecmp(comma - 7, ";base64", 7) != 0)
            return err_set(err, ERR_INVALID, "input", "input: a data URL must be in base64");
        text = comma + 1;
    }
    size_t length = strlen(text), size = 0;
    int rc = buf_reserve(out, BASE64_MAX_DECODED(length));
    if (rc < 0)
        return err_set(err, ERR_NOMEM, NULL, "no memory for the input");
    if (out->data &&
        base64_decode(BASE64_STANDARD, text, length, out->data, out->capacity, &size) < 0)
        return err_set(err, ERR_INVALID, "input", "input is neither base64 nor a data URL");
    out->size = size;
    return 0;
}

static int take_input(struct form *form, const struct members *members, struct intake *intake,
                      struct err *err)
{
    if (members->input) {
        buf_init(&intake->input, strlen(members->input) + 4);
        return decode_input(members->input, &intake->input, err);
    }
    intake->input = form->fields[FORM_INPUT];
    buf_init(&form->fields[FORM_INPUT], 0);
    return 0;
}

static int check_picture(struct intake *intake, struct picture_info *info,
                         struct intake_refusal *refusal)
{
    const struct picture_limits *limits = &intake->model->limits;
    int rc = picture_probe(intake->input.data, intake->input.size, limits, info, &refusal->err);
    if (rc == ERR_LIMIT) {
        bool area = strstr(refusal->err.text, "megapixels") != NULL;
        refusal->limit = intake->input.size > limits->max_bytes ? (int64_t)limits->max_bytes
                         : area                                 ? limits->max_pixels
                                                                : limits->max_side;
    }
    if (rc == 0)
        intake->input_type = picture_content_type(info->format);
    return rc;
}

/* Takes off what reaches over an edge by no more than `slack`. */
static void trim(int64_t at, int64_t *size, int side, int slack)
{
    if (at < side && at + *size > side && at + *size <= side + slack)
        *size = side - at;
}

/* The middle of a picture of which nobody could choose a part, in the shape that the model wants.
 * Of an earlier job's crop nothing is cut: it was chosen then. */
static void crop_middle(const struct manifest *model, const struct picture_info *info,
                        struct job_spec *spec)
{
    int64_t width = info->width, height = info->height;
    if (width * model->aspect_height > height * model->aspect_width)
        width = height * model->aspect_width / model->aspect_height;
    else
        height = width * model->aspect_height / model->aspect_width;
    spec->has_crop = true;
    spec->crop.width = width > 0 ? width : 1;
    spec->crop.height = height > 0 ? height : 1;
    spec->crop.x = (info->width - spec->crop.width) / 2;
    spec->crop.y = (info->height - spec->crop.height) / 2;
}

/* Against the picture, where it is there already (`info` is NULL where it is still to be made). */
static int check_crop(const json_t *crop, const struct picture_info *info, int slack,
                      struct job_spec *spec, struct intake_refusal *refusal)
{
    static const char *const known[] = {"x", "y", "width", "height", NULL};
    const int64_t most = PICTURE_MAX_SIDE;
    struct err *err = &refusal->err;
    int rc;
    if (!crop)
        return 0;
    if ((rc = json_check_members(crop, "crop", known, err)) < 0 ||
        (rc = json_get_int(crop, "crop.x", 0, most, &spec->crop.x, err)) < 0 ||
        (rc = json_get_int(crop, "crop.y", 0, most, &spec->crop.y, err)) < 0 ||
        (rc = json_get_int(crop, "crop.width", 1, most, &spec->crop.width, err)) < 0 ||
        (rc = json_get_int(crop, "crop.height", 1, most, &spec->crop.height, err)) < 0) {
        refusal->limit = most;
        return rc;
    }
    spec->has_crop = true;
    if (!info)
        return 0;
    trim(spec->crop.x, &spec->crop.width, info->width, slack);
    trim(spec->crop.y, &spec->crop.height, info->height, slack);
    struct picture_rect rect = {(int)spec->crop.x, (int)spec->crop.y, (int)spec->crop.width,
                                (int)spec->crop.height};
    rc = picture_check_crop(info->width, info->height, &rect, err);
    if (rc < 0)
        refusal->limit = spec->crop.x + spec->crop.width > info->width ? info->width : info->height;
    return rc;
}

static int check_input(struct form *form, const struct members *members, struct intake *intake,
                       struct job_spec *spec, struct intake_refusal *refusal)
{
    struct picture_info info;
    bool from_job = members->after.input < members->after.count;
    bool given = members->input || (form && form->present[FORM_INPUT]) || from_job;
    if (!intake->model->has_input) {
        if (given || members->crop)
            return err_set(&refusal->err, ERR_INVALID, given ? "input" : "crop",
                           "this model takes no picture");
        return 0;
    }
    if (!given)
        return err_set(&refusal->err, ERR_INVALID, "input", "input is required");
    if (from_job)
        return check_crop(members->crop, NULL, 0, spec, refusal);
    intake->has_picture = true;
    int rc = take_input(form, members, intake, &refusal->err);
    if (rc == 0)
        rc = check_picture(intake, &info, refusal);
    if (rc == 0 && form && form->is_page && !form->present[FORM_CROP_OF] && !members->crop)
        crop_middle(intake->model, &info, spec);
    else if (rc == 0)
        rc = check_crop(members->crop, &info, form && form->dialect ? form->dialect->crop_slack : 0,
                        spec, refusal);
    return rc;
}

static int describe(const char *public_id, const json_t *params, struct intake *intake,
                    struct job_spec *spec, struct err *err)
{
    if (intake->has_picture) {
        job_input_key(public_id, spec->input_key);
        spec->input_bytes = (int64_t)intake->input.size;
        snprintf(spec->input_type, sizeof spec->input_type, "%s", intake->input_type);
    }
    return job_spec_format(spec, params, &intake->spec, err);
}

/* A language's tag, in lower case. Whether we speak it is for the caller to see. */
static int check_lang(const char *text, char out[QUEUE_LANGUAGE_SIZE], struct err *err)
{
    size_t length = strlen(text);
    if (length < 2 || length >= QUEUE_LANGUAGE_SIZE)
        return err_set(err, ERR_INVALID, "lang", "lang must be a language's tag, such as nl");
    for (size_t i = 0; i <= length; i++) {
        char c = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
        if (c && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z'))
            return err_set(err, ERR_INVALID, "lang", "lang must be a language's tag, such as nl");
        out[i] = c;
    }
    return 0;
}

static int check_members(const struct manifest_set *models, struct form *form,
                         const struct members *members, const char *public_id,
                         struct intake *intake, struct intake_refusal *refusal)
{
    struct job_spec spec = {.input_bytes = 0};
    struct err *err = &refusal->err;
    json_t *params = NULL;
    int rc = 0;
    intake->after = members->after;
    intake->model = manifest_set_find(models, members->model);
    if (!intake->model)
        return err_set(err, ERR_INVALID, "model", "there is no model of this name");
    if (members->email && (rc = address_check(members->email, intake->email, err)) < 0)
        return rc;
    if (members->lang && (rc = check_lang(members->lang, intake->lang, err)) < 0)
        return rc;
    if (members->webhook && !(intake->webhook = strdup(members->webhook)))
        return ERR_NOMEM;
    rc = timing_read(members->priority, members->run_at, members->deadline, clock_wall_ms(),
                     &intake->timing, err);
    if (rc == 0)
        rc = manifest_check_params(intake->model, members->params, &params, err);
    if (rc == 0)
        rc = check_input(form, members, intake, &spec, refusal);
    if (rc == 0)
        rc = describe(public_id, params, intake, &spec, err);
    json_decref(params);
    return rc;
}

/* Frees the members. `form` is NULL where there is none, `rc` what came before. */
static int finish(const struct manifest_set *models, struct form *form, struct members *members,
                  int rc, const char *public_id, struct intake *out, struct intake_refusal *refusal)
{
    struct intake intake = {.model = NULL};
    buf_init(&intake.spec, JOB_SPEC_MAX);
    if (rc == 0)
        rc = check_members(models, form, members, public_id, &intake, refusal);
    members_fini(members);
    if (rc < 0)
        intake_fini(&intake);
    else
        *out = intake;
    return rc;
}

int intake_check(const struct manifest_set *models, struct form *form, const char *public_id,
                 struct intake *out, struct intake_refusal *refusal)
{
    struct members members = {.model = NULL};
    int rc = form->is_json ? from_json(form, &members, refusal)
                           : from_parts(form, &members, &refusal->err);
    return finish(models, form, &members, rc, public_id, out, refusal);
}

int intake_check_members(const struct manifest_set *models, json_t *given, const char *public_id,
                         struct intake *out, struct intake_refusal *refusal)
{
    struct members members = {.body = json_incref(given)};
    int rc = from_members(&members, &refusal->err);
    return finish(models, NULL, &members, rc, public_id, out, refusal);
}

void intake_submit(const struct intake *intake, const struct identity *identity,
                   const char *public_id, struct queue_submit *out)
{
    *out = (struct queue_submit){
        .public_id = public_id,
        .model = intake->model->name,
        .flow = identity->flow,
        .cost_ms = intake->model->cost_ms,
        .weight = identity->weight,
        .max_queued = identity->max_queued,
        .max_attempts = intake->model->max_attempts,
        .backoff_ms = intake->model->backoff_ms,
        .backoff_max_ms = intake->model->backoff_max_ms,
        .run_max_ms = intake->model->timeout_ms,
        .deadline_after_ms = intake->model->deadline_ms,
        .has_input = intake->has_picture,
        .extension = "png",
        .spec = intake->spec.data,
        .spec_size = intake->spec.size,
    };
    timing_apply(&intake->timing, identity->ceiling, out);
}

void intake_fini(struct intake *intake)
{
    buf_fini(&intake->input);
    buf_fini(&intake->spec);
    free(intake->webhook);
    intake->webhook = NULL;
}

/* A text and the zero behind it, so that two texts side by side are not one. */
static int add_text(struct crypto_sha256 *hash, const char *text)
{
    return crypto_sha256_update(hash, text, strlen(text) + 1);
}

/* The description, less the name of the object. */
static int add_spec(struct crypto_sha256 *hash, const struct buf *spec, const char *public_id)
{
    const char *text = buf_text(spec), *id = strstr(text, public_id);
    size_t before = id ? (size_t)(id - text) : 0;
    size_t behind = id ? before + strlen(public_id) : 0;
    int rc = crypto_sha256_update(hash, text, before);
    return rc == 0 ? crypto_sha256_update(hash, text + behind, spec->size - behind) : rc;
}

static int add_after(struct crypto_sha256 *hash, const struct after *after)
{
    char text[AFTER_TEXT_SIZE];
    bool from_job = after->input < after->count;
    after_text(after, text);
    int rc = add_text(hash, text);
    return rc == 0 ? add_text(hash, from_job ? after->jobs[after->input].public_id : "") : rc;
}

static int add_timing(struct crypto_sha256 *hash, const struct timing *timing)
{
    char text[80];
    snprintf(text, sizeof text, "%d %d %" PRId64 " %" PRId64, timing->has_priority,
             (int)timing->priority, timing->run_at_ms, timing->deadline_ms);
    return add_text(hash, text);
}

int intake_fingerprint(const struct intake *intake, const char *public_id,
                       char out[INTAKE_FINGERPRINT_SIZE])
{
    struct crypto_sha256 *hash = NULL;
    unsigned char digest[CRYPTO_SHA256_SIZE];
    int rc = crypto_sha256_create(&hash);
    if (rc == 0)
        rc = add_text(hash, intake->model->name);
    if (rc == 0)
        rc = add_text(hash, intake->email);
    if (rc == 0 && intake->lang[0]) /* who names none is one with those before it could be named */
        rc = add_text(hash, intake->lang);
    if (rc == 0)
        rc = add_after(hash, &intake->after);
    if (rc == 0)
        rc = add_timing(hash, &intake->timing);
    if (rc == 0)
        rc = add_text(hash, intake->webhook ? intake->webhook : "");
    if (rc == 0)
        rc = add_spec(hash, &intake->spec, public_id);
    if (rc == 0)
        rc = crypto_sha256_update(hash, intake->input.data, intake->input.size);
    if (rc == 0)
        rc = crypto_sha256_final(hash, digest);
    crypto_sha256_destroy(&hash);
    if (rc == 0)
        hex_encode(digest, 16, out);
    return rc;
}

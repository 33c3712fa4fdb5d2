/* SPDX-License-Identifier: MIT */
#include "common/manifest.h"

#include "common/base64.h"
#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/manifest_texts.h"
#include "common/manifest_weights.h"
#include "common/params.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MANIFEST_BYTES = 65536, MAX_DEPTH = 8, MAX_MODELS = 1000 };

static const char *const members[] = {
    "name",     "title",        "description", "architecture", "variant",   "weights",
    "input",    "params",       "output",      "batch",        "cost_ms",   "max_attempts",
    "retry",    "timeout_ms",   "deadline_ms", "past_due_ms",  "retention", "license",
    "training", "translations", "provenance",  "cpu",          "self_test", NULL};

/* What GET /v1/models shows: everything that a visitor may want to know before sending a
 * picture, nothing about how it is run. */
static const char *const public_members[] = {"name",     "title",  "description", "translations",
                                             "input",    "params", "output",      "license",
                                             "training", NULL};

bool manifest_name_is_valid(const char *name)
{
    size_t length = strlen(name);
    return length >= 1 && length <= MANIFEST_MAX_NAME &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

/* The only kind that is more than none; a text, so that a manifest of a later version is refused
 * clearly. */
static int check_kind(const json_t *object, const char *path, struct err *err)
{
    const char *kind;
    int rc = json_get_text(object, path, 32, &kind, err);
    if (rc == 0 && strcmp(kind, "image"))
        rc = err_set(err, ERR_UNSUPPORTED, path, "%s must be \"image\"", path);
    return rc;
}

/* [width, height] of the part of a picture that people are asked to choose; a square without. */
static int read_aspect(const json_t *input, struct manifest *manifest, struct err *err)
{
    json_t *aspect = NULL;
    manifest->aspect_width = manifest->aspect_height = 1;
    int rc = json_opt_array(input, "input.aspect", 2, &aspect, err);
    if (rc < 0 || !aspect)
        return rc;
    json_int_t width = json_integer_value(json_array_get(aspect, 0));
    json_int_t height = json_integer_value(json_array_get(aspect, 1));
    if (json_array_size(aspect) != 2 || width < 1 || width > 64 || height < 1 || height > 64)
        return err_set(err, ERR_INVALID, "input.aspect",
                       "input.aspect must be two integers of 1 to 64: width and height");
    manifest->aspect_width = (int)width;
    manifest->aspect_height = (int)height;
    return 0;
}

/* One of two words; NULL where the member is absent. */
static int read_choice(const json_t *object, const char *path, const char *one, const char *other,
                       const char **out_choice, struct err *err)
{
    int rc = json_opt_text(object, path, 32, out_choice, err);
    const char *choice = *out_choice;
    if (rc == 0 && choice && strcmp(choice, one) != 0 && strcmp(choice, other) != 0)
        rc = err_set(err, ERR_INVALID, path, "%s must be \"%s\" or \"%s\"", path, one, other);
    return rc;
}

static int read_picture(const json_t *input, struct manifest *manifest, struct err *err)
{
    static const char *const names[] = {"kind", "max_bytes", "max_megapixels", "max_side",
                                        "size", "aspect",    "resize",         NULL};
    int64_t max_bytes = 0, max_side = 16384, size = 0;
    double megapixels = 0;
    int rc = json_check_members(input, "input", names, err);
    if (rc == 0)
        rc = check_kind(input, "input.kind", err);
    if (rc == 0)
        rc = json_get_int(input, "input.max_bytes", 1024, INT64_C(1) << 30, &max_bytes, err);
    if (rc == 0)
        rc = json_get_real(input, "input.max_megapixels", 0.01, (double)PICTURE_MAX_PIXELS / 1e6,
                           &megapixels, err);
    if (rc == 0)
        rc = json_opt_int(input, "input.max_side", 16, PICTURE_MAX_SIDE, &max_side, err);
    if (rc == 0)
        rc = json_get_int(input, "input.size", 16, 4096, &size, err);
    if (rc == 0)
        rc = read_choice(input, "input.resize", "antialias", "bilinear", &manifest->resize, err);
    if (rc < 0)
        return rc;
    manifest->limits = (struct picture_limits){.max_bytes = (size_t)max_bytes,
                                               .max_pixels = (int64_t)(megapixels * 1e6 + 0.5),
                                               .max_side = (int)max_side};
    manifest->size = (int)size;
    manifest->has_input = true;
    return read_aspect(input, manifest, err);
}

/* {"kind": "none"} and nothing else, or a picture's limits. */
static int read_input(const json_t *document, struct manifest *manifest, struct err *err)
{
    json_t *input;
    const char *kind;
    int rc = json_get_object(document, "input", &input, err);
    if (rc == 0)
        rc = json_get_text(input, "input.kind", 32, &kind, err);
    if (rc == 0 && strcmp(kind, "none") == 0)
        return json_check_members(input, "input", (const char *const[]){"kind", NULL}, err);
    return rc == 0 ? read_picture(input, manifest, err) : rc;
}

static int read_output(const json_t *document, struct manifest *manifest, struct err *err)
{
    static const char *const names[] = {"kind", "content_type", "rounding", "heat_map", NULL};
    json_t *output;
    int rc = json_get_object(document, "output", &output, err);
    if (rc == 0)
        rc = json_check_members(output, "output", names, err);
    if (rc == 0)
        rc = check_kind(output, "output.kind", err);
    if (rc == 0)
        rc = json_get_text(output, "output.content_type", 32, &manifest->output_content_type, err);
    if (rc == 0)
        rc = read_choice(output, "output.rounding", "round", "truncate", &manifest->rounding, err);
    if (rc == 0)
        rc = json_opt_bool(output, "output.heat_map", &manifest->heat_map, err);
    if (rc == 0 && strcmp(manifest->output_content_type, "image/png"))
        rc = err_set(err, ERR_UNSUPPORTED, "output.content_type",
                     "output.content_type must be \"image/png\"");
    return rc;
}

static int read_retry(const json_t *document, struct manifest *manifest, struct err *err)
{
    static const char *const names[] = {"backoff_ms", "backoff_max_ms", NULL};
    json_t *retry = NULL;
    manifest->backoff_ms = 1000;
    manifest->backoff_max_ms = 300000;
    int rc = json_opt_object(document, "retry", &retry, err);
    if (rc < 0 || !retry)
        return rc;
    rc = json_check_members(retry, "retry", names, err);
    if (rc == 0)
        rc = json_opt_int(retry, "retry.backoff_ms", 1, 600000, &manifest->backoff_ms, err);
    if (rc == 0)
        rc = json_opt_int(retry, "retry.backoff_max_ms", 1, 64800000, &manifest->backoff_max_ms,
                          err);
    return rc;
}

static int read_retention(const json_t *document, struct manifest *manifest, struct err *err)
{
    static const char *const names[] = {"input_s", "result_s", "crop", NULL};
    const int64_t year_s = 366 * 86400;
    json_t *retention = NULL;
    int rc = json_opt_object(document, "retention", &retention, err);
    if (rc < 0 || !retention)
        return rc;
    rc = json_check_members(retention, "retention", names, err);
    if (rc == 0)
        rc = json_opt_int(retention, "retention.input_s", 0, year_s, &manifest->input_s, err);
    if (rc == 0)
        rc = json_opt_int(retention, "retention.result_s", 1, year_s, &manifest->result_s, err);
    if (rc == 0)
        rc = json_opt_bool(retention, "retention.crop", &manifest->keep_crop, err);
    if (rc == 0 && manifest->keep_crop && !manifest->has_input)
        rc = err_set(err, ERR_INVALID, "retention.crop", "retention.crop needs an input to crop");
    return rc;
}

/* What results say about themselves: by default the parameters, and that a network drew it all. */
static int read_provenance(const json_t *document, struct manifest *manifest, struct err *err)
{
    static const char *const names[] = {"params", "source", NULL};
    json_t *provenance = NULL;
    bool params = true;
    const char *source = picture_source_name(PICTURE_SOURCE_TRAINED);
    int rc = json_opt_object(document, "provenance", &provenance, err);
    if (rc == 0 && provenance)
        rc = json_check_members(provenance, "provenance", names, err);
    if (rc == 0)
        rc = json_opt_bool(provenance, "provenance.params", &params, err);
    if (rc == 0)
        rc = json_opt_text(provenance, "provenance.source", 64, &source, err);
    manifest->withhold_params = !params;
    manifest->source = picture_source_from_name(source);
    if (rc == 0 && manifest->source == PICTURE_SOURCE_UNKNOWN)
        rc = err_set(err, ERR_INVALID, "provenance.source",
                     "provenance.source must be trainedAlgorithmicMedia, "
                     "compositeWithTrainedAlgorithmicMedia or algorithmicallyEnhanced");
    return rc;
}

static int read_running(const json_t *document, struct manifest *manifest, struct err *err)
{
    json_t *batch;
    int64_t batch_max = 0, max_attempts = 0;
    int rc = json_get_object(document, "batch", &batch, err);
    if (rc == 0)
        rc = json_check_members(batch, "batch", (const char *const[]){"max", NULL}, err);
    if (rc == 0)
        rc = json_get_int(batch, "batch.max", 1, 64, &batch_max, err);
    if (rc == 0)
        rc = json_get_int(document, "cost_ms", 1, 3600000, &manifest->cost_ms, err);
    if (rc == 0)
        rc = json_get_int(document, "max_attempts", 1, 20, &max_attempts, err);
    if (rc == 0)
        rc = json_get_int(document, "timeout_ms", 100, 86400000, &manifest->timeout_ms, err);
    if (rc == 0)
        rc = json_opt_int(document, "deadline_ms", 1000, INT64_C(31622400000),
                          &manifest->deadline_ms, err);
    if (rc == 0)
        rc = json_opt_int(document, "past_due_ms", 100, 86400000, &manifest->past_due_ms, err);
    if (rc == 0)
        rc = read_retention(document, manifest, err);
    if (rc == 0)
        rc = read_retry(document, manifest, err);
    manifest->batch_max = (int)batch_max;
    manifest->max_attempts = (int)max_attempts;
    return rc;
}

/* How the model is run on a processor; nothing of it changes what a result shows. */
static int read_cpu(const json_t *document, struct manifest *manifest, struct err *err)
{
    json_t *cpu = NULL;
    bool winograd = true;
    int rc = json_opt_object(document, "cpu", &cpu, err);
    if (rc == 0 && cpu)
        rc = json_check_members(cpu, "cpu", (const char *const[]){"winograd", NULL}, err);
    if (rc == 0)
        rc = json_opt_bool(cpu, "cpu.winograd", &winograd, err);
    manifest->no_winograd = !winograd;
    return rc;
}

/* Sixteen bits for each of the grid's means: of one plane, or of three. */
static int check_grid(const char *field, const char *grid, bool has_input, struct err *err)
{
    const size_t plane = 2 * MANIFEST_GRID * MANIFEST_GRID;
    unsigned char bytes[6 * MANIFEST_GRID * MANIFEST_GRID];
    size_t size = 0;
    if (base64_decode(BASE64_STANDARD, grid, strlen(grid), bytes, sizeof bytes, &size) < 0 ||
        size != (has_input ? 3 * plane : plane))
        return err_set(err, ERR_INVALID, field,
                       "%s must be base64 of %zu bytes: see darkroom-worker self-test", field,
                       has_input ? 3 * plane : plane);
    return 0;
}

static int read_self_test(const json_t *document, struct manifest *manifest, struct err *err)
{
    static const char *const names[] = {"grid", "small", "tolerance", NULL};
    const size_t most = BASE64_LENGTH(6 * MANIFEST_GRID * MANIFEST_GRID);
    json_t *object = NULL;
    int rc = json_opt_object(document, "self_test", &object, err);
    if (rc < 0 || !object)
        return rc;
    rc = json_check_members(object, "self_test", names, err);
    if (rc == 0)
        rc = json_get_text(object, "self_test.grid", most, &manifest->self_test, err);
    if (rc == 0)
        rc = json_opt_text(object, "self_test.small", most, &manifest->self_test_small, err);
    if (rc == 0)
        rc = json_get_real(object, "self_test.tolerance", 1e-6, 1, &manifest->self_test_tolerance,
                           err);
    if (rc == 0)
        rc = check_grid("self_test.grid", manifest->self_test, manifest->has_input, err);
    if (rc == 0 && manifest->self_test_small)
        rc = check_grid("self_test.small", manifest->self_test_small, manifest->has_input, err);
    return rc;
}

static int read_texts(const json_t *document, struct manifest *manifest, struct err *err)
{
    const char *name = NULL, *text;
    int rc = json_get_text(document, "name", MANIFEST_MAX_NAME, &name, err);
    if (rc == 0 && !manifest_name_is_valid(name))
        rc = err_set(err, ERR_INVALID, "name", "name must be 1 to %d of a-z, 0-9 and -",
                     MANIFEST_MAX_NAME);
    if (rc == 0)
        snprintf(manifest->name, sizeof manifest->name, "%s", name);
    if (rc == 0)
        rc = json_get_text(document, "title", MANIFEST_MAX_TITLE, &manifest->title, err);
    if (rc == 0)
        rc = json_get_text(document, "description", MANIFEST_MAX_DESCRIPTION, &text, err);
    if (rc == 0)
        rc = json_get_text(document, "architecture", 32, &manifest->architecture, err);
    if (rc == 0)
        rc = json_get_text(document, "variant", 32, &manifest->variant, err);
    if (rc == 0)
        rc = json_get_text(document, "license", 200, &text, err);
    if (rc == 0)
        rc = json_get_text(document, "training", 4000, &text, err);
    return rc;
}

static int make_view(struct manifest *manifest, struct err *err)
{
    manifest->view = json_object();
    for (int i = 0; public_members[i]; i++) {
        const json_t *member = json_object_get(manifest->document, public_members[i]);
        json_t *value = json_deep_copy(member);
        if (member && json_object_set_new(manifest->view, public_members[i], value) < 0)
            return err_set(err, ERR_NOMEM, NULL, "no memory for a manifest's public view");
    }
    /* Results name them too, and whoever wants one again has to know. */
    if (manifest->weights_sha256 && json_object_set_new(manifest->view, "weights_sha256",
                                                        json_string(manifest->weights_sha256)) < 0)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a manifest's public view");
    return 0;
}

static int read_document(const json_t *document, const char *folder, struct manifest *manifest,
                         struct err *err)
{
    int rc = json_check_members(document, NULL, members, err);
    if (rc == 0)
        rc = read_texts(document, manifest, err);
    if (rc == 0)
        rc = manifest_weights_read(document, folder, manifest, err);
    if (rc == 0)
        rc = read_input(document, manifest, err);
    if (rc == 0)
        rc = read_output(document, manifest, err);
    if (rc == 0)
        rc = json_get_object(document, "params", &manifest->params, err);
    if (rc == 0)
        rc = params_check_schema(manifest->params, err);
    if (rc == 0)
        rc = manifest_texts_check(document, err);
    if (rc == 0)
        rc = read_running(document, manifest, err);
    if (rc == 0)
        rc = read_provenance(document, manifest, err);
    if (rc == 0)
        rc = read_cpu(document, manifest, err);
    if (rc == 0)
        rc = read_self_test(document, manifest, err);
    return rc;
}

int manifest_parse(const void *data, size_t size, const char *folder, struct manifest *out_manifest,
                   struct err *err)
{
    static const struct json_limits limits = {.max_bytes = MAX_MANIFEST_BYTES,
                                              .max_depth = MAX_DEPTH};
    struct manifest manifest = {0};
    int rc = json_parse(data, size, limits, &manifest.document, err);
    if (rc == 0)
        rc = read_document(manifest.document, folder, &manifest, err);
    if (rc == 0)
        rc = make_view(&manifest, err);
    if (rc < 0) {
        manifest_fini(&manifest);
        return rc;
    }
    *out_manifest = manifest;
    return 0;
}

void manifest_fini(struct manifest *manifest)
{
    free(manifest->weights_path);
    json_decref(manifest->view);
    json_decref(manifest->document);
    *manifest = (struct manifest){0};
}

static int load(const char *folder, const char *file, struct manifest *out_manifest,
                struct err *err)
{
    char path[4096];
    struct buf text;
    struct err inner = {0};
    struct manifest manifest = {0};
    if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path)
        return err_set(err, ERR_LIMIT, NULL, "the path of %s is too long", file);
    buf_init(&text, MAX_MANIFEST_BYTES);
    int rc = buf_read_file(&text, path, err);
    if (rc == 0) {
        rc = manifest_parse(text.data, text.size, folder, &manifest, &inner);
        if (rc < 0)
            err_set(err, rc, inner.field, "%s: %s", path, inner.text);
    }
    size_t stem = strlen(file) - strlen(".json");
    if (rc == 0 && (strlen(manifest.name) != stem || memcmp(manifest.name, file, stem)))
        rc =
            err_set(err, ERR_INVALID, "name", "%s: the name inside is \"%s\"", path, manifest.name);
    buf_fini(&text);
    if (rc < 0) {
        manifest_fini(&manifest);
        return rc;
    }
    *out_manifest = manifest;
    return 0;
}

static int is_manifest(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return entry->d_name[0] != '.' && length > 5 && !strcmp(entry->d_name + length - 5, ".json");
}

int manifest_load(const char *path, struct manifest *out_manifest, struct err *err)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    size_t length = strlen(file);
    if (length <= 5 || strcmp(file + length - 5, ".json"))
        return err_set(err, ERR_INVALID, NULL, "%s is not called <name>.json", path);
    char *folder = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    int rc = folder ? load(*folder ? folder : "/", file, out_manifest, err)
                    : err_set(err, ERR_NOMEM, NULL, "no memory for a path");
    free(folder);
    return rc;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int manifest_set_load(const char *folder, struct manifest_set *out_set, struct err *err)
{
    struct dirent **entries = NULL;
    struct manifest_set set = {0};
    int rc = 0;
    int count = scandir(folder, &entries, is_manifest, compare_names);
    if (count < 0)
        return err_set_open(err, NULL, "the folder of manifests %s", folder);
    if (count > MAX_MODELS)
        rc = err_set(err, ERR_LIMIT, NULL, "%s holds more than %d manifests", folder, MAX_MODELS);
    set.items = calloc(count ? (size_t)count : 1, sizeof *set.items);
    if (!set.items)
        rc = err_set(err, ERR_NOMEM, NULL, "no memory for %d manifests", count);
    for (int i = 0; rc == 0 && i < count; i++) {
        rc = load(folder, entries[i]->d_name, &set.items[set.count], err);
        set.count += rc == 0;
    }
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    if (rc < 0) {
        manifest_set_fini(&set);
        return rc;
    }
    *out_set = set;
    return 0;
}

void manifest_set_fini(struct manifest_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        manifest_fini(&set->items[i]);
    free(set->items);
    *set = (struct manifest_set){0};
}

const struct manifest *manifest_set_find(const struct manifest_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->items[i].name, name) == 0)
            return &set->items[i];
    return NULL;
}

int manifest_check_params(const struct manifest *manifest, const json_t *params,
                          json_t **out_params, struct err *err)
{
    return params_apply_schema(manifest->params, params, out_params, err);
}

/* SPDX-License-Identifier: MIT */
#include "worker/run.h"

#include "common/buf.h"
#include "common/config.h"
#include "common/err.h"
#include "common/file.h"
#include "common/job.h"
#include "common/json.h"
#include "gpu/model.h"
#include "gpu/pixels.h"
#include "worker/choice.h"
#include "worker/develop.h"
#include "worker/digits.h"
#include "worker/npy.h"
#include "worker/resident.h"
#include "worker/weights_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct run_settings {
    char *input, *params, *output, *raw, *heat_map;
    char *device, *precision;
    char *models;
    struct weights_cache_settings cache;
    int64_t size, threads;
    bool no_winograd;
};

#define FIELD(name) offsetof(struct run_settings, name)

static const struct config_option options[] = {
    {"input", CONFIG_TEXT, FIELD(input), NULL, .help = "PNG, JPEG or WebP file"},
    {"params", CONFIG_TEXT, FIELD(params), NULL, .help = "JSON object: the model's parameters"},
    {"output", CONFIG_TEXT, FIELD(output), NULL, .help = "PNG file to write"},
    {"raw", CONFIG_TEXT, FIELD(raw), NULL,
     .help = ".npy file for the network's output, float32 NCHW"},
    {"heat-map", CONFIG_TEXT, FIELD(heat_map), NULL,
     .help = "PNG file for where the network looked"},
    {"device", CONFIG_TEXT, FIELD(device), "cpu", .help = "cpu, cuda or ref"},
    {"precision", CONFIG_TEXT, FIELD(precision), "f32", .help = "f32, bf16 or f16"},
    {"size", CONFIG_INT, FIELD(size), "0", 0, MODEL_MAX_SIZE, "pixels",
     "side of the square that the network sees; 0: the model's own"},
    {"threads", CONFIG_INT, FIELD(threads), "0", 0, 1024, NULL, "0: every core"},
    {"no-winograd", CONFIG_BOOL, FIELD(no_winograd), "false",
     .help = "on the CPU: slower convolutions, in a quarter of the memory"},
    {"models", CONFIG_TEXT, FIELD(models), "models",
     .help = "folder of manifests; else the installed one", .installed = "models"},
    WEIGHTS_CACHE_OPTIONS(FIELD(cache)),
};

static const struct config_spec spec = {
    .usage = "MODEL [--input IN] [--params JSON] --output OUT.png [OPTIONS]\n"
             "Makes one picture. MODEL is a manifest's name or path, or a weights file.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(struct run_settings),
    .max_arguments = 1,
};

/* For a weights file, which brings no limits of its own. */
static const struct picture_limits plain_limits = {
    .max_bytes = 256u << 20, .max_pixels = PICTURE_MAX_PIXELS, .max_side = PICTURE_MAX_SIDE};

struct run {
    struct run_settings settings;
    struct choice choice;
    const struct manifest *manifest; /* of the choice; NULL where it has none */
    struct model_options options;
    struct picture_limits limits;
    char weights_sha256[PICTURE_HASH_SIZE];
    struct model *model;
    struct pixels_format format;
    struct buf params;     /* text; empty: none */
    struct picture square; /* the input, a picture … */
    struct digits digits;  /* … or what is to be drawn */
    float *input, *output; /* owned: [rows] of what the network takes and gives */
    size_t rows;
};

static int find_model(struct run *run, const char *name, struct err *err)
{
    int rc = choice_find(run->settings.models, name, &run->options, &run->choice, err);
    run->manifest = run->choice.has_manifest ? &run->choice.manifest : NULL;
    run->limits = run->manifest ? run->manifest->limits : plain_limits;
    if (rc == 0)
        rc = choice_fetch(&run->choice, &run->settings.cache, err);
    return rc == 0 ? choice_identify(&run->choice, run->weights_sha256, err) : rc;
}

static int read_options(struct run *run, struct err *err)
{
    if (!run->settings.output && !run->settings.raw && !run->settings.heat_map)
        return err_set(err, ERR_INVALID, "output",
                       "wanted --output OUT.png, --raw OUT.npy or --heat-map OUT.png");
    run->options = model_options_default();
    run->options.size = (int)run->settings.size;
    run->options.threads = (int)run->settings.threads;
    run->options.no_winograd = run->settings.no_winograd;
    run->options.heat_map = run->settings.heat_map != NULL;
    int rc = model_device_parse(run->settings.device, &run->options.device, err);
    if (rc == 0)
        rc = model_precision_parse(run->settings.precision, &run->options.precision, err);
    return rc;
}

/* As a job would have them: checked, with defaults. A bare file of weights has no schema. */
static int read_params(struct run *run, struct err *err)
{
    static const struct json_limits limits = {.max_bytes = JOB_PARAMS_MAX, .max_depth = 8};
    const char *text = run->settings.params;
    json_t *given = NULL, *params = NULL;
    struct err inner = {0};
    int rc = text ? json_parse(text, strlen(text), limits, &given, &inner) : 0;
    if (rc < 0)
        return err_set(err, rc, "params", "%s", inner.text);
    if (run->manifest)
        rc = manifest_check_params(run->manifest, given, &params, err);
    else if (given)
        params = json_incref(given);
    if (rc == 0 && params)
        rc = json_append(&run->params, params, JSON_COMPACT);
    json_decref(params);
    json_decref(given);
    return rc;
}

static int read_picture(struct run *run, struct err *err)
{
    struct buf file;
    if (!run->settings.input)
        return err_set(err, ERR_INVALID, "input", "wanted --input IN: this model needs a picture");
    buf_init(&file, run->limits.max_bytes);
    int rc = buf_read_file(&file, run->settings.input, err);
    if (rc == 0)
        rc = develop_input(file.data, file.size, &run->limits, NULL, model_info(run->model)->size,
                           run->format.resize, &run->square, err);
    buf_fini(&file);
    return rc;
}

static int read_input(struct run *run, struct err *err)
{
    const struct model_info *info = model_info(run->model);
    bool digits = info->input == MODEL_FROM_DIGITS;
    if (digits && run->settings.input)
        return err_set(err, ERR_INVALID, "input", "this model takes no picture, only --params");
    if (digits && run->params.size == 0)
        return err_set(err, ERR_INVALID, "params",
                       "wanted --params with number and seed: these weights have no manifest");
    int rc =
        digits ? digits_parse(buf_text(&run->params), &run->digits, err) : read_picture(run, err);
    if (rc < 0)
        return rc;
    run->rows = digits ? (size_t)run->digits.count : 1;
    run->input = malloc(run->rows * info->in_values * sizeof *run->input);
    run->output = malloc(run->rows * info->out_values * sizeof *run->output);
    if (!run->input || !run->output)
        return ERR_NOMEM;
    if (digits)
        digits_fill(&run->digits, run->input);
    else
        pixels_to_tensor(run->square.pixels, info->size, info->size, &run->format, run->input);
    return 0;
}

/* file_write() renames into place, which must not befall a device such as /dev/stdout. */
static int write_file(const char *path, const char *field, const struct buf *content,
                      struct err *err)
{
    struct stat status;
    if (lstat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return err_set(err, ERR_INVALID, field, "%s is there and is no regular file", path);
    return file_write(path, content->data, content->size, 0644, err);
}

/* The tensor as it came; a heat map behind it is left out. */
static int write_raw(const struct run *run, struct err *err)
{
    const struct model_info *info = model_info(run->model);
    const size_t side = (size_t)info->out_size, heat_side = (size_t)info->heat_side;
    const size_t values = info->out_values - heat_side * heat_side;
    struct buf raw;
    buf_init(&raw, run->rows * values * sizeof *run->output + 4096);
    int rc = npy_append_f32(&raw, (const size_t[]){run->rows, values / (side * side), side, side},
                            4, run->output, err);
    if (rc == 0)
        rc = write_file(run->settings.raw, "raw", &raw, err);
    buf_fini(&raw);
    return rc;
}

static int write_pictures(const struct run *run, struct err *err)
{
    const struct run_settings *settings = &run->settings;
    const struct model_info *info = model_info(run->model);
    const struct develop_subject subject = {
        .manifest = run->manifest,
        .info = info,
        .weights_sha256 = run->weights_sha256,
        .params = run->params.size ? buf_text(&run->params) : NULL,
    };
    struct picture_metadata metadata = {0};
    struct buf png, heat_map;
    buf_init(&png, develop_max_bytes(info));
    buf_init(&heat_map, develop_max_bytes(info));
    int rc = develop_describe(&subject, &metadata, err);
    if (rc == 0 && settings->output)
        rc = develop_output(info, &run->format, &run->digits, run->output, &metadata, &png, err);
    if (rc == 0 && settings->output)
        rc = write_file(settings->output, "output", &png, err);
    if (rc == 0 && settings->heat_map)
        rc = develop_heat_map(info, run->output, &metadata, &heat_map, err);
    if (rc == 0 && settings->heat_map)
        rc = write_file(settings->heat_map, "heat-map", &heat_map, err);
    picture_metadata_fini(&metadata);
    buf_fini(&heat_map);
    buf_fini(&png);
    return rc;
}

static int write_outputs(const struct run *run, struct err *err)
{
    int rc = run->settings.raw ? write_raw(run, err) : 0;
    return rc == 0 ? write_pictures(run, err) : rc;
}

static int run_model(struct run *run, const char *name, struct err *err)
{
    int rc = read_options(run, err);
    if (rc == 0)
        rc = find_model(run, name, err);
    if (rc == 0)
        rc = model_open(run->choice.weights, &run->options, &run->model, err);
    if (rc == 0 && run->manifest)
        rc = resident_check(run->manifest, model_info(run->model), err);
    if (rc == 0)
        run->format = develop_format(run->manifest, model_info(run->model));
    if (rc == 0)
        rc = read_params(run, err);
    if (rc == 0)
        rc = read_input(run, err);
    if (rc == 0)
        rc = model_run(run->model, (int)run->rows, run->input, run->output, err);
    return rc == 0 ? write_outputs(run, err) : rc;
}

int run_command(int argc, char **argv, struct err *err)
{
    struct run run = {0};
    buf_init(&run.params, JOB_PARAMS_MAX);
    enum config_next next;
    int arguments;
    int rc = config_load(&spec, argc, argv, &run.settings, &next, &arguments, err);
    if (rc < 0 || next == CONFIG_EXIT)
        return rc;
    if (arguments == 1)
        rc = run_model(&run, argv[1], err);
    else
        rc = err_set(err, ERR_INVALID, "model",
                     "wanted MODEL: a manifest's name or path, or a weights file");
    free(run.input);
    free(run.output);
    picture_fini(&run.square);
    buf_fini(&run.params);
    model_close(&run.model);
    choice_fini(&run.choice);
    config_fini(&spec, &run.settings);
    return rc;
}

/* SPDX-License-Identifier: MIT */
#include "worker/bench.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/err.h"
#include "common/json.h"
#include "common/memory.h"
#include "gpu/model.h"
#include "worker/choice.h"
#include "worker/self_test.h"
#include "worker/uptime.h"
#include "worker/weights_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define BATCHES_MAX 16
#define RUNS_MAX 100000
#define RUNS_MIN 3
#define LINE_MAX_BYTES 4096

struct bench_settings {
    char *device, *precision, *batch, *models;
    struct weights_cache_settings cache;
    int64_t seconds, threads, size;
    bool no_winograd, json;
};

#define FIELD(name) offsetof(struct bench_settings, name)

static const struct config_option options[] = {
    {"device", CONFIG_TEXT, FIELD(device), "cpu", .help = "cpu, cuda or ref"},
    {"precision", CONFIG_TEXT, FIELD(precision), "f32", .help = "f32, bf16 or f16"},
    {"batch", CONFIG_TEXT, FIELD(batch), "1", .help = "pictures in one run: one number, or 1,2,4"},
    {"seconds", CONFIG_INT, FIELD(seconds), "3", 0, 600, "s",
     "to measure each batch size for; three runs in any case"},
    {"threads", CONFIG_INT, FIELD(threads), "0", 0, 1024, NULL, "0: every core"},
    {"size", CONFIG_INT, FIELD(size), "0", 0, MODEL_MAX_SIZE, "pixels",
     "side of the square that the network sees; 0: the model's own"},
    {"no-winograd", CONFIG_BOOL, FIELD(no_winograd), "false",
     .help = "on the CPU: slower convolutions, in a quarter of the memory"},
    {"models", CONFIG_TEXT, FIELD(models), "models",
     .help = "folder of manifests; else the installed one", .installed = "models"},
    WEIGHTS_CACHE_OPTIONS(FIELD(cache)),
    {"json", CONFIG_BOOL, FIELD(json), "false", .help = "a line of JSON for each batch size"},
};

static const struct config_spec spec = {
    .usage = "MODEL [OPTIONS]\n"
             "Measures a model on this machine. MODEL is a manifest's name or path, or a weights "
             "file.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(struct bench_settings),
    .max_arguments = 1,
};

/* What was measured of one batch size. */
struct bench_row {
    int batch, runs;
    double p50_ms, p95_ms; /* of one picture: a run's time by its batch */
    double pictures_per_s;
    double flops; /* 2 x multiply_adds a second */
};

struct bench {
    struct bench_settings settings;
    struct choice choice;
    struct model_options options;
    struct model *model;
    const char *name;
    int batches[BATCHES_MAX];
    int batch_count, batch_most;
    float *input, *output; /* owned: [batch_most] of what the network takes and gives */
    double *run_ms;        /* owned: [RUNS_MAX] */
    double open_ms, prepare_ms, small_test_ms, self_test_ms, first_ms, reload_ms;
    int64_t ready_ms; /* since exec */
    double rss_bytes; /* the most there was */
    double peak;      /* FLOP/s of the machine; 0: nobody can tell */
    struct bench_row rows[BATCHES_MAX];
};

/* ---- options -------------------------------------------------------------------------------- */

static int read_batches(struct bench *bench, struct err *err)
{
    const char *text = bench->settings.batch;
    for (;;) {
        char *end;
        long value = strtol(text, &end, 10);
        if (end == text || value < 1 || value > MODEL_MAX_BATCH || (*end && *end != ',') ||
            bench->batch_count == BATCHES_MAX)
            return err_set(err, ERR_INVALID, "batch",
                           "wanted at most %d numbers of 1 to %d with commas between them",
                           BATCHES_MAX, MODEL_MAX_BATCH);
        bench->batches[bench->batch_count++] = (int)value;
        bench->batch_most = (int)value > bench->batch_most ? (int)value : bench->batch_most;
        if (!*end)
            return 0;
        text = end + 1;
    }
}

static int read_options(struct bench *bench, struct err *err)
{
    const struct bench_settings *settings = &bench->settings;
    bench->options = model_options_default();
    bench->options.threads = (int)settings->threads;
    bench->options.size = (int)settings->size;
    bench->options.no_winograd = settings->no_winograd;
    int rc = model_device_parse(settings->device, &bench->options.device, err);
    if (rc == 0)
        rc = model_precision_parse(settings->precision, &bench->options.precision, err);
    return rc == 0 ? read_batches(bench, err) : rc;
}

/* ---- measuring ------------------------------------------------------------------------------ */

static double since_ms(int64_t before_us)
{
    return (double)(clock_us() - before_us) / 1000;
}

static const struct manifest *manifest_of(const struct bench *bench)
{
    return bench->choice.has_manifest ? &bench->choice.manifest : NULL;
}

/* As resident_self_test_small() does it; what cannot be tested so is ready later. */
static int small_test(struct bench *bench, struct err *err)
{
    struct self_test_report report;
    struct err why = {0};
    int rc =
        bench->options.device == MODEL_CPU
            ? self_test_run_small(bench->model, &bench->options, manifest_of(bench), &report, &why)
            : ERR_UNSUPPORTED;
    if (rc < 0 && rc != ERR_UNSUPPORTED)
        return err_set(err, rc, why.field, "%s", why.text);
    if (rc == 0)
        bench->ready_ms = uptime_ms();
    return 0;
}

/* As resident_self_test() does it. */
static int self_test(struct bench *bench, struct err *err)
{
    struct self_test_report report;
    const struct manifest *manifest = manifest_of(bench);
    const int most = bench->options.device == MODEL_CUDA ? bench->batch_most : 1;
    if (bench->options.device == MODEL_REF)
        return 0;
    /* At another size it draws something else. */
    if (manifest && bench->options.size != manifest->size)
        manifest = NULL;
    return self_test_run(bench->model, &bench->options, manifest, most, &report, err);
}

/* As a worker starts: it checks the weights against the manifest, opens, prepares what it is going
 * to run, and tests it. */
static int start(struct bench *bench, struct err *err)
{
    char sha256[PICTURE_HASH_SIZE];
    int64_t before_us = clock_us();
    int rc = choice_find(bench->settings.models, bench->name, &bench->options, &bench->choice, err);
    if (rc == 0)
        rc = choice_fetch(&bench->choice, &bench->settings.cache, err);
    if (rc == 0 && bench->choice.has_manifest)
        rc = choice_identify(&bench->choice, sha256, err);
    if (rc == 0)
        rc = model_open(bench->choice.weights, &bench->options, &bench->model, err);
    bench->open_ms = since_ms(before_us);
    before_us = clock_us();
    for (int i = 0; rc == 0 && i < bench->batch_count; i++)
        rc = model_prepare(bench->model, bench->batches[i], err);
    bench->prepare_ms = since_ms(before_us);
    before_us = clock_us();
    if (rc == 0)
        rc = small_test(bench, err);
    bench->small_test_ms = since_ms(before_us);
    before_us = clock_us();
    if (rc == 0)
        rc = self_test(bench, err);
    bench->self_test_ms = since_ms(before_us);
    if (bench->ready_ms == 0)
        bench->ready_ms = uptime_ms();
    return rc;
}

/* What a worker waits for that had closed this model and needs it again. */
static int reload(struct bench *bench, struct err *err)
{
    int64_t before_us = clock_us();
    model_close(&bench->model);
    int rc = model_open(bench->choice.weights, &bench->options, &bench->model, err);
    if (rc == 0)
        rc = model_prepare(bench->model, bench->batches[0], err);
    if (rc == 0)
        rc = self_test(bench, err);
    bench->reload_ms = since_ms(before_us);
    return rc;
}

static int make_room(struct bench *bench, struct err *err)
{
    const struct model_info *info = model_info(bench->model);
    const size_t count = (size_t)bench->batch_most;
    bench->input = malloc(count * info->in_values * sizeof *bench->input);
    bench->output = malloc(count * info->out_values * sizeof *bench->output);
    bench->run_ms = malloc(RUNS_MAX * sizeof *bench->run_ms);
    if (!bench->input || !bench->output || !bench->run_ms)
        return err_set(err, ERR_NOMEM, NULL, "no memory for %d pictures", bench->batch_most);
    /* Noise: a picture of zeros would be faster on some machines. */
    uint32_t random = 1;
    for (size_t i = 0; i < count * info->in_values; i++) {
        random = random * 1664525 + 1013904223;
        bench->input[i] = (float)(random >> 8) / 8388608.0f - 1.0f;
    }
    return 0;
}

static int run_once(struct bench *bench, int batch, double *out_ms, struct err *err)
{
    int64_t before_us = clock_us();
    int rc = model_run(bench->model, batch, bench->input, bench->output, err);
    *out_ms = since_ms(before_us);
    return rc;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int measure(struct bench *bench, int batch, struct bench_row *out_row, struct err *err)
{
    const int64_t end_us = clock_us() + bench->settings.seconds * 1000000;
    double *ms = bench->run_ms, total_ms = 0, warm_up_ms;
    int runs = 0;
    int rc = run_once(bench, batch, &warm_up_ms, err);
    while (rc == 0 && runs < RUNS_MAX && (runs < RUNS_MIN || clock_us() < end_us)) {
        rc = run_once(bench, batch, &ms[runs], err);
        total_ms += ms[runs++];
    }
    if (rc < 0)
        return rc;
    qsort(ms, (size_t)runs, sizeof *ms, by_value);
    const double rate = (double)batch * runs * 1000 / total_ms;
    *out_row = (struct bench_row){
        .batch = batch,
        .runs = runs,
        .p50_ms = ms[runs / 2] / batch,
        .p95_ms = ms[(runs * 95 + 99) / 100 - 1] / batch,
        .pictures_per_s = rate,
        .flops = 2 * (double)model_info(bench->model)->multiply_adds * rate,
    };
    return 0;
}

/* ---- saying it ------------------------------------------------------------------------------ */

static double peak_rss(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024;
}

static void print_head(const struct bench *bench)
{
    const struct model_info *info = model_info(bench->model);
    const struct model_bytes bytes = model_bytes(bench->model);
    printf("%s: %s %s (%s), %d x %d pixels, %.2f M parameters, %.2f G multiply-adds\n", bench->name,
           info->architecture, info->kind, info->variant, info->size, info->size,
           (double)info->parameters / 1e6, (double)info->multiply_adds / 1e9);
    printf("device %s in %s", model_device_name(info->device),
           model_precision_name(info->precision));
    if (bench->peak > 0)
        printf(", which multiplies and adds at most %.3g TFLOP/s\n", bench->peak / 1e12);
    else
        printf(", whose limit is not measured\n");
    printf("start: open %.1f ms, prepare %.1f ms, small test %.1f ms; ready %lld ms after exec; "
           "self-test %.1f ms; first run %.1f ms; close and load again %.1f ms\n",
           bench->open_ms, bench->prepare_ms, bench->small_test_ms, (long long)bench->ready_ms,
           bench->self_test_ms, bench->first_ms, bench->reload_ms);
    printf(
        "memory: %.0f MB resident at most, %.0f MB of the model's own, %.0f MB on the device\n\n",
        bench->rss_bytes / 1e6, (double)bytes.host / 1e6, (double)bytes.device / 1e6);
    printf("%6s %6s %10s %10s %12s %10s %8s\n", "batch", "runs", "p50 ms", "p95 ms", "images/s",
           "TFLOP/s", "of peak");
}

static void print_table(const struct bench *bench)
{
    print_head(bench);
    for (int i = 0; i < bench->batch_count; i++) {
        const struct bench_row *row = &bench->rows[i];
        printf("%6d %6d %10.3f %10.3f %12.2f %10.3f ", row->batch, row->runs, row->p50_ms,
               row->p95_ms, row->pictures_per_s, row->flops / 1e12);
        if (bench->peak > 0)
            printf("%6.1f %%\n", 100 * row->flops / bench->peak);
        else
            printf("%8s\n", "-");
    }
}

/* One line for each batch size, whole by itself. */
static int print_json(const struct bench *bench, const struct bench_row *row, struct err *err)
{
    const struct model_info *info = model_info(bench->model);
    const struct model_bytes bytes = model_bytes(bench->model);
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:I, s:I}", "model", bench->name, "architecture",
        info->architecture, "kind", info->kind, "variant", info->variant, "size", info->size,
        "device", model_device_name(info->device), "precision",
        model_precision_name(info->precision), "threads", bench->options.threads, "parameters",
        (json_int_t)info->parameters, "multiply_adds", (json_int_t)info->multiply_adds);
    json_t *times = json_pack(
        "{s:i, s:i, s:f, s:f, s:f, s:f, s:o, s:f, s:f, s:f, s:f, s:f, s:I, s:f, s:f, s:I, s:I}",
        "batch", row->batch, "runs", row->runs, "p50_ms", row->p50_ms, "p95_ms", row->p95_ms,
        "images_per_s", row->pictures_per_s, "tflops", row->flops / 1e12, "of_peak",
        bench->peak > 0 ? json_real(row->flops / bench->peak) : json_null(), "peak_tflops",
        bench->peak / 1e12, "open_ms", bench->open_ms, "prepare_ms", bench->prepare_ms,
        "small_test_ms", bench->small_test_ms, "self_test_ms", bench->self_test_ms, "ready_ms",
        (json_int_t)bench->ready_ms, "first_ms", bench->first_ms, "reload_ms", bench->reload_ms,
        "rss_bytes", (json_int_t)bench->rss_bytes, "device_bytes", (json_int_t)bytes.device);
    int rc = object && times && json_object_update(object, times) == 0
                 ? json_append(&line, object, JSON_COMPACT | JSON_REAL_PRECISION(6))
                 : err_set(err, ERR_NOMEM, NULL, "no memory for a line of JSON");
    if (rc == 0)
        printf("%s\n", buf_text(&line));
    json_decref(times);
    json_decref(object);
    buf_fini(&line);
    return rc;
}

static int bench_model(struct bench *bench, struct err *err)
{
    int rc = read_options(bench, err);
    if (rc == 0)
        rc = start(bench, err);
    if (rc == 0)
        rc = make_room(bench, err);
    if (rc == 0)
        rc = run_once(bench, bench->batches[0], &bench->first_ms, err);
    for (int i = 0; rc == 0 && i < bench->batch_count; i++)
        rc = measure(bench, bench->batches[i], &bench->rows[i], err);
    bench->rss_bytes = peak_rss();
    if (rc == 0)
        rc = reload(bench, err);
    /* Without it there is just no comparison. */
    if (rc == 0 && model_device_peak(&bench->options, &bench->peak, NULL) < 0)
        bench->peak = 0;
    for (int i = 0; rc == 0 && bench->settings.json && i < bench->batch_count; i++)
        rc = print_json(bench, &bench->rows[i], err);
    if (rc == 0 && !bench->settings.json)
        print_table(bench);
    return rc;
}

int bench_command(int argc, char **argv, struct err *err)
{
    struct bench bench = {0};
    enum config_next next;
    int arguments;
    int rc = config_load(&spec, argc, argv, &bench.settings, &next, &arguments, err);
    if (rc < 0 || next == CONFIG_EXIT)
        return rc;
    bench.name = argv[1];
    if (arguments == 1)
        rc = bench_model(&bench, err);
    else
        rc = err_set(err, ERR_INVALID, "model",
                     "wanted MODEL: a manifest's name or path, or a weights file");
    model_close(&bench.model);
    choice_fini(&bench.choice);
    free(bench.input);
    free(bench.output);
    free(bench.run_ms);
    config_fini(&spec, &bench.settings);
    return rc;
}

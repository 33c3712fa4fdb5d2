/* SPDX-License-Identifier: MIT */
#include "worker/self_test_command.h"

#include "common/buf.h"
#include "common/config.h"
#include "common/err.h"
#include "common/file.h"
#include "common/json.h"
#include "gpu/model.h"
#include "worker/choice.h"
#include "worker/self_test.h"
#include "worker/weights_cache.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_BYTES 65536

struct command_settings {
    char *device, *precision, *models;
    struct weights_cache_settings cache;
    int64_t batch, threads;
    bool write;
};

#define FIELD(name) offsetof(struct command_settings, name)

static const struct config_option options[] = {
    {"write", CONFIG_BOOL, FIELD(write), "false",
     .help = "put into the manifest what this device draws"},
    {"device", CONFIG_TEXT, FIELD(device), "cpu", .help = "cpu, cuda or ref"},
    {"precision", CONFIG_TEXT, FIELD(precision), "f32", .help = "f32, bf16 or f16"},
    {"batch", CONFIG_INT, FIELD(batch), "2", 1, MODEL_MAX_BATCH, "pictures", "in the second run"},
    {"threads", CONFIG_INT, FIELD(threads), "0", 0, 1024, NULL, "0: every core"},
    {"models", CONFIG_TEXT, FIELD(models), "models",
     .help = "folder of manifests; else the installed one", .installed = "models"},
    WEIGHTS_CACHE_OPTIONS(FIELD(cache)),
};

static const struct config_spec spec = {
    .usage = "MODEL [--write] [OPTIONS]\n"
             "Runs a model on a picture made here and compares the result with its manifest. MODEL "
             "is a manifest's\nname or path.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(struct command_settings),
    .max_arguments = 1,
};

struct test {
    struct command_settings settings;
    struct choice choice;
    struct model_options options;
    struct model *model;
};

static int open_model(struct test *test, const char *name, struct err *err)
{
    const struct command_settings *settings = &test->settings;
    char sha256[PICTURE_HASH_SIZE];
    test->options = model_options_default();
    test->options.threads = (int)settings->threads;
    int rc = model_device_parse(settings->device, &test->options.device, err);
    if (rc == 0)
        rc = model_precision_parse(settings->precision, &test->options.precision, err);
    if (rc == 0)
        rc = choice_find(settings->models, name, &test->options, &test->choice, err);
    if (rc == 0 && !test->choice.has_manifest)
        rc = err_set(err, ERR_INVALID, "model", "%s is no manifest", name);
    if (rc == 0)
        rc = choice_fetch(&test->choice, &settings->cache, err);
    if (rc == 0)
        rc = choice_identify(&test->choice, sha256, err);
    return rc == 0 ? model_open(test->choice.weights, &test->options, &test->model, err) : rc;
}

/* ---- the manifest --------------------------------------------------------------------------- */

/* Where the value of the member "self_test" begins and ends in the text, and with it the comma in
 * front; or where it can be put: behind the last member. In a sound manifest no text holds such
 * quotes but as the name of a member. */
static void find_place(const char *text, size_t *out_begin, size_t *out_end)
{
    static const char name[] = "\"self_test\"";
    const char *found = strstr(text, name);
    const char *close = found ? strchr(found, '}') : NULL;
    if (close) {
        *out_end = (size_t)(close + 1 - text);
        while (found > text && found[-1] != ',' && found[-1] != '{')
            found--;
        *out_begin = (size_t)(found - text) - (found[-1] == ',');
        return;
    }
    size_t end = strlen(text);
    while (end > 0 && text[end] != '}')
        end--;
    while (end > 0 && strchr(" \t\r\n", text[end - 1]))
        end--;
    *out_begin = *out_end = end;
}

/* The edited text says what the old one said, but for this member. */
static int check_edit(const char *before, const char *after, struct err *err)
{
    static const struct json_limits limits = {.max_bytes = MAX_BYTES, .max_depth = 8};
    json_t *old = NULL, *new = NULL;
    int rc = json_parse(before, strlen(before), limits, &old, err);
    if (rc == 0)
        rc = json_parse(after, strlen(after), limits, &new, err);
    if (rc == 0) {
        json_object_del(old, "self_test");
        json_object_del(new, "self_test");
        if (!json_equal(old, new))
            rc = err_set(err, ERR_INVALID, "self_test",
                         "the manifest is written in a way that "
                         "cannot be edited: remove self_test first");
    }
    json_decref(old);
    json_decref(new);
    return rc;
}

/* `small`: NULL where there is none. */
static int edit(const char *path, const char *grid, const char *small, double tolerance,
                struct err *err)
{
    struct buf before, after;
    size_t begin = 0, end = 0;
    struct stat status;
    buf_init(&before, MAX_BYTES);
    buf_init(&after, MAX_BYTES);
    int rc = buf_read_file(&before, path, err);
    if (rc == 0 && stat(path, &status) < 0)
        rc = err_set_open(err, NULL, "%s", path);
    if (rc == 0) {
        find_place(buf_text(&before), &begin, &end);
        const char *rest = buf_text(&before) + end;
        const bool first = begin == 0 || buf_text(&before)[begin - 1] == '{';
        rc = buf_printf(&after, "%.*s%s\n  \"self_test\": {\n    \"grid\": \"%s\",\n", (int)begin,
                        buf_text(&before), first ? "" : ",", grid);
        if (rc == 0 && small)
            rc = buf_printf(&after, "    \"small\": \"%s\",\n", small);
        if (rc == 0)
            rc = buf_printf(&after, "    \"tolerance\": %g\n  }%s", tolerance, rest);
    }
    if (rc == 0)
        rc = check_edit(buf_text(&before), buf_text(&after), err);
    if (rc == 0)
        rc = file_write(path, after.data, after.size, status.st_mode & 0777, err);
    buf_fini(&after);
    buf_fini(&before);
    return rc;
}

static int write_grids(struct test *test, struct err *err)
{
    const struct manifest *manifest = &test->choice.manifest;
    struct self_test_grid grid = {0};
    char text[SELF_TEST_TEXT], small[SELF_TEST_TEXT] = "";
    struct err why = {0};
    int rc = self_test_measure(test->model, (int)test->settings.batch, &grid, err);
    if (rc < 0)
        return rc;
    self_test_write(&grid, text);
    rc = self_test_measure_small(test->model, &grid, &why);
    if (rc < 0 && rc != ERR_UNSUPPORTED)
        return err_set(err, rc, why.field, "%s", why.text);
    if (rc == 0)
        self_test_write(&grid, small);
    rc = edit(test->choice.path, text, small[0] ? small : NULL,
              manifest->self_test ? manifest->self_test_tolerance : SELF_TEST_TOLERANCE, err);
    if (rc == 0)
        printf("%s: self_test written to %s\n", manifest->name, test->choice.path);
    return rc;
}

static void print(const struct test *test, int size, const struct self_test_report *report)
{
    const struct manifest *manifest = &test->choice.manifest;
    printf("%s on %s-%s: two runs give %s", manifest->name, model_device_name(test->options.device),
           model_precision_name(test->options.precision),
           report->finite ? "the same bytes" : "NaN or infinity");
    if (report->compared)
        printf(", at most %.5f off the manifest's grid (%g is allowed)", report->worst,
               manifest->self_test_tolerance);
    else
        printf("; the manifest has no self_test to compare with (--write)");
    printf("; %d pixels, %.1f ms\n", size, (double)report->us / 1000);
}

/* The small one first, as a worker does it. */
static int compare(struct test *test, struct err *err)
{
    const struct manifest *manifest = &test->choice.manifest;
    struct self_test_report report;
    struct err why = {0};
    int rc = model_prepare(test->model, 1, err);
    if (rc < 0)
        return rc;
    rc = self_test_run_small(test->model, &test->options, manifest, &report, &why);
    if (rc == 0)
        print(test, SELF_TEST_SMALL_SIZE, &report);
    else if (rc != ERR_UNSUPPORTED)
        return err_set(err, rc, why.field, "%s", why.text);
    rc = self_test_run(test->model, &test->options, manifest, (int)test->settings.batch, &report,
                       err);
    if (rc == 0)
        print(test, model_info(test->model)->size, &report);
    return rc;
}

int self_test_command(int argc, char **argv, struct err *err)
{
    struct test test = {0};
    enum config_next next;
    int arguments;
    int rc = config_load(&spec, argc, argv, &test.settings, &next, &arguments, err);
    if (rc < 0 || next == CONFIG_EXIT)
        return rc;
    if (arguments == 1)
        rc = open_model(&test, argv[1], err);
    else
        rc = err_set(err, ERR_INVALID, "model", "wanted MODEL: a manifest's name or path");
    if (rc == 0)
        rc = test.settings.write ? write_grids(&test, err) : compare(&test, err);
    model_close(&test.model);
    choice_fini(&test.choice);
    config_fini(&spec, &test.settings);
    return rc;
}

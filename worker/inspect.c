/* SPDX-License-Identifier: MIT */
#include "worker/inspect.h"

#include "common/config.h"
#include "common/err.h"
#include "common/json.h"
#include "gpu/model.h"
#include "gpu/weights/convert.h"
#include "gpu/weights/statistics.h"
#include "gpu/weights/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct inspect_settings {
    char *convert, *part;
    bool half, json, no_statistics;
};

#define FIELD(name) offsetof(struct inspect_settings, name)

static const struct config_option options[] = {
    {"convert", CONFIG_TEXT, FIELD(convert), NULL, .help = "safetensors file to write"},
    {"half", CONFIG_BOOL, FIELD(half), "false", .help = "with --convert: floats of 16 bits"},
    {"part", CONFIG_TEXT, FIELD(part), NULL,
     .help = "which of several networks in the file: genB2A, generator_A"},
    {"json", CONFIG_BOOL, FIELD(json), "false", .help = "one JSON object"},
    {"no-statistics", CONFIG_BOOL, FIELD(no_statistics), "false",
     .help = "names, types and shapes only: reads no values"},
};

static const struct config_spec spec = {
    .usage = "FILE [--convert OUT.safetensors [--half]] [OPTIONS]\n"
             "Lists the tensors of a weights file and says which network they are. FILE is a "
             "safetensors, PyTorch,\nStyleGAN2-ADA or Keras file, or the prefix of a TensorFlow "
             "checkpoint.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(struct inspect_settings),
    .max_arguments = 1,
};

/* What the tensors are taken for. */
struct verdict {
    struct model *model; /* owned; NULL: for nothing, or for something that they contradict */
    int rc;
    struct err err;
};

/* Building the network compares every shape; nothing is computed. */
static void judge(const char *path, const struct inspect_settings *settings, struct verdict *out)
{
    struct model_options model_options = model_options_default();
    model_options.device = MODEL_REF;
    model_options.part = settings->part;
    out->rc = model_open(path, &model_options, &out->model, &out->err);
}

static json_t *statistics_json(const struct tensor *tensor)
{
    struct statistics s;
    statistics_of(tensor, &s);
    json_t *made =
        json_pack("{s:I,s:I}", "nan", (json_int_t)s.nan, "infinite", (json_int_t)s.infinite);
    if (made && s.finite > 0) {
        json_object_set_new(made, "min", json_real(s.min));
        json_object_set_new(made, "max", json_real(s.max));
        json_object_set_new(made, "mean", json_real(s.mean));
        json_object_set_new(made, "deviation", json_real(s.deviation));
    }
    return made;
}

static json_t *tensors_json(const struct weights *weights, bool with_statistics)
{
    json_t *list = json_array();
    for (size_t i = 0; i < weights_count(weights); i++) {
        struct tensor tensor;
        const char *name = weights_at(weights, i, &tensor);
        json_t *shape = json_array();
        for (int d = 0; d < tensor.rank; d++)
            json_array_append_new(shape, json_integer(tensor.dim[d]));
        json_t *row = json_pack("{s:s,s:s,s:o}", "name", name, "dtype",
                                tensor_type_name(tensor.type), "shape", shape);
        if (with_statistics)
            json_object_set_new(row, "statistics", statistics_json(&tensor));
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *attributes_json(const struct weights *weights)
{
    json_t *object = json_object();
    for (size_t i = 0; i < weights_attribute_count(weights); i++) {
        struct weights_attribute a;
        const char *name = weights_attribute_at(weights, i, &a);
        json_object_set_new(object, name, a.text ? json_string(a.text) : json_real(a.number));
    }
    return object;
}

static json_t *network_json(const struct verdict *verdict)
{
    if (!verdict->model)
        return json_null();
    const struct model_info *info = model_info(verdict->model);
    return json_pack("{s:s,s:s,s:s,s:i,s:i,s:I}", "architecture", info->architecture, "kind",
                     info->kind, "variant", info->variant, "channels", info->channels, "size",
                     info->size, "parameters", (json_int_t)info->parameters);
}

static int print_json(const struct weights *weights, const struct verdict *verdict,
                      const struct inspect_settings *settings, struct err *err)
{
    json_t *made = json_pack("{s:s,s:o,s:o,s:o}", "format", weights_format(weights), "network",
                             network_json(verdict), "attributes", attributes_json(weights),
                             "tensors", tensors_json(weights, !settings->no_statistics));
    if (made && !verdict->model)
        json_object_set_new(made, "reason", json_string(verdict->err.text));
    int rc = made ? 0 : ERR_NOMEM;
    if (rc == 0 && (json_dumpf(made, stdout, JSON_INDENT(2)) < 0 || putchar('\n') == EOF))
        rc = err_set_errno(err, NULL, "standard output");
    json_decref(made);
    return rc;
}

static void print_totals(const struct weights *weights)
{
    int64_t values = 0, bytes = 0;
    for (size_t i = 0; i < weights_count(weights); i++) {
        struct tensor tensor;
        weights_at(weights, i, &tensor);
        values += tensor_count(&tensor);
        bytes += (int64_t)tensor_bytes(&tensor);
    }
    printf("tensors:  %zu, %" PRId64 " values, %.1f MiB\n", weights_count(weights), values,
           (double)bytes / (1 << 20));
}

static void print_verdict(const struct verdict *verdict)
{
    if (!verdict->model) {
        printf("network:  none: %s\n", verdict->err.text);
        return;
    }
    const struct model_info *info = model_info(verdict->model);
    printf("network:  %s, %s, variant %s, %d channels, %d pixels, %" PRId64 " trained values\n",
           info->architecture, info->kind, info->variant, info->channels, info->size,
           info->parameters);
}

/* Texts of any length and with any characters come from files: one line is shown. */
static void print_attributes(const struct weights *weights)
{
    for (size_t i = 0; i < weights_attribute_count(weights); i++) {
        struct weights_attribute a;
        printf("attribute %s = ", weights_attribute_at(weights, i, &a));
        if (!a.text)
            printf("%.9g", a.number);
        for (size_t at = 0; a.text && a.text[at] && at < 100; at++)
            putchar((unsigned char)a.text[at] < ' ' || a.text[at] == 0x7f ? ' ' : a.text[at]);
        printf("%s\n", a.text && strlen(a.text) > 100 ? "..." : "");
    }
}

static void print_tensor(const char *name, const struct tensor *tensor, bool with_statistics)
{
    char shape[TENSOR_SHAPE_SIZE];
    struct statistics s;
    tensor_shape_text(tensor->rank, tensor->dim, shape);
    printf("%-60s %-4s %-16s", name, tensor_type_name(tensor->type), shape);
    if (with_statistics) {
        statistics_of(tensor, &s);
        printf(" %11.4g %11.4g %11.4g %11.4g", s.min, s.max, s.mean, s.deviation);
        if (s.nan || s.infinite)
            printf("  %" PRId64 " NaN, %" PRId64 " infinite", s.nan, s.infinite);
    }
    putchar('\n');
}

static int print_text(const struct weights *weights, const struct verdict *verdict,
                      const struct inspect_settings *settings, struct err *err)
{
    printf("format:   %s\n", weights_format(weights));
    print_verdict(verdict);
    print_totals(weights);
    print_attributes(weights);
    printf("\n%-60s %-4s %-16s", "name", "type", "shape");
    if (!settings->no_statistics)
        printf(" %11s %11s %11s %11s", "min", "max", "mean", "deviation");
    putchar('\n');
    for (size_t i = 0; i < weights_count(weights); i++) {
        struct tensor tensor;
        const char *name = weights_at(weights, i, &tensor);
        print_tensor(name, &tensor, !settings->no_statistics);
    }
    return fflush(stdout) == EOF || ferror(stdout) ? err_set_errno(err, NULL, "standard output")
                                                   : 0;
}

/* Tensors of no known network are no error; those that contradict theirs are. */
static int verdict_code(const struct verdict *verdict, struct err *err)
{
    if (verdict->rc == 0 || verdict->rc == ERR_UNSUPPORTED)
        return 0;
    return err_set(err, verdict->rc, verdict->err.field, "%s", verdict->err.text);
}

static int inspect(const char *path, const struct inspect_settings *settings, struct err *err)
{
    struct weights *weights = NULL;
    struct verdict verdict = {0};
    if (settings->half && !settings->convert)
        return err_set(err, ERR_INVALID, "half", "--half is for --convert");
    int rc = weights_open(path, &weights, err);
    /* Before the list, whose reader may hang up after its first lines. */
    if (rc == 0 && settings->convert)
        rc = convert_to_safetensors(weights, settings->convert,
                                    settings->half ? TENSOR_F16 : TENSOR_F32, err);
    if (rc == 0) {
        judge(path, settings, &verdict);
        rc = settings->json ? print_json(weights, &verdict, settings, err)
                            : print_text(weights, &verdict, settings, err);
    }
    if (rc == 0)
        rc = verdict_code(&verdict, err);
    model_close(&verdict.model);
    weights_close(&weights);
    return rc;
}

int inspect_command(int argc, char **argv, struct err *err)
{
    struct inspect_settings settings = {0};
    enum config_next next;
    int arguments;
    int rc = config_load(&spec, argc, argv, &settings, &next, &arguments, err);
    if (rc < 0 || next == CONFIG_EXIT)
        return rc;
    rc = arguments == 1 ? inspect(argv[1], &settings, err)
                        : err_set(err, ERR_INVALID, "file", "wanted FILE: a file of weights");
    config_fini(&spec, &settings);
    return rc;
}

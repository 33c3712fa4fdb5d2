/* SPDX-License-Identifier: MIT
 *
 * Keras' files as h5py writes them: what is read, what is refused, and digits from them. */
#include "gpu/model.h"
#include "gpu/models/cgan.h"

#include "common/err.h"
#include "tests/models/command.h"
#include "tests/models/golden.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/darkroom-keras-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void gives_the_digits(const char *name, enum model_device device)
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    struct err err = {0};
    enum { VALUES = CGAN_SIDE * CGAN_SIDE };
    float out[VALUES];
    double worst = 0;
    options.architecture = "cgan";
    options.variant = "tensorflow";
    options.device = device;
    int rc = model_open(path_of(name), &options, &model, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    CHECK_INT(rc, 0);
    CHECK_INT(model_info(model)->parameters, 1364225);
    float *in = golden_read(path_of("golden"), "input", CGAN_INPUTS);
    float *want = golden_read(path_of("golden"), "output", VALUES);
    CHECK_INT(model_run(model, 1, in, out, &err), 0);
    for (int i = 0; i < VALUES; i++)
        worst = fmax(worst, fabs((double)out[i] - (double)want[i]));
    free(in);
    free(want);
    model_close(&model);
    printf("# %s on %s: %.2g\n", name, model_device_name(device), worst);
    CHECK(worst < 1e-5);
}

static void a_whole_model_gives_keras_digits(void)
{
    gives_the_digits("whole.h5", MODEL_REF);
    gives_the_digits("whole.h5", MODEL_CPU);
}

static void weights_alone_give_the_same(void)
{
    gives_the_digits("weights.h5", MODEL_REF);
}

static void tensors_are_named_by_their_path(void)
{
    struct weights *weights = NULL;
    struct weights_attribute a;
    struct tensor t;
    struct err err = {0};
    CHECK_INT(weights_open(path_of("whole.h5"), &weights, &err), 0);
    CHECK_TEXT(weights_format(weights), "keras-h5");
    CHECK_INT(weights_count(weights), 26);
    CHECK_INT(weights_require(weights, "model_weights/dense_9/dense_9/kernel:0", 2,
                              (const int64_t[]){110, 6272}, &t, &err),
              0);
    CHECK_INT(weights_attribute(weights, "keras_version", &a), 0);
    CHECK_TEXT(a.text, "2.4.0");
    CHECK_INT(weights_attribute(weights, "backend", &a), 0);
    CHECK_TEXT(a.text, "tensorflow");
    CHECK_INT(weights_attribute(weights, "model_weights/layer_names", &a), 0);
    CHECK_HAS(a.text, "input_9\ndense_9\nbatch_normalization_9\nconv2d_transpose_9\n");
    weights_close(&weights);
}

static void every_type_is_read_in_our_byte_order(void)
{
    static const struct {
        const char *name;
        enum tensor_type type;
    } rows[] = {{"f16", TENSOR_F16}, {"f64", TENSOR_F64}, {"big", TENSOR_F32}, {"i8", TENSOR_I8},
                {"i16", TENSOR_I16}, {"i32", TENSOR_I32}, {"i64", TENSOR_I64}, {"u8", TENSOR_U8}};
    struct weights *weights = NULL;
    struct tensor t;
    float values[2];
    char name[64];
    CHECK_INT(weights_open(path_of("types.h5"), &weights, NULL), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(name, sizeof name, "types/types/%s:0", rows[i].name);
        CHECK_INT(weights_find(weights, name, &t), 0);
        CHECK_INT(t.type, rows[i].type);
        CHECK(tensor_has_shape(&t, 2, (const int64_t[]){2, 1}));
        tensor_to_f32(&t, values);
        CHECK(values[0] == 3 && values[1] == 2);
    }
    CHECK_INT(weights_find(weights, "types/types/scalar:0", &t), 0);
    CHECK_INT(t.rank, 0);
    weights_close(&weights);
}

static unsigned char bytes[65536];

static size_t read_bytes(const char *name)
{
    FILE *file = fopen(path_of(name), "rb");
    CHECK(file != NULL);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    CHECK(size > 0 && size < sizeof bytes);
    return size;
}

static void has_the_small_tensor(struct weights *weights)
{
    struct tensor t;
    float values[6];
    CHECK_INT(weights_count(weights), 1);
    CHECK_INT(
        weights_require(weights, "dense/dense/kernel:0", 2, (const int64_t[]){2, 3}, &t, NULL), 0);
    tensor_to_f32(&t, values);
    for (int i = 0; i < 6; i++)
        CHECK(values[i] == (float)i);
}

static void bytes_in_memory_and_split_lists_are_read_as_well(void)
{
    struct weights *weights = NULL;
    CHECK_INT(weights_open_memory(bytes, read_bytes("small.h5"), &weights, NULL), 0);
    has_the_small_tensor(weights);
    weights_close(&weights);
    CHECK_INT(weights_open(path_of("split.h5"), &weights, NULL), 0);
    has_the_small_tensor(weights);
    weights_close(&weights);
}

/* Each is read by a process of its own, so not every one is tried. */
static void prefixes_are_errors_in_words(void)
{
    const size_t size = read_bytes("small.h5");
    for (size_t cut = 0; cut < size; cut += cut < 104 ? 4 : 127) {
        struct weights *weights = NULL;
        struct err err = {0};
        int rc = weights_open_memory(bytes, cut, &weights, &err);
        /* libhdf5 puts nothing that we need at the very end of a file. */
        if (rc == 0)
            has_the_small_tensor(weights);
        weights_close(&weights);
        CHECK(rc == 0 || (rc == ERR_CORRUPT && err.text[0]));
        CHECK(rc < 0 || cut > size / 2);
    }
}

static void what_leads_out_of_the_file_or_claims_too_much_is_refused(void)
{
    static const struct {
        const char *name;
        int rc;
        const char *says;
    } rows[] = {
        {"link.h5", ERR_CORRUPT, "no data in this file for tensor dense/dense/kernel:0"},
        {"external.h5", ERR_UNSUPPORTED, "tensor dense/dense/kernel:0 lies in another file"},
        {"virtual.h5", ERR_UNSUPPORTED, "tensor dense/dense/kernel:0 lies in another file"},
        {"huge.h5", ERR_CORRUPT, "more than the file can hold"},
        {"plain.h5", ERR_UNSUPPORTED, "without Keras' list of layers"},
        {"complex.h5", ERR_UNSUPPORTED, "dense/kernel:0 has a type"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weights *weights = NULL;
        struct err err = {0};
        int rc = weights_open(path_of(rows[i].name), &weights, &err);
        if (rc != rows[i].rc)
            printf("# %s: %s\n", rows[i].name, err.text);
        CHECK_INT(rc, rows[i].rc);
        CHECK_HAS(err.text, rows[i].says);
    }
}

static void a_wrong_shape_names_the_tensor_and_both_shapes(void)
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    struct err err = {0};
    options.device = MODEL_REF;
    CHECK_INT(model_open(path_of("wrong.h5"), &options, &model, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "conv2d_transpose_1/conv2d_transpose_1/kernel:0");
    CHECK_HAS(err.text, "5x5x32x128");
    CHECK_HAS(err.text, "5x5x64x128");
}

int main(void)
{
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    int status =
        command_run("%s %s/models/reference_keras.py %s", command_torch(), command_tests(), folder);
    if (status == COMMAND_SKIPPED) {
        rmdir(folder);
        check_skip("python3-torch or python3-h5py is not installed");
    }
    if (status != 0)
        return EXIT_FAILURE;
    RUN(a_whole_model_gives_keras_digits);
    RUN(weights_alone_give_the_same);
    RUN(tensors_are_named_by_their_path);
    RUN(every_type_is_read_in_our_byte_order);
    RUN(bytes_in_memory_and_split_lists_are_read_as_well);
    RUN(prefixes_are_errors_in_words);
    RUN(what_leads_out_of_the_file_or_claims_too_much_is_refused);
    RUN(a_wrong_shape_names_the_tensor_and_both_shapes);
    command_run("rm -r %s", folder);
    return check_report();
}

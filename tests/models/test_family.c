/* SPDX-License-Identifier: MIT
 *
 * CartoonGAN, fast style transfer and Fast-SRGAN: the oracle against PyTorch layer by layer, the
 * CPU against the oracle, trained weights where there are some, and what is wrong with a file. */
#include "common/err.h"
#include "gpu/model.h"
#include "gpu/models/architectures.h"
#include "gpu/network.h"
#include "gpu/ref/ref.h"
#include "gpu/weights/weights.h"
#include "tests/models/batches.h"
#include "tests/models/cut.h"
#include "tests/models/parity.h"
#include "tests/unit/check.h"

#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

struct family {
    const char *name;   /* of the architecture */
    const char *script; /* reference_SCRIPT.py */
    int size;           /* of the pictures; nothing but a multiple of what the network needs */
    const char *trained;
    int64_t parameters; /* of the trained */
};

static const struct family families[] = {
    {"cartoongan", "cartoongan", 20, "cartoongan_hosoda.f16.safetensors", 11129667},
    {"fast-style-transfer", "fast_style_transfer", 28, "fst_wave.safetensors", 1677638},
    {"fast-srgan", "fast_srgan", 17, "fast_srgan_x4.pt", 925646},
};

enum { COUNT = sizeof families / sizeof families[0], TRAINED_SIZE = 36 };

static char folder[] = "/tmp/darkroom-family-XXXXXX";

static const char *path_of(int i, const char *what)
{
    static char path[2][128];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%d.%s", folder, i, what);
    return path[turn];
}

/* `arguments` of references.py. */
static void run_references(const char *arguments)
{
    char command[4096];
    const char *tests = getenv("DARKROOM_TESTS"), *python = getenv("DARKROOM_TORCH_PYTHON");
    snprintf(command, sizeof command, "%s %s/models/references.py %s", python ? python : "python3",
             tests ? tests : "tests", arguments);
    fflush(stdout);
    int status = system(command);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        rmdir(folder);
        check_skip("python3-torch is not installed");
    }
    if (status != 0) {
        printf("Bail out! %s failed\n", command);
        exit(EXIT_FAILURE);
    }
}

/* Once for all tests. */
static void make_weights(void)
{
    char arguments[3072] = "";
    const char *trained = getenv("DARKROOM_TEST_WEIGHTS");
    if (!mkdtemp(folder))
        exit(EXIT_FAILURE);
    for (int i = 0; i < COUNT; i++) {
        size_t used = strlen(arguments);
        snprintf(arguments + used, sizeof arguments - used, " --random %s %d %s %s",
                 families[i].script, families[i].size, path_of(i, "weights"), path_of(i, "golden"));
        used = strlen(arguments);
        if (trained)
            snprintf(arguments + used, sizeof arguments - used, " --trained %s %d %s/%s %s",
                     families[i].script, TRAINED_SIZE, trained, families[i].trained,
                     path_of(i, "trained"));
    }
    run_references(arguments);
}

static void remove_weights(void)
{
    for (int i = 0; i < COUNT; i++) {
        unlink(path_of(i, "golden"));
        unlink(path_of(i, "weights"));
        unlink(path_of(i, "trained"));
        unlink(path_of(i, "bad"));
    }
    rmdir(folder);
}

/* Owned by the caller; CHECKs the count. */
static float *recorded(const struct weights *golden, const char *name, size_t count)
{
    struct tensor tensor;
    CHECK_INT(weights_find(golden, name, &tensor), 0);
    CHECK_INT(tensor_count(&tensor), count);
    float *values = malloc(count * sizeof *values);
    tensor_to_f32(&tensor, values);
    return values;
}

struct comparison {
    const struct network *network;
    const struct weights *golden;
    double worst;
    int worst_layer, layers;
};

static void compare(void *context, int layer, const float *values)
{
    struct comparison *c = context;
    char name[16];
    const size_t count = layer_values(&c->network->layers[layer]);
    snprintf(name, sizeof name, "layer%03d", layer);
    float *want = recorded(c->golden, name, count);
    double d = parity_distance(values, want, count);
    free(want);
    c->layers++;
    if (!(d <= c->worst)) {
        c->worst = d;
        c->worst_layer = layer;
    }
}

static void every_layer_equals_pytorch(void)
{
    static struct network network;
    const struct backend_options cpu = {.precision = MODEL_F32, .threads = 2};
    for (int i = 0; i < COUNT; i++) {
        struct weights *weights = NULL, *part = NULL, *view = NULL, *golden = NULL;
        const struct architecture *architecture = NULL;
        struct architecture_found found;
        struct err err = {0};
        CHECK_INT(weights_open(path_of(i, "weights"), &weights, &err), 0);
        CHECK_INT(weights_open(path_of(i, "golden"), &golden, &err), 0);
        CHECK_INT(architectures_recognise(weights, NULL, &architecture, &found, &part, &err), 0);
        CHECK_TEXT(architecture->name, families[i].name);
        if (architecture->view)
            CHECK_INT(architecture->view(part, &found, &view, &err), 0);
        CHECK_INT(architecture->build(view ? view : part, &found, families[i].size, &network, &err),
                  0);
        struct comparison comparison = {.network = &network, .golden = golden};
        const struct layer *last = &network.layers[network.count - 1];
        CHECK_INT(last->h, families[i].size * architecture->scale);
        float *input = recorded(golden, "input", layer_values(&network.layers[0]));
        float *out = malloc(layer_values(last) * sizeof *out);
        CHECK_INT(ref_run(&network, input, out, compare, &comparison, &err), 0);
        printf("# %s: %d layers, worst %d (%s) %.2g\n", families[i].name, comparison.layers,
               comparison.worst_layer, network.layers[comparison.worst_layer].name,
               comparison.worst);
        CHECK_INT(comparison.layers, network.count);
        CHECK(cut_distance(families[i].name, &network, input, &cpu) < 1e-3);
        CHECK(comparison.worst < 1e-5);
        free(input);
        free(out);
        weights_close(&view);
        weights_close(&part);
        weights_close(&weights);
        weights_close(&golden);
    }
}

static struct model *open_model(const char *path, const struct family *f, enum model_device device,
                                struct err *err)
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    options.device = device;
    options.architecture = f->name;
    options.size = f->size;
    model_open(path, &options, &model, err);
    return model;
}

/* Greatest |got - want| of a run, `golden` having its input and output. */
static double distance(struct model *model, const char *golden_path)
{
    const struct model_info *info = model_info(model);
    struct weights *golden = NULL;
    struct err err = {0};
    double worst = 0;
    CHECK_INT(weights_open(golden_path, &golden, &err), 0);
    float *input = recorded(golden, "input", info->in_values);
    float *want = recorded(golden, "output", info->out_values);
    float *got = malloc(info->out_values * sizeof *got);
    int rc = model_run(model, 1, input, got, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    for (size_t i = 0; i < info->out_values; i++)
        worst = fmax(worst, isnan(got[i]) ? INFINITY : fabs((double)got[i] - (double)want[i]));
    free(input);
    free(want);
    free(got);
    weights_close(&golden);
    CHECK_INT(rc, 0);
    return worst;
}

/* False, and said so, in a build without the CPU's backend. */
static bool has_device(const struct model *model, const struct err *err)
{
    if (!model && err->code == ERR_UNSUPPORTED && strcmp(err->field, "device") == 0 &&
        strstr(err->text, "this build")) {
        printf("# skipped: %s\n", err->text);
        return false;
    }
    if (!model)
        printf("# %s\n", err->text);
    CHECK(model != NULL);
    return true;
}

static void the_cpu_equals_pytorch(void)
{
    for (int i = 0; i < COUNT; i++) {
        struct err err = {0};
        struct model *model = open_model(path_of(i, "weights"), &families[i], MODEL_CPU, &err);
        if (!has_device(model, &err))
            continue;
        double worst = distance(model, path_of(i, "golden"));
        printf("# %s: %.2g\n", families[i].name, worst);
        CHECK(worst <= 1e-3);
        model_close(&model);
    }
}

static void any_batch_and_slot_gives_the_same_picture(void)
{
    for (int i = 0; i < COUNT; i++) {
        struct err err = {0};
        struct model *model = open_model(path_of(i, "weights"), &families[i], MODEL_CPU, &err);
        if (!has_device(model, &err))
            continue;
        CHECK_INT(batches_differ(model), 0);
        model_close(&model);
    }
}

/* Whether `model` opened anew for `size` gives what a model of that size does. */
static bool gives_that_sizes_bytes(struct model *model, struct model *other)
{
    const struct model_info *info = model_info(other);
    struct model *sized = NULL;
    float *input = malloc(info->in_values * sizeof *input);
    float *want = malloc(info->out_values * sizeof *want);
    float *got = malloc(info->out_values * sizeof *got);
    for (size_t i = 0; i < info->in_values; i++)
        input[i] = sinf((float)i * 0.37f);
    bool equal = model_run(other, 1, input, want, NULL) == 0 &&
                 model_open_sized(model, info->size, &sized, NULL) == 0 &&
                 model_info(sized)->out_values == info->out_values &&
                 model_run(sized, 1, input, got, NULL) == 0 &&
                 memcmp(want, got, info->out_values * sizeof *want) == 0;
    model_close(&sized);
    free(input);
    free(want);
    free(got);
    return equal;
}

static void a_model_for_another_size_gives_that_sizes_bytes(void)
{
    for (int i = 0; i < COUNT; i++) {
        struct family larger = families[i];
        struct err err = {0};
        larger.size += 16;
        struct model *model = open_model(path_of(i, "weights"), &larger, MODEL_CPU, &err);
        if (!has_device(model, &err))
            continue;
        struct model *other = open_model(path_of(i, "weights"), &families[i], MODEL_CPU, &err);
        CHECK(other && gives_that_sizes_bytes(model, other));
        /* It is there as it was. */
        CHECK_INT(model_info(model)->size, larger.size);
        CHECK_INT(batches_differ(model), 0);
        struct model *none = NULL;
        CHECK_INT(model_open_sized(model, MODEL_MIN_SIZE - 1, &none, &err), ERR_INVALID);
        CHECK(!none);
        model_close(&other);
        model_close(&model);
    }
}

static void trained_weights_give_what_pytorch_makes_of_them(void)
{
    const char *trained = getenv("DARKROOM_TEST_WEIGHTS");
    if (!trained) {
        printf("# skipped: DARKROOM_TEST_WEIGHTS names no folder\n");
        return;
    }
    for (int i = 0; i < COUNT; i++) {
        char path[512];
        struct family small = families[i];
        struct err err = {0};
        small.size = TRAINED_SIZE;
        snprintf(path, sizeof path, "%s/%s", trained, small.trained);
        static const enum model_device devices[] = {MODEL_REF, MODEL_CPU};
        for (int d = 0; d < 2; d++) {
            struct model *model = open_model(path, &small, devices[d], &err);
            if (!has_device(model, &err))
                continue;
            CHECK_INT(model_info(model)->parameters, small.parameters);
            double worst = distance(model, path_of(i, "trained"));
            printf("# %s: %s %.2g\n", small.trained, model_device_name(devices[d]), worst);
            CHECK(worst <= 1e-3);
            model_close(&model);
        }
    }
}

/* The whole file of weights `i`; its size in *out_size. Owned by the caller. */
static char *slurp(int i, size_t *out_size)
{
    FILE *file = fopen(path_of(i, "weights"), "rbe");
    CHECK(file != NULL);
    fseek(file, 0, SEEK_END);
    *out_size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*out_size);
    CHECK_INT(fread(bytes, 1, *out_size, file), *out_size);
    fclose(file);
    return bytes;
}

/* Writes them as the bad file, and frees them. */
static void write_bad(int i, char *bytes, size_t size)
{
    FILE *file = fopen(path_of(i, "bad"), "wbe");
    CHECK(file != NULL);
    CHECK_INT(fwrite(bytes, 1, size, file), size);
    fclose(file);
    free(bytes);
}

static void shapes_that_disagree_are_named(void)
{
    static const struct {
        const char *header, *bad, *name, *have, *need;
    } cases[COUNT] = {
        {"[8,4,3,3]", "[4,8,3,3]", "conv02_1.weight", "4x8x3x3", "8x4x3x3"},
        {"[3,3,4,8]", "[3,3,8,4]", "Variable_3.weight", "4x8x3x3", "8x4x3x3"},
        {"[3,4,3,3]", "[4,3,3,3]", "head.0.weight", "4x3x3x3", "3x4x3x3"},
    };
    for (int i = 0; i < COUNT; i++) {
        size_t size;
        struct err err = {0};
        char *bytes = slurp(i, &size);
        char *place = memmem(bytes, size, cases[i].header, strlen(cases[i].header));
        CHECK(place != NULL);
        memcpy(place, cases[i].bad, strlen(cases[i].bad));
        write_bad(i, bytes, size);
        CHECK(!open_model(path_of(i, "bad"), &families[i], MODEL_REF, &err));
        CHECK_INT(err.code, ERR_CORRUPT);
        CHECK_HAS(err.text, cases[i].name);
        CHECK_HAS(err.text, cases[i].have);
        CHECK_HAS(err.text, cases[i].need);
    }
}

static void names_the_layer(enum model_device device)
{
    static const struct {
        const char *tensor, *layer;
    } cases[COUNT] = {
        {"conv05_1.bias", "layer conv05_1 "},
        {"Variable_46", "layer Variable_47 "}, /* the shift; the norm is called as its scale */
        {"head.0.bias", "layer head.0 "},
    };
    for (int i = 0; i < COUNT; i++) {
        size_t size;
        struct err err = {0};
        struct weights *weights = NULL;
        struct tensor tensor;
        char *bytes = slurp(i, &size);
        CHECK_INT(weights_open_memory(bytes, size, &weights, &err), 0);
        CHECK_INT(weights_find(weights, cases[i].tensor, &tensor), 0);
        const float bad = NAN;
        memcpy(bytes + ((const char *)tensor.data - bytes), &bad, sizeof bad);
        weights_close(&weights);
        write_bad(i, bytes, size);
        struct model *model = open_model(path_of(i, "bad"), &families[i], device, &err);
        if (!has_device(model, &err))
            continue;
        const struct model_info *info = model_info(model);
        float *input = calloc(info->in_values, sizeof *input);
        float *output = malloc(info->out_values * sizeof *output);
        CHECK_INT(model_run(model, 1, input, output, &err), ERR_CORRUPT);
        /* Where layers are computed as one, the last of them has to do. */
        CHECK_HAS(err.text, device == MODEL_REF ? cases[i].layer : "layer ");
        CHECK_HAS(err.text, "NaN or infinity");
        free(input);
        free(output);
        model_close(&model);
    }
}

static void nan_in_the_weights_fails_with_the_layers_name(void)
{
    names_the_layer(MODEL_REF);
    names_the_layer(MODEL_CPU);
}

static void another_architectures_weights_are_refused(void)
{
    for (int i = 0; i < COUNT; i++) {
        const struct family *other = &families[(i + 1) % COUNT];
        struct model_options options = model_options_default();
        struct model *model = NULL;
        struct err err = {0};
        options.device = MODEL_REF;
        options.architecture = other->name;
        CHECK_INT(model_open(path_of(i, "weights"), &options, &model, &err), ERR_CORRUPT);
        CHECK_TEXT(err.field, "architecture");
        CHECK_HAS(err.text, families[i].name);
        CHECK_HAS(err.text, other->name);
        err = (struct err){0};
        options.architecture = families[i].name;
        options.variant = i == 1 ? "pytorch" : "tensorflow"; /* only the second is TensorFlow's */
        CHECK_INT(model_open(path_of(i, "weights"), &options, &model, &err), ERR_CORRUPT);
        CHECK_TEXT(err.field, "variant");
    }
}

static void each_variant_has_its_originals_format(void)
{
    struct pixels_format format = architectures_find("ugatit")->format("tensorflow");
    CHECK_INT(format.resize, PICTURE_BILINEAR);
    CHECK_INT(format.rounding, PIXELS_TRUNCATE);
    format = architectures_find("ugatit")->format("pytorch");
    CHECK_INT(format.resize, PICTURE_ANTIALIAS);
    CHECK_INT(format.rounding, PIXELS_ROUND);
    CHECK(architectures_find("cartoongan")->format("pytorch").bgr);
    format = architectures_find("fast-style-transfer")->format("tensorflow");
    CHECK(format.in_scale == 1 && format.in_shift == 0);
    CHECK(format.out_scale == 150 && format.out_shift == 127.5f);
    CHECK_INT(architectures_find("fast-srgan")->format("pytorch").rounding, PIXELS_TRUNCATE);
    CHECK(!architectures_find("biggan"));
}

static void sizes_that_do_not_fit_are_refused(void)
{
    for (int i = 0; i < COUNT; i++) {
        struct family odd = families[i];
        struct err err = {0};
        odd.size = i == 2 ? 1000 : 30; /* 4000 pixels out, and no multiple of 4 */
        CHECK(!open_model(path_of(i, "weights"), &odd, MODEL_REF, &err));
        CHECK_INT(err.code, ERR_INVALID);
        CHECK_TEXT(err.field, "size");
    }
}

int main(void)
{
    make_weights();
    RUN(every_layer_equals_pytorch);
    RUN(the_cpu_equals_pytorch);
    RUN(any_batch_and_slot_gives_the_same_picture);
    RUN(a_model_for_another_size_gives_that_sizes_bytes);
    RUN(shapes_that_disagree_are_named);
    RUN(nan_in_the_weights_fails_with_the_layers_name);
    RUN(another_architectures_weights_are_refused);
    RUN(each_variant_has_its_originals_format);
    RUN(sizes_that_do_not_fit_are_refused);
    RUN(trained_weights_give_what_pytorch_makes_of_them);
    remove_weights();
    return check_report();
}

/* SPDX-License-Identifier: MIT
 *
 * The digits: the oracle against PyTorch layer by layer, the CPU against the oracle, the random
 * numbers against their paper, and the picture's geometry. */
#include "gpu/models/cgan.h"

#include "common/err.h"
#include "gpu/model.h"
#include "gpu/network.h"
#include "gpu/ref/ref.h"
#include "gpu/weights/weights.h"
#include "tests/models/batches.h"
#include "tests/unit/check.h"

#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

static char weights_path[64], golden_path[64];

/* Once for all tests; skips the program without PyTorch. */
static void make_weights(void)
{
    static char folder[] = "/tmp/darkroom-cgan-XXXXXX";
    char command[512];
    const char *tests = getenv("DARKROOM_TESTS"), *python = getenv("DARKROOM_TORCH_PYTHON");
    if (!mkdtemp(folder))
        exit(EXIT_FAILURE);
    snprintf(weights_path, sizeof weights_path, "%s/weights", folder);
    snprintf(golden_path, sizeof golden_path, "%s/golden", folder);
    snprintf(command, sizeof command, "%s %s/models/reference_cgan.py %s %s",
             python ? python : "python3", tests ? tests : "tests", weights_path, golden_path);
    fflush(stdout);
    int status = system(command);
    if (status != 0) {
        rmdir(folder);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
            check_skip("python3-torch is not installed");
        printf("Bail out! reference_cgan.py failed\n");
        exit(EXIT_FAILURE);
    }
}

static void remove_weights(void)
{
    unlink(weights_path);
    unlink(golden_path);
    *strrchr(weights_path, '/') = 0;
    rmdir(weights_path);
}

static float *golden(const struct weights *weights, int layer, size_t count)
{
    char name[16];
    struct tensor tensor;
    snprintf(name, sizeof name, "layer%03d", layer);
    CHECK_INT(weights_find(weights, name, &tensor), 0);
    CHECK_INT(tensor_count(&tensor), count);
    float *values = malloc(count * sizeof *values);
    tensor_to_f32(&tensor, values);
    return values;
}

struct comparison {
    const struct network *network;
    const struct weights *golden;
    double worst;
    int layers;
};

static void compare(void *context, int layer, const float *values)
{
    struct comparison *c = context;
    size_t count = layer_values(&c->network->layers[layer]);
    float *want = golden(c->golden, layer, count);
    for (size_t i = 0; i < count; i++)
        c->worst = fmax(c->worst,
                        fabs((double)values[i] - (double)want[i]) / fmax(1, fabs((double)want[i])));
    free(want);
    c->layers++;
}

static void every_layer_equals_pytorch(void)
{
    static struct network network;
    struct weights *weights = NULL, *recorded = NULL;
    struct comparison comparison = {.network = &network};
    float out[CGAN_SIDE * CGAN_SIDE];
    struct err err = {0};
    CHECK_INT(weights_open(weights_path, &weights, &err), 0);
    CHECK_INT(weights_open(golden_path, &recorded, &err), 0);
    CHECK(cgan_recognise(weights));
    CHECK_INT(cgan_build(weights, &network, &err), 0);
    comparison.golden = recorded;
    float *input = golden(recorded, 0, CGAN_INPUTS);
    CHECK_INT(ref_run(&network, input, out, compare, &comparison, &err), 0);
    printf("# %d layers, worst %.2g\n", comparison.layers, comparison.worst);
    CHECK_INT(comparison.layers, network.count);
    CHECK(comparison.worst < 2e-6);
    /* The paper's count, and the original's: systems of Keras count the norms' statistics too. */
    int64_t parameters = 0;
    for (size_t i = 0; i < weights_count(weights); i++) {
        struct tensor tensor;
        weights_at(weights, i, &tensor);
        parameters += tensor_count(&tensor);
    }
    CHECK_INT(parameters, 1364225);
    free(input);
    weights_close(&weights);
    weights_close(&recorded);
}

static struct model *open_model(enum model_device device, int threads)
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    struct err err = {0};
    options.device = device;
    options.threads = threads;
    options.architecture = "cgan";
    int rc = model_open(weights_path, &options, &model, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    CHECK_INT(rc, 0);
    return model;
}

enum { DIGITS = 10, VALUES = CGAN_SIDE * CGAN_SIDE };

static void make_inputs(float inputs[DIGITS][CGAN_INPUTS])
{
    for (int i = 0; i < DIGITS; i++)
        cgan_input(4294967295u, (uint32_t)i, i, inputs[i]);
}

static void the_cpu_equals_the_oracle(void)
{
    static float inputs[DIGITS][CGAN_INPUTS], want[2][VALUES], got[2][VALUES];
    double worst = 0;
    make_inputs(inputs);
    struct model *model = open_model(MODEL_REF, 1);
    CHECK_INT(model_info(model)->in_values, CGAN_INPUTS);
    CHECK_INT(model_info(model)->out_values, VALUES);
    CHECK_INT(model_info(model)->input, MODEL_FROM_DIGITS);
    CHECK_INT(model_run(model, 2, inputs[0], want[0], NULL), 0);
    model_close(&model);
    model = open_model(MODEL_CPU, 2);
    CHECK_INT(model_run(model, 2, inputs[0], got[0], NULL), 0);
    model_close(&model);
    for (int n = 0; n < 2; n++)
        for (int i = 0; i < VALUES; i++)
            worst = fmax(worst, fabs((double)want[n][i] - (double)got[n][i]));
    printf("# worst %.2g\n", worst);
    CHECK(worst < 1e-4);
    CHECK(memcmp(want[0], want[1], sizeof want[0]) != 0);
}

static void neither_batch_nor_threads_change_a_byte(void)
{
    static float inputs[DIGITS][CGAN_INPUTS], alone[DIGITS][VALUES], together[DIGITS][VALUES];
    make_inputs(inputs);
    for (int threads = 1; threads <= 3; threads++) {
        struct model *model = open_model(MODEL_CPU, threads);
        CHECK_INT(model_run(model, DIGITS, inputs[0], together[0], NULL), 0);
        if (threads == 1)
            for (int i = 0; i < DIGITS; i++)
                CHECK_INT(model_run(model, 1, inputs[i], alone[i], NULL), 0);
        model_close(&model);
        CHECK(memcmp(alone, together, sizeof alone) == 0);
    }
}

static void any_batch_and_slot_gives_the_same_digits(void)
{
    struct model *model = open_model(MODEL_CPU, 2);
    CHECK_INT(batches_differ(model), 0);
    model_close(&model);
}

static void what_contradicts_the_manifest_is_refused(void)
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    struct err err = {0};
    options.architecture = "ugatit";
    CHECK_INT(model_open(weights_path, &options, &model, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "of cgan, not of ugatit");
    options.architecture = "cgan";
    options.size = 64;
    err = (struct err){0};
    CHECK_INT(model_open(weights_path, &options, &model, &err), ERR_INVALID);
    CHECK_TEXT(err.field, "size");
    options.size = 0;
    options.device = MODEL_CUDA;
    CHECK_INT(model_open(weights_path, &options, &model, NULL), ERR_UNSUPPORTED);
}

/* The vectors that come with the authors' own library (Random123, kat_vectors). */
static void philox_gives_the_published_numbers(void)
{
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } rows[] = {
        {{0}, {0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t got[4];
        cgan_philox(rows[i].counter, rows[i].key, got);
        CHECK(memcmp(got, rows[i].want, sizeof got) == 0);
    }
}

static void an_input_is_its_seed_position_and_digit(void)
{
    float a[CGAN_INPUTS], b[CGAN_INPUTS];
    double sum = 0, squares = 0;
    cgan_input(0, 0, 3, a);
    /* The first published block, from its first 24 bits each. */
    CHECK(a[0] == (float)0x6627e8 / 8388608 - 1 && a[1] == (float)0xe169c5 / 8388608 - 1);
    for (int label = 0; label < 10; label++)
        CHECK(a[CGAN_LATENT + label] == (label == 3 ? 1.0f : 0.0f));
    cgan_input(0, 0, 4, b);
    CHECK(memcmp(a, b, CGAN_LATENT * sizeof *a) == 0);
    cgan_input(0, 1, 3, b);
    CHECK(memcmp(a, b, CGAN_LATENT * sizeof *a) != 0);
    cgan_input(1, 0, 3, b);
    CHECK(memcmp(a, b, CGAN_LATENT * sizeof *a) != 0);
    for (uint32_t seed = 0; seed < 1000; seed++) {
        cgan_input(seed, 0, 0, a);
        for (int i = 0; i < CGAN_LATENT; i++) {
            CHECK(a[i] >= -1 && a[i] < 1);
            sum += (double)a[i];
            squares += (double)a[i] * (double)a[i];
        }
    }
    CHECK(fabs(sum / 100000) < 0.01);
    CHECK(fabs(squares / 100000 - 1.0 / 3) < 0.01);
}

static const unsigned char *at(const unsigned char *rgb, int count, int x, int y)
{
    return rgb + ((size_t)y * (size_t)count * CGAN_TILE + (size_t)x) * 3;
}

static void a_tile_has_the_original_s_geometry(void)
{
    static unsigned char rgb[2 * CGAN_TILE * CGAN_TILE * 3];
    static float output[VALUES];
    memset(rgb, 1, sizeof rgb);
    for (int i = 0; i < VALUES; i++)
        output[i] = 0.25f + 0.5f * (float)i / (VALUES - 1); /* stretched from black to white */
    cgan_paint(output, 1, 2, rgb);
    CHECK_INT(at(rgb, 2, 219, 100)[0], 1); /* the other tile is not touched */
    CHECK_INT(at(rgb, 2, 220, 0)[0], 255);
    CHECK_INT(at(rgb, 2, 220 + 27, 26)[0], 255);
    CHECK_INT(at(rgb, 2, 220 + 28, 25)[0], 255);
    CHECK_INT(at(rgb, 2, 220 + 28, 26)[0], 0);
    CHECK_INT(at(rgb, 2, 220 + 197, 195)[2], 255);
    CHECK_INT(at(rgb, 2, 220 + 198, 195)[0], 255);
    /* Column 7 is seven pixels wide, so column 8 begins at 28 + 7 * 6 + 7. */
    memset(output, 0, sizeof output);
    output[8] = 1;
    cgan_paint(output, 0, 2, rgb);
    CHECK_INT(at(rgb, 2, 28 + 48, 26)[0], 0);
    CHECK_INT(at(rgb, 2, 28 + 49, 26)[0], 255);
    CHECK_INT(at(rgb, 2, 28 + 54, 26)[0], 255);
    CHECK_INT(at(rgb, 2, 28 + 55, 26)[0], 0);
    /* One grey is no picture, but no division by zero either. */
    memset(output, 0, sizeof output);
    cgan_paint(output, 0, 2, rgb);
    CHECK_INT(at(rgb, 2, 100, 100)[0], 0);
}

int main(void)
{
    RUN(philox_gives_the_published_numbers);
    RUN(an_input_is_its_seed_position_and_digit);
    RUN(a_tile_has_the_original_s_geometry);
    make_weights();
    RUN(every_layer_equals_pytorch);
    RUN(the_cpu_equals_the_oracle);
    RUN(neither_batch_nor_threads_change_a_byte);
    RUN(any_batch_and_slot_gives_the_same_digits);
    RUN(what_contradicts_the_manifest_is_refused);
    remove_weights();
    return check_report();
}

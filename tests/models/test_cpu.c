/* SPDX-License-Identifier: MIT
 *
 * The CPU backend against the oracle: the network cut off after each of its layers, and whole. */
#include "gpu/cpu/isa.h"
#include "tests/models/cut.h"
#include "tests/unit/check.h"

/* What the issue allows; f32 with Winograd stays far below it. */
#define LIMIT 1e-3

static const struct backend_options usual = {.precision = MODEL_F32, .threads = 2};
static const struct backend_options direct = {
    .precision = MODEL_F32, .threads = 2, .no_winograd = true};

static void agrees(const struct parity_case *c)
{
    struct parity p;
    parity_init(&p, c);
    double worst = cut_distance(c->name, &p.network, p.input, &usual);
    parity_fini(&p);
    CHECK(worst <= LIMIT);
}

static size_t bytes_held(const struct parity *p, const struct backend_options *options)
{
    void *state = NULL;
    CHECK_INT(backend_cpu.open(&p->network, options, &state, NULL), 0);
    CHECK_INT(backend_cpu.prepare(state, 1, NULL), 0);
    struct model_bytes held = backend_cpu.bytes(state);
    struct model_bytes most = backend_cpu.estimate(&p->network, options, 1);
    CHECK(held.host <= most.host);
    backend_cpu.close(state);
    return held.host;
}

static void every_light_layer_equals_the_oracle(void)
{
    agrees(&(struct parity_case){"light 8", .channels = 8, .blocks = 2, .size = 64, .type = "F32"});
}

static void sizes_that_fill_no_vector_equal_the_oracle(void)
{
    agrees(&(struct parity_case){"light 5", .channels = 5, .blocks = 1, .size = 20, .type = "F16"});
}

static void every_full_layer_equals_the_oracle(void)
{
    agrees(&(struct parity_case){"full 4", .channels = 4, .blocks = 1, .size = 36, .full = true,
                                 .type = "BF16"});
}

static void layers_wide_enough_for_winograd_equal_the_oracle(void)
{
    agrees(
        &(struct parity_case){"light 32", .channels = 32, .blocks = 1, .size = 28, .type = "F32"});
}

static void without_winograd_it_is_the_same_picture_in_less_memory(void)
{
    struct parity p;
    parity_init(&p,
                &(struct parity_case){"", .channels = 32, .blocks = 2, .size = 32, .type = "F32"});
    const int count = p.network.count;
    const size_t values = layer_values(&p.network.layers[count - 1]);
    float *fast = malloc(values * sizeof *fast), *slow = malloc(values * sizeof *slow);
    CHECK_INT(cut_run(&p.network, count, p.input, &usual, fast), 0);
    CHECK_INT(cut_run(&p.network, count, p.input, &direct, slow), 0);
    double distance = parity_distance(fast, slow, values);
    const size_t much = bytes_held(&p, &usual), less = bytes_held(&p, &direct);
    printf("# %.2g apart, %zu and %zu KiB\n", distance, much >> 10, less >> 10);
    CHECK(distance <= LIMIT);
    if (isa_vectors() == ISA_AVX512) {
        CHECK(distance > 0);
        CHECK(less < much / 2);
    }
    free(fast);
    free(slow);
    parity_fini(&p);
}

/* Two convolutions with a norm between them, of noise; the first reads the picture itself. `noise`
 * is borrowed for as long as the network is used. */
static void build_wide(struct network *network, const float *noise, int inputs, int outputs)
{
    struct network_builder b = {.network = network};
    int x = network_input(&b, inputs, 9, 14);
    for (int i = 0; i < 2; i++) {
        const int64_t from = network->layers[x].c;
        x = network_conv(&b, i ? "second" : "first", x,
                         (struct network_conv){
                             .channels = outputs, .kernel = 3, .stride = 1, .pad = 1, .zeros = i});
        network->layers[x].weight =
            (struct tensor){.rank = 4, .dim = {outputs, from, 3, 3}, .data = noise};
        x = i ? x : network_relu(&b, network_instance_norm(&b, x, 1e-5f));
    }
    CHECK_INT(b.rc, 0);
}

static void a_picture_may_have_any_number_of_channels(void)
{
    enum { MOST = 48 };
    static const int counts[] = {1, 3, 15, 16, 17, 31, 32, 33, MOST};
    static const struct backend_options bf16 = {.precision = MODEL_BF16, .threads = 2};
    static float noise[MOST * MOST * 9];
    static struct network network;
    unsigned state = 1;
    for (size_t i = 0; i < sizeof noise / sizeof *noise; i++) {
        state = state * 1664525u + 1013904223u;
        noise[i] = (float)(state >> 8) / 8388608.0f - 1.0f;
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int outputs = 3; outputs <= 32; outputs += 29) {
            char name[48];
            snprintf(name, sizeof name, "%d channels to %d", counts[i], outputs);
            build_wide(&network, noise, counts[i], outputs);
            CHECK(cut_distance(name, &network, noise, &usual) <= LIMIT);
            CHECK(cut_distance(name, &network, noise, &direct) <= LIMIT);
            CHECK(cut_distance(name, &network, noise, &bf16) <= 20 * LIMIT);
        }
}

static void more_threads_than_tiles_change_no_byte(void)
{
    struct parity p;
    parity_init(&p, &(struct parity_case){"", .channels = 48, .blocks = 1, .size = 20,
                                          .type = "F32", .alone = true});
    const size_t values = network_out_values(&p.network), bytes = values * sizeof(float);
    float *want = malloc(bytes), *got = malloc(bytes);
    for (int threads = 1; threads <= 5; threads++) {
        const struct backend_options options = {.precision = MODEL_F32, .threads = threads};
        CHECK_INT(cut_run(&p.network, p.network.count, p.input, &options, got), 0);
        if (threads == 1)
            memcpy(want, got, bytes);
        CHECK(memcmp(want, got, bytes) == 0);
    }
    free(want);
    free(got);
    parity_fini(&p);
}

/* What `network` gives with what was packed for the same one of p's size. */
static void share(const struct parity *p, const struct network *network,
                  const struct backend_options *options, float *out)
{
    void *state = NULL, *sized = NULL;
    CHECK_INT(backend_cpu.open(&p->network, options, &state, NULL), 0);
    CHECK_INT(backend_cpu.open_like(network, state, &sized, NULL), 0);
    const size_t all = backend_cpu.bytes(state).host, beside = backend_cpu.bytes(sized).host;
    CHECK_INT(backend_cpu.run(sized, 1, p->input, out, NULL), 0);
    backend_cpu.close(sized);
    backend_cpu.close(state);
    CHECK(beside < all / 2);
}

static void weights_packed_for_one_size_give_another_sizes_bytes(void)
{
    enum { OTHER = 24 };
    static const struct backend_options bf16 = {.precision = MODEL_BF16, .threads = 2};
    const struct backend_options *all[] = {&usual, &direct, &bf16};
    static struct network network;
    struct parity p;
    parity_init(&p, &(struct parity_case){"", .channels = 32, .blocks = 2, .size = 44,
                                          .type = "F16", .alone = true});
    CHECK_INT(ugatit_build(p.weights, &p.shape, OTHER, &network, NULL), 0);
    const size_t values = network_out_values(&network), bytes = values * sizeof(float);
    float *want = malloc(bytes), *got = malloc(bytes);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        CHECK_INT(cut_run(&network, network.count, p.input, all[i], want), 0);
        share(&p, &network, all[i], got);
        CHECK(memcmp(want, got, bytes) == 0);
    }
    free(want);
    free(got);
    parity_fini(&p);
}

int main(void)
{
    RUN(every_light_layer_equals_the_oracle);
    RUN(sizes_that_fill_no_vector_equal_the_oracle);
    RUN(every_full_layer_equals_the_oracle);
    RUN(layers_wide_enough_for_winograd_equal_the_oracle);
    RUN(a_picture_may_have_any_number_of_channels);
    RUN(more_threads_than_tiles_change_no_byte);
    RUN(weights_packed_for_one_size_give_another_sizes_bytes);
    RUN(without_winograd_it_is_the_same_picture_in_less_memory);
    return check_report();
}

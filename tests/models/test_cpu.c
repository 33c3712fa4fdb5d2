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

int main(void)
{
    RUN(every_light_layer_equals_the_oracle);
    RUN(sizes_that_fill_no_vector_equal_the_oracle);
    RUN(every_full_layer_equals_the_oracle);
    RUN(layers_wide_enough_for_winograd_equal_the_oracle);
    RUN(without_winograd_it_is_the_same_picture_in_less_memory);
    return check_report();
}

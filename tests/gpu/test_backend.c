/* SPDX-License-Identifier: MIT
 *
 * The CUDA backend on the emulated GPU: what must not change a byte, leak or be hidden. */
#include "gpu/cuda/state.h"
#include "tests/gpu/backend_support.h"

static void expect_nothing_left(void)
{
    CHECK_TEXT(emulator_fault(), "");
    CHECK_INT(emulator_live_objects(), 0);
}

/* The network cut off after each layer; what only lives inside of another layer is refused. */
static void every_layer_equals_the_oracle_where_it_can_be_seen(void)
{
    struct networks n;
    int seen = 0;
    emulator_reset(2);
    networks_make(&n, &networks_cases[0]);
    const int layers = n.network.count;
    for (int count = 2; count <= layers; count++) {
        struct err err = {0};
        void *state = NULL;
        n.network.count = count;
        if (backend_cuda.check(&n.network, &in_f32, &err) < 0) {
            const enum layer_kind kind = n.network.layers[count - 1].kind;
            CHECK(kind == LAYER_UPSAMPLE || kind == LAYER_CAM);
            continue;
        }
        const size_t values = network_out_values(&n.network);
        float *want = malloc(values * sizeof *want);
        CHECK_INT(ref_run(&n.network, n.input, want, NULL, NULL, &err), 0);
        CHECK_INT(backend_cuda.open(&n.network, &in_f32, &state, &err), 0);
        ((struct cuda_state *)state)->lanes.plain = true;
        float *out = run_network(&n, state, 1);
        if (!(compare(out, want, values).most < 1e-3))
            CHECK_TEXT(n.network.layers[count - 1].name, "");
        backend_cuda.close(state);
        free(out);
        free(want);
        seen++;
    }
    networks_fini(&n);
    CHECK(seen > layers / 2);
    expect_nothing_left();
}

static uint64_t hash(const float *values, size_t count)
{
    uint64_t h = 14695981039346656037u;
    const unsigned char *bytes = (const unsigned char *)values;
    for (size_t i = 0; i < count * sizeof *values; i++)
        h = (h ^ bytes[i]) * 1099511628211u;
    return h;
}

static void bytes_are_the_same_in(const struct networks_case *c,
                                  const struct backend_options *options, const int *batches)
{
    struct networks n;
    uint64_t alone[NETWORKS_PICTURES];
    int different = 0;
    emulator_reset(3);
    networks_make(&n, c);
    const size_t in = layer_values(&n.network.layers[0]), values = network_out_values(&n.network);
    float *const input = n.input;
    void *state = open_network(&n.network, options);
    int pictures = 0;
    for (int i = 0; batches[i] > 0; i++)
        pictures = batches[i] + i > pictures ? batches[i] + i : pictures;
    for (int p = 0; p < pictures; p++) {
        n.input = input + (size_t)p * in;
        float *out = run_network(&n, state, 1);
        alone[p] = hash(out, values);
        free(out);
    }
    for (int i = 0; batches[i] > 0; i++) {
        const int first = i % (pictures - batches[i] + 1);
        n.input = input + (size_t)first * in;
        float *out = run_network(&n, state, batches[i]);
        for (int slot = 0; slot < batches[i]; slot++)
            different += hash(out + (size_t)slot * values, values) != alone[first + slot];
        free(out);
    }
    n.input = input;
    backend_cuda.close(state);
    networks_fini(&n);
    CHECK_INT(different, 0);
    expect_nothing_left();
}

static void a_picture_has_the_same_bytes_in_any_batch_and_slot(void)
{
    static const int few[] = {3, 9, 0};
    static const int many[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 23, 32, 0};
    bytes_are_the_same_in(&networks_cases[networks_case_count - 1], &in_f16, many);
    bytes_are_the_same_in(&networks_cases[0], &in_f16, few);
    bytes_are_the_same_in(&networks_cases[2], &in_f16, few);
}

/* Another order of blocks, warps and streams; with graphs and without. */
static void neither_order_nor_graphs_change_a_byte(void)
{
    struct networks n;
    uint64_t first = 0;
    networks_make(&n, &networks_cases[0]);
    const size_t values = 11 * network_out_values(&n.network);
    for (uint64_t seed = 0; seed < 6; seed++) {
        emulator_reset(seed);
        void *state = open_network(&n.network, &in_f16);
        ((struct cuda_state *)state)->lanes.plain = seed % 2;
        float *out = run_network(&n, state, 11);
        if (seed == 0)
            first = hash(out, values);
        CHECK(hash(out, values) == first);
        free(out);
        backend_cuda.close(state);
        expect_nothing_left();
    }
    networks_fini(&n);
}

static void the_heat_map_is_the_attentions_sum(void)
{
    struct networks n;
    struct err err = {0};
    emulator_reset(4);
    networks_make(&n, &networks_cases[0]);
    n.network.heat_map = true;
    const size_t values = network_out_values(&n.network);
    float *want = malloc(2 * values * sizeof *want);
    for (size_t p = 0; p < 2; p++)
        CHECK_INT(ref_run(&n.network, n.input + p * layer_values(&n.network.layers[0]),
                          want + p * values, NULL, NULL, &err),
                  0);
    void *state = open_network(&n.network, &in_f32);
    float *out = run_network(&n, state, 2);
    CHECK(compare(out, want, 2 * values).most < 1e-3);
    backend_cuda.close(state);
    free(out);
    free(want);
    networks_fini(&n);
    expect_nothing_left();
}

static void a_layer_that_gives_nan_is_named(void)
{
    struct networks n;
    struct err err = {0};
    emulator_reset(5);
    networks_make(&n, &networks_cases[0]);
    int norm = 0;
    for (int i = 0; norm == 0; i++)
        if (n.network.layers[i].kind == LAYER_NORM &&
            n.network.layers[i].norm == NORM_LAYER_INSTANCE)
            norm = i;
    void *state = open_network(&n.network, &in_f32);
    float *out = run_network(&n, state, 9);
    n.input[8 * layer_values(&n.network.layers[0]) + 3] = NAN; /* of the second piece */
    CHECK_INT(backend_cuda.run(state, 9, n.input, out, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, n.network.layers[2].name); /* the first norm */
    free(out);
    n.input[8 * layer_values(&n.network.layers[0]) + 3] = 0;
    out = run_network(&n, state, 9); /* and the model works on */
    free(out);
    backend_cuda.close(state);
    /* a weight in the middle */
    struct layer *conv = &n.network.layers[n.network.layers[norm].input];
    ((float *)(uintptr_t)conv->weight.data)[7] = INFINITY;
    state = open_network(&n.network, &in_f32);
    err = (struct err){0};
    out = malloc(network_out_values(&n.network) * sizeof *out);
    CHECK_INT(backend_cuda.run(state, 1, n.input, out, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, n.network.layers[norm].name);
    CHECK_TEXT(err.field, n.network.layers[norm].name);
    backend_cuda.close(state);
    /* one that only a ReLU follows, which must not make 0 of it */
    ((float *)(uintptr_t)conv->weight.data)[7] = 0;
    conv = &n.network.layers[n.network.layers[n.network.attention].input];
    ((float *)(uintptr_t)conv->weight.data)[0] = NAN;
    state = open_network(&n.network, &in_f16);
    err = (struct err){0};
    CHECK_INT(backend_cuda.run(state, 1, n.input, out, &err), ERR_CORRUPT);
    free(out);
    backend_cuda.close(state);
    networks_fini(&n);
    expect_nothing_left();
}

static void devices_that_will_not_do_are_refused_with_a_reason(void)
{
    struct networks n;
    struct err err = {0};
    uint64_t total = 0, unused = 0;
    double flops = 0;
    networks_make(&n, &networks_cases[0]);
    emulator_reset(1);
    emulator_set_capability(70);
    CHECK_INT(backend_cuda.check(&n.network, &in_f32, &err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "7.0; 7.5 is the least");
    emulator_set_capability(75);
    err = (struct err){0};
    CHECK_INT(backend_cuda.check(&n.network, &in_bf16, &err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "bf16");
    emulator_set_capability(0);
    err = (struct err){0};
    CHECK_INT(backend_cuda.check(&n.network, &in_f16, &err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "no usable GPU here");
    CHECK_INT(backend_cuda.memory(&total, &unused, NULL), ERR_UNSUPPORTED);
    CHECK_INT(backend_cuda.peak(&in_f32, &flops, NULL), ERR_UNSUPPORTED);
    networks_fini(&n);
    expect_nothing_left();
}

static void a_network_too_wide_for_a_kernel_is_refused_by_name(void)
{
    static struct network wide;
    struct network_builder builder = {.network = &wide};
    struct err err = {0};
    const struct network_conv conv = {.channels = 2056, .kernel = 3, .stride = 1, .pad = 1};
    emulator_reset(1);
    int x = network_conv(&builder, "wide", network_input(&builder, 3, 16, 16), conv);
    network_tanh(&builder, network_relu(&builder, network_instance_norm(&builder, x, 1e-5f)));
    CHECK_INT(builder.rc, 0);
    CHECK_INT(backend_cuda.check(&wide, &in_f16, &err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "more channels");
    expect_nothing_left();
}

static void memory_that_does_not_suffice_is_counted_and_leaves_other_models_alone(void)
{
    struct networks n;
    struct err err = {0};
    void *second = NULL;
    emulator_reset(6);
    networks_make(&n, &networks_cases[0]);
    void *first = open_network(&n.network, &in_f16);
    float *before = run_network(&n, first, 2);
    emulator_set_memory(emulator_device_bytes() + 1000);
    CHECK_INT(backend_cuda.open(&n.network, &in_f16, &second, &err), ERR_NOMEM);
    CHECK_HAS(err.text, "1000 are free");
    CHECK_HAS(err.text, "missing");
    err = (struct err){0};
    float *after = malloc(8 * network_out_values(&n.network) * sizeof *after);
    CHECK_INT(backend_cuda.run(first, 8, n.input, after, &err), ERR_NOMEM);
    free(after);
    after = run_network(&n, first, 2);
    CHECK(hash(before, 2 * network_out_values(&n.network)) ==
          hash(after, 2 * network_out_values(&n.network)));
    free(before);
    free(after);
    backend_cuda.close(first);
    networks_fini(&n);
    expect_nothing_left();
}

/* A network of one convolution, so that every call can fail once. */
static int try_all(struct networks *n, float *out, struct err *err)
{
    void *state = NULL;
    int rc = backend_cuda.open(&n->network, &in_f16, &state, err);
    if (rc == 0)
        rc = backend_cuda.prepare(state, 2, err);
    if (rc == 0)
        rc = backend_cuda.run(state, 3, n->input, out, err);
    if (rc == 0)
        rc = backend_cuda.run(state, 9, n->input, out, err);
    backend_cuda.close(state);
    return rc;
}

static void make_small(struct networks *n)
{
    struct network_builder b = {.network = &n->network};
    memset(n, 0, sizeof *n);
    int x = network_input(&b, 3, 6, 6);
    x = network_conv(&b, "conv", x,
                     (struct network_conv){.channels = 8, .kernel = 3, .stride = 1, .pad = 1});
    network_relu(&b, network_instance_norm(&b, x, 1e-5f));
    networks_fill(n);
}

static void every_call_that_fails_gives_a_clean_error_and_leaks_nothing(void)
{
    struct networks n;
    float out[9 * 8 * 6 * 6];
    make_small(&n);
    for (int any = 0; any < 2; any++) {
        int rc = -1, failures = 0;
        for (int nth = 1; rc != 0; nth++) {
            struct err err = {0};
            emulator_reset((uint64_t)nth);
            if (any)
                emulator_fail_any(nth);
            else
                emulator_fail_memory(nth);
            rc = try_all(&n, out, &err);
            CHECK(rc == 0 || rc == ERR_NOMEM || (any && rc == ERR_DEVICE));
            CHECK(rc == 0 || err.text[0] != '\0');
            CHECK_INT(emulator_live_objects(), 0);
            failures += rc != 0;
            if (rc != 0)
                rc = -1;
        }
        printf("# %d calls failed in turn\n", failures);
        CHECK(failures > (any ? 50 : 15));
    }
    networks_fini(&n);
    emulator_reset(1);
    expect_nothing_left();
}

static void what_is_estimated_is_what_is_held(void)
{
    struct networks n;
    emulator_reset(7);
    networks_make(&n, &networks_cases[0]);
    const struct model_bytes want = backend_cuda.estimate(&n.network, &in_f16, 5);
    void *state = open_network(&n.network, &in_f16);
    CHECK_INT(backend_cuda.prepare(state, 5, NULL), 0);
    const struct model_bytes have = backend_cuda.bytes(state);
    CHECK_INT(have.device, want.device);
    CHECK_INT(have.host, want.host);
    CHECK_INT(have.device, emulator_device_bytes());
    backend_cuda.close(state);
    networks_fini(&n);
    expect_nothing_left();
}

int main(void)
{
    RUN(every_layer_equals_the_oracle_where_it_can_be_seen);
    RUN(a_picture_has_the_same_bytes_in_any_batch_and_slot);
    RUN(neither_order_nor_graphs_change_a_byte);
    RUN(the_heat_map_is_the_attentions_sum);
    RUN(a_layer_that_gives_nan_is_named);
    RUN(devices_that_will_not_do_are_refused_with_a_reason);
    RUN(a_network_too_wide_for_a_kernel_is_refused_by_name);
    RUN(memory_that_does_not_suffice_is_counted_and_leaves_other_models_alone);
    RUN(every_call_that_fails_gives_a_clean_error_and_leaks_nothing);
    RUN(what_is_estimated_is_what_is_held);
    return check_report();
}

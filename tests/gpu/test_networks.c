/* SPDX-License-Identifier: MIT
 *
 * Whole networks of every architecture against the oracle, on an emulated GPU or on a real one. In
 * f32 once: its kernels are the same on all architectures. */
#include "tests/gpu/backend_support.h"

static struct difference difference_to_ref(const struct networks_case *c,
                                           const struct backend_options *options)
{
    struct networks n;
    struct err err = {0};
    emulator_reset(1);
    networks_make(&n, c);
    const size_t values = network_out_values(&n.network);
    float *want = malloc(values * sizeof *want);
    CHECK_INT(ref_run(&n.network, n.input, want, NULL, NULL, &err), 0);
    void *state = open_network(&n.network, options);
    float *out = run_network(&n, state, 1);
    const struct difference d = compare(out, want, values);
    printf("# %s in %s: %.2g, %.1f dB\n", networks_name(c),
           model_precision_name(options->precision), d.most, d.decibels);
    backend_cuda.close(state);
    free(out);
    free(want);
    networks_fini(&n);
    CHECK_TEXT(emulator_fault(), "");
    CHECK_INT(emulator_live_objects(), 0);
    return d;
}

static void every_architecture_in_f32_is_within_a_thousandth_of_the_oracle(void)
{
    for (int i = 0; i < networks_case_count; i++)
        CHECK(difference_to_ref(&networks_cases[i], &in_f32).most < 1e-3);
}

static void every_architecture_in_f16_is_within_45_decibels(void)
{
    for (int i = 0; i < networks_case_count; i++)
        CHECK(difference_to_ref(&networks_cases[i], &in_f16).decibels > 45);
}

static void every_architecture_in_bf16_is_within_30_decibels(void)
{
    for (int i = 0; i < networks_case_count; i++)
        CHECK(difference_to_ref(&networks_cases[i], &in_bf16).decibels > 30);
}

int main(void)
{
    const bool real = EMULATED_ARCH == 0;
    struct err err = {0};
    struct networks n;
    emulator_reset(1);
    networks_make(&n, &networks_cases[0]);
    bool in_f16_runs = backend_cuda.check(&n.network, &in_f16, &err) == 0;
    bool in_bf16_runs = backend_cuda.check(&n.network, &in_bf16, NULL) == 0;
    networks_fini(&n);
    if (!in_f16_runs)
        check_skip(err.text);
    if (real || EMULATED_ARCH == 800)
        RUN(every_architecture_in_f32_is_within_a_thousandth_of_the_oracle);
    RUN(every_architecture_in_f16_is_within_45_decibels);
    if (in_bf16_runs)
        RUN(every_architecture_in_bf16_is_within_30_decibels);
    return check_report();
}

/* SPDX-License-Identifier: MIT
 *
 * Whole networks on the emulated GPU with ThreadSanitizer watching: every access of a kernel to
 * shared and global memory, ordered by barriers alone. */
#include "tests/gpu/backend_support.h"
#include "tests/gpu/racy.h"

static int reports;

/* ThreadSanitizer's own names. */
void __tsan_on_report(void *report);
const char *__tsan_default_options(void);

void __tsan_on_report(void *report)
{
    reports++;
}

/* What it says goes to stderr; the tests say whether that was right. */
const char *__tsan_default_options(void)
{
    return "exitcode=0:history_size=2";
}

static void a_missing_barrier_is_reported_and_a_barrier_is_not(void)
{
    emulator_reset(1);
    reports = 0;
    CHECK_INT(racy_run(1), 0);
    CHECK_INT(reports, 0);
    CHECK_INT(racy_run(0), 0);
    CHECK(reports > 0);
}

static void races_in(const struct networks_case *c, const struct backend_options *options)
{
    struct networks n;
    emulator_reset(2);
    reports = 0;
    networks_make(&n, c);
    void *state = open_network(&n.network, options);
    float *out = run_network(&n, state, 1);
    backend_cuda.close(state);
    free(out);
    networks_fini(&n);
    CHECK_TEXT(emulator_fault(), "");
    CHECK_INT(reports, 0);
}

static void no_kernel_of_a_network_in_f16_races(void)
{
    races_in(&networks_cases[0], &in_f16);
    races_in(&networks_cases[2], &in_f16);
    races_in(&networks_cases[6], &in_f16);
    races_in(&networks_cases[7], &in_f16);
}

static void no_kernel_of_a_network_in_f32_races(void)
{
    races_in(&networks_cases[7], &in_f32);
}

int main(void)
{
    RUN(a_missing_barrier_is_reported_and_a_barrier_is_not);
    RUN(no_kernel_of_a_network_in_f16_races);
    if (EMULATED_ARCH == 800)
        RUN(no_kernel_of_a_network_in_f32_races);
    return check_report();
}

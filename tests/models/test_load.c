/* SPDX-License-Identifier: MIT
 *
 * Models that come and go: what they hold, that one thread may load what another runs, and that
 * closing gives everything back. */
#include "gpu/model.h"

#include "common/err.h"
#include "common/memory.h"
#include "tests/models/golden.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

enum { SIZE = 64, THREADS = 2 };

static struct model *open_light(void)
{
    struct model_options options = model_options_default();
    struct model *model = NULL;
    struct err err = {0};
    options.size = SIZE;
    options.threads = THREADS;
    if (model_open(golden_path("light"), &options, &model, &err) < 0)
        printf("# %s\n", err.text);
    return model;
}

static float *make_input(const struct model *model)
{
    size_t count = model_info(model)->in_values;
    float *input = malloc(count * sizeof *input);
    for (size_t i = 0; input && i < count; i++)
        input[i] = sinf((float)i * 0.37f);
    return input;
}

static void a_model_holds_what_was_estimated_or_less(void)
{
    struct model *model = open_light();
    CHECK(model != NULL);
    struct model_bytes before = model_bytes(model), estimate = model_estimate(model, 1);
    CHECK_INT(model_prepare(model, 1, NULL), 0);
    struct model_bytes after = model_bytes(model);
    model_close(&model);
    CHECK(before.host < after.host);
    CHECK(after.host <= estimate.host);
    CHECK(after.host > estimate.host / 20);
    CHECK_INT(after.device, 0);
}

/* A model that is loaded by one thread and run by another, meanwhile. */
struct handover {
    atomic_bool stop;
    struct model *model;
    const float *input, *want;
    size_t values;
    int runs, wrong;
};

static void *keep_running(void *argument)
{
    struct handover *h = argument;
    float *output = malloc(h->values * sizeof *output);
    do {
        h->wrong += model_run(h->model, 1, h->input, output, NULL) < 0 ||
                    memcmp(output, h->want, h->values * sizeof *output) != 0;
        h->runs++;
    } while (!atomic_load(&h->stop));
    free(output);
    return NULL;
}

static void models_are_loaded_in_one_thread_while_another_runs_its_own(void)
{
    struct model *model = open_light(), *next = NULL;
    CHECK(model != NULL);
    size_t values = model_info(model)->in_values;
    float *input = make_input(model), *want = malloc(values * sizeof *want);
    float *output = malloc(values * sizeof *output);
    CHECK_INT(model_run(model, 1, input, want, NULL), 0);
    struct handover h = {.model = model, .input = input, .want = want, .values = values};
    pthread_t runner;
    int loaded = 0, equal = 0;
    CHECK_INT(pthread_create(&runner, NULL, keep_running, &h), 0);
    for (int i = 0; i < 5; i++) {
        model_close(&next);
        next = open_light();
        loaded += model_prepare(next, 1, NULL) == 0;
    }
    atomic_store(&h.stop, true);
    pthread_join(runner, NULL);
    /* Prepared there, run here. */
    equal = model_run(next, 1, input, output, NULL) == 0 &&
            memcmp(output, want, values * sizeof *want) == 0;
    model_close(&next);
    model_close(&model);
    free(input);
    free(want);
    free(output);
    CHECK_INT(loaded, 5);
    CHECK_INT(h.wrong, 0);
    CHECK(h.runs > 0);
    CHECK(equal);
}

static void the_cpu_s_peak_and_memory_are_known(void)
{
    struct model_options options = model_options_default();
    uint64_t total = 0, unused = 0;
    double flops = 0;
    options.threads = 1;
    CHECK_INT(model_device_peak(&options, &flops, NULL), 0);
    printf("# %.0f GFLOP/s\n", flops / 1e9);
    CHECK(flops > 1e8 && flops < 1e14);
    CHECK_INT(model_device_memory(MODEL_CPU, &total, &unused, NULL), 0);
    CHECK(total > 0 && unused <= total);
}

int main(void)
{
    memory_keep_tidy();
    RUN(a_model_holds_what_was_estimated_or_less);
    RUN(models_are_loaded_in_one_thread_while_another_runs_its_own);
    RUN(the_cpu_s_peak_and_memory_are_known);
    return check_report();
}

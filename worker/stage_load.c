/* SPDX-License-Identifier: MIT
 *
 * Beside the road: the loader. It looks at the weights of every model, loads those that jobs wait
 * for and closes those whose room they need, while the network runs others. */
#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "worker/pipeline.h"

#include <sys/resource.h>
#include <unistd.h>

/* Threads that oneDNN starts for a load inherit it. */
#define NICE 10

struct load {
    struct pipeline *pipeline;
    bool any; /* some model was fit */
};

/* Once there are others to hold up. */
static void step_back(void)
{
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

struct tests {
    struct self_test_report small, whole;
};

/* The loop has an eye on how long it takes. */
static void watch_test(const struct load *load, const struct resident *resident)
{
    atomic_store(&load->pipeline->test_until_ms,
                 (long long)(clock_ms() + 2 * resident->manifest->timeout_ms));
    roster_nudge(load->pipeline->roster);
}

/* With nothing to serve yet a small test tells whether there is going to be something: the worker
 * is ready, and what it claims waits for the whole test. */
static int promise(const struct load *load, struct resident *resident, struct model *model,
                   struct self_test_report *out_report, struct err *err)
{
    struct err why = {0};
    if (load->any)
        return 0;
    int rc = resident_self_test_small(resident, load->pipeline->settings, model, out_report, &why);
    if (rc == ERR_UNSUPPORTED)
        return 0;
    if (rc < 0)
        return err_set(err, rc, why.field, "%s", why.text);
    residency_promise(load->pipeline->residency, resident);
    return 0;
}

static int test(const struct load *load, struct resident *resident, struct model *model,
                struct tests *out_tests, struct err *err)
{
    struct pipeline *pipeline = load->pipeline;
    watch_test(load, resident);
    int rc = promise(load, resident, model, &out_tests->small, err);
    watch_test(load, resident);
    if (rc == 0)
        rc = resident_self_test(resident, pipeline->settings, model, &out_tests->whole, err);
    atomic_store(&pipeline->test_until_ms, 0);
    return rc;
}

/* Opens, makes room, prepares and tests. Where the device says that it is full all the same, one
 * model after the other has to go. */
static int load(const struct load *load, struct resident *resident, struct model **out_model,
                struct tests *out_tests, struct err *err)
{
    struct residency *residency = load->pipeline->residency;
    int rc;
    do {
        struct err again = {0};
        struct model *model = NULL;
        rc = resident_open(resident, load->pipeline->settings, &model, &again);
        if (rc == 0)
            rc = residency_make_room(residency, resident,
                                     model_estimate(model, resident->batch_max), &again);
        if (rc == 0)
            rc = resident_prepare(resident, model, &again);
        if (rc == 0)
            rc = test(load, resident, model, out_tests, &again);
        if (rc == 0)
            *out_model = model;
        else
            model_close(&model);
        *err = again;
    } while (rc == ERR_NOMEM && residency_evict(residency));
    return rc;
}

/* Whether it could be loaded. */
static int check(const struct load *load, struct resident *resident, struct err *err)
{
    struct model *model = NULL;
    int rc = resident_open(resident, load->pipeline->settings, &model, err);
    if (rc == 0)
        rc = residency_fits(load->pipeline->residency, resident,
                            model_estimate(model, resident->batch_max), err);
    model_close(&model);
    return rc;
}

/* What a worker was told to serve, and never could, is a mistake of who started it; so is one that
 * has nothing left. A broken device is the process's end. */
static bool is_the_end(const struct pipeline *pipeline, const struct resident *resident, int rc)
{
    return rc == ERR_DEVICE || !residency_has_any(pipeline->residency) ||
           (pipeline->settings->texts.model.count > 0 && !resident->info);
}

/* Those that are not admitted go back uncharged: another worker may have better weights. */
static void pass_on(struct pipeline *pipeline, struct task *task)
{
    while (task) {
        struct task *next = task->next; /* it belongs to the next stage in a moment */
        task->release |= !task->admitted;
        pipeline_pass(pipeline, STAGE_INFER, task);
        task = next;
    }
}

void pipeline_leave_out(struct pipeline *pipeline, const struct resident *resident, int rc,
                        const struct err *err)
{
    struct err end = {0};
    err_set(&end, rc, err->field, "model %s: %s", resident->manifest->name, err->text);
    if (is_the_end(pipeline, resident, rc))
        pipeline_fail(pipeline, rc, &end);
    else
        log_event(LOG_WARN, "worker.model_left_out", "model", LOG_S, resident->manifest->name,
                  "code", LOG_S, err_name(rc), "reason", LOG_S, err->text, NULL);
}

static void leave_out(struct load *load, struct resident *resident, int rc, const struct err *err)
{
    struct task *tasks = residency_left_out(load->pipeline->residency, resident);
    pipeline_leave_out(load->pipeline, resident, rc, err);
    pass_on(load->pipeline, tasks);
}

static int do_load(struct load *self, struct resident *resident, struct err *err)
{
    struct residency *residency = self->pipeline->residency;
    struct model *model = NULL;
    struct tests tests = {0};
    int64_t before_ms = clock_ms();
    int rc = load(self, resident, &model, &tests, err);
    if (rc < 0)
        return rc;
    struct model_bytes bytes = model_bytes(model);
    struct task *tasks = residency_loaded(residency, resident, model);
    log_event(LOG_INFO, "worker.loaded", "model", LOG_S, resident->manifest->name, "ms", LOG_I,
              clock_ms() - before_ms, "host_bytes", LOG_I, (int64_t)bytes.host, "device_bytes",
              LOG_I, (int64_t)bytes.device, "small_test_ms", LOG_I, tests.small.us / 1000,
              "self_test_ms", LOG_I, tests.whole.us / 1000, "off_by", LOG_F, tests.whole.worst,
              NULL);
    pass_on(self->pipeline, tasks);
    return 0;
}

static int do_check(struct load *self, struct resident *resident, struct err *err)
{
    int rc = check(self, resident, err);
    if (rc == 0)
        pass_on(self->pipeline, residency_checked(self->pipeline->residency, resident));
    return rc;
}

void stage_load_run(struct pipeline *pipeline)
{
    struct load self = {.pipeline = pipeline};
    struct resident *resident;
    enum residency_work work;
    while (residency_next(pipeline->residency, &resident, &work) == 0) {
        struct err why = {0};
        int ended = work == RESIDENCY_LOAD ? do_load(&self, resident, &why)
                                           : do_check(&self, resident, &why);
        if (ended < 0)
            leave_out(&self, resident, ended, &why);
        else if (!self.any)
            step_back();
        self.any |= ended == 0;
        /* There may be other models to claim for. */
        roster_nudge(pipeline->roster);
    }
}

/* SPDX-License-Identifier: MIT */
#include "worker/measures.h"

#include "common/clock.h"
#include "common/manifest.h"
#include "common/metrics.h"
#include "common/tracing.h"
#include "worker/nvml.h"
#include "worker/resident.h"
#include "worker/task.h"

#include <stdio.h>
#include <string.h>

/* A step of a GPU takes milliseconds, one of a CPU many seconds. */
static const double step_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                     0.5,   1,      2.5,   5,    10,    30,   60};
static const double job_bounds[] = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,  2.5,
                                    5,    10,    30,   60,  120,  300, 600};
/* People notice a second; an evening's burst waits for hours. */
static const double queue_bounds[] = {0.01, 0.05, 0.1, 0.5, 1,   2.5,  5,   10,
                                      30,   60,   120, 300, 600, 1800, 3600};

#define COUNT(bounds) (sizeof bounds / sizeof bounds[0])

static const struct metric jobs = {
    .name = "darkroom_worker_jobs_total",
    .help = "Claimed jobs that left this worker, by what became of them.",
    .type = METRIC_COUNTER,
    .labels = {"model", "outcome"},
};
static const struct metric queued = {
    .name = "darkroom_job_queued_seconds",
    .help = "From submit to claim, of jobs that were claimed for the first time.",
    .type = METRIC_HISTOGRAM,
    .labels = {"model"},
    .bounds = queue_bounds,
    .bound_count = COUNT(queue_bounds),
};
static const struct metric whole = {
    .name = "darkroom_worker_job_seconds",
    .help = "From claim to completion, of jobs with a result.",
    .type = METRIC_HISTOGRAM,
    .labels = {"model"},
    .bounds = job_bounds,
    .bound_count = COUNT(job_bounds),
};
static const struct metric steps = {
    .name = "darkroom_worker_stage_seconds",
    .help = "What that is made of, stage by stage.",
    .type = METRIC_HISTOGRAM,
    .labels = {"model", "stage"},
    .bounds = step_bounds,
    .bound_count = COUNT(step_bounds),
};
static const struct metric held_jobs = {
    .name = "darkroom_worker_jobs_held",
    .help = "Jobs under way in this worker.",
    .type = METRIC_GAUGE,
};
static const struct metric held_most = {
    .name = "darkroom_worker_jobs_held_max",
    .help = "As many may be under way.",
    .type = METRIC_GAUGE,
};
static const struct metric guard = {
    .name = "darkroom_worker_guard_total",
    .help = "How often busy or idle was told what starts and stops machines, by what became of it.",
    .type = METRIC_COUNTER,
    .labels = {"word", "outcome"},
};
#define GPU_LABELS .labels = {"gpu", "uuid"}

static const struct metric gpu_utilization = {.name = "darkroom_gpu_utilization_ratio",
                                              .help = "Part of the time in which a kernel ran.",
                                              .type = METRIC_GAUGE,
                                              GPU_LABELS};
static const struct metric gpu_memory_used = {.name = "darkroom_gpu_memory_used_bytes",
                                              .help = "Memory in use, by whomever.",
                                              .type = METRIC_GAUGE,
                                              GPU_LABELS};
static const struct metric gpu_memory = {.name = "darkroom_gpu_memory_bytes",
                                         .help = "Memory that there is.",
                                         .type = METRIC_GAUGE,
                                         GPU_LABELS};
static const struct metric gpu_power = {
    .name = "darkroom_gpu_power_watts", .help = "Power draw.", .type = METRIC_GAUGE, GPU_LABELS};
static const struct metric gpu_energy = {.name = "darkroom_gpu_energy_joules_total",
                                         .help = "Energy since the driver was loaded.",
                                         .type = METRIC_COUNTER,
                                         GPU_LABELS};
static const struct metric gpu_temperature = {.name = "darkroom_gpu_temperature_celsius",
                                              .help = "Temperature of the chip.",
                                              .type = METRIC_GAUGE,
                                              GPU_LABELS};
static const struct metric *const families[] = {&jobs,
                                                &queued,
                                                &whole,
                                                &steps,
                                                &held_jobs,
                                                &held_most,
                                                &guard,
                                                &gpu_utilization,
                                                &gpu_memory_used,
                                                &gpu_memory,
                                                &gpu_power,
                                                &gpu_energy,
                                                &gpu_temperature,
                                                &tracing_exported,
                                                &tracing_dropped};

int measures_create(struct metrics **out)
{
    return metrics_create(families, COUNT(families), out);
}

void measures_job(struct metrics *metrics, const struct task *task, const char *outcome)
{
    const char *model = task->resident->manifest->name;
    metrics_add(metrics, &jobs, (const char *const[]){model, outcome}, 1);
    if (strcmp(outcome, "done") != 0)
        return;
    if (task->attempt == 1)
        metrics_observe(metrics, &queued, &model,
                        task->queued_ms > 0 ? (double)task->queued_ms / 1000 : 0);
    metrics_observe(metrics, &whole, &model, (double)(clock_us() - task->claimed_us) / 1e6);
    for (int step = 0; step < STEP_COUNT; step++)
        metrics_observe(metrics, &steps,
                        (const char *const[]){model, task_step_name((enum task_step)step)},
                        (double)task->step_us[step] / 1e6);
}

void measures_jobs_held(struct metrics *metrics, unsigned long held, unsigned long most)
{
    metrics_set(metrics, &held_jobs, NULL, (double)held);
    metrics_set(metrics, &held_most, NULL, (double)most);
}

void measures_guard(struct metrics *metrics, const char *word, const char *outcome)
{
    metrics_add(metrics, &guard, (const char *const[]){word, outcome}, 1);
}

void measures_gpus(struct metrics *metrics, const struct nvml *nvml)
{
    for (unsigned i = 0; i < nvml_count(nvml); i++) {
        struct nvml_reading reading;
        char number[12];
        if (nvml_read(nvml, i, &reading) < 0)
            continue;
        snprintf(number, sizeof number, "%u", i);
        const char *const labels[] = {number, reading.uuid};
        const struct {
            const struct metric *metric;
            double value;
        } values[] = {
            {&gpu_utilization, reading.utilization},
            {&gpu_memory_used, reading.memory_used_bytes},
            {&gpu_memory, reading.memory_bytes},
            {&gpu_power, reading.power_watts},
            {&gpu_energy, reading.energy_joules},
            {&gpu_temperature, reading.temperature_celsius},
        };
        for (size_t k = 0; k < COUNT(values); k++)
            if (values[k].value >= 0)
                metrics_set(metrics, values[k].metric, labels, values[k].value);
    }
}

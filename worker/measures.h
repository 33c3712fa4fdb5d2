/* SPDX-License-Identifier: MIT
 *
 * What a worker measures of its jobs, for `--metrics`.
 *
 *     rc = measures_create(&metrics);
 *     measures_job(metrics, task, "done");     // as it is settled
 *
 * Times are observed of jobs that ended with a result: those of the others say little. Any thread.
 */
#ifndef DARKROOM_WORKER_MEASURES_H
#define DARKROOM_WORKER_MEASURES_H

struct metrics;
struct nvml;
struct task;

int measures_create(struct metrics **out);

/* `outcome`: done, retry, failed, released, dropped or unsettled. Nothing where `metrics` is NULL.
 */
void measures_job(struct metrics *metrics, const struct task *task, const char *outcome);

/* How many jobs it holds, and may hold. */
void measures_jobs_held(struct metrics *metrics, unsigned long held, unsigned long most);

/* That we are busy or idle (`word`) was told what starts and stops machines; `outcome`: told or
 * failed. Nothing where `metrics` is NULL. */
void measures_guard(struct metrics *metrics, const char *word, const char *outcome);

/* Of every GPU what it tells; nothing where `nvml` is NULL. */
void measures_gpus(struct metrics *metrics, const struct nvml *nvml);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Counters, gauges and histograms of a process, written as Prometheus text (version 0.0.4).
 *
 *     static const double bounds[] = {0.1, 1, 10};
 *     static const struct metric stages = {"darkroom_stage_seconds", "Time in a stage.",
 *                                          METRIC_HISTOGRAM, {"stage"}, bounds, 3};
 *     static const struct metric *const all[] = {&stages};
 *     rc = metrics_create(all, 1, &metrics);
 *     metrics_observe(metrics, &stages, (const char *const[]){"infer"}, 0.25);
 *     rc = metrics_write(metrics, &text);
 *
 * Names have base units (seconds, bytes), those of counters end in _total. At most METRICS_SERIES
 * series are kept, so that no label can fill the memory; what comes beyond is counted in
 * darkroom_metrics_dropped_total. Any thread: a mutex is held for a lookup and an addition, and
 * while the text is made. */
#ifndef DARKROOM_COMMON_METRICS_H
#define DARKROOM_COMMON_METRICS_H

#include <stddef.h>

struct buf;
struct metrics;

#define METRICS_SERIES 1024
#define METRICS_LABELS 3
#define METRICS_BOUNDS 16

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* A family of series: static storage, plain values. */
struct metric {
    const char *name, *help; /* neither needs escaping */
    enum metric_type type;
    const char *labels[METRICS_LABELS]; /* names; NULL behind the last */
    const double *bounds;               /* METRIC_HISTOGRAM: upper ones, rising, without +Inf */
    size_t bound_count;                 /* at most METRICS_BOUNDS */
};

/* The families, in the order in which they are written; borrowed for the life of `out`. */
int metrics_create(const struct metric *const *families, size_t count, struct metrics **out);
void metrics_destroy(struct metrics **metrics); /* harmless on NULL */

/* All three do nothing where `metrics` is NULL: nobody asked for figures. `values` has one text for
 * each label (NULL reads as ""), and is copied; it may be NULL for a family without labels. */
void metrics_add(struct metrics *metrics, const struct metric *metric, const char *const *values,
                 double amount);
/* Of a gauge, or of a counter that somebody else keeps. */
void metrics_set(struct metrics *metrics, const struct metric *metric, const char *const *values,
                 double value);
void metrics_observe(struct metrics *metrics, const struct metric *metric,
                     const char *const *values, double value);

/* Appends everything. Families without series have their help all the same. */
int metrics_write(struct metrics *metrics, struct buf *out);

/* ---- figures that are kept elsewhere -------------------------------------------------------- */

int metrics_write_head(struct buf *out, const struct metric *metric);
/* One sample of a counter or gauge; the head comes before the first. */
int metrics_write_value(struct buf *out, const struct metric *metric, const char *const *values,
                        double value);
/* A gauge without labels, with its head. */
int metrics_write_gauge(struct buf *out, const char *name, const char *help, double value);
/* Memory, CPU time, open files and start of this process, by the names that Prometheus' own
 * libraries use; and what reload.h tells. */
int metrics_write_process(struct buf *out);

#endif

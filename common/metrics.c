/* SPDX-License-Identifier: MIT */
#include "common/metrics.h"

#include "common/buf.h"
#include "common/err.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 2048 /* a power of two, twice the series, so that a search soon finds a gap */

struct series {
    const struct metric *metric;        /* borrowed */
    const char *values[METRICS_LABELS]; /* owned, in one block behind this struct */
    double value;                       /* of a histogram: the sum */
    uint64_t count;
    uint64_t buckets[METRICS_BOUNDS]; /* each alone; they are summed up as they are written */
};

struct metrics {
    const struct metric *const *families; /* borrowed */
    size_t family_count;
    pthread_mutex_t mutex;
    struct series *series[METRICS_SERIES]; /* owned, oldest first */
    size_t count;
    uint16_t slots[SLOTS]; /* number of a series + 1; 0: free */
    uint64_t dropped;
};

int metrics_create(const struct metric *const *families, size_t count, struct metrics **out)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        return ERR_NOMEM;
    metrics->families = families;
    metrics->family_count = count;
    pthread_mutex_init(&metrics->mutex, NULL);
    for (size_t i = 0; i < count; i++)
        assert(families[i]->bound_count <= METRICS_BOUNDS);
    *out = metrics;
    return 0;
}

void metrics_destroy(struct metrics **metrics)
{
    if (!*metrics)
        return;
    for (size_t i = 0; i < (*metrics)->count; i++)
        free((*metrics)->series[i]);
    pthread_mutex_destroy(&(*metrics)->mutex);
    free(*metrics);
    *metrics = NULL;
}

static size_t label_count(const struct metric *metric)
{
    size_t count = 0;
    while (count < METRICS_LABELS && metric->labels[count])
        count++;
    return count;
}

static const char *value_of(const char *const *values, size_t i)
{
    return values && values[i] ? values[i] : "";
}

static size_t hash(const struct metric *metric, const char *const *values, size_t labels)
{
    uint64_t sum = (uintptr_t)metric * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < labels; i++)
        for (const char *c = value_of(values, i);; c++) {
            sum = (sum ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
            if (!*c)
                break;
        }
    return (size_t)(sum ^ sum >> 32) & (SLOTS - 1);
}

static bool same(const struct series *series, const struct metric *metric,
                 const char *const *values, size_t labels)
{
    if (series->metric != metric)
        return false;
    for (size_t i = 0; i < labels; i++)
        if (strcmp(series->values[i], value_of(values, i)))
            return false;
    return true;
}

static struct series *series_create(const struct metric *metric, const char *const *values,
                                    size_t labels)
{
    size_t sizes[METRICS_LABELS], total = sizeof(struct series);
    for (size_t i = 0; i < labels; i++)
        total += sizes[i] = strlen(value_of(values, i)) + 1;
    struct series *series = calloc(1, total);
    if (!series)
        return NULL;
    series->metric = metric;
    char *text = (char *)(series + 1);
    for (size_t i = 0; i < labels; i++) {
        memcpy(text, value_of(values, i), sizes[i]);
        series->values[i] = text;
        text += sizes[i];
    }
    return series;
}

/* NULL: there are too many. */
static struct series *find(struct metrics *metrics, const struct metric *metric,
                           const char *const *values)
{
    size_t labels = label_count(metric), slot = hash(metric, values, labels);
    while (metrics->slots[slot]) {
        struct series *series = metrics->series[metrics->slots[slot] - 1];
        if (same(series, metric, values, labels))
            return series;
        slot = (slot + 1) & (SLOTS - 1);
    }
    struct series *made =
        metrics->count < METRICS_SERIES ? series_create(metric, values, labels) : NULL;
    if (!made) {
        metrics->dropped++;
        return NULL;
    }
    metrics->series[metrics->count++] = made;
    metrics->slots[slot] = (uint16_t)metrics->count;
    return made;
}

static void bucket(struct series *series, double value)
{
    const struct metric *metric = series->metric;
    size_t i = 0;
    while (i < metric->bound_count && value > metric->bounds[i])
        i++;
    if (i < metric->bound_count)
        series->buckets[i]++;
    series->count++;
    series->value += value;
}

static void change(struct metrics *metrics, const struct metric *metric, const char *const *values,
                   double value, bool add)
{
    if (!metrics)
        return;
    pthread_mutex_lock(&metrics->mutex);
    struct series *series = find(metrics, metric, values);
    if (series && metric->type == METRIC_HISTOGRAM)
        bucket(series, value);
    else if (series && add)
        series->value += value;
    else if (series)
        series->value = value;
    pthread_mutex_unlock(&metrics->mutex);
}

void metrics_add(struct metrics *metrics, const struct metric *metric, const char *const *values,
                 double amount)
{
    assert(metric->type == METRIC_COUNTER && amount >= 0);
    change(metrics, metric, values, amount, true);
}

void metrics_set(struct metrics *metrics, const struct metric *metric, const char *const *values,
                 double value)
{
    assert(metric->type != METRIC_HISTOGRAM);
    change(metrics, metric, values, value, false);
}

void metrics_observe(struct metrics *metrics, const struct metric *metric,
                     const char *const *values, double value)
{
    assert(metric->type == METRIC_HISTOGRAM);
    change(metrics, metric, values, value, false);
}

/* ---- text ----------------------------------------------------------------------------------- */

int metrics_write_head(struct buf *out, const struct metric *metric)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    return buf_join(out, "# HELP ", metric->name, " ", metric->help, "\n# TYPE ", metric->name, " ",
                    types[metric->type], "\n", NULL);
}

/* Backslash, quote and line feed, as the format wants it. */
static int write_escaped(struct buf *out, const char *text)
{
    int rc = 0;
    while (rc == 0 && *text) {
        size_t plain = strcspn(text, "\\\"\n");
        rc = buf_append(out, text, plain);
        text += plain;
        if (rc < 0 || !*text)
            break;
        rc = buf_append_text(out, *text == '\n' ? "\\n" : *text == '"' ? "\\\"" : "\\\\");
        text++;
    }
    return rc;
}

static int write_number(struct buf *out, double value)
{
    if (isinf(value))
        return buf_append_text(out, value > 0 ? "+Inf" : "-Inf");
    bool whole = value == rint(value) && fabs(value) < 1e15;
    return buf_printf(out, whole ? "%.0f" : "%.9g", value);
}

/* `bound`: of a bucket; NULL for all else. */
static int write_sample(struct buf *out, const struct metric *metric, const char *suffix,
                        const char *const *values, const double *bound, double value)
{
    int rc = buf_join(out, metric->name, suffix, NULL);
    size_t labels = label_count(metric);
    for (size_t i = 0; rc == 0 && i < labels; i++) {
        rc = buf_join(out, i ? "," : "{", metric->labels[i], "=\"", NULL);
        if (rc == 0)
            rc = write_escaped(out, value_of(values, i));
        if (rc == 0)
            rc = buf_append_text(out, "\"");
    }
    if (rc == 0 && bound) {
        rc = buf_append_text(out, labels ? ",le=\"" : "{le=\"");
        if (rc == 0)
            rc = write_number(out, *bound);
        if (rc == 0)
            rc = buf_append_text(out, "\"");
    }
    if (rc == 0)
        rc = buf_append_text(out, labels || bound ? "} " : " ");
    if (rc == 0)
        rc = write_number(out, value);
    return rc == 0 ? buf_append_text(out, "\n") : rc;
}

int metrics_write_value(struct buf *out, const struct metric *metric, const char *const *values,
                        double value)
{
    return write_sample(out, metric, "", values, NULL, value);
}

int metrics_write_gauge(struct buf *out, const char *name, const char *help, double value)
{
    const struct metric metric = {.name = name, .help = help, .type = METRIC_GAUGE};
    int rc = metrics_write_head(out, &metric);
    return rc == 0 ? metrics_write_value(out, &metric, NULL, value) : rc;
}

static int write_histogram(struct buf *out, const struct series *series)
{
    const struct metric *metric = series->metric;
    const double infinity = INFINITY;
    uint64_t below = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < metric->bound_count; i++) {
        below += series->buckets[i];
        rc =
            write_sample(out, metric, "_bucket", series->values, &metric->bounds[i], (double)below);
    }
    if (rc == 0)
        rc = write_sample(out, metric, "_bucket", series->values, &infinity, (double)series->count);
    if (rc == 0)
        rc = write_sample(out, metric, "_sum", series->values, NULL, series->value);
    if (rc == 0)
        rc = write_sample(out, metric, "_count", series->values, NULL, (double)series->count);
    return rc;
}

static int write_family(const struct metrics *metrics, const struct metric *metric, struct buf *out)
{
    int rc = metrics_write_head(out, metric);
    for (size_t i = 0; rc == 0 && i < metrics->count; i++) {
        const struct series *series = metrics->series[i];
        if (series->metric != metric)
            continue;
        rc = metric->type == METRIC_HISTOGRAM
                 ? write_histogram(out, series)
                 : metrics_write_value(out, metric, series->values, series->value);
    }
    return rc;
}

int metrics_write(struct metrics *metrics, struct buf *out)
{
    static const struct metric dropped = {.name = "darkroom_metrics_dropped_total",
                                          .help = "Figures for which there was no series left.",
                                          .type = METRIC_COUNTER};
    pthread_mutex_lock(&metrics->mutex);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < metrics->family_count; i++)
        rc = write_family(metrics, metrics->families[i], out);
    if (rc == 0)
        rc = metrics_write_head(out, &dropped);
    if (rc == 0)
        rc = metrics_write_value(out, &dropped, NULL, (double)metrics->dropped);
    pthread_mutex_unlock(&metrics->mutex);
    return rc;
}

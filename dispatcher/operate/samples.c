/* SPDX-License-Identifier: MIT */
#include "dispatcher/operate/samples.h"

#include "common/clock.h"
#include "common/err.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/jobs/tally.h"

#include <stdlib.h>

#define STEP_MS (1000 * SAMPLES_STEP_S)
#define RATE_STEPS (60 / SAMPLES_STEP_S)
/* What arrived of late, against the whole minute. */
#define LATE_STEPS (10 / SAMPLES_STEP_S)
/* Standard deviations of a Poisson count that are no chance. */
#define CHANGE 3

/* What one model had at one moment. */
struct cell {
    int64_t queued, running, oldest_ms; /* then */
    int64_t workers, slots;
    int64_t submitted, finished; /* since the beginning */
};

/* The step n of the wall clock (n × STEP_MS since 1970) lies at n % SAMPLES_KEPT. */
struct samples {
    struct dispatcher *dispatcher; /* borrowed */
    int64_t steps[SAMPLES_KEPT];   /* which step lies there; 0: none */
    struct cell *cells;            /* owned: [SAMPLES_KEPT][models] */
    int64_t asked_step;            /* the last one that was asked for */
    bool asked;                    /* and is not answered yet */
};

int samples_create(struct dispatcher *dispatcher, struct samples **out)
{
    struct samples *samples = calloc(1, sizeof *samples);
    if (samples)
        samples->cells =
            calloc(SAMPLES_KEPT * (dispatcher->models.count + 1), sizeof *samples->cells);
    if (!samples || !samples->cells) {
        free(samples);
        return ERR_NOMEM;
    }
    samples->dispatcher = dispatcher;
    *out = samples;
    return 0;
}

int samples_adopt(struct samples *samples, const struct manifest_set *before,
                  const struct manifest_set *after)
{
    struct cell *cells = calloc(SAMPLES_KEPT * (after->count + 1), sizeof *cells);
    if (!cells)
        return ERR_NOMEM;
    for (size_t i = 0; i < after->count; i++) {
        const struct manifest *same = manifest_set_find(before, after->items[i].name);
        for (size_t step = 0; same && step < SAMPLES_KEPT; step++)
            cells[step * after->count + i] =
                samples->cells[step * before->count + (size_t)(same - before->items)];
    }
    free(samples->cells);
    samples->cells = cells;
    return 0;
}

void samples_destroy(struct samples **slot)
{
    struct samples *samples = *slot;
    *slot = NULL;
    if (!samples)
        return;
    free(samples->cells);
    free(samples);
}

static struct cell *cells_of(const struct samples *samples, int64_t step)
{
    return samples->cells + (size_t)(step % SAMPLES_KEPT) * samples->dispatcher->models.count;
}

static bool has_step(const struct samples *samples, int64_t step)
{
    return step > 0 && samples->steps[step % SAMPLES_KEPT] == step;
}

/* ---- taking ---------------------------------------------------------------------------------- */

void samples_put(struct samples *samples, int64_t step, const struct queue_counters *counters)
{
    samples->steps[step % SAMPLES_KEPT] = step;
    for (size_t i = 0; i < samples->dispatcher->models.count; i++)
        cells_of(samples, step)[i] =
            (struct cell){.queued = counters[i].queued,
                          .running = counters[i].running,
                          .oldest_ms = counters[i].oldest_ms,
                          .workers = counters[i].workers,
                          .slots = counters[i].slots,
                          .submitted = counters[i].submitted,
                          .finished = counters[i].succeeded + counters[i].failed};
}

static void on_counters(int rc, const struct queue_counters *counters, void *data)
{
    struct samples *samples = data;
    samples->asked = false;
    if (rc == 0)
        samples_put(samples, samples->asked_step, counters);
}

int64_t samples_tick(struct samples *samples, int64_t now_ms)
{
    struct dispatcher *dispatcher = samples->dispatcher;
    int64_t wall_ms = clock_wall_ms(), step = wall_ms / STEP_MS;
    if (step != samples->asked_step && !samples->asked && dispatcher_redis_usable(dispatcher)) {
        samples->asked_step = step;
        samples->asked = tally_ask_all(dispatcher, on_counters, samples) == 0;
    }
    return now_ms + STEP_MS - wall_ms % STEP_MS;
}

/* ---- looking --------------------------------------------------------------------------------- */

/* The newest step that there is; 0: none. */
static int64_t newest(const struct samples *samples)
{
    int64_t now = clock_wall_ms() / STEP_MS;
    for (int64_t step = now; step > now - SAMPLES_KEPT; step--)
        if (has_step(samples, step))
            return step;
    return 0;
}

void samples_rates(const struct samples *samples, size_t model, struct samples_rates *out)
{
    int64_t last = newest(samples), first = last - RATE_STEPS;
    while (first < last && !has_step(samples, first))
        first++;
    *out = (struct samples_rates){-1, -1};
    if (last == 0 || first == last)
        return;
    const struct cell *from = &cells_of(samples, first)[model];
    const struct cell *to = &cells_of(samples, last)[model];
    double minutes = (double)((last - first) * STEP_MS) / 60000;
    /* Counters that go back were emptied with their Redis. */
    if (to->submitted >= from->submitted)
        out->submitted = (double)(to->submitted - from->submitted) / minutes;
    if (to->finished >= from->finished)
        out->finished = (double)(to->finished - from->finished) / minutes;
}

static const struct cell *cell_of(const struct samples *samples, int64_t step, size_t model)
{
    return &cells_of(samples, step)[model];
}

/* Jobs a second from the oldest step that is known within `steps` of the newest; negative: none is.
 */
static double arrivals_within(const struct samples *samples, size_t model, int64_t steps)
{
    int64_t last = newest(samples), from = 0;
    int64_t now = last > 0 ? cell_of(samples, last, model)->submitted : 0, came = 0;
    for (int64_t step = last - 1; last > 0 && step >= last - steps; step--) {
        if (!has_step(samples, step))
            continue;
        if (cell_of(samples, step, model)->submitted > now) /* emptied with its Redis */
            break;
        from = step;
        came = now - cell_of(samples, step, model)->submitted;
    }
    return from == 0 ? -1 : (double)came / (double)((last - from) * SAMPLES_STEP_S);
}

static double arrivals(const struct samples *samples, size_t model)
{
    if (clock_wall_ms() / STEP_MS - newest(samples) > RATE_STEPS)
        return -1;
    double minute = arrivals_within(samples, model, RATE_STEPS);
    double late = arrivals_within(samples, model, LATE_STEPS);
    double expected = minute * LATE_STEPS * SAMPLES_STEP_S;
    double apart = late * LATE_STEPS * SAMPLES_STEP_S - expected;
    bool changed = apart * apart > CHANGE * CHANGE * (expected > 1 ? expected : 1);
    return late >= 0 && changed ? late : minute;
}

/* Of a step's workers those that the model had. */
static double share(const struct cell *cell)
{
    if (cell->slots <= 0)
        return 0;
    double part = (double)cell->running / (double)cell->slots;
    return (double)cell->workers * (part < 1 ? part : 1);
}

void samples_evidence(const struct samples *samples, size_t model, struct samples_evidence *out)
{
    int64_t last = newest(samples);
    double begun = 0;
    *out = (struct samples_evidence){.arrivals = arrivals(samples, model)};
    for (int64_t step = last; last > 0 && step > last - SAMPLES_KEPT + 1; step--) {
        if (!has_step(samples, step) || !has_step(samples, step - 1))
            continue;
        const struct cell *to = cell_of(samples, step, model);
        const struct cell *from = cell_of(samples, step - 1, model);
        if (to->queued == 0 || from->queued == 0 || to->finished < from->finished)
            continue;
        out->finished += to->finished - from->finished;
        begun += share(to) - share(from);
        out->worker_ms += (int64_t)((share(to) + share(from)) / 2 * STEP_MS);
    }
    /* Each of the workers that began has half a job done. */
    out->finished += (int64_t)(begun / 2);
    if (out->finished < 0)
        out->finished = 0;
}

static json_t *series(const struct samples *samples, size_t model, int64_t first, int64_t last,
                      json_t *(*value)(const struct cell *cell))
{
    json_t *list = json_array();
    for (int64_t step = first; step <= last; step++)
        json_array_append_new(list, has_step(samples, step) ? value(&cells_of(samples, step)[model])
                                                            : json_null());
    return list;
}

static json_t *queued(const struct cell *cell)
{
    return json_integer(cell->queued);
}

static json_t *running(const struct cell *cell)
{
    return json_integer(cell->running);
}

static json_t *submitted(const struct cell *cell)
{
    return json_integer(cell->submitted);
}

static json_t *finished(const struct cell *cell)
{
    return json_integer(cell->finished);
}

static json_t *oldest_seconds(const struct cell *cell)
{
    return json_real((double)cell->oldest_ms / 1000);
}

json_t *samples_view(const struct samples *samples, int64_t since_s)
{
    const struct manifest_set *models = &samples->dispatcher->models;
    int64_t last = newest(samples), first = last - SAMPLES_KEPT + 1;
    if (since_s / SAMPLES_STEP_S >= first)
        first = since_s / SAMPLES_STEP_S + 1;
    while (first <= last && !has_step(samples, first))
        first++;
    json_t *all = json_object();
    for (size_t i = 0; i < models->count; i++)
        json_object_set_new(all, models->items[i].name,
                            json_pack("{s:o, s:o, s:o, s:o, s:o}", "queued",
                                      series(samples, i, first, last, queued), "running",
                                      series(samples, i, first, last, running), "submitted",
                                      series(samples, i, first, last, submitted), "finished",
                                      series(samples, i, first, last, finished), "oldest_seconds",
                                      series(samples, i, first, last, oldest_seconds)));
    return json_pack("{s:i, s:I, s:I, s:o}", "step_seconds", SAMPLES_STEP_S, "from",
                     (json_int_t)(first <= last ? first * SAMPLES_STEP_S : 0), "count",
                     (json_int_t)(first <= last ? last - first + 1 : 0), "models", all);
}

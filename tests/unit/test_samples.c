/* SPDX-License-Identifier: MIT */
#include "dispatcher/operate/samples.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/queue.h"
#include "dispatcher/dispatcher.h"
#include "tests/unit/check.h"

#include <stdio.h>

static struct manifest models[2];
static struct dispatcher dispatcher;
static struct samples *samples;
static int64_t now; /* the step that it is */

static void begin(void)
{
    for (size_t i = 0; i < 2; i++)
        snprintf(models[i].name, sizeof models[i].name, "%s", i ? "second" : "first");
    dispatcher.models.items = models;
    dispatcher.models.count = 2;
    CHECK_INT(samples_create(&dispatcher, &samples), 0);
    now = clock_wall_ms() / (1000 * SAMPLES_STEP_S);
}

static void put(int64_t step, int64_t queued, int64_t finished)
{
    const struct queue_counters counters[2] = {
        {.queued = queued, .running = 1, .submitted = 2 * finished, .succeeded = finished},
        {.queued = 7, .oldest_ms = 1500, .succeeded = 1, .failed = 2}};
    samples_put(samples, step, counters);
}

static const json_t *series(const json_t *view, const char *model, const char *name)
{
    return json_object_get(json_object_get(json_object_get(view, "models"), model), name);
}

static int64_t member(const json_t *view, const char *name)
{
    return json_integer_value(json_object_get(view, name));
}

static void nothing_is_known_at_first(void)
{
    struct samples_rates rates;
    begin();
    json_t *view = samples_view(samples, 0);
    CHECK_INT(member(view, "count"), 0);
    CHECK_INT(json_array_size(series(view, "first", "queued")), 0);
    samples_rates(samples, 0, &rates);
    CHECK(rates.submitted < 0 && rates.finished < 0);
    json_decref(view);
    samples_destroy(&samples);
    CHECK(!samples);
    samples_destroy(&samples);
}

static void a_quarter_of_an_hour_is_kept_however_long_it_goes_on(void)
{
    begin();
    for (int64_t step = now - 1000; step <= now; step++)
        put(step, step - now + 1000, 0);
    json_t *view = samples_view(samples, 0);
    CHECK_INT(member(view, "count"), SAMPLES_KEPT);
    CHECK_INT(member(view, "from"), (now - SAMPLES_KEPT + 1) * SAMPLES_STEP_S);
    const json_t *queued = series(view, "first", "queued");
    CHECK_INT(json_array_size(queued), SAMPLES_KEPT);
    for (size_t i = 0; i < SAMPLES_KEPT; i++)
        CHECK_INT(json_integer_value(json_array_get(queued, i)), 1000 - SAMPLES_KEPT + 1 + (int)i);
    CHECK(json_real_value(json_array_get(series(view, "second", "oldest_seconds"), 0)) == 1.5);
    CHECK_INT(json_integer_value(json_array_get(series(view, "second", "finished"), 180)), 3);
    json_decref(view);
    samples_destroy(&samples);
}

static void only_what_is_newer_is_shown_to_who_knows_the_rest(void)
{
    begin();
    for (int64_t step = now - 10; step <= now; step++)
        put(step, 1, 0);
    json_t *view = samples_view(samples, (now - 3) * SAMPLES_STEP_S);
    CHECK_INT(member(view, "count"), 3);
    CHECK_INT(member(view, "from"), (now - 2) * SAMPLES_STEP_S);
    json_decref(view);
    const int64_t since[] = {now * SAMPLES_STEP_S, (now + 5) * SAMPLES_STEP_S, INT64_MAX / 2};
    for (size_t i = 0; i < 3; i++) {
        view = samples_view(samples, since[i]);
        CHECK_INT(member(view, "count"), 0);
        json_decref(view);
    }
    samples_destroy(&samples);
}

static void a_moment_without_an_answer_is_null_and_no_old_one_takes_its_place(void)
{
    begin();
    put(now - SAMPLES_KEPT - 2, 99, 0); /* where now - 2 would lie */
    put(now - 4, 4, 0);
    put(now - 3, 3, 0);
    put(now - 1, 1, 0);
    json_t *view = samples_view(samples, 0);
    const json_t *queued = series(view, "first", "queued");
    CHECK_INT(member(view, "from"), (now - 4) * SAMPLES_STEP_S);
    CHECK_INT(json_array_size(queued), 4);
    CHECK_INT(json_integer_value(json_array_get(queued, 1)), 3);
    CHECK(json_is_null(json_array_get(queued, 2)));
    CHECK_INT(json_integer_value(json_array_get(queued, 3)), 1);
    json_decref(view);
    samples_destroy(&samples);
}

static void what_is_too_old_is_not_shown(void)
{
    begin();
    put(now - SAMPLES_KEPT, 1, 0);
    json_t *view = samples_view(samples, 0);
    CHECK_INT(member(view, "count"), 0);
    json_decref(view);
    samples_destroy(&samples);
}

static void rates_are_of_the_last_minute_or_what_is_known_of_it(void)
{
    struct samples_rates rates;
    begin();
    put(now - 6, 0, 100);
    samples_rates(samples, 0, &rates);
    CHECK(rates.finished < 0);
    put(now, 0, 130); /* half a minute later */
    samples_rates(samples, 0, &rates);
    CHECK(rates.finished == 60);
    CHECK(rates.submitted == 120);
    put(now - 12, 0, 90);
    put(now - 13, 0, 0); /* more than a minute ago */
    samples_rates(samples, 0, &rates);
    CHECK(rates.finished == 40);
    samples_rates(samples, 1, &rates);
    CHECK(rates.finished == 0);
    samples_destroy(&samples);
}

static void counters_that_go_back_have_no_rate(void)
{
    struct samples_rates rates;
    begin();
    put(now - 6, 0, 100);
    put(now, 0, 3); /* Redis was emptied */
    samples_rates(samples, 0, &rates);
    CHECK(rates.finished < 0 && rates.submitted < 0);
    samples_destroy(&samples);
}

static void put_loaded(int64_t step, int64_t queued, int64_t running, int64_t finished)
{
    const struct queue_counters counters[2] = {{.queued = queued,
                                                .running = running,
                                                .submitted = finished,
                                                .succeeded = finished,
                                                .workers = 3,
                                                .slots = 12}};
    samples_put(samples, step, counters);
}

static void a_workers_time_counts_only_while_jobs_wait(void)
{
    struct samples_evidence evidence;
    begin();
    put_loaded(now - 5, 0, 12, 0);
    put_loaded(now - 4, 9, 12, 100); /* nothing waited before */
    put_loaded(now - 3, 9, 12, 130);
    put_loaded(now - 2, 9, 4, 140); /* as if another model had two thirds of their slots */
    put_loaded(now, 9, 4, 900);     /* the step before is not known */
    samples_evidence(samples, 0, &evidence);
    CHECK_INT(evidence.finished, 40 - 1); /* two workers left half a job each */
    CHECK_INT(evidence.worker_ms, 15000 + 10000);
    samples_evidence(samples, 1, &evidence);
    CHECK_INT(evidence.finished, 0);
    CHECK_INT(evidence.worker_ms, 0);
    samples_destroy(&samples);
}

static void workers_that_began_have_half_a_job_done(void)
{
    struct samples_evidence evidence;
    begin();
    put_loaded(now - 1, 9, 0, 0);
    put_loaded(now, 9, 12, 0);
    samples_evidence(samples, 0, &evidence);
    CHECK_INT(evidence.finished, 1);
    CHECK_INT(evidence.worker_ms, 7500);
    samples_destroy(&samples);
}

static void arrivals_are_of_the_last_minute_unless_they_have_changed(void)
{
    struct samples_evidence evidence;
    begin();
    samples_evidence(samples, 0, &evidence);
    CHECK(evidence.arrivals < 0);
    put_loaded(now, 0, 0, 1000);
    samples_evidence(samples, 0, &evidence);
    CHECK(evidence.arrivals < 0);
    put_loaded(now - 13, 0, 0, 0); /* more than a minute ago */
    put_loaded(now - 12, 0, 0, 400);
    samples_evidence(samples, 0, &evidence);
    CHECK(evidence.arrivals == 10);
    put_loaded(now - 2, 0, 0, 871); /* 129 in ten seconds may be chance */
    samples_evidence(samples, 0, &evidence);
    CHECK(evidence.arrivals == 10);
    put_loaded(now - 2, 0, 0, 869); /* 131 are more than that */
    samples_evidence(samples, 0, &evidence);
    CHECK(evidence.arrivals == 13.1);
    put_loaded(now - 2, 0, 0, 1000); /* and so is none at all */
    samples_evidence(samples, 0, &evidence);
    CHECK(evidence.arrivals == 0);
    samples_destroy(&samples);
}

static void few_arrivals_are_chance(void)
{
    struct samples_evidence evidence;
    begin();
    put_loaded(now - 12, 0, 0, 0);
    put_loaded(now - 2, 0, 0, 0);
    put_loaded(now, 0, 0, 3);
    samples_evidence(samples, 0, &evidence);
    CHECK(evidence.arrivals == 3.0 / 60);
    samples_destroy(&samples);
}

static void arrivals_of_long_ago_or_of_another_redis_are_none(void)
{
    struct samples_evidence evidence;
    begin();
    put_loaded(now - 20, 0, 0, 0);
    put_loaded(now - 18, 0, 0, 100);
    samples_evidence(samples, 0, &evidence);
    CHECK(evidence.arrivals < 0);
    put_loaded(now - 4, 0, 0, 100);
    put_loaded(now, 0, 0, 3);
    samples_evidence(samples, 0, &evidence);
    CHECK(evidence.arrivals < 0);
    samples_destroy(&samples);
}

int main(void)
{
    RUN(nothing_is_known_at_first);
    RUN(a_quarter_of_an_hour_is_kept_however_long_it_goes_on);
    RUN(only_what_is_newer_is_shown_to_who_knows_the_rest);
    RUN(a_moment_without_an_answer_is_null_and_no_old_one_takes_its_place);
    RUN(what_is_too_old_is_not_shown);
    RUN(rates_are_of_the_last_minute_or_what_is_known_of_it);
    RUN(counters_that_go_back_have_no_rate);
    RUN(a_workers_time_counts_only_while_jobs_wait);
    RUN(workers_that_began_have_half_a_job_done);
    RUN(arrivals_are_of_the_last_minute_unless_they_have_changed);
    RUN(few_arrivals_are_chance);
    RUN(arrivals_of_long_ago_or_of_another_redis_are_none);
    return check_report();
}

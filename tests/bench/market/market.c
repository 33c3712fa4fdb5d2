/* SPDX-License-Identifier: MIT
 *
 *     market [--speed 20] [--rate 8] [--burst 10] [--before 300] [--burst-for 480] [--after 300]
 *            [--service 10] [--start 40] [--target 60] [--down 60] [--guard 1] [--lease 30] [--life
 * 3600]
 *            [--most 1000] [--svg PATH]
 *
 * Seconds of the market. Prints what jobs waited, what the workers' time was spent on and whether
 * a busy one was scaled in. Exit status 1: a job was lost, or a busy worker was scaled in. */
#include "market.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/stop.h"
#include "dispatcher/operate/samples.h"
#include "dispatcher/operate/scale.h"
#include "dispatcher/operate/signal.h"
#include "tests/support/redis_server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define FLOWS 50
#define DECIDE_STEPS 3 /* of SAMPLES_STEP_S: every 15 s */
#define EPOCH_MS 1700000000000
#define LAST_REAL_MS 30000 /* for what is left when no more come */

static struct market market;

/* What the samples' steps are counted by. */
int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void)
{
    return EPOCH_MS + market_now(&market);
}

int64_t market_now(const struct market *self)
{
    return (int64_t)((double)(clock_us() - self->began_us) / 1000 * self->options.speed);
}

double market_chance(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0;
}

static void die(const char *what)
{
    fprintf(stderr, "market: %s\n", what);
    exit(2);
}

void market_note_wait(struct market *self, double seconds)
{
    if (self->wait_count == self->wait_size) {
        self->wait_size = self->wait_size ? 2 * self->wait_size : 65536;
        self->waits = realloc(self->waits, self->wait_size * sizeof self->waits[0]);
        if (!self->waits)
            die("no memory");
    }
    self->waits[self->wait_count++] = (float)(seconds > 0 ? seconds : 0);
}

/* ---- arrivals -------------------------------------------------------------------------------- */

static double arrivals_at(int64_t now_ms)
{
    const struct market_options *options = &market.options;
    if (now_ms >= options->before_ms + options->burst_ms + options->after_ms)
        return 0;
    bool burst = now_ms >= options->before_ms && now_ms < options->before_ms + options->burst_ms;
    return options->rate * (burst ? options->burst : 1);
}

static void on_submitted(int rc, const struct redis_reply *reply, void *data)
{
    int64_t count = (int64_t)(intptr_t)data, came = 0;
    struct queue_submitted submitted;
    for (int64_t i = 0; rc == 0 && i < count; i++)
        came += queue_submit_reply(reply, (size_t)i, &submitted, NULL) == 0;
    market.refused += count - came;
    fleet_wake(&market, came, market_now(&market));
}

static void submit(int64_t count)
{
    static char ids[QUEUE_SUBMIT_MAX][ID_PUBLIC_SIZE], flows[QUEUE_SUBMIT_MAX][24];
    struct queue_submit jobs[QUEUE_SUBMIT_MAX];
    for (int64_t i = 0; i < count; i++) {
        id_public_create(0, ids[i]);
        snprintf(flows[i], sizeof flows[i], "f%d", (int)(market_chance() * FLOWS));
        jobs[i] = (struct queue_submit){.public_id = ids[i],
                                        .model = MARKET_MODEL,
                                        .flow = flows[i],
                                        .priority = JOB_PRIORITY_NORMAL,
                                        .cost_ms = market.options.service_ms,
                                        .weight = 1,
                                        .max_attempts = 3,
                                        .extension = "png",
                                        .spec = "{}",
                                        .spec_size = 2};
    }
    queue_submit_command(&market.queue, jobs, (size_t)count, &market.command);
    if (redis_async_send(market.redis, &market.command, on_submitted, (void *)(intptr_t)count) < 0)
        die("cannot submit");
    market.submitted += count;
}

/* As random as visitors: each thousandth of the time brings one or none. */
static void arrive(int64_t since_ms, int64_t now_ms)
{
    int64_t count = 0;
    double due = arrivals_at(now_ms) * (double)(now_ms - since_ms) / 1000;
    for (int i = 0; i < 1000; i++)
        count += market_chance() < due / 1000;
    for (; count > 0; count -= QUEUE_SUBMIT_MAX)
        submit(count < QUEUE_SUBMIT_MAX ? count : QUEUE_SUBMIT_MAX);
}

/* ---- scaling --------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

static double percentile(const float *waits, size_t count, double part)
{
    return count == 0 ? 0 : (double)waits[(size_t)((double)(count - 1) * part)];
}

static void note_point(int64_t now_ms, int64_t busy_seen)
{
    int64_t working, busy, count = fleet_count(&market, &working, &busy);
    size_t fresh = market.wait_count - market.waits_shown;
    float *sorted = malloc((fresh + 1) * sizeof *sorted);
    if (!sorted || market.point_count == MARKET_POINTS_MAX) {
        free(sorted);
        return;
    }
    if (fresh > 0)
        memcpy(sorted, market.waits + market.waits_shown, fresh * sizeof *sorted);
    qsort(sorted, fresh, sizeof *sorted, by_size);
    market.points[market.point_count++] =
        (struct market_point){.ms = now_ms,
                              .queued = market.counters.queued,
                              .wanted = market.wanted,
                              .working = working,
                              .started = count,
                              .busy = busy_seen,
                              .arrivals = arrivals_at(now_ms),
                              .wait_p95_s = percentile(sorted, fresh, 0.95)};
    market.waits_shown = market.wait_count;
    free(sorted);
}

/* Down only to what was wanted at most within the last while: as KEDA's stabilisation does. */
static int64_t stabilised(int64_t wanted, int64_t now_ms)
{
    size_t size = sizeof market.past / sizeof market.past[0];
    int64_t most = wanted;
    market.past[market.past_count % size].ms = now_ms;
    market.past[market.past_count++ % size].wanted = wanted;
    for (size_t i = 0; i < size && i < market.past_count; i++)
        if (market.past[i].ms > now_ms - market.options.down_ms && market.past[i].wanted > most)
            most = market.past[i].wanted;
    return most;
}

static void decide(const struct queue_busy *busy, int64_t now_ms)
{
    const struct scale_policy policy = {.target_wait_ms = market.options.target_ms,
                                        .start_ms = market.options.start_ms,
                                        .least = 1,
                                        .most = market.options.most};
    const struct signal_found found = {&market.counters, busy, *busy};
    struct scale_load load;
    struct scale_signal signal;
    signal_load(&market.dispatcher, &found, 0, &load);
    scale_judge(&load, &policy, &signal);
    market.wanted = signal.wanted;
    fleet_scale(&market, stabilised(signal.wanted, now_ms), now_ms);
}

static void on_counters(int rc, const struct redis_reply *reply, void *data)
{
    if (rc == 0)
        rc = queue_counters_reply(reply, 0, &market.counters, NULL);
    market.errors += rc < 0;
    market.counters.service_ms *= (int64_t)market.options.speed;
    market.counters.oldest_ms *= (int64_t)market.options.speed;
}

static void on_busy(int rc, const struct redis_reply *reply, void *data)
{
    struct queue_busy busy = {0};
    int64_t now_ms = market_now(&market);
    market.asked = false;
    if (rc == 0)
        rc = queue_busy_reply(reply, 0, &busy, NULL);
    market.errors += rc < 0;
    if (rc < 0)
        return;
    samples_put(market.dispatcher.samples, (EPOCH_MS + now_ms) / (1000 * SAMPLES_STEP_S),
                &market.counters);
    if (market.samples++ % DECIDE_STEPS == 0 && !market.closed)
        decide(&busy, now_ms);
    note_point(now_ms, busy.busy);
}

static void look(int64_t now_ms)
{
    const char *name = MARKET_MODEL;
    if (now_ms < market.sample_ms || market.asked)
        return;
    market.sample_ms = (now_ms / (1000 * SAMPLES_STEP_S) + 1) * 1000 * SAMPLES_STEP_S;
    queue_counters_command(&market.queue, &name, 1, &market.command);
    bool sent = redis_async_send(market.redis, &market.command, on_counters, NULL) == 0;
    queue_busy_command(&market.queue, &name, 1, &market.command);
    market.asked = sent && redis_async_send(market.redis, &market.command, on_busy, NULL) == 0;
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void tick_queue(int64_t *next_us)
{
    if (clock_us() < *next_us)
        return;
    *next_us = clock_us() + 100000;
    queue_tick_command(&market.queue, &market.command);
    redis_async_send(market.redis, &market.command, NULL, NULL);
}

static void turn(int epoll_fd)
{
    struct epoll_event events[4];
    redis_async_tick(market.redis, clock_ms());
    int count = epoll_wait(epoll_fd, events, 4, 1);
    for (int i = 0; i < count; i++)
        redis_async_handle(market.redis, events[i].events);
}

static void run(int epoll_fd)
{
    const struct market_options *options = &market.options;
    int64_t all_ms = options->before_ms + options->burst_ms + options->after_ms, tick_us = 0;
    int64_t before_ms = 0, now_ms = 0, last_us = 0;
    market.began_us = clock_us();
    fleet_start(&market, 1 + (int64_t)(options->rate * (double)options->service_ms / 1000));
    for (;;) {
        before_ms = now_ms;
        now_ms = market_now(&market);
        if (!market.closed && now_ms >= all_ms) {
            market.closed = true;
            last_us = clock_us() + 1000 * LAST_REAL_MS;
        }
        if (market.closed && (market.done >= market.submitted || clock_us() > last_us))
            break;
        arrive(before_ms, now_ms);
        fleet_step(&market, now_ms);
        look(now_ms);
        tick_queue(&tick_us);
        turn(epoll_fd);
    }
    fleet_end(&market, market_now(&market));
}

/* What somebody who knows the arrivals beforehand pays for starting machines as well: those that
 * work at the burst's height, and one for each that was taken away. */
static double ideal_start_ms(void)
{
    const struct market_options *options = &market.options;
    double machines = options->rate * options->burst * (double)options->service_ms / 1000;
    return (machines + (double)(market.vanished + market.noticed)) * (double)options->start_ms;
}

static int report(void)
{
    qsort(market.waits, market.wait_count, sizeof market.waits[0], by_size);
    int64_t most = 0;
    for (size_t i = 0; i < market.point_count; i++)
        most = market.points[i].started > most ? market.points[i].started : most;
    printf("jobs: %" PRId64 " submitted, %" PRId64 " done, %" PRId64 " refused, %" PRId64
           " done in vain, %" PRId64 " given back\n",
           market.submitted, market.done, market.refused, market.lost, market.released);
    printf("machines: %" PRId64 " started, %" PRId64 " at most at once; %" PRId64
           " vanished, %" PRId64 " went with notice; %" PRId64 " scaled in, %" PRId64
           " of them busy\n",
           market.started, most, market.vanished, market.noticed, market.scaled_in,
           market.busy_scaled_in);
    printf("wait of %zu jobs in s: p50 %.1f, p95 %.1f, p99 %.1f, most %.1f; target %.0f\n",
           market.wait_count, percentile(market.waits, market.wait_count, 0.5),
           percentile(market.waits, market.wait_count, 0.95),
           percentile(market.waits, market.wait_count, 0.99),
           percentile(market.waits, market.wait_count, 1), (double)market.options.target_ms / 1000);
    printf(
        "efficiency: %.1f %% of all time paid, %.1f %% of the time after the start-up; start-ups "
        "%.1f %%\n",
        100 * market.ideal_ms / market.used_ms,
        100 * market.ideal_ms / (market.used_ms - market.start_used_ms),
        100 * market.start_used_ms / market.used_ms);
    printf("of what an ideal pays that has to start its machines, too: %.1f %%\n",
           100 * (market.ideal_ms + ideal_start_ms()) / market.used_ms);
    if (market.errors > 0)
        printf("errors of Redis: %" PRId64 "\n", market.errors);
    return market.done == market.submitted && market.refused == 0 && market.busy_scaled_in == 0 ? 0
                                                                                                : 1;
}

/* ---- options --------------------------------------------------------------------------------- */

static int64_t ms(const char *text)
{
    return (int64_t)(1000 * strtod(text, NULL));
}

static void read_option(const char *name, const char *value)
{
    struct market_options *options = &market.options;
    const struct {
        const char *name;
        int64_t *ms;
    } times[] = {{"--before", &options->before_ms}, {"--burst-for", &options->burst_ms},
                 {"--after", &options->after_ms},   {"--service", &options->service_ms},
                 {"--start", &options->start_ms},   {"--target", &options->target_ms},
                 {"--down", &options->down_ms},     {"--guard", &options->guard_ms},
                 {"--lease", &options->lease_ms},   {"--life", &options->life_ms}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (!strcmp(times[i].name, name)) {
            *times[i].ms = ms(value);
            return;
        }
    if (!strcmp(name, "--speed"))
        options->speed = strtod(value, NULL);
    else if (!strcmp(name, "--rate"))
        options->rate = strtod(value, NULL);
    else if (!strcmp(name, "--burst"))
        options->burst = strtod(value, NULL);
    else if (!strcmp(name, "--most"))
        options->most = strtoll(value, NULL, 10);
    else if (!strcmp(name, "--svg"))
        options->svg = value;
    else
        die("an option that there is not");
}

static void open_market(const char *url, int epoll_fd)
{
    struct redis_target target;
    struct redis *redis = NULL;
    struct err err = {0};
    market.workers = calloc(MARKET_WORKERS_MAX, sizeof market.workers[0]);
    snprintf(market.model.name, sizeof market.model.name, MARKET_MODEL);
    market.model.cost_ms = market.options.service_ms;
    market.dispatcher.models = (struct manifest_set){&market.model, 1};
    queue_init(&market.queue, 0, (int64_t)((double)market.options.lease_ms / market.options.speed));
    redis_command_init(&market.command, QUEUE_COMMAND_MAX);
    int rc = redis_target_init(&target, url, NULL, &err);
    if (rc == 0)
        rc = redis_create(&target, &redis, &err);
    if (rc == 0)
        rc = queue_check(&market.queue, redis, 5000, &err);
    redis_destroy(&redis);
    if (rc == 0)
        rc = redis_async_create(&target, epoll_fd, &market, &market.redis, &err);
    if (rc == 0)
        rc = samples_create(&market.dispatcher, &market.dispatcher.samples);
    for (int i = 0; i < 500 && rc == 0 && !redis_async_connected(market.redis); i++)
        turn(epoll_fd);
    if (rc < 0 || !market.workers)
        die(err.text);
}

int main(int argc, char **argv)
{
    market.options = (struct market_options){.speed = 20,
                                             .rate = 8,
                                             .burst = 10,
                                             .before_ms = 300000,
                                             .burst_ms = 480000,
                                             .after_ms = 300000,
                                             .service_ms = 10000,
                                             .start_ms = 40000,
                                             .target_ms = 60000,
                                             .down_ms = 20000,
                                             .guard_ms = 1000,
                                             .lease_ms = 30000,
                                             .life_ms = 3600000,
                                             .most = 1000};
    for (int i = 1; i < argc; i += 2)
        read_option(argv[i], i + 1 < argc ? argv[i + 1] : "");
    struct redis_server *server = redis_server_start(NULL);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    open_market(redis_server_url(server), epoll_fd);
    run(epoll_fd);
    int rc = report();
    if (market.options.svg && plot_write(&market, market.options.svg) < 0)
        rc = 2;
    redis_async_destroy(&market.redis);
    samples_destroy(&market.dispatcher.samples);
    redis_command_fini(&market.command);
    free(market.waits);
    free(market.workers);
    redis_server_stop(&server);
    return rc;
}

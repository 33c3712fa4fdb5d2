/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/forecast.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/queue.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/jobs/tally.h"
#include "dispatcher/upkeep/gate.h"

#include <stdlib.h>

#define FRESH_MS 1000

struct forecast_board {
    struct dispatcher *dispatcher; /* borrowed */
    struct forecast_wait *waiting; /* borrowed */
    bool asking;
    int64_t seen_ms;
    struct forecast forecasts[]; /* of each manifest */
};

int forecast_create(struct dispatcher *dispatcher, size_t count, struct forecast_board **out)
{
    struct forecast_board *board = calloc(1, sizeof *board + count * sizeof board->forecasts[0]);
    if (!board)
        return ERR_NOMEM;
    board->dispatcher = dispatcher;
    board->seen_ms = INT64_MIN / 2;
    *out = board;
    return 0;
}

void forecast_destroy(struct forecast_board **slot)
{
    free(*slot);
    *slot = NULL;
}

/* A new job may go to any shard; with one that is full some are refused. */
static bool is_full(const struct dispatcher *dispatcher)
{
    for (unsigned shard = 0; shard < dispatcher->shards; shard++)
        if (gate_is_full(dispatcher->gate, shard))
            return true;
    return false;
}

static struct forecast judge(const struct dispatcher *dispatcher, const struct manifest *model,
                             const struct queue_counters *counters)
{
    struct forecast forecast = {.state = FORECAST_OPEN,
                                .queued = counters->queued,
                                .running = counters->running,
                                .workers = counters->workers,
                                .wait_ms = -1};
    int64_t service_ms = counters->service_ms > 0 ? counters->service_ms : model->cost_ms;
    if (is_full(dispatcher) || counters->queued >= dispatcher->settings->max_queued)
        forecast.state = FORECAST_FULL;
    else if (counters->paused)
        forecast.state = FORECAST_PAUSED;
    else if (counters->slots > 0) /* as the queue reckons a job's ETA: lua/position.lua */
        forecast.wait_ms =
            (int64_t)((double)counters->queued * (double)service_ms / (double)counters->slots) +
            service_ms;
    return forecast;
}

static void tell_all(struct forecast_board *board)
{
    struct forecast_wait *wait = board->waiting;
    board->waiting = NULL;
    while (wait) {
        struct forecast_wait *next = wait->next; /* `done` may free it */
        wait->done(wait, board->forecasts);
        wait = next;
    }
}

static void on_tally(int rc, const struct queue_counters *counters, void *data)
{
    struct forecast_board *board = data;
    const struct manifest_set *models = &board->dispatcher->models;
    board->asking = false;
    board->seen_ms = clock_ms();
    for (size_t i = 0; i < models->count; i++)
        board->forecasts[i] = rc == 0 ? judge(board->dispatcher, &models->items[i], &counters[i])
                                      : (struct forecast){.state = FORECAST_UNKNOWN};
    tell_all(board);
}

static int look(struct forecast_board *board)
{
    const struct manifest_set *models = &board->dispatcher->models;
    const char **names = calloc(models->count + 1, sizeof *names);
    int rc = names ? 0 : ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < models->count; i++)
        names[i] = models->items[i].name;
    if (rc == 0)
        rc = tally_ask(board->dispatcher, names, models->count, on_tally, board);
    free(names);
    return rc;
}

void forecast_ask(struct forecast_board *board, struct forecast_wait *wait)
{
    wait->next = board->waiting;
    board->waiting = wait;
    if (board->asking)
        return;
    if (clock_ms() - board->seen_ms < FRESH_MS) {
        tell_all(board);
        return;
    }
    board->asking = true;
    int rc = look(board);
    if (rc < 0)
        on_tally(rc, NULL, board);
}

const struct forecast *forecast_last_of(const struct forecast_board *board,
                                        const struct manifest *model)
{
    static const struct forecast unknown = {.state = FORECAST_UNKNOWN};
    const struct manifest_set *models = &board->dispatcher->models;
    const struct manifest *now = manifest_set_find(models, model->name);
    return now ? &board->forecasts[now - models->items] : &unknown;
}

json_t *forecast_view(const struct forecast *forecast)
{
    static const char *const states[] = {[FORECAST_UNKNOWN] = "unknown",
                                         [FORECAST_OPEN] = "open",
                                         [FORECAST_PAUSED] = "paused",
                                         [FORECAST_FULL] = "full"};
    const char *state = states[forecast->state];
    if (forecast->state == FORECAST_UNKNOWN)
        return json_pack("{s:s, s:n, s:n, s:n, s:n}", "state", state, "queued", "running",
                         "workers", "wait_seconds");
    return json_pack("{s:s, s:I, s:I, s:I, s:o}", "state", state, "queued",
                     (json_int_t)forecast->queued, "running", (json_int_t)forecast->running,
                     "workers", (json_int_t)forecast->workers, "wait_seconds",
                     forecast->wait_ms < 0
                         ? json_null()
                         : json_integer((json_int_t)((forecast->wait_ms + 999) / 1000)));
}

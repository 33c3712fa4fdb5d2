/* SPDX-License-Identifier: MIT
 *
 * What somebody who hands in a job now has to expect: how many wait before it, and for how long.
 *
 *     wait->done = on_forecast;
 *     forecast_ask(dispatcher->forecast, wait);          // on_forecast(wait, forecasts) now or
 * soon forecasts[model - dispatcher->models.items].queued
 *
 * For everybody to see, so it costs Redis next to nothing: whatever is asked, one look in a second.
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_JOBS_FORECAST_H
#define DARKROOM_DISPATCHER_JOBS_FORECAST_H

#include "common/json.h"

#include <stdint.h>

struct dispatcher;
struct manifest;
struct forecast_board;

enum forecast_state {
    FORECAST_UNKNOWN, /* Redis does not answer */
    FORECAST_OPEN,
    FORECAST_PAUSED, /* jobs are taken, none is begun */
    FORECAST_FULL    /* jobs are refused */
};

struct forecast {
    enum forecast_state state;
    int64_t queued, running, workers;
    /* Until a job that is handed in now is done, if all that waits comes before it; -1: nobody
     * knows, as no worker is alive or the queue is paused. */
    int64_t wait_ms;
};

/* One who asks; memory of the caller, borrowed until `done`. */
struct forecast_wait {
    struct forecast_wait *next; /* of this module */
    /* `forecasts` has an entry for each manifest, in the set's order; borrowed for the call. */
    void (*done)(struct forecast_wait *wait, const struct forecast *forecasts);
};

/* For `count` models. */
int forecast_create(struct dispatcher *dispatcher, size_t count, struct forecast_board **out);
/* Nobody may wait any more: after the connection to Redis has ended. */
void forecast_destroy(struct forecast_board **board);

/* `done` is called exactly once, from within where the figures are fresh or cannot be had. */
void forecast_ask(struct forecast_board *board, struct forecast_wait *wait);

/* What was found last of a model, without asking; static storage or borrowed. */
const struct forecast *forecast_last_of(const struct forecast_board *board,
                                        const struct manifest *model);

/* {"state": "open", "queued": 3, "running": 1, "workers": 2, "wait_seconds": 4}; NULL for want of
 * memory. Figures that are not known are null. Owned by the caller. */
json_t *forecast_view(const struct forecast *forecast);

#endif

/* SPDX-License-Identifier: MIT
 *
 * GET /m/{model}: where a picture is handed in. */
#include "common/err.h"
#include "common/manifest.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/jobs/forecast.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/pages/submit_page.h"
#include "dispatcher/routes.h"

#include <stdlib.h>

struct visit {
    struct forecast_wait wait; /* first, so that it is found */
    struct call *call;         /* borrowed; valid until the answer */
    const struct manifest *model;
};

static void on_forecast(struct forecast_wait *wait, const struct forecast *forecasts)
{
    struct visit *visit = (struct visit *)(void *)wait;
    const struct manifest_set *models = &visit->call->dispatcher->models;
    struct submit_page page = {.call = visit->call,
                               .model = visit->model,
                               .forecast = &forecasts[visit->model - models->items]};
    page_send(visit->call, 200, "submit.html", submit_page_data(&page));
}

void page_model(struct dispatcher *dispatcher, struct call *call)
{
    const struct manifest *model = call_model(call);
    if (!model)
        return;
    struct visit *visit = calloc(1, sizeof *visit);
    if (!visit) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    *visit = (struct visit){.wait.done = on_forecast, .call = call, .model = model};
    call->state = visit;
    call->free_state = free;
    forecast_ask(dispatcher->forecast, &visit->wait);
}

/* SPDX-License-Identifier: MIT
 *
 * GET /v1/models/{name}: a model and what to expect of its queue now. */
#include "common/err.h"
#include "common/json.h"
#include "common/manifest.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/jobs/forecast.h"
#include "dispatcher/routes.h"

#include <stdlib.h>

struct question {
    struct forecast_wait wait; /* first, so that it is found */
    struct call *call;         /* borrowed; valid until the answer */
    const struct manifest *model;
};

static void on_forecast(struct forecast_wait *wait, const struct forecast *forecasts)
{
    struct question *question = (struct question *)(void *)wait;
    const struct manifest_set *models = &question->call->dispatcher->models;
    json_t *view = json_deep_copy(question->model->view);
    json_t *queue = forecast_view(&forecasts[question->model - models->items]);
    if (json_object_set_new(view, "queue", queue) < 0) {
        json_decref(view);
        view = NULL;
    }
    call_send_value(question->call, 200, view);
}

void model_get(struct dispatcher *dispatcher, struct call *call)
{
    const struct manifest *model = call_model(call);
    if (!model)
        return;
    struct question *question = calloc(1, sizeof *question);
    if (!question) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    *question = (struct question){.wait.done = on_forecast, .call = call, .model = model};
    call->state = question;
    call->free_state = free;
    forecast_ask(dispatcher->forecast, &question->wait);
}

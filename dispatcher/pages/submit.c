/* SPDX-License-Identifier: MIT
 *
 * GET /m/{model}: where a picture is handed in. */
#include "common/err.h"
#include "common/manifest.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/again.h"
#include "dispatcher/jobs/forecast.h"
#include "dispatcher/jobs/form.h"
#include "dispatcher/pages/page.h"
#include "dispatcher/pages/submit_fields.h"
#include "dispatcher/pages/submit_page.h"
#include "dispatcher/routes.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 8

struct visit {
    struct forecast_wait wait; /* first, so that it is found */
    struct call *call;         /* borrowed; valid until the answer */
    const struct manifest *model;
    struct again again;
    json_t *params; /* owned: what is filled in already; NULL: the defaults */
};

static void free_visit(void *state)
{
    struct visit *visit = state;
    json_decref(visit->params);
    free(visit);
}

/* Once more with other settings: `?again=ID&token=VIEW&p=PARAMS`, of which the link may have any
 * part. What is nonsense is left out, and the page is as for everybody. */
static void read_again(struct visit *visit)
{
    struct call *call = visit->call;
    struct json_limits limits = {.max_bytes = FORM_MAX_TEXT, .max_depth = MAX_DEPTH};
    struct again again = {0};
    char text[FORM_MAX_TEXT + 1];
    json_t *params = NULL;
    if (exchange_query(call->exchange, "again", again.public_id, sizeof again.public_id) == 0 &&
        exchange_query(call->exchange, "token", again.token, sizeof again.token) == 0 &&
        id_public_valid(again.public_id) &&
        token_allows(call->dispatcher->tokens, TOKEN_VIEW, again.public_id, again.token))
        visit->again = again;
    if (exchange_query(call->exchange, "p", text, sizeof text) == 0 &&
        json_parse(text, strlen(text), limits, &params, NULL) == 0 && json_is_object(params))
        visit->params = submit_fields_typed(params);
    json_decref(params);
}

static void on_forecast(struct forecast_wait *wait, const struct forecast *forecasts)
{
    struct visit *visit = (struct visit *)(void *)wait;
    const struct manifest_set *models = &visit->call->dispatcher->models;
    struct submit_page page = {.call = visit->call,
                               .model = visit->model,
                               .forecast = &forecasts[visit->model - models->items],
                               .again = &visit->again,
                               .params = visit->params};
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
    call->free_state = free_visit;
    read_again(visit);
    forecast_ask(dispatcher->forecast, &visit->wait);
}

/* SPDX-License-Identifier: MIT
 *
 * GET /v1/fleet: what an operator's page shows, in one answer: every queue with its rates, every
 * worker with its jobs, how much lies in the dead letter and undelivered, how it stands
 * with mails, and the latest samples.
 * Wants a key with the scope operate. */
#include "common/clock.h"
#include "common/err.h"
#include "common/queue_hooks.h"
#include "common/queue_operate.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/events/fanout.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/tally.h"
#include "dispatcher/operate/mails.h"
#include "dispatcher/operate/samples.h"
#include "dispatcher/operate/views.h"
#include "dispatcher/routes.h"

#include <stdlib.h>

struct fleet {
    struct call *call;        /* borrowed; valid until the answer */
    json_t *queues, *workers; /* owned */
    int64_t dead, unsent, since_s;
    unsigned open; /* questions whose answer is owed, and one for who asks them */
    int rc;        /* the first failure */
};

static void free_fleet(void *state)
{
    struct fleet *fleet = state;
    json_decref(fleet->queues);
    json_decref(fleet->workers);
    free(fleet);
}

static void answer(struct fleet *fleet)
{
    const struct dispatcher *dispatcher = fleet->call->dispatcher;
    call_send_value(fleet->call, 200,
                    json_pack("{s:o, s:O, s:O, s:I, s:I, s:o, s:o}", "at",
                              view_time(clock_wall_ms()), "queues", fleet->queues, "workers",
                              fleet->workers, "dead", (json_int_t)fleet->dead, "unsent",
                              (json_int_t)fleet->unsent, "mail", mails_view(dispatcher), "samples",
                              samples_view(dispatcher->samples, fleet->since_s)));
}

static void close_one(struct fleet *fleet, int rc)
{
    if (fleet->rc == 0)
        fleet->rc = rc;
    if (--fleet->open > 0)
        return;
    if (fleet->rc < 0)
        view_refuse_redis(fleet->call, fleet->rc);
    else
        answer(fleet);
}

/* ---- queues ---------------------------------------------------------------------------------- */

static json_t *rate(double per_minute)
{
    return per_minute < 0 ? json_null() : json_real(per_minute);
}

static void on_tally(int rc, const struct queue_counters *counters, void *data)
{
    struct fleet *fleet = data;
    const struct dispatcher *dispatcher = fleet->call->dispatcher;
    for (size_t i = 0; rc == 0 && i < dispatcher->models.count; i++) {
        struct samples_rates rates;
        json_t *queue = view_queue(dispatcher->models.items[i].name, &counters[i]);
        samples_rates(dispatcher->samples, i, &rates);
        json_object_set_new(queue, "submitted_per_minute", rate(rates.submitted));
        json_object_set_new(queue, "finished_per_minute", rate(rates.finished));
        json_array_append_new(fleet->queues, queue);
        fleet->dead += counters[i].dead;
    }
    close_one(fleet, rc);
}

/* ---- workers --------------------------------------------------------------------------------- */

static void build_workers(const struct queue *queue, struct redis_command *command, void *data)
{
    (void)data;
    queue_workers_command(queue, command);
}

static int read_workers(const struct queue *queue, const struct redis_reply *reply, void *data)
{
    (void)queue;
    struct fleet *fleet = data;
    return view_add_workers(fleet->workers, reply);
}

/* ---- what could not be delivered ------------------------------------------------------------- */

static void build_unsent(const struct queue *queue, struct redis_command *command, void *data)
{
    (void)data;
    queue_unsent_command(queue, 0, 1, command);
}

static int read_unsent(const struct queue *queue, const struct redis_reply *reply, void *data)
{
    (void)queue;
    struct fleet *fleet = data;
    struct queue_unsent newest;
    int64_t total = 0;
    int rc = queue_unsent_reply(reply, 0, &newest, &total, NULL);
    fleet->unsent += total;
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static void on_done(int rc, void *data)
{
    close_one(data, rc);
}

/* ---- the question ---------------------------------------------------------------------------- */

/* NULL: no right or no memory, and that was answered. */
static struct fleet *begin(struct call *call)
{
    if (!identity_require(call, SCOPE_OPERATE))
        return NULL;
    struct fleet *fleet = calloc(1, sizeof *fleet);
    if (!fleet) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return NULL;
    }
    *fleet = (struct fleet){
        .call = call, .queues = json_array(), .workers = json_array(), .since_s = 0, .open = 1};
    call->state = fleet;
    call->free_state = free_fleet;
    return fleet;
}

void fleet_get(struct dispatcher *dispatcher, struct call *call)
{
    static const struct fanout_verbs workers = {build_workers, read_workers, on_done};
    static const struct fanout_verbs unsent = {build_unsent, read_unsent, on_done};
    struct fleet *fleet = begin(call);
    if (!fleet || !call_number(call, "since", 0, INT64_MAX / 2, &fleet->since_s))
        return;
    int rc = tally_ask_all(dispatcher, on_tally, fleet);
    fleet->open += rc == 0;
    if (rc == 0) {
        rc = fanout_ask(dispatcher, &workers, fleet);
        fleet->open += rc == 0;
    }
    if (rc == 0) {
        rc = fanout_ask(dispatcher, &unsent, fleet);
        fleet->open += rc == 0;
    }
    close_one(fleet, rc);
}

/* SPDX-License-Identifier: MIT
 *
 * The table of routes and the entry points that they name; what each one does is docs/api.md. A
 * `_headers` function runs before the body is read and may refuse, a plain one when all is there.
 * Either answers, now or later. */
#ifndef DARKROOM_DISPATCHER_ROUTES_H
#define DARKROOM_DISPATCHER_ROUTES_H

#include "dispatcher/http/router.h"

#include <stddef.h>

struct call;
struct dispatcher;
struct exchange_handlers;

extern const struct route routes[];
extern const size_t route_count;

/* How the HTTP server calls the dispatcher. */
void routes_handlers(struct dispatcher *dispatcher, struct exchange_handlers *out);

/* submit.c */
void submit_headers(struct dispatcher *dispatcher, struct call *call);
void submit(struct dispatcher *dispatcher, struct call *call);
void submit_close(struct dispatcher *dispatcher); /* no request is left */

/* model.c */
void model_get(struct dispatcher *dispatcher, struct call *call);

/* preview.c */
void preview_headers(struct dispatcher *dispatcher, struct call *call);
void preview(struct dispatcher *dispatcher, struct call *call);

/* provenance.c */
void provenance_headers(struct dispatcher *dispatcher, struct call *call);
void provenance(struct dispatcher *dispatcher, struct call *call);

/* history.c */
void jobs_list(struct dispatcher *dispatcher, struct call *call);

/* states.c */
void job_states_headers(struct dispatcher *dispatcher, struct call *call);
void job_states(struct dispatcher *dispatcher, struct call *call);

/* batch_submit.c */
void batch_submit_headers(struct dispatcher *dispatcher, struct call *call);
void batch_submit(struct dispatcher *dispatcher, struct call *call);

/* batches.c */
void batch_get(struct dispatcher *dispatcher, struct call *call);
void batch_cancel(struct dispatcher *dispatcher, struct call *call);
void batch_erase(struct dispatcher *dispatcher, struct call *call);

/* jobs.c */
void job_get(struct dispatcher *dispatcher, struct call *call);
void job_cancel(struct dispatcher *dispatcher, struct call *call);
void job_erase(struct dispatcher *dispatcher, struct call *call);

/* results.c */
void job_result(struct dispatcher *dispatcher, struct call *call);
void job_crop(struct dispatcher *dispatcher, struct call *call);
void job_heat_map(struct dispatcher *dispatcher, struct call *call);

/* rating.c */
void job_rate_headers(struct dispatcher *dispatcher, struct call *call);
void job_rate(struct dispatcher *dispatcher, struct call *call);

/* events.c */
void job_events(struct dispatcher *dispatcher, struct call *call);

/* webhooks.c */
void webhook_create_headers(struct dispatcher *dispatcher, struct call *call);
void webhook_create(struct dispatcher *dispatcher, struct call *call);
void webhook_list(struct dispatcher *dispatcher, struct call *call);
void webhook_get(struct dispatcher *dispatcher, struct call *call);
void webhook_delete(struct dispatcher *dispatcher, struct call *call);
void webhook_rotate(struct dispatcher *dispatcher, struct call *call);
void webhook_enable(struct dispatcher *dispatcher, struct call *call);

/* notifications.c */
void notifications_list(struct dispatcher *dispatcher, struct call *call);
void notifications_replay_headers(struct dispatcher *dispatcher, struct call *call);
void notifications_replay(struct dispatcher *dispatcher, struct call *call);

/* grants.c */
void grants_headers(struct dispatcher *dispatcher, struct call *call);
void grants(struct dispatcher *dispatcher, struct call *call);

/* objects.c */
void object_get(struct dispatcher *dispatcher, struct call *call);
void object_put_headers(struct dispatcher *dispatcher, struct call *call);
void object_put(struct dispatcher *dispatcher, struct call *call);

/* operate.c */
void operate_queues(struct dispatcher *dispatcher, struct call *call);
void operate_pause(struct dispatcher *dispatcher, struct call *call);
void operate_resume(struct dispatcher *dispatcher, struct call *call);
void operate_workers(struct dispatcher *dispatcher, struct call *call);
void scale_get(struct dispatcher *dispatcher, struct call *call);

/* dead.c */
void dead_list(struct dispatcher *dispatcher, struct call *call);
void dead_replay(struct dispatcher *dispatcher, struct call *call);
void dead_replay_many_headers(struct dispatcher *dispatcher, struct call *call);
void dead_replay_many(struct dispatcher *dispatcher, struct call *call);

/* erase_address.c */
void address_erase_headers(struct dispatcher *dispatcher, struct call *call);
void address_erase(struct dispatcher *dispatcher, struct call *call);

/* fleet.c */
void fleet_get(struct dispatcher *dispatcher, struct call *call);

/* stats.c */
void stats_get(struct dispatcher *dispatcher, struct call *call);

/* pages/site.c */
void page_docs(struct dispatcher *dispatcher, struct call *call);
void page_operation(struct dispatcher *dispatcher, struct call *call);
void openapi_get(struct dispatcher *dispatcher, struct call *call);
void models_get(struct dispatcher *dispatcher, struct call *call);
void page_home(struct dispatcher *dispatcher, struct call *call);
void page_about(struct dispatcher *dispatcher, struct call *call);
void page_terms(struct dispatcher *dispatcher, struct call *call);
void page_privacy(struct dispatcher *dispatcher, struct call *call);
void page_robots(struct dispatcher *dispatcher, struct call *call);
void page_history(struct dispatcher *dispatcher, struct call *call);
void page_fleet(struct dispatcher *dispatcher, struct call *call);
void page_asset(struct dispatcher *dispatcher, struct call *call);

/* pages/unsubscribe.c */
void page_unsubscribe(struct dispatcher *dispatcher, struct call *call);
void unsubscribe_headers(struct dispatcher *dispatcher, struct call *call);
void page_unsubscribe_act(struct dispatcher *dispatcher, struct call *call);
void page_subscribe_act(struct dispatcher *dispatcher, struct call *call);

/* pages/submit.c */
void page_submit_headers(struct dispatcher *dispatcher, struct call *call);
void page_model(struct dispatcher *dispatcher, struct call *call);
/* again.c */
void page_again(struct dispatcher *dispatcher, struct call *call);
void page_again_headers(struct dispatcher *dispatcher, struct call *call);
void page_again_read(struct dispatcher *dispatcher, struct call *call);

/* pages/job.c */
void page_job(struct dispatcher *dispatcher, struct call *call);
void page_cancel(struct dispatcher *dispatcher, struct call *call);
void page_rate(struct dispatcher *dispatcher, struct call *call);
void page_delete(struct dispatcher *dispatcher, struct call *call);
void page_erase(struct dispatcher *dispatcher, struct call *call);

/* health.c */
void healthz(struct dispatcher *dispatcher, struct call *call);
void readyz(struct dispatcher *dispatcher, struct call *call);
void metrics_get(struct dispatcher *dispatcher, struct call *call);

#endif

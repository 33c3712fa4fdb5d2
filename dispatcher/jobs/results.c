/* SPDX-License-Identifier: MIT
 *
 * What a job made, and what lies beside it: the result, the kept crop and the heat map, as links
 * that are good for a while. */
#include "common/err.h"
#include "common/log.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/convert.h"
#include "dispatcher/jobs/visit.h"
#include "dispatcher/routes.h"

/* A link that is good for a while. */
static void send_to(struct visit *visit, const char *public_id, const char *key,
                    const char *content_type)
{
    const struct dispatcher *dispatcher = visit->call->dispatcher;
    struct store_link link;
    struct err err = {0};
    struct store_link_request request = {.method = STORE_GET,
                                         .key = key,
                                         .lifetime_s = dispatcher->settings->link_seconds,
                                         .content_type = content_type};
    int rc = store_presign(dispatcher->store, &request, &link, &err);
    if (rc < 0) {
        log_event(LOG_ERROR, "result.unsigned", "job", LOG_S, public_id, "detail", LOG_S, err.text,
                  NULL);
        problem_send_err(visit->call->exchange, ERR_INTERNAL, NULL, public_id);
        return;
    }
    struct answer *answer = answer_static("", 0);
    answer_header(answer, "Location", link.url);
    answer_header(answer, "Cache-Control", "no-store");
    answer_header(answer, "Referrer-Policy", "no-referrer");
    exchange_respond(visit->call->exchange, 302, answer);
}

static void show_result(struct visit *visit, const struct queue_job *job)
{
    char key[JOB_KEY_SIZE];
    if (job->state != JOB_SUCCEEDED) {
        visit_conflict(visit, job);
        return;
    }
    job_result_key(job->public_id, job->epoch, job->extension, key);
    send_to(visit, job->public_id, key, *job->result_type ? job->result_type : NULL);
}

/* What lies beside the result with this model, or not. */
static void show_beside(struct visit *visit, const struct queue_job *job, bool kept,
                        const char *key, const char *what)
{
    if (!kept)
        call_refuse(visit->call, PROBLEM_NOT_FOUND, what);
    else if (job->state != JOB_SUCCEEDED)
        visit_conflict(visit, job);
    else
        send_to(visit, job->public_id, key, "image/png");
}

static void show_crop(struct visit *visit, const struct queue_job *job)
{
    char key[JOB_KEY_SIZE];
    const struct manifest *model = manifest_set_find(&visit->call->dispatcher->models, job->model);
    job_crop_key(job->public_id, job->epoch, key);
    show_beside(visit, job, model && model->keep_crop, key, "this model keeps no crops");
}

static void show_heat_map(struct visit *visit, const struct queue_job *job)
{
    char key[JOB_KEY_SIZE];
    const struct manifest *model = manifest_set_find(&visit->call->dispatcher->models, job->model);
    job_heat_map_key(job->public_id, job->epoch, key);
    show_beside(visit, job, model && model->heat_map, key, "this model makes no heat maps");
}

void job_crop(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = visit_begin(call, TOKEN_VIEW, sizeof *visit, show_crop);
    if (visit)
        visit_ask_for_job(visit);
}

void job_heat_map(struct dispatcher *dispatcher, struct call *call)
{
    struct visit *visit = visit_begin(call, TOKEN_VIEW, sizeof *visit, show_heat_map);
    if (visit)
        visit_ask_for_job(visit);
}

void job_result(struct dispatcher *dispatcher, struct call *call)
{
    struct convert_wish wish;
    if (!convert_asked(call, &wish))
        return;
    struct visit *visit = wish.asked ? convert_begin(call, &wish)
                                     : visit_begin(call, TOKEN_SHARE, sizeof *visit, show_result);
    if (visit)
        visit_ask_for_job(visit);
}

/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/again.h"

#include "common/err.h"
#include "common/json.h"
#include "common/manifest.h"
#include "common/queue.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/jobs/form.h"
#include "dispatcher/offload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parameters and an address beside it; a body with a picture in it is larger. */
#define MAX_BODY (2 * FORM_MAX_TEXT)
#define MAX_DEPTH 8
/* A PNG of so many pixels is no larger. */
#define BYTES_PER_PIXEL 4
#define SPARE_BYTES 65536

struct fetch {
    struct call *call; /* borrowed; valid until the answer */
    struct again again;
    struct form *form; /* borrowed */
    void (*done)(struct call *call);
    char key[JOB_KEY_SIZE];
    struct buf crop;
    int rc;
    struct err err;
};

/* ---- which job ------------------------------------------------------------------------------- */

static int take(const char *id, const char *token, const char *field, struct again *out,
                struct err *err)
{
    if (!id || !id_public_valid(id) || strlen(token) >= sizeof out->token)
        return err_set(err, ERR_INVALID, field, "%s: wanted the id of a job, and its view token",
                       field);
    snprintf(out->public_id, sizeof out->public_id, "%s", id);
    snprintf(out->token, sizeof out->token, "%s", token);
    return 0;
}

static int read_json(const struct form *form, struct again *out, struct err *err)
{
    static const char *const known[] = {"crop_of", "token", NULL};
    struct json_limits limits = {.max_bytes = MAX_BODY, .max_depth = MAX_DEPTH};
    json_t *body = NULL;
    if (form->json.size == 0 || form->json.size > MAX_BODY ||
        !memmem(form->json.data, form->json.size, "crop_of", strlen("crop_of")) ||
        json_parse(form->json.data, form->json.size, limits, &body, NULL) < 0)
        return 0;
    const json_t *input = json_object_get(body, "input");
    const json_t *id = json_object_get(input, "crop_of");
    const char *token = "";
    int rc = 0;
    if (id) {
        rc = json_check_members(input, "input", known, err);
        if (rc == 0)
            rc = json_opt_text(input, "input.token", TOKEN_SIZE - 1, &token, err);
        if (rc == 0)
            rc = take(json_string_value(id), token, "input.crop_of", out, err);
    }
    json_decref(body);
    return rc;
}

int again_read(const struct form *form, struct again *out, struct err *err)
{
    *out = (struct again){.public_id = ""};
    if (form->is_json)
        return read_json(form, out, err);
    const struct buf *id = &form->fields[FORM_CROP_OF];
    if (id->size == 0)
        return 0;
    if (form->fields[FORM_INPUT].size > 0)
        return err_set(err, ERR_INVALID, "crop_of", "either a picture or the crop of a job");
    return take(buf_text(id), buf_text(&form->fields[FORM_CROP_TOKEN]), "crop_of", out, err);
}

/* ---- its crop -------------------------------------------------------------------------------- */

static void end(struct fetch *fetch)
{
    buf_fini(&fetch->crop);
    free(fetch);
}

static void refuse(struct fetch *fetch, enum problem_kind kind, const char *detail)
{
    problem_send(fetch->call->exchange,
                 &(struct problem){.kind = kind,
                                   .detail = detail,
                                   .field = fetch->form->is_json ? "input.crop_of" : "crop_of"});
    end(fetch);
}

/* On a thread. */
static void load(void *task)
{
    struct fetch *fetch = task;
    fetch->rc = store_get(fetch->call->dispatcher->store, fetch->key, &fetch->crop, &fetch->err);
}

static void on_loaded(void *task)
{
    struct fetch *fetch = task;
    struct call *call = fetch->call;
    if (fetch->rc == ERR_NOT_FOUND) {
        refuse(fetch, PROBLEM_INVALID, "the crop of this job is not there any more");
    } else if (fetch->rc < 0) {
        refuse(fetch, PROBLEM_UNAVAILABLE, "the crop cannot be read");
    } else {
        void (*done)(struct call *) = fetch->done;
        buf_fini(&fetch->form->fields[FORM_INPUT]);
        fetch->form->fields[FORM_INPUT] = fetch->crop;
        fetch->form->present[FORM_INPUT] = true;
        buf_init(&fetch->crop, 0);
        end(fetch);
        done(call);
    }
}

static bool may_view(const struct fetch *fetch, const struct queue_job *job)
{
    const struct call *call = fetch->call;
    return token_allows(call->dispatcher->tokens, TOKEN_VIEW, fetch->again.public_id,
                        fetch->again.token) ||
           identity_owns(&call->identity, job->flow, SCOPE_SUBMIT);
}

static void on_job(int rc, const struct redis_reply *reply, void *data)
{
    struct fetch *fetch = data;
    struct call *call = fetch->call;
    struct queue_job job;
    if (rc == 0)
        rc = queue_get_reply(reply, &job, NULL);
    const struct manifest *model =
        rc == 0 ? manifest_set_find(&call->dispatcher->models, job.model) : NULL;
    if (rc == ERR_NOT_FOUND) {
        refuse(fetch, PROBLEM_INVALID, "there is no such job, or it has expired");
    } else if (rc < 0) {
        refuse(fetch, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
    } else if (!may_view(fetch, &job)) {
        refuse(fetch, PROBLEM_FORBIDDEN, "the job is named with a token that may not view it");
    } else if (!model || !model->has_input || !model->keep_crop) {
        refuse(fetch, PROBLEM_INVALID, "the model of this job keeps no crops");
    } else if (job.state != JOB_SUCCEEDED) {
        refuse(fetch, PROBLEM_INVALID, "this job has made nothing of its picture");
    } else {
        size_t most = BYTES_PER_PIXEL * (size_t)model->size * (size_t)model->size + SPARE_BYTES;
        job_crop_key(job.public_id, job.epoch, fetch->key);
        buf_init(&fetch->crop, most);
        if (!call_reserve(call, most))
            end(fetch);
        else if (offload_submit(call->dispatcher->offload, load, on_loaded, fetch) < 0)
            refuse(fetch, PROBLEM_UNAVAILABLE, "too many transfers at once");
    }
}

void again_fetch(struct call *call, const struct again *again, struct form *form,
                 void (*done)(struct call *call))
{
    struct dispatcher *dispatcher = call->dispatcher;
    struct fetch *fetch = calloc(1, sizeof *fetch);
    if (!fetch) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    *fetch = (struct fetch){.call = call, .again = *again, .form = form, .done = done};
    queue_get_command(dispatcher_queue_of_id(dispatcher, again->public_id), again->public_id,
                      &dispatcher->command);
    if (dispatcher_send(dispatcher, on_job, fetch) < 0)
        refuse(fetch, PROBLEM_UNAVAILABLE, "the queue cannot be reached");
}

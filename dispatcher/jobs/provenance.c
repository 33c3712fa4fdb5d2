/* SPDX-License-Identifier: MIT
 *
 * POST /v1/provenance: what a picture says of itself, and whether it can be made again here. The
 * body is the picture as such. Nothing of it is kept, and no pixel is looked at. */
#include "common/provenance.h"
#include "common/err.h"
#include "common/picture_metadata.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/offload.h"
#include "dispatcher/routes.h"

#include <stdlib.h>

#define RETRY_S 2

struct inquiry {
    struct call *call; /* borrowed; valid until the answer */
    struct picture_metadata metadata;
    int rc;
    struct err err;
};

static void free_inquiry(void *state)
{
    struct inquiry *inquiry = state;
    picture_metadata_fini(&inquiry->metadata);
    free(inquiry);
}

static void open_body(struct call *call)
{
    size_t max_bytes = (size_t)call->dispatcher->settings->max_body_bytes;
    int64_t size = exchange_body_size(call->exchange);
    struct inquiry *inquiry;
    if (!call_admit_body(call, max_bytes) ||
        !call_reserve(call, size < 0 ? max_bytes : (size_t)size))
        return;
    if (!(inquiry = calloc(1, sizeof *inquiry))) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    inquiry->call = call;
    call->state = inquiry;
    call->free_state = free_inquiry;
    call_take_body(call, max_bytes);
}

void provenance_headers(struct dispatcher *dispatcher, struct call *call)
{
    if (identity_permit(call, SCOPE_SUBMIT))
        throttle_take(call, open_body);
}

/* On a thread: a walk through some megabytes of a stranger's file. */
static void read_metadata(void *task)
{
    struct inquiry *inquiry = task;
    const struct buf *body = &inquiry->call->body;
    inquiry->rc = picture_metadata_read(body->data, body->size, &inquiry->metadata, &inquiry->err);
}

/* The manifest's own limits count as well: they may have changed since. */
static json_t *again_view(const struct dispatcher *dispatcher,
                          const struct picture_metadata *metadata)
{
    const struct manifest *model = manifest_set_find(&dispatcher->models, metadata->model);
    json_t *said = NULL, *params = NULL, *view;
    struct err err = {0};
    enum provenance_bar bar = provenance_again(metadata, model ? model->view : NULL, &said);
    if (bar == PROVENANCE_FREE && manifest_check_params(model, said, &params, &err) < 0)
        bar = PROVENANCE_REFUSED;
    if (bar == PROVENANCE_FREE)
        view =
            json_pack("{s:b, s:s, s:O}", "possible", 1, "model", metadata->model, "params", params);
    else
        view = json_pack("{s:b, s:s}", "possible", 0, "reason",
                         err.text[0] ? err.text : provenance_text(bar));
    json_decref(said);
    json_decref(params);
    return view;
}

static void on_read(void *task)
{
    struct inquiry *inquiry = task;
    struct call *call = inquiry->call;
    if (inquiry->rc < 0) {
        /* Foreign is no other thing than damaged: the input cannot be used. */
        int rc = inquiry->rc == ERR_NOT_FOUND ? ERR_INVALID : inquiry->rc;
        call_refuse_err(call, rc, &inquiry->err);
        return;
    }
    call_send_value(call, 200,
                    json_pack("{s:o, s:o}", "provenance", picture_metadata_json(&inquiry->metadata),
                              "again", again_view(call->dispatcher, &inquiry->metadata)));
}

void provenance(struct dispatcher *dispatcher, struct call *call)
{
    if (offload_submit(dispatcher->offload, read_metadata, on_read, call->state) < 0)
        problem_send(call->exchange, &(struct problem){.kind = PROBLEM_UNAVAILABLE,
                                                       .detail = "too much at once",
                                                       .retry_after_s = RETRY_S});
}

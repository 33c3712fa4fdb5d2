/* SPDX-License-Identifier: MIT
 *
 * POST /v1/previews: what a browser cannot show itself, a telephone's HEIC, as a small JPEG to
 * choose a part of. The body is the picture as such. Nothing of it is kept.
 *
 *     headers   limit of the client, room for the body and for a decoder          (loop)
 *     body      into memory                                                      (loop)
 *     decode, turn upright, shrink, encode                                       (thread)
 *
 * A submission is counted for it, since it costs more than one. */
#include "common/buf.h"
#include "common/err.h"
#include "common/picture.h"
#include "dispatcher/call.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/server.h"
#include "dispatcher/offload.h"
#include "dispatcher/routes.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_SIDE 1024
#define QUALITY 82
#define RETRY_S 2
/* libheif needs some nine bytes a pixel on top of ours. */
#define MAX_PIXELS (64 * 1000 * 1000)

struct preview {
    struct call *call; /* borrowed; valid until the answer */
    struct buf input, output;
    int width, height; /* of the original */
    int rc;
    struct err err;
};

static void free_preview(void *state)
{
    struct preview *preview = state;
    buf_fini(&preview->input);
    buf_fini(&preview->output);
    free(preview);
}

static void on_body(void *context, struct exchange *exchange, const void *data, size_t size)
{
    struct call *call = exchange_user(exchange);
    struct preview *preview = call->state;
    if (buf_append(&preview->input, data, size) < 0)
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}

static void open_body(struct call *call)
{
    size_t max_bytes = (size_t)call->dispatcher->settings->max_body_bytes;
    int64_t size = exchange_body_size(call->exchange);
    if (!call_admit_body(call, max_bytes))
        return;
    struct preview *preview = calloc(1, sizeof *preview);
    if (!preview) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
        return;
    }
    preview->call = call;
    buf_init(&preview->input, max_bytes);
    buf_init(&preview->output, max_bytes);
    call->state = preview;
    call->free_state = free_preview;
    if (call_reserve(call, size < 0 ? max_bytes : (size_t)size))
        exchange_set_body(call->exchange, max_bytes, on_body);
}

void preview_headers(struct dispatcher *dispatcher, struct call *call)
{
    if (identity_permit(call, SCOPE_SUBMIT))
        throttle_take(call, open_body);
}

static int shrink(struct picture *picture, struct err *err)
{
    int side = picture->width > picture->height ? picture->width : picture->height;
    struct picture small = {0};
    if (side <= MAX_SIDE)
        return 0;
    int width = (int)((int64_t)picture->width * MAX_SIDE / side);
    int height = (int)((int64_t)picture->height * MAX_SIDE / side);
    int rc = picture_resize(picture, width ? width : 1, height ? height : 1, PICTURE_ANTIALIAS,
                            &small, err);
    if (rc < 0)
        return rc;
    picture_fini(picture);
    *picture = small;
    return 0;
}

/* On a thread. */
static void develop(void *task)
{
    struct preview *preview = task;
    struct picture_limits limits = {.max_bytes = preview->input.max_size,
                                    .max_pixels = MAX_PIXELS,
                                    .max_side = PICTURE_MAX_SIDE};
    struct picture picture = {0};
    int rc =
        picture_decode(preview->input.data, preview->input.size, &limits, &picture, &preview->err);
    buf_fini(&preview->input);
    if (rc == 0) {
        preview->width = picture.width;
        preview->height = picture.height;
        rc = shrink(&picture, &preview->err);
    }
    if (rc == 0)
        rc = picture_encode(&picture, PICTURE_JPEG, QUALITY, NULL, &preview->output, &preview->err);
    picture_fini(&picture);
    preview->rc = rc;
}

static void on_developed(void *task)
{
    struct preview *preview = task;
    struct exchange *exchange = preview->call->exchange;
    char size_text[32];
    size_t size;
    preview->call->dispatcher->previews--;
    if (preview->rc < 0) {
        enum problem_kind kind = problem_of(preview->rc);
        problem_send(exchange, &(struct problem){.kind = kind,
                                                 .detail = preview->err.text,
                                                 .field = preview->err.field});
        return;
    }
    void *data = buf_steal(&preview->output, &size);
    struct answer *answer = answer_take(data, size);
    snprintf(size_text, sizeof size_text, "%dx%d", preview->width, preview->height);
    answer_header(answer, "Content-Type", "image/jpeg");
    answer_header(answer, "Picture-Size", size_text);
    answer_header(answer, "Cache-Control", "no-store");
    answer_header(answer, "X-Content-Type-Options", "nosniff");
    exchange_respond(exchange, 200, answer);
}

void preview(struct dispatcher *dispatcher, struct call *call)
{
    struct preview *preview = call->state;
    /* Half of the threads: the store goes on meanwhile, and memory is bounded. */
    int64_t most = dispatcher->settings->store_threads / 2;
    if (dispatcher->previews < (most > 1 ? most : 1) &&
        offload_submit(dispatcher->offload, develop, on_developed, preview) == 0)
        dispatcher->previews++;
    else
        problem_send(call->exchange, &(struct problem){.kind = PROBLEM_UNAVAILABLE,
                                                       .detail = "too many previews at once",
                                                       .retry_after_s = RETRY_S});
}

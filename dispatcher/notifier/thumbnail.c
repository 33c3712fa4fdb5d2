/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/thumbnail.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/picture.h"
#include "common/stop.h"
#include "dispatcher/offload.h"

#include <stdlib.h>

#define THREADS 4
#define MAX_RESULT_BYTES (24u * 1024 * 1024)
#define MAX_RESULT_PIXELS (40LL * 1000 * 1000)
#define MAX_REDIRECTS 2 /* the dispatcher's, to the store */
#define PAUSE_MS 60000

struct thumbnailer {
    struct thumbnailer_options options;
    struct offload *offload;        /* owned */
    _Atomic int64_t pause_until_ms; /* written by the loop, read by the threads */
};

/* ---- scaling --------------------------------------------------------------------------------- */

/* The box that a picture fits into, with its proportions; never larger than it is. */
static void fit(const struct picture *picture, int side, int *out_width, int *out_height)
{
    int longest = picture->width > picture->height ? picture->width : picture->height;
    int64_t width = picture->width, height = picture->height;
    if (longest > side) {
        width = width * side / longest;
        height = height * side / longest;
    }
    *out_width = width > 1 ? (int)width : 1;
    *out_height = height > 1 ? (int)height : 1;
}

/* One size at falling quality. ERR_LIMIT: none was small enough. */
static int encode(const struct picture *picture, size_t max_bytes, struct buf *out, struct err *err)
{
    static const int qualities[] = {82, 66, 48};
    int rc = ERR_LIMIT;
    for (size_t i = 0; rc == ERR_LIMIT && i < sizeof qualities / sizeof qualities[0]; i++) {
        buf_fini(out);
        buf_init(out, max_bytes);
        rc = picture_encode(picture, PICTURE_JPEG, qualities[i], NULL, out, i == 2 ? err : NULL);
    }
    return rc;
}

int thumbnail_make(const void *data, size_t size, int side, size_t max_bytes, struct buf *out,
                   int *out_width, int *out_height, struct err *err)
{
    const struct picture_limits limits = {MAX_RESULT_BYTES, MAX_RESULT_PIXELS, PICTURE_MAX_SIDE};
    struct picture picture = {0};
    int rc = picture_decode(data, size, &limits, &picture, err);
    int shown_width = 1, shown_height = 1;
    if (rc == 0)
        fit(&picture, side, &shown_width, &shown_height);
    /* Twice the pixels for fine screens; fewer where that would weigh too much. */
    int tries = 0;
    for (int pixels = 2 * side; rc == 0; pixels = pixels * 2 / 3, tries++) {
        struct picture small = {0};
        int width, height;
        fit(&picture, pixels, &width, &height);
        rc = picture_resize(&picture, width, height, PICTURE_ANTIALIAS, &small, err);
        if (rc == 0)
            rc = encode(&small, max_bytes, out, tries == 3 ? err : NULL);
        picture_fini(&small);
        if (rc == 0)
            break;
        if (rc == ERR_LIMIT && tries < 3)
            rc = 0;
    }
    picture_fini(&picture);
    if (rc < 0)
        return rc;
    *out_width = shown_width;
    *out_height = shown_height;
    return 0;
}

/* ---- fetching -------------------------------------------------------------------------------- */

static int on_progress(void *context, int64_t sent, int64_t received)
{
    (void)context;
    (void)sent;
    (void)received;
    return stop_requested();
}

/* On a thread. */
static void fetch_and_make(void *task)
{
    struct thumbnail *thumbnail = task;
    const struct thumbnailer_options *options = &thumbnail->thumbnailer->options;
    const struct http_client_options http = {.total_timeout_ms = options->timeout_ms,
                                             .connect_timeout_ms = options->timeout_ms / 2,
                                             .ca_file = options->ca_file};
    const struct http_request request = {.method = HTTP_GET,
                                         .url = thumbnail->url,
                                         .max_redirects = MAX_REDIRECTS,
                                         .on_progress = on_progress};
    struct http_client *client = NULL;
    struct http_response response;
    http_response_init(&response, MAX_RESULT_BYTES);
    int rc = clock_ms() < thumbnail->thumbnailer->pause_until_ms ? ERR_CANCELLED : 0;
    if (rc == 0)
        rc = http_client_create(&http, &client, NULL);
    if (rc == 0)
        rc = http_client_send(client, &request, &response, NULL);
    http_client_destroy(&client);
    if (rc == 0)
        rc = thumbnail_make(response.body.data, response.body.size, options->side,
                            options->max_bytes, &thumbnail->jpeg, &thumbnail->width,
                            &thumbnail->height, NULL);
    if (rc < 0)
        buf_fini(&thumbnail->jpeg);
    http_response_fini(&response);
    thumbnail->rc = rc;
}

static void on_made(void *task)
{
    struct thumbnail *thumbnail = task;
    if (thumbnail->rc == ERR_UNAVAILABLE || thumbnail->rc == ERR_TIMEOUT)
        thumbnail->thumbnailer->pause_until_ms = clock_ms() + PAUSE_MS;
    thumbnail->done(thumbnail);
}

/* ---- life ------------------------------------------------------------------------------------ */

int thumbnailer_open(const struct thumbnailer_options *options, struct thumbnailer **out,
                     struct err *err)
{
    struct thumbnailer *thumbnailer = calloc(1, sizeof *thumbnailer);
    if (!thumbnailer)
        return ERR_NOMEM;
    thumbnailer->options = *options;
    int rc = offload_open(THREADS, THUMBNAIL_AT_ONCE, &thumbnailer->offload, err);
    if (rc < 0)
        thumbnailer_close(&thumbnailer);
    else
        *out = thumbnailer;
    return rc;
}

void thumbnailer_close(struct thumbnailer **slot)
{
    struct thumbnailer *thumbnailer = *slot;
    *slot = NULL;
    if (!thumbnailer)
        return;
    if (thumbnailer->offload)
        offload_close(&thumbnailer->offload);
    free(thumbnailer);
}

int thumbnailer_fd(const struct thumbnailer *thumbnailer)
{
    return offload_fd(thumbnailer->offload);
}

int thumbnailer_start(struct thumbnailer *thumbnailer, struct thumbnail *thumbnail)
{
    if (clock_ms() < thumbnailer->pause_until_ms)
        return ERR_UNAVAILABLE;
    buf_init(&thumbnail->jpeg, thumbnailer->options.max_bytes);
    thumbnail->thumbnailer = thumbnailer;
    return offload_submit(thumbnailer->offload, fetch_and_make, on_made, thumbnail);
}

void thumbnailer_finish(struct thumbnailer *thumbnailer)
{
    offload_finish(thumbnailer->offload);
}

void thumbnail_fini(struct thumbnail *thumbnail)
{
    buf_fini(&thumbnail->jpeg);
}

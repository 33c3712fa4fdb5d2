/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/convert.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/log.h"
#include "common/picture_metadata.h"
#include "common/queue.h"
#include "common/store.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/http/etag.h"
#include "dispatcher/http/server.h"
#include "dispatcher/offload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What looks the same as the original, at a fraction of its size. */
#define JPEG_QUALITY 92
#define WEBP_QUALITY 90
#define BYTES_PER_PIXEL 3
#define SPARE_BYTES (1024 * 1024)
/* Of a picture that is asked for in a smaller size. */
#define MIN_SIDE 16
#define MAX_SIDE 1024

struct conversion {
    struct visit visit;
    enum picture_format format;
    int side; /* 0: as large as it is */
    char key[JOB_KEY_SIZE];
    char model[JOB_MODEL_SIZE];
    char etag[ETAG_SIZE];
    int64_t bytes; /* of the result, as its record says */
    struct buf input, output;
    struct picture_info info; /* of the result */
    bool ready;               /* output is what to send */
    int rc;
    struct err err;
    struct conversion *next; /* in line */
};

static void free_conversion(void *state)
{
    struct conversion *conversion = state;
    buf_fini(&conversion->input);
    buf_fini(&conversion->output);
    free(conversion);
}

static bool refuse_wish(struct call *call, const char *field, const char *detail)
{
    problem_send(call->exchange,
                 &(struct problem){.kind = PROBLEM_INVALID, .detail = detail, .field = field});
    return false;
}

bool convert_asked(struct call *call, struct convert_wish *out_wish)
{
    char name[8];
    struct convert_wish wish = {0};
    int rc = exchange_query(call->exchange, "format", name, sizeof name);
    wish.asked = rc != ERR_NOT_FOUND;
    if (wish.asked && (rc < 0 || !picture_format_from_name(name, &wish.format)))
        return refuse_wish(call, "format", "format is png, jpeg or webp");
    if (!call_number(call, "side", MIN_SIDE, MAX_SIDE, &wish.side))
        return false;
    if (wish.side && !wish.asked)
        return refuse_wish(call, "side", "a side needs a format");
    *out_wish = wish;
    return true;
}

/* ---- on a thread ---- */

static bool is_too_large(const struct conversion *conversion)
{
    const struct picture_info *info = &conversion->info;
    return conversion->side && (info->width > conversion->side || info->height > conversion->side);
}

static void load(void *task)
{
    struct conversion *conversion = task;
    struct picture_limits limits = {.max_bytes = (size_t)conversion->bytes,
                                    .max_pixels = PICTURE_MAX_PIXELS,
                                    .max_side = PICTURE_MAX_SIDE};
    struct buf *input = &conversion->input;
    conversion->rc = store_get(conversion->visit.call->dispatcher->store, conversion->key, input,
                               &conversion->err);
    if (conversion->rc == 0)
        conversion->rc =
            picture_probe(input->data, input->size, &limits, &conversion->info, &conversion->err);
    if (conversion->rc == 0 && conversion->info.format == conversion->format &&
        !is_too_large(conversion)) {
        buf_fini(&conversion->output);
        conversion->output = *input;
        buf_init(input, 0);
        conversion->ready = true;
    }
}

/* Both sides in the same measure, none of them nothing. */
static int shrink(struct picture *picture, int side, struct err *err)
{
    struct picture small = {0};
    int longer = picture->width > picture->height ? picture->width : picture->height;
    int width = (int)((int64_t)picture->width * side / longer);
    int height = (int)((int64_t)picture->height * side / longer);
    int rc = picture_resize(picture, width > 0 ? width : 1, height > 0 ? height : 1,
                            PICTURE_ANTIALIAS, &small, err);
    if (rc == 0) {
        picture_fini(picture);
        *picture = small;
    }
    return rc;
}

/* What the worker wrote into it goes along; a result without, or with nonsense, has none. */
static void convert(void *task)
{
    struct conversion *conversion = task;
    const struct buf *input = &conversion->input;
    struct picture_limits limits = {.max_bytes = input->size,
                                    .max_pixels =
                                        (int64_t)conversion->info.width * conversion->info.height,
                                    .max_side = PICTURE_MAX_SIDE};
    struct picture picture = {0};
    struct picture_metadata metadata = {0};
    bool told = picture_metadata_read(input->data, input->size, &metadata, NULL) == 0;
    int rc = picture_decode(input->data, input->size, &limits, &picture, &conversion->err);
    if (rc == 0 && is_too_large(conversion))
        rc = shrink(&picture, conversion->side, &conversion->err);
    if (rc == 0)
        rc = picture_encode(&picture, conversion->format,
                            conversion->format == PICTURE_WEBP ? WEBP_QUALITY : JPEG_QUALITY,
                            told ? &metadata : NULL, &conversion->output, &conversion->err);
    picture_fini(&picture);
    picture_metadata_fini(&metadata);
    buf_fini(&conversion->input);
    conversion->ready = rc == 0;
    conversion->rc = rc;
}

/* ---- on the loop ---- */

static void put_headers(const struct conversion *conversion, struct answer *answer)
{
    char text[128];
    bool jpeg = conversion->format == PICTURE_JPEG;
    snprintf(text, sizeof text, "attachment; filename=\"%s-%.8s.%s\"", conversion->model,
             conversion->visit.public_id, jpeg ? "jpg" : picture_format_name(conversion->format));
    answer_header(answer, "Content-Disposition", text);
    answer_header(answer, "Content-Type", picture_content_type(conversion->format));
    answer_header(answer, "ETag", conversion->etag);
    answer_header(answer, "Cache-Control", "private, max-age=300");
    answer_header(answer, "X-Content-Type-Options", "nosniff");
    answer_header(answer, "Content-Security-Policy", "default-src 'none'; sandbox");
    answer_header(answer, "Cross-Origin-Resource-Policy", "same-origin");
    answer_header(answer, "Referrer-Policy", "no-referrer");
    answer_header(answer, "X-Robots-Tag", "noindex");
}

static void refuse(const struct conversion *conversion)
{
    struct call *call = conversion->visit.call;
    int rc = conversion->rc;
    if (rc == ERR_NOT_FOUND) {
        call_refuse(call, PROBLEM_NOT_FOUND, "this result is gone");
        return;
    }
    log_event(LOG_WARN, "result.not-converted", "job", LOG_S, conversion->visit.public_id, "code",
              LOG_S, err_name(rc), "detail", LOG_S, conversion->err.text, NULL);
    if (rc == ERR_LIMIT && conversion->info.width > 0)
        problem_send(call->exchange, &(struct problem){.kind = PROBLEM_INVALID,
                                                       .detail = "too large for this format",
                                                       .field = "format"});
    else
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
}

static void start(struct conversion *conversion);

/* The next in line. */
static void leave(const struct conversion *conversion)
{
    struct conversions *all = &conversion->visit.call->dispatcher->conversions;
    struct conversion *next = all->first;
    all->running--;
    if (next) {
        all->first = next->next;
        start(next);
    }
}

static void finish(void *task)
{
    struct conversion *conversion = task;
    size_t size;
    leave(conversion);
    if (!conversion->ready) {
        refuse(conversion);
        return;
    }
    void *data = buf_steal(&conversion->output, &size);
    struct answer *answer = answer_take(data, size);
    put_headers(conversion, answer);
    exchange_respond(conversion->visit.call->exchange, 200, answer);
}

/* Now its size is known: memory for the pixels and for what they become. */
static void on_loaded(void *task)
{
    struct conversion *conversion = task;
    struct call *call = conversion->visit.call;
    size_t pixels = (size_t)conversion->info.width * (size_t)conversion->info.height;
    if (conversion->rc < 0 || conversion->ready) {
        finish(conversion);
        return;
    }
    buf_init(&conversion->output, BYTES_PER_PIXEL * pixels + SPARE_BYTES);
    if (!call_reserve(call, 2 * BYTES_PER_PIXEL * pixels + SPARE_BYTES)) {
        leave(conversion);
    } else if (offload_submit(call->dispatcher->offload, convert, finish, conversion) < 0) {
        leave(conversion);
        call_refuse(call, PROBLEM_UNAVAILABLE, "too many transfers at once");
    }
}

static void start(struct conversion *conversion)
{
    struct call *call = conversion->visit.call;
    call->dispatcher->conversions.running++;
    if (offload_submit(call->dispatcher->offload, load, on_loaded, conversion) == 0)
        return;
    leave(conversion);
    call_refuse(call, PROBLEM_UNAVAILABLE, "too many transfers at once");
}

static void wait_or_start(struct conversion *conversion)
{
    struct dispatcher *dispatcher = conversion->visit.call->dispatcher;
    struct conversions *all = &dispatcher->conversions;
    int64_t most = dispatcher->settings->store_threads / 4;
    if (all->running < (most > 1 ? most : 1)) {
        start(conversion);
        return;
    }
    if (all->first)
        all->last->next = conversion;
    else
        all->first = conversion;
    all->last = conversion;
}

/* A result never changes: its tag is made of what it is and into what. */
static int tag(struct conversion *conversion)
{
    char text[JOB_KEY_SIZE + 32];
    snprintf(text, sizeof text, "%s as %s of %d, " DARKROOM_VERSION, conversion->key,
             picture_format_name(conversion->format), conversion->side);
    return etag_of(text, strlen(text), conversion->etag);
}

static void on_job(struct visit *visit, const struct queue_job *job)
{
    struct conversion *conversion = (struct conversion *)visit;
    struct call *call = visit->call;
    enum picture_format is;
    if (job->state != JOB_SUCCEEDED) {
        visit_conflict(visit, job);
        return;
    }
    if (strncmp(job->result_type, "image/", 6) != 0 ||
        !picture_format_from_name(job->result_type + 6, &is)) {
        problem_send(call->exchange, &(struct problem){.kind = PROBLEM_INVALID,
                                                       .detail = "this result is no picture",
                                                       .field = "format"});
        return;
    }
    job_result_key(job->public_id, job->epoch, job->extension, conversion->key);
    snprintf(conversion->model, sizeof conversion->model, "%s", job->model);
    conversion->bytes = job->result_bytes;
    if (tag(conversion) < 0) {
        call_refuse(call, PROBLEM_UNAVAILABLE, NULL);
    } else if (etag_known(call->exchange, conversion->etag)) {
        struct answer *answer = answer_static("", 0);
        put_headers(conversion, answer);
        exchange_respond(call->exchange, 304, answer);
    } else if (call_reserve(call, (size_t)conversion->bytes)) {
        buf_init(&conversion->input, (size_t)conversion->bytes);
        wait_or_start(conversion);
    }
}

struct visit *convert_begin(struct call *call, const struct convert_wish *wish)
{
    struct conversion *conversion = visit_begin(call, TOKEN_SHARE, sizeof *conversion, on_job);
    if (!conversion)
        return NULL;
    conversion->format = wish->format;
    conversion->side = (int)wish->side;
    call->free_state = free_conversion;
    return &conversion->visit;
}

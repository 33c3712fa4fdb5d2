/* SPDX-License-Identifier: MIT
 *
 * Small pictures for mails: fetches a result from the dispatchers, as anybody with its link would,
 * and scales it.
 *
 *     rc = thumbnailer_open(&options, &thumbnailer, &err);
 *     if (thumbnailer_start(thumbnailer, thumbnail) == 0)      // thumbnail->url and ->done are set
 *         … poll thumbnailer_fd(thumbnailer) …
 *     thumbnailer_finish(thumbnailer);                          // calls done of what is ready
 *
 * Some threads do it, so that a slow store holds up no mail but its own, and that one not for long.
 * Who cannot be reached is left alone for a minute. A mail goes without a picture rather than not
 * at all: that there is none is no error. All calls from one thread. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_THUMBNAIL_H
#define DARKROOM_DISPATCHER_NOTIFIER_THUMBNAIL_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct thumbnailer;

#define THUMBNAIL_URL_SIZE 1024
#define THUMBNAIL_AT_ONCE 8

struct thumbnailer_options {
    const char *ca_file; /* borrowed; NULL: the system's certificates */
    int64_t timeout_ms;  /* of one picture, fetching and all */
    int side;            /* its greatest width or height as shown; it has twice as many pixels */
    size_t max_bytes;    /* of the JPEG */
};

struct thumbnail {
    char url[THUMBNAIL_URL_SIZE];
    void (*done)(struct thumbnail *thumbnail); /* in thumbnailer_finish() */
    void *data;                                /* of whoever started it */
    /* Set by the thread. */
    struct buf jpeg; /* empty: there is none. Owned by whoever started it: thumbnail_fini() */
    int width, height;
    int rc;                          /* why there is none */
    struct thumbnailer *thumbnailer; /* borrowed */
};

int thumbnailer_open(const struct thumbnailer_options *options, struct thumbnailer **out,
                     struct err *err);
/* Waits for what is under way, without calling done. */
void thumbnailer_close(struct thumbnailer **thumbnailer);

int thumbnailer_fd(const struct thumbnailer *thumbnailer);

/* `thumbnail` is borrowed until done. ERR_LIMIT: as many as it does at once are under way;
 * ERR_UNAVAILABLE: where results are has not answered lately. */
int thumbnailer_start(struct thumbnailer *thumbnailer, struct thumbnail *thumbnail);
void thumbnailer_finish(struct thumbnailer *thumbnailer);

void thumbnail_fini(struct thumbnail *thumbnail);

/* Scales a picture of any format to a JPEG of at most max_bytes, appended to `out`, which is empty.
 * The sizes are those as shown. ERR_UNSUPPORTED, ERR_CORRUPT, ERR_LIMIT: there is none. Pure. */
int thumbnail_make(const void *data, size_t size, int side, size_t max_bytes, struct buf *out,
                   int *out_width, int *out_height, struct err *err);

#endif

/* SPDX-License-Identifier: MIT
 *
 * A result in another format, for who wants to keep it: PNG, JPEG or WebP, with what the worker
 * wrote into it of where it comes from. What has the format already is sent as it is, byte by byte.
 *
 *     loaded    from the store, looked at                                     (thread)
 *     reserved  memory for its pixels, or refused                             (loop)
 *     converted decode, encode                                                (thread)
 *
 * Few at a time, so that uploads go on meanwhile; the others wait in line. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_JOBS_CONVERT_H
#define DARKROOM_DISPATCHER_JOBS_CONVERT_H

#include "common/picture.h"
#include "dispatcher/jobs/visit.h"

struct conversion;

/* `?format=webp&side=160`: the longer side is to have no more pixels than that. */
struct convert_wish {
    bool asked; /* false: nothing was asked for, the result goes as it is */
    enum picture_format format;
    int64_t side; /* 0: as large as it is */
};

/* False: what was asked for is none, and was refused and answered. */
bool convert_asked(struct call *call, struct convert_wish *out_wish);

/* Begins a visit that ends with the result as it is wished. NULL: refused and answered. */
struct visit *convert_begin(struct call *call, const struct convert_wish *wish);

#endif

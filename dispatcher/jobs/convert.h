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

/* True: `?format=` names one, or is absent (*out_asked false). Otherwise refused and answered. */
bool convert_asked(struct call *call, bool *out_asked, enum picture_format *out_format);

/* Begins a visit that ends with the result in this format. NULL: refused and answered. */
struct visit *convert_begin(struct call *call, enum picture_format format);

#endif

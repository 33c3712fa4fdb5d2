/* SPDX-License-Identifier: MIT
 *
 * Routes for clients of Selfie2Anime, answered beside our own where the operator wants it
 * (--compat selfie2anime=MODEL). docs/compat.md says what each one does and where it differs.
 *
 *     rc = selfie2anime_open(model, &dispatcher->selfie2anime, &err);
 *     rc = router_find(selfie2anime_routes, selfie2anime_route_count, ...);
 *
 * A submission is one of ours in other words: its body is rewritten (struct dialect) and takes the
 * road of POST /v1/jobs. A file's id is the job's public id and a token that may see the result, so
 * that knowing a job's id alone lets nobody do anything, here neither. Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_COMPAT_SELFIE2ANIME_H
#define DARKROOM_DISPATCHER_COMPAT_SELFIE2ANIME_H

#include "dispatcher/http/router.h"

#include <stddef.h>

struct err;
struct manifest;
struct manifest_set;
struct selfie2anime;

extern const struct route selfie2anime_routes[];
extern const size_t selfie2anime_route_count;

/* `option` is "selfie2anime=MODEL"; *out stays NULL where it is NULL. ERR_INVALID with the field
 * "compat": no such service, no such model, or one that takes no picture. */
int selfie2anime_open(const char *option, const struct manifest_set *models,
                      struct selfie2anime **out, struct err *err);
void selfie2anime_close(struct selfie2anime **selfie2anime);

#endif

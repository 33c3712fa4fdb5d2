/* SPDX-License-Identifier: MIT
 *
 * How it stands with mails, for operators: as metrics and as a part of /v1/notifications. Loop's
 * thread only. */
#ifndef DARKROOM_DISPATCHER_OPERATE_MAILS_H
#define DARKROOM_DISPATCHER_OPERATE_MAILS_H

#include "common/json.h"

struct buf;
struct dispatcher;

/* Appends the series; nothing while Redis has not said. */
int mails_write_metrics(const struct dispatcher *dispatcher, struct buf *out);

/* {"held_until", "unsubscribed", "counts", "last_failure"}; owned by the caller. */
json_t *mails_view(const struct dispatcher *dispatcher);

#endif

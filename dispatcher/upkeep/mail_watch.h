/* SPDX-License-Identifier: MIT
 *
 * How it stands with mails in general: whether any go out, and what became of them. Asked of Redis
 * every other second (mail_ledger.h), for the pages of jobs and for operators.
 *
 *     next_ms = mail_watch_tick(watch, clock_ms());
 *     job = mail_watch_shown(watch, job, &scratch);     // before a job is shown
 *
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_UPKEEP_MAIL_WATCH_H
#define DARKROOM_DISPATCHER_UPKEEP_MAIL_WATCH_H

#include "common/mail_ledger.h"
#include "common/queue.h"

#include <stdbool.h>
#include <stdint.h>

struct dispatcher;
struct mail_watch;

int mail_watch_create(struct dispatcher *dispatcher, struct mail_watch **out);
void mail_watch_destroy(struct mail_watch **watch);

int64_t mail_watch_tick(struct mail_watch *watch, int64_t now_ms);

/* As Redis had it last; false while it has not said yet. */
bool mail_watch_state(const struct mail_watch *watch, struct mail_state *out);

/* Until when no mails go out, ms since 1970; 0: they do. */
int64_t mail_watch_held_until(const struct mail_watch *watch);

/* The job with what is known of all mails: itself, or a copy in `scratch`. */
const struct queue_job *mail_watch_shown(const struct mail_watch *watch,
                                         const struct queue_job *job, struct queue_job *scratch);

#endif

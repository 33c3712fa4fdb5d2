/* SPDX-License-Identifier: MIT
 *
 * What a notifier measures of its deliveries, for `--metrics`.
 *
 *     rc = notifier_measures_create(&metrics);
 *     notifier_measures_mail(metrics, "sent", 120);
 *
 * Nothing is done where `metrics` is NULL. Any thread. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_MEASURES_H
#define DARKROOM_DISPATCHER_NOTIFIER_MEASURES_H

#include <stdint.h>

struct metrics;

int notifier_measures_create(struct metrics **out);

/* A mail was handed to the mail server, or was not: mail_event_name(). */
void notifier_measures_mail(struct metrics *metrics, const char *outcome, int64_t ms);

/* A receiver answered with this status; 0: it did not. */
void notifier_measures_request(struct metrics *metrics, int status, int64_t ms);

/* What that means for the webhook: sent, deferred, waits, refused, unwanted or gone. */
void notifier_measures_webhook(struct metrics *metrics, const char *outcome);

#endif

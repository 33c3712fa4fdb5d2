/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/measures.h"

#include "common/metrics.h"
#include "common/tracing.h"

#include <stddef.h>

static const double bounds[] = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60};

#define BOUNDS .bounds = bounds, .bound_count = sizeof bounds / sizeof bounds[0]

static const struct metric mail_seconds = {
    .name = "darkroom_mail_delivery_seconds",
    .help = "Handing one mail to the mail server, by how that ended.",
    .type = METRIC_HISTOGRAM,
    .labels = {"outcome"},
    BOUNDS,
};
static const struct metric webhook_seconds = {
    .name = "darkroom_webhook_delivery_seconds",
    .help = "One request of a webhook, by class of the answer's status; none: there was no answer.",
    .type = METRIC_HISTOGRAM,
    .labels = {"class"},
    BOUNDS,
};
static const struct metric webhooks = {
    .name = "darkroom_webhooks_total",
    .help = "What became of webhooks; one may be tried often.",
    .type = METRIC_COUNTER,
    .labels = {"outcome"},
};
static const struct metric *const families[] = {&mail_seconds, &webhook_seconds, &webhooks,
                                                &tracing_exported, &tracing_dropped};

int notifier_measures_create(struct metrics **out)
{
    int rc = metrics_create(families, sizeof families / sizeof families[0], out);
    /* A rate needs to have seen nothing first. */
    if (rc == 0)
        metrics_add(*out, &webhooks, (const char *const[]){"refused"}, 0);
    return rc;
}

void notifier_measures_mail(struct metrics *metrics, const char *outcome, int64_t ms)
{
    metrics_observe(metrics, &mail_seconds, &outcome, (double)ms / 1000);
}

void notifier_measures_request(struct metrics *metrics, int status, int64_t ms)
{
    char class[] = "1xx";
    if (status >= 100 && status < 1000)
        class[0] = (char)('0' + status / 100);
    metrics_observe(metrics, &webhook_seconds, (const char *const[]){status ? class : "none"},
                    (double)ms / 1000);
}

void notifier_measures_webhook(struct metrics *metrics, const char *outcome)
{
    metrics_add(metrics, &webhooks, &outcome, 1);
}

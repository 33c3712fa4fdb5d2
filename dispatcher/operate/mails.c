/* SPDX-License-Identifier: MIT */
#include "dispatcher/operate/mails.h"

#include "common/clock.h"
#include "common/metrics.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/upkeep/mail_watch.h"

static const struct metric mails_total = {
    .name = "darkroom_mails_total",
    .help = "What became of mails, of all notifiers; a mail may be tried often.",
    .type = METRIC_COUNTER,
    .labels = {"outcome"},
};

int mails_write_metrics(const struct dispatcher *dispatcher, struct buf *out)
{
    struct mail_state state;
    if (!mail_watch_state(dispatcher->mail_watch, &state))
        return 0;
    int64_t until_ms = mail_watch_held_until(dispatcher->mail_watch);
    int rc = metrics_write_gauge(out, "darkroom_mails_held_seconds",
                                 "No mail goes out for so long; 0: they do.",
                                 until_ms ? (double)((until_ms - clock_wall_ms()) / 1000 + 1) : 0);
    if (rc == 0)
        rc = metrics_write_gauge(out, "darkroom_addresses_unsubscribed",
                                 "Addresses that want no mail.", (double)state.unwanted);
    if (rc == 0)
        rc = metrics_write_head(out, &mails_total);
    for (int i = 0; rc == 0 && i < MAIL_EVENT_COUNT; i++)
        rc = metrics_write_value(out, &mails_total,
                                 (const char *const[]){mail_event_name((enum mail_event)i)},
                                 (double)state.counts[i]);
    return rc;
}

static json_t *time_or_null(int64_t ms)
{
    char text[CLOCK_ISO_SIZE];
    clock_iso(ms, text);
    return ms > 0 ? json_string(text) : json_null();
}

json_t *mails_view(const struct dispatcher *dispatcher)
{
    struct mail_state state;
    mail_watch_state(dispatcher->mail_watch, &state);
    json_t *counts = json_object(), *failure = json_null();
    for (int i = 0; i < MAIL_EVENT_COUNT; i++)
        json_object_set_new(counts, mail_event_name((enum mail_event)i),
                            json_integer((json_int_t)state.counts[i]));
    if (state.reason[0])
        failure =
            json_pack("{s:s, s:o}", "reason", state.reason, "at", time_or_null(state.reason_ms));
    return json_pack("{s:o, s:I, s:o, s:o}", "held_until",
                     time_or_null(mail_watch_held_until(dispatcher->mail_watch)), "unsubscribed",
                     (json_int_t)state.unwanted, "counts", counts, "last_failure", failure);
}

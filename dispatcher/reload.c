/* SPDX-License-Identifier: MIT
 *
 * SIGHUP: everything is read and checked beside what is in force, and only then takes its place.
 * Files are read on the loop's thread, which stands still for some milliseconds. */
#include "common/reload.h"

#include "common/err.h"
#include "common/log.h"
#include "dispatcher/access/cors.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/edition.h"
#include "dispatcher/events/events.h"
#include "dispatcher/jobs/forecast.h"
#include "dispatcher/operate/samples.h"
#include "dispatcher/upkeep/housekeeping.h"

/* What is made of new settings. */
struct parts {
    struct edition *edition;         /* owned */
    struct forecast_board *forecast; /* owned */
    struct client_proxies proxies;
    enum log_level level;
};

static int prepare(struct dispatcher *dispatcher, const struct settings *fresh, struct parts *parts,
                   struct err *err)
{
    int rc = log_level_parse(fresh->log, &parts->level, err);
    if (rc == 0)
        rc = client_proxies_parse(fresh->trusted_proxies, &parts->proxies, err);
    if (rc == 0 && fresh->cors_origins)
        rc = cors_check_list(fresh->cors_origins, err);
    if (rc == 0)
        rc = edition_open(dispatcher->settings, fresh->models, dispatcher->public_url,
                          &parts->edition, err);
    if (rc < 0)
        return rc;
    const struct manifest_set *models = &parts->edition->models;
    rc = forecast_create(dispatcher, models->count, &parts->forecast);
    if (rc == 0)
        rc = events_reserve(dispatcher->events, models->count);
    if (rc == 0) /* the last that can fail: it changes something */
        rc = samples_adopt(dispatcher->samples, &dispatcher->models, models);
    return rc < 0 ? err_set(err, rc, "models", "no memory for the models") : 0;
}

static void apply(struct dispatcher *dispatcher, struct settings *fresh, struct parts *parts)
{
    config_take_over(&settings_spec, dispatcher->settings, fresh);
    log_set_level(parts->level);
    dispatcher->proxies = parts->proxies;
    dispatcher_limit_queues(dispatcher);
    edition_publish(dispatcher, &parts->edition);
    forecast_destroy(&dispatcher->forecast);
    dispatcher->forecast = parts->forecast;
    parts->forecast = NULL;
    events_adopt(dispatcher->events);
    housekeeping_tell_again(dispatcher->housekeeping);
}

void dispatcher_reload(struct dispatcher *dispatcher)
{
    struct settings fresh;
    struct parts parts = {0};
    struct err err = {0};
    char fixed[256] = "";
    enum config_next next;
    int words;
    int rc = config_load(&settings_spec, dispatcher->argc, dispatcher->argv, &fresh, &next, &words,
                         &err);
    if (rc == 0)
        rc = prepare(dispatcher, &fresh, &parts, &err);
    if (rc == 0) {
        config_fixed_changes(&settings_spec, dispatcher->settings, &fresh, fixed, sizeof fixed);
        apply(dispatcher, &fresh, &parts);
    }
    edition_close(&parts.edition);
    forecast_destroy(&parts.forecast);
    config_fini(&settings_spec, &fresh);
    reload_tell(rc, fixed, &err);
}

/* SPDX-License-Identifier: MIT
 *
 * SIGHUP: models and log; everything is read and checked first, or nothing changes. */
#include "common/reload.h"

#include "common/err.h"
#include "common/log.h"
#include "worker/loop.h"
#include "worker/supply.h"

/* Weights of new models may have to be fetched; who is at it already finds them as well. */
void loop_supply(struct loop *loop)
{
    struct err err = {0};
    if (loop->draining || !supply_is_done(loop->supply) || !residency_absent(loop->residency, NULL))
        return;
    supply_end(&loop->supply);
    if (supply_start(loop->pipeline, &loop->supply, &err) < 0)
        log_event(LOG_ERROR, "worker.supply", "detail", LOG_S, err.text, NULL);
}

void loop_reload(struct loop *loop)
{
    struct settings fresh = {0};
    struct err err = {0};
    char fixed[256] = "";
    enum config_next next;
    int rc = settings_load(loop->argc, loop->argv, &fresh, &next, &err);
    bool loaded = rc == 0;
    if (rc == 0)
        rc = residency_renew(loop->residency, fresh.texts.models, &err);
    if (rc == 0) {
        settings_take_over(loop->own, &fresh, fixed, sizeof fixed);
        log_set_level(loop->own->texts.debug ? LOG_DEBUG : LOG_INFO);
        loop_supply(loop);
    }
    if (loaded)
        settings_fini(&fresh);
    reload_tell(rc, fixed, &err);
}

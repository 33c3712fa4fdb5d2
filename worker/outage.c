/* SPDX-License-Identifier: MIT */
#include "worker/outage.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"

#include <stddef.h>

void outage_note(struct outage *outage, int rc, const struct err *err)
{
    long long now_ms = (long long)clock_ms();
    if (rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT) {
        long long there = 0;
        if (atomic_compare_exchange_strong(&outage->since_ms, &there, now_ms))
            log_event(LOG_WARN, "worker.away", "server", LOG_S, outage->name, "error", LOG_S,
                      err && err->code ? err->text : err_name(rc), NULL);
        return;
    }
    long long since_ms = atomic_exchange(&outage->since_ms, 0);
    if (since_ms != 0)
        log_event(LOG_INFO, "worker.back", "server", LOG_S, outage->name, "ms", LOG_I,
                  (int64_t)(now_ms - since_ms), NULL);
}

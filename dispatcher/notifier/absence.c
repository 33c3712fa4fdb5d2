/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/absence.h"

#include "common/err.h"
#include "common/log.h"

#include <stddef.h>

int64_t absence_note(struct absence *absence, const struct err *err)
{
    if (!absence->told)
        log_event(LOG_WARN, absence->event, "error", LOG_S, err_name(err->code), "reason", LOG_S,
                  err->text, NULL);
    absence->told = true;
    return backoff_next_ms(&absence->backoff);
}

void absence_end(struct absence *absence)
{
    if (absence->told)
        log_event(LOG_INFO, absence->event, "error", LOG_S, "ok", NULL);
    absence->told = false;
    backoff_reset(&absence->backoff);
}

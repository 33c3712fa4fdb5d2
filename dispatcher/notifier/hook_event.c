/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/hook_event.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/queue.h"
#include "common/webhook_endpoint.h"
#include "dispatcher/jobs/job_view.h"

int hook_event_write(const struct queue_job *job, const char *public_url, struct buf *out)
{
    char when[CLOCK_ISO_SIZE];
    const char *type = endpoint_event_name(job_state_letter(job->state));
    if (!type)
        return ERR_CORRUPT;
    clock_iso(job->updated_ms, when);
    int rc = buf_join(out, "{\"type\":\"", type, "\",\"timestamp\":\"", when, "\",\"data\":", NULL);
    if (rc == 0)
        rc = job_view_write(job, public_url, NULL, false, out);
    return rc == 0 ? buf_append_text(out, "}") : rc;
}

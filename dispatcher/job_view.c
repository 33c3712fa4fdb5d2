/* SPDX-License-Identifier: MIT */
#include "dispatcher/job_view.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/json.h"
#include "common/queue.h"
#include "common/store.h"
#include "common/token.h"

#include <inttypes.h>

/* `"name":number,` or null for what is not known. */
static int put_count(struct buf *out, const char *name, int64_t value)
{
    if (value < 0)
        return buf_printf(out, "\"%s\":null,", name);
    return buf_printf(out, "\"%s\":%" PRId64 ",", name, value);
}

/* What a worker wrote is the one text here that is not ours. */
static int put_error(struct buf *out, const struct queue_job *job)
{
    if (job->state != JOB_FAILED)
        return buf_append_text(out, "\"error\":null,");
    json_t *error = json_pack("{s:s, s:s}", "code", job->error_code, "detail", job->error_detail);
    if (!error)
        error = json_pack("{s:s, s:s}", "code", "unknown", "detail", "");
    int rc = buf_append_text(out, "\"error\":");
    if (rc == 0)
        rc = error ? json_append(out, error, JSON_COMPACT | JSON_ENSURE_ASCII) : ERR_NOMEM;
    json_decref(error);
    return rc == 0 ? buf_append_text(out, ",") : rc;
}

static int put_result(struct buf *out, const struct queue_job *job)
{
    if (job->state != JOB_SUCCEEDED)
        return buf_append_text(out, "\"result\":null,");
    const char *type = job->result_type; /* a worker's word: not into JSON unchecked */
    if (!store_type_is_valid(type))
        type = "application/octet-stream";
    return buf_printf(out, "\"result\":{\"content_type\":\"%s\",\"bytes\":%" PRId64 "},", type,
                      job->result_bytes);
}

static int put_links(struct buf *out, const struct queue_job *job, const char *url,
                     const char *view)
{
    const char *id = job->public_id;
    return buf_printf(out,
                      "\"links\":{\"self\":\"%s/v1/jobs/%s\",\"events\":\"%s/v1/jobs/%s/events\","
                      "\"result\":\"%s/v1/jobs/%s/result\",\"page\":\"%s/j/%s?token=%s\"}",
                      url, id, url, id, url, id, url, id, view);
}

int job_view_write(const struct queue_job *job, const char *public_url,
                   const struct token_keys *tokens, bool with_tokens, struct buf *out)
{
    char view[TOKEN_SIZE], manage[TOKEN_SIZE], erase[TOKEN_SIZE];
    char created[CLOCK_ISO_SIZE], updated[CLOCK_ISO_SIZE];
    int rc = token_make(tokens, TOKEN_VIEW, job->public_id, view);
    if (rc == 0 && with_tokens)
        rc = token_make(tokens, TOKEN_MANAGE, job->public_id, manage);
    if (rc == 0 && with_tokens)
        rc = token_make(tokens, TOKEN_DELETE, job->public_id, erase);
    if (rc < 0)
        return rc;
    clock_iso(job->created_ms, created);
    clock_iso(job->updated_ms, updated);
    rc = buf_printf(out, "{\"id\":\"%s\",\"model\":\"%s\",\"state\":\"%s\",", job->public_id,
                    job->model, job_state_name(job->state));
    if (rc == 0)
        rc = put_count(out, "position", job->position);
    if (rc == 0)
        rc = put_count(out, "eta_seconds", job->eta_ms < 0 ? -1 : (job->eta_ms + 999) / 1000);
    if (rc == 0)
        rc =
            buf_printf(out,
                       "\"progress\":%d.%03d,\"attempts\":%d,\"created_at\":\"%s\","
                       "\"updated_at\":\"%s\",",
                       job->progress / 1000, job->progress % 1000, job->attempts, created, updated);
    if (rc == 0)
        rc = put_error(out, job);
    if (rc == 0)
        rc = put_result(out, job);
    if (rc == 0)
        rc = put_links(out, job, public_url, view);
    if (rc == 0 && with_tokens)
        rc = buf_printf(out, ",\"tokens\":{\"view\":\"%s\",\"manage\":\"%s\",\"delete\":\"%s\"}",
                        view, manage, erase);
    return rc == 0 ? buf_append_text(out, "}") : rc;
}

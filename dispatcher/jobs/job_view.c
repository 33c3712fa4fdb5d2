/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/job_view.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/json.h"
#include "common/queue.h"
#include "common/store.h"
#include "common/token.h"
#include "common/trace.h"

#include <inttypes.h>

/* `"name":number,` or null for what is not known. */
static int put_count(struct buf *out, const char *name, int64_t value)
{
    int rc = buf_join(out, "\"", name, value < 0 ? "\":null," : "\":", NULL);
    if (rc < 0 || value < 0)
        return rc;
    rc = buf_append_int(out, value);
    return rc == 0 ? buf_append_text(out, ",") : rc;
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

/* `view` NULL: without the page, which wants a token. */
/* The jobs that it waits for, or waited for. */
static int put_after(struct buf *out, const struct queue_job *job)
{
    char ids[QUEUE_PARENTS_MAX * ID_PUBLIC_SIZE + 1];
    if (!queue_extra_get(job, 'p', ids, sizeof ids))
        return 0;
    int rc = buf_append_text(out, "\"after\":[");
    for (const char *id = ids; rc == 0 && *id;
         id += id[ID_PUBLIC_SIZE - 1] ? ID_PUBLIC_SIZE : ID_PUBLIC_SIZE - 1)
        rc = buf_printf(out, "%s\"%.*s\"", id == ids ? "" : ",", ID_PUBLIC_SIZE - 1, id);
    return rc == 0 ? buf_append_text(out, "],") : rc;
}

/* The trace that it is a part of; written by us, but looked at all the same. */
static int put_trace(struct buf *out, const struct queue_job *job)
{
    char text[TRACE_TEXT_SIZE];
    struct trace trace;
    if (!queue_extra_get(job, 't', text, sizeof text) || !trace_parse(text, &trace))
        return 0;
    return buf_join(out, "\"traceparent\":\"", text, "\",", NULL);
}

static int put_rating(struct buf *out, const struct queue_job *job)
{
    if (!job->rating)
        return 0;
    return buf_join(out, "\"rating\":\"", job->rating == 'u' ? "up" : "down", "\",", NULL);
}

static int put_links(struct buf *out, const struct queue_job *job, const char *url,
                     const char *view)
{
    const char *id = job->public_id;
    int rc = buf_join(out, "\"links\":{\"self\":\"", url, "/v1/jobs/", id, "\",\"events\":\"", url,
                      "/v1/jobs/", id, "/events\",\"result\":\"", url, "/v1/jobs/", id, "/result\"",
                      NULL);
    if (rc == 0 && view)
        rc = buf_join(out, ",\"page\":\"", url, "/j/", id, "?token=", view, "\"", NULL);
    return rc == 0 ? buf_append_text(out, "}") : rc;
}

/* Whether its owner is told by mail. */
static int put_notification(struct buf *out, const struct queue_job *job)
{
    static const char *const words[] = {
        [QUEUE_MAIL_WAITING] = "waiting", [QUEUE_MAIL_LIMITED] = "held",
        [QUEUE_MAIL_QUOTA] = "held",      [QUEUE_MAIL_SENT] = "sent",
        [QUEUE_MAIL_FAILED] = "failed",   [QUEUE_MAIL_UNWANTED] = "suppressed",
    };
    enum queue_mail mail = queue_mail_of(job, NULL);
    if (mail == QUEUE_MAIL_NONE)
        return buf_append_text(out, "\"notification\":null,");
    if (mail == QUEUE_MAIL_WAITING && job->mails_held_until_ms > 0)
        mail = QUEUE_MAIL_QUOTA;
    int rc = buf_join(out, "\"notification\":{\"email\":\"", words[mail], "\"", NULL);
    if (rc == 0 && (mail == QUEUE_MAIL_LIMITED || mail == QUEUE_MAIL_QUOTA))
        rc = buf_join(out, ",\"reason\":\"", mail == QUEUE_MAIL_QUOTA ? "quota" : "limit", "\"",
                      NULL);
    if (rc == 0 && mail == QUEUE_MAIL_QUOTA && job->mails_held_until_ms > 0) {
        char until[CLOCK_ISO_SIZE];
        clock_iso(job->mails_held_until_ms, until);
        rc = buf_join(out, ",\"until\":\"", until, "\"", NULL);
    }
    return rc == 0 ? buf_append_text(out, "},") : rc;
}

static int put_progress(struct buf *out, int permille)
{
    char text[] = "0.000";
    text[0] = (char)('0' + permille / 1000 % 10);
    text[2] = (char)('0' + permille / 100 % 10);
    text[3] = (char)('0' + permille / 10 % 10);
    text[4] = (char)('0' + permille % 10);
    return buf_join(out, "\"progress\":", text, ",", NULL);
}

static int put_tokens(struct buf *out, const struct queue_job *job, const struct token_keys *tokens,
                      const char *view, const char *webhook_secret)
{
    char manage[TOKEN_SIZE], erase[TOKEN_SIZE];
    int rc = token_make(tokens, TOKEN_MANAGE, job->public_id, manage);
    if (rc == 0)
        rc = token_make(tokens, TOKEN_DELETE, job->public_id, erase);
    if (rc == 0)
        rc = buf_join(out, ",\"tokens\":{\"view\":\"", view, "\",\"manage\":\"", manage,
                      "\",\"delete\":\"", erase, NULL);
    if (rc == 0 && webhook_secret)
        rc = buf_join(out, "\",\"webhook\":\"", webhook_secret, NULL);
    return rc == 0 ? buf_append_text(out, "\"}") : rc;
}

static int write_job(const struct queue_job *job, const char *public_url,
                     const struct token_keys *tokens, bool with_tokens, const char *webhook_secret,
                     struct buf *out)
{
    char view[TOKEN_SIZE];
    char created[CLOCK_ISO_SIZE], updated[CLOCK_ISO_SIZE];
    int rc = tokens ? token_make(tokens, TOKEN_VIEW, job->public_id, view) : 0;
    if (rc < 0)
        return rc;
    clock_iso(job->created_ms, created);
    clock_iso(job->updated_ms, updated);
    rc = buf_reserve(out, 960); /* what most have; over 1000, malloc() goes another, longer way */
    if (rc == 0)
        rc = buf_join(out, "{\"id\":\"", job->public_id, "\",\"model\":\"", job->model,
                      "\",\"state\":\"", job_state_name(job->state), "\",", NULL);
    if (rc == 0)
        rc = put_count(out, "position", job->position);
    if (rc == 0)
        rc = put_count(out, "eta_seconds", job->eta_ms < 0 ? -1 : (job->eta_ms + 999) / 1000);
    if (rc == 0)
        rc = put_progress(out, job->progress);
    if (rc == 0)
        rc = put_count(out, "attempts", job->attempts);
    if (rc == 0)
        rc = buf_join(out, "\"created_at\":\"", created, "\",\"updated_at\":\"", updated, "\",",
                      NULL);
    if (rc == 0)
        rc = put_after(out, job);
    if (rc == 0)
        rc = put_trace(out, job);
    if (rc == 0)
        rc = put_error(out, job);
    if (rc == 0)
        rc = put_result(out, job);
    if (rc == 0 && tokens) /* a webhook's receiver is told itself */
        rc = put_notification(out, job);
    if (rc == 0)
        rc = put_rating(out, job);
    if (rc == 0)
        rc = put_links(out, job, public_url, tokens ? view : NULL);
    if (rc == 0 && with_tokens)
        rc = put_tokens(out, job, tokens, view, webhook_secret);
    return rc == 0 ? buf_append_text(out, "}") : rc;
}

int job_view_write(const struct queue_job *job, const char *public_url,
                   const struct token_keys *tokens, bool with_tokens, struct buf *out)
{
    return write_job(job, public_url, tokens, with_tokens, NULL, out);
}

int job_view_write_hooked(const struct queue_job *job, const char *public_url,
                          const struct token_keys *tokens, const char *webhook_secret,
                          struct buf *out)
{
    return write_job(job, public_url, tokens, true, webhook_secret, out);
}

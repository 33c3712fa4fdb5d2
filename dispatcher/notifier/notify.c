/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/notify.h"

#include "common/backoff.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/manifest.h"
#include "common/queue_outbox.h"
#include "common/smtp.h"
#include "common/stop.h"
#include "common/token.h"

#include <assert.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>

#define CALL_MS 2000
#define MAX_SETTLE_REASON 257
/* A server that was away is asked again soon after it is back; a refusal for now (greylisting, a
 * full mailbox) is asked at the pace that RFC 5321, section 4.5.4, has in mind. */
#define MAX_RETRY_EVERYONE_MS (5 * 60 * 1000)
#define MAX_RETRY_MS (60 * 60 * 1000)

#define URL_SIZE 1024

/* What the links of a mail are made of. */
struct links {
    char site[URL_SIZE], result[URL_SIZE], erase[URL_SIZE];
};

static int make_links(const struct notify *notify, const char *public_id, struct links *out,
                      struct err *err)
{
    char view[TOKEN_SIZE], erase[TOKEN_SIZE];
    int rc = token_make(notify->tokens, TOKEN_VIEW, public_id, view);
    if (rc == 0)
        rc = token_make(notify->tokens, TOKEN_DELETE, public_id, erase);
    if (rc < 0)
        return err_set(err, rc, NULL, "the tokens of the links could not be made");
    const char *base = notify->public_url;
    snprintf(out->site, URL_SIZE, "%s/", base);
    snprintf(out->result, URL_SIZE, "%s/j/%s?token=%s", base, public_id, view);
    int length = snprintf(out->erase, URL_SIZE, "%s/j/%s/delete?token=%s", base, public_id, erase);
    return length < URL_SIZE ? 0 : err_set(err, ERR_LIMIT, "public-url", "public-url is too long");
}

/* Why the job failed; "" where the record is gone or Redis does not say. */
static void read_failure(struct notify *notify, const char *public_id, char out[33])
{
    struct queue_job job;
    out[0] = 0;
    if (queue_get(notify->queue, notify->redis, public_id, CALL_MS, &job, NULL) == 0)
        snprintf(out, 33, "%s", job.error_code);
}

static int send_mail(struct notify *notify, const struct queue_notify_row *row, const char *address,
                     bool *out_everyone, struct err *err)
{
    const char *id = row->notify_id;
    struct links links;
    char failure[33] = "";
    const struct manifest *model =
        notify->models ? manifest_set_find(notify->models, row->model) : NULL;
    struct buf message;
    buf_init(&message, MAIL_MAX_BYTES);

    int rc = make_links(notify, row->public_id, &links, err);
    if (row->state == JOB_FAILED)
        read_failure(notify, row->public_id, failure);
    const struct mail mail = {
        .kind = row->state == JOB_SUCCEEDED ? MAIL_SUCCEEDED : MAIL_FAILED,
        .id = id,
        .to = address,
        .site_url = links.site,
        .result_url = links.result,
        .delete_url = links.erase,
        .public_id = row->public_id,
        .model = model ? model->title : row->model,
        .reason = failure,
    };
    if (rc == 0)
        rc = mail_compose(notify->sender, &mail, clock_wall_ms(), &message, err);
    if (rc == 0)
        rc = notify->courier->deliver(notify->courier->context, id, notify->sender->address,
                                      address, message.data, message.size, out_everyone, err);
    buf_fini(&message);
    return rc;
}

static int open_address(const struct notify *notify, const struct queue_notify_row *row,
                        char out[ADDRESS_SIZE], struct err *err)
{
    char sealed[ADDRESS_SEALED_SIZE];
    if (row->blob_size >= sizeof sealed)
        return err_set(err, ERR_CORRUPT, NULL, "the sealed address is too long");
    memcpy(sealed, row->blob, row->blob_size);
    sealed[row->blob_size] = 0;
    int rc = address_open(notify->addresses, sealed, row->public_id, out);
    if (rc == ERR_DENIED)
        err_set(err, rc, "secret-file", "the address was sealed with another secret than ours");
    else if (rc < 0)
        err_set(err, rc, NULL, "the sealed address cannot be read");
    return rc;
}

static int64_t retry_after_ms(const struct notify *notify, const struct queue_notify_row *row,
                              bool everyone)
{
    struct backoff backoff = {.base_ms = notify->retry_ms,
                              .max_ms = everyone ? MAX_RETRY_EVERYONE_MS : MAX_RETRY_MS,
                              .attempt = row->attempts};
    return backoff_next_ms(&backoff);
}

/* Decides what became of the row; the caller settles it so. */
static enum queue_notify_outcome attempt(struct notify *notify, const struct queue_notify_row *row,
                                         struct notify_report *report, int64_t *out_limit_ms)
{
    char address[ADDRESS_SIZE];
    *out_limit_ms = 0;
    int rc = open_address(notify, row, address, &report->reason);
    if (rc == 0)
        rc = queue_notify_allow(notify->queue, notify->redis, row, notify->per_address_hour,
                                CALL_MS, out_limit_ms, &report->reason);
    if (rc == 0 && *out_limit_ms > 0)
        return QUEUE_NOTIFY_WAIT;
    if (rc == 0)
        rc = send_mail(notify, row, address, &report->everyone, &report->reason);
    if (rc == 0)
        return QUEUE_NOTIFY_SENT;
    err_set(&report->reason, rc, NULL, "%s", err_name(rc));
    return err_action(rc) == ACTION_BURY ? QUEUE_NOTIFY_REFUSED : QUEUE_NOTIFY_RETRY;
}

/* A mail that went out but is not settled goes out again when its lease is over: as long as that
 * lasts, an absent Redis is waited for. */
static int settle(struct notify *notify, const struct queue_notified *notified, int64_t end_ms,
                  struct notify_report *report, struct err *err)
{
    enum queue_verdict verdict = QUEUE_OK;
    bool dead = false;
    int rc;
    do {
        struct err inner = {0};
        rc = queue_notify_settle(notify->queue, notify->redis, notified, CALL_MS, &verdict, &dead,
                                 &inner);
        if (rc < 0 && (err_action(rc) != ACTION_RETRY || clock_ms() > end_ms || stop_requested()))
            return err_set(err, rc, inner.field, "%s", inner.text);
    } while (rc < 0);
    switch (notified->outcome) {
    case QUEUE_NOTIFY_SENT: report->result = NOTIFY_SENT; break;
    case QUEUE_NOTIFY_WAIT:
    case QUEUE_NOTIFY_HELD: report->result = NOTIFY_LIMITED; break;
    case QUEUE_NOTIFY_RETRY: report->result = dead ? NOTIFY_REFUSED : NOTIFY_DEFERRED; break;
    case QUEUE_NOTIFY_REFUSED: report->result = NOTIFY_REFUSED; break;
    case QUEUE_NOTIFY_UNWANTED: report->result = NOTIFY_GONE; break;
    }
    if (verdict == QUEUE_LOST)
        report->result = NOTIFY_GONE;
    return 0;
}

static int see_through(struct notify *notify, const struct queue_notify_row *row,
                       struct notify_report *report, struct err *err)
{
    int64_t limit_ms, end_ms = clock_ms() + notify->lease_ms;
    char reason[MAX_SETTLE_REASON] = "";
    struct queue_notified notified = {.notify_id = row->notify_id, .epoch = row->epoch};
    snprintf(report->id, sizeof report->id, "%s", row->notify_id);
    snprintf(report->job, sizeof report->job, "%s", row->public_id);
    report->attempt = row->attempts + 1;

    notified.outcome = attempt(notify, row, report, &limit_ms);
    if (notified.outcome == QUEUE_NOTIFY_WAIT)
        report->wait_ms = limit_ms;
    else if (notified.outcome == QUEUE_NOTIFY_RETRY)
        report->wait_ms = retry_after_ms(notify, row, report->everyone);
    notified.retry_ms = report->wait_ms;
    if (report->reason.code < 0) {
        snprintf(reason, sizeof reason, "%s", report->reason.text);
        notified.reason = reason;
    }
    return settle(notify, &notified, end_ms, report, err);
}

int notify_tick(struct notify *notify, struct notify_report *out_report, struct err *err)
{
    struct queue_notify_rows rows = {0};
    int moved = 0, rc;
    *out_report = (struct notify_report){.result = NOTIFY_IDLE, .next_due_ms = -1};
    do
        rc = queue_notify_intake(notify->queue, notify->redis, CALL_MS, &moved, err);
    while (rc == 0 && moved > 0);
    if (rc == 0)
        rc = queue_notify_claim(notify->queue, notify->redis, 1, notify->lease_ms, CALL_MS, &rows,
                                err);
    if (rc == 0 && rows.count == 0)
        out_report->next_due_ms = rows.next_due_ms;
    if (rc == 0 && rows.count > 0)
        rc = see_through(notify, &rows.rows[0], out_report, err);
    queue_notify_rows_fini(&rows);
    return rc;
}

/* ---- couriers ------------------------------------------------------------------------------- */

static int deliver_to_folder(void *context, const char *id, const char *from, const char *to,
                             const void *message, size_t size, bool *out_everyone, struct err *err)
{
    const char *folder = context;
    char path[PATH_MAX];
    (void)from;
    (void)to;
    assert(!strchr(id, '/')); /* mail_compose() has checked it */
    /* A full disk is nobody's fault; the same name on a retry leaves one file. */
    *out_everyone = true;
    if ((size_t)snprintf(path, sizeof path, "%s/%s.eml", folder, id) >= sizeof path)
        return err_set(err, ERR_UNAVAILABLE, "outbox", "the path of the outbox is too long");
    int rc = file_write(path, message, size, 0600, err);
    *out_everyone = rc < 0;
    return rc;
}

struct notify_courier notify_folder_courier(const char *folder)
{
    return (struct notify_courier){deliver_to_folder, (void *)(uintptr_t)folder};
}

static int deliver_to_server(void *context, const char *id, const char *from, const char *to,
                             const void *message, size_t size, bool *out_everyone, struct err *err)
{
    struct smtp_outcome outcome;
    (void)id;
    int rc = smtp_send(context, from, to, message, size, &outcome, err);
    *out_everyone = rc < 0 && rc != ERR_INVALID && outcome.stage < SMTP_RECIPIENT;
    return rc;
}

struct notify_courier notify_smtp_courier(struct smtp *smtp)
{
    return (struct notify_courier){deliver_to_server, smtp};
}

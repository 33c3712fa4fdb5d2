/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/notify.h"

#include "common/backoff.h"
#include "common/buf.h"
#include "common/catalogue.h"
#include "common/clock.h"
#include "common/manifest.h"
#include "common/manifest_texts.h"
#include "common/queue_outbox.h"
#include "common/stop.h"
#include "common/token.h"
#include "common/unsubscribe.h"
#include "dispatcher/notifier/measures.h"
#include "dispatcher/notifier/spans.h"
#include "dispatcher/notifier/thumbnail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_MS 2000
#define MAX_SETTLE_REASON 257
/* A server that was away is asked again soon after it is back; a refusal for now (greylisting, a
 * full mailbox) is asked at the pace that RFC 5321, section 4.5.4, has in mind. */
#define MAX_RETRY_EVERYONE_MS (5 * 60 * 1000)
#define MAX_RETRY_MS (60 * 60 * 1000)
/* Where no mails may go out it is asked again after this, as an operator may have seen to it. */
#define MAX_HELD_MS (60 * 1000)
#define MAX_AT_ONCE 32 /* mails whose pictures are being fetched */

#define URL_SIZE THUMBNAIL_URL_SIZE

/* A mail on its way. */
struct errand {
    struct notify *notify;
    const struct queue *queue;
    struct queue_notify_row row; /* without its blob, once the address is open */
    char address[ADDRESS_SIZE];
    int64_t taken_ms; /* of the ledger; 0: not let through */
    int64_t end_ms;   /* of the row's lease */
    struct thumbnail thumbnail;
    bool used, ready;
};

struct notify {
    struct notify_options options;
    int64_t held_until_ms;
    struct errand errands[MAX_AT_ONCE];
};

/* ---- the mail -------------------------------------------------------------------------------- */

/* What the links of a mail are made of. */
struct links {
    char site[URL_SIZE], result[URL_SIZE], erase[URL_SIZE], stop[URL_SIZE];
};

static int make_links(const struct notify *notify, const struct queue_notify_row *row,
                      const char *language, struct links *out, struct err *err)
{
    char view[TOKEN_SIZE], erase[TOKEN_SIZE], stop[UNSUBSCRIBE_TOKEN_SIZE];
    const struct notify_options *options = &notify->options;
    const char *base = options->public_url, *id = row->public_id;
    int rc = token_make(options->tokens, TOKEN_VIEW, id, view);
    if (rc == 0)
        rc = token_make(options->tokens, TOKEN_DELETE, id, erase);
    if (rc == 0)
        rc = unsubscribe_token(options->unsubscribe, row->address, stop);
    if (rc < 0)
        return err_set(err, rc, NULL, "the tokens of the links could not be made");
    snprintf(out->site, URL_SIZE, "%s/", base);
    snprintf(out->stop, URL_SIZE, "%s/u/%s?lang=%s", base, stop, language);
    snprintf(out->result, URL_SIZE, "%s/j/%s?token=%s&lang=%s", base, id, view, language);
    int length = snprintf(out->erase, URL_SIZE, "%s/j/%s/delete?token=%s&lang=%s", base, id, erase,
                          language);
    return length < URL_SIZE ? 0 : err_set(err, ERR_LIMIT, "public-url", "public-url is too long");
}

/* Why the job failed; "" where the record is gone or Redis does not say. */
static void read_failure(const struct errand *errand, char out[33])
{
    struct queue_job job;
    out[0] = 0;
    if (queue_get(errand->queue, errand->notify->options.redis, errand->row.public_id, CALL_MS,
                  &job, NULL) == 0)
        snprintf(out, 33, "%s", job.error_code);
}

/* The model's title in that language, in `*out_view`, which is owned by the caller. */
static const char *title_of(const struct notify *notify, const char *name, const char *language,
                            json_t **out_view)
{
    const struct manifest *model =
        notify->options.models ? manifest_set_find(notify->options.models, name) : NULL;
    if (!model)
        return name;
    const char *title = NULL;
    if (manifest_texts_view(model, language, out_view, NULL) == 0)
        title = json_string_value(json_object_get(*out_view, "title"));
    return title ? title : model->title;
}

static const struct catalogue_language *language_of(const struct errand *errand)
{
    size_t count;
    const struct catalogue *catalogue = errand->notify->options.catalogue;
    const struct catalogue_language *language = catalogue_find(catalogue, errand->row.language);
    return language ? language : &catalogue_languages(catalogue, &count)[0];
}

static int send_mail(struct errand *errand, struct courier_delivery *out_delivery, struct err *err)
{
    const struct notify *notify = errand->notify;
    const struct notify_options *options = &notify->options;
    const struct queue_notify_row *row = &errand->row;
    const struct catalogue_language *language = language_of(errand);
    const struct thumbnail *thumbnail = &errand->thumbnail;
    struct links links;
    char failure[33] = "";
    json_t *view = NULL;
    struct buf message;
    buf_init(&message, MAIL_MAX_BYTES);

    int rc = make_links(notify, row, language->tag, &links, err);
    if (row->state == JOB_FAILED)
        read_failure(errand, failure);
    const struct mail mail = {
        .kind = row->state == JOB_SUCCEEDED ? MAIL_SUCCEEDED : MAIL_FAILED,
        .id = row->notify_id,
        .to = errand->address,
        .language = language,
        .site_url = links.site,
        .result_url = links.result,
        .delete_url = links.erase,
        .unsubscribe_url = links.stop,
        .public_id = row->public_id,
        .model = title_of(notify, row->model, language->tag, &view),
        .reason = failure,
        .thumbnail = {thumbnail->jpeg.data, thumbnail->jpeg.size, thumbnail->width,
                      thumbnail->height},
    };
    if (rc == 0)
        rc = mail_compose(options->sender, &mail, clock_wall_ms(), &message, err);
    if (rc == 0) {
        int64_t begin_us = clock_us();
        rc = options->courier->deliver(options->courier->context, row->notify_id,
                                       options->sender->address, errand->address, message.data,
                                       message.size, out_delivery, err);
        notifier_measures_mail(options->metrics, mail_event_name(out_delivery->event),
                               (clock_us() - begin_us) / 1000);
        notifier_spans_mail(options->tracer,
                            &(struct notifier_try){.job_trace = row->trace,
                                                   .job = row->public_id,
                                                   .attempt = row->attempts + 1,
                                                   .begin_us = begin_us,
                                                   .failed = rc < 0,
                                                   .reason = mail_event_name(out_delivery->event)});
    }
    json_decref(view);
    buf_fini(&message);
    return rc;
}

/* ---- before and after ------------------------------------------------------------------------ */

static int open_address(struct errand *errand, struct err *err)
{
    char sealed[ADDRESS_SEALED_SIZE];
    struct queue_notify_row *row = &errand->row;
    if (row->blob_size >= sizeof sealed)
        return err_set(err, ERR_CORRUPT, NULL, "the sealed address is too long");
    memcpy(sealed, row->blob, row->blob_size);
    sealed[row->blob_size] = 0;
    row->blob = NULL; /* it is the reply's, which goes */
    int rc =
        address_open(errand->notify->options.addresses, sealed, row->public_id, errand->address);
    if (rc == ERR_DENIED)
        err_set(err, rc, "secret-file", "the address was sealed with another secret than ours");
    else if (rc < 0)
        err_set(err, rc, NULL, "the sealed address cannot be read");
    return rc;
}

static int ask_ledger(struct errand *errand, struct mail_answer *out, struct err *err)
{
    const struct notify_options *options = &errand->notify->options;
    char unwanted[UNSUBSCRIBE_ID_SIZE];
    int rc = unsubscribe_id(options->unsubscribe, errand->row.address, unwanted);
    if (rc < 0)
        return err_set(err, rc, NULL, "no memory for a keyed hash");
    const struct mail_asked asked = {errand->row.address,   unwanted,
                                     errand->row.notify_id, options->per_address_hour,
                                     options->quota_hour,   options->quota_day};
    rc = mail_ledger_take(options->redis, &asked, CALL_MS, out, err);
    if (rc == 0)
        errand->taken_ms = out->taken_ms;
    return rc;
}

static int64_t retry_after_ms(const struct errand *errand, bool everyone)
{
    struct backoff backoff = {.base_ms = errand->notify->options.retry_ms,
                              .max_ms = everyone ? MAX_RETRY_EVERYONE_MS : MAX_RETRY_MS,
                              .attempt = errand->row.attempts};
    return backoff_next_ms(&backoff);
}

/* A mail that went out but is not settled goes out again when its lease is over: as long as that
 * lasts, an absent Redis is waited for. */
static int settle(const struct errand *errand, const struct queue_notified *notified,
                  enum queue_verdict *out_verdict, bool *out_dead, struct err *err)
{
    int rc;
    do {
        struct err inner = {0};
        rc = queue_notify_settle(errand->queue, errand->notify->options.redis, notified, CALL_MS,
                                 out_verdict, out_dead, &inner);
        if (rc < 0 &&
            (err_action(rc) != ACTION_RETRY || clock_ms() > errand->end_ms || stop_requested()))
            return err_set(err, rc, inner.field, "%s", inner.text);
    } while (rc < 0);
    return 0;
}

static enum notify_result result_of(enum queue_notify_outcome outcome, bool dead)
{
    switch (outcome) {
    case QUEUE_NOTIFY_SENT: return NOTIFY_SENT;
    case QUEUE_NOTIFY_WAIT: return NOTIFY_LIMITED;
    case QUEUE_NOTIFY_HELD: return NOTIFY_HELD;
    case QUEUE_NOTIFY_RETRY: return dead ? NOTIFY_REFUSED : NOTIFY_DEFERRED;
    case QUEUE_NOTIFY_REFUSED: return NOTIFY_REFUSED;
    case QUEUE_NOTIFY_UNWANTED: return NOTIFY_UNWANTED;
    case QUEUE_NOTIFY_BACK: return NOTIFY_GONE;
    }
    return NOTIFY_GONE;
}

/* Counts for the operator; what Redis does not hear is not counted. */
static void count(const struct errand *errand, enum mail_event event, int64_t hold_ms,
                  const struct err *reason)
{
    const struct mail_done done = {event, errand->taken_ms, hold_ms,
                                   reason->code < 0 ? reason->text : NULL};
    mail_ledger_done(errand->notify->options.redis, &done, CALL_MS, NULL);
}

/* Settles the row as `outcome`, and tells. */
static int conclude(const struct errand *errand, enum queue_notify_outcome outcome,
                    struct notify_report *report, struct err *err)
{
    const struct queue_notify_row *row = &errand->row;
    const struct queue_notified notified = {row->notify_id, row->epoch, outcome, report->wait_ms,
                                            report->reason.code < 0 ? report->reason.text : NULL};
    enum queue_verdict verdict = QUEUE_OK;
    bool dead = false;
    snprintf(report->id, sizeof report->id, "%s", row->notify_id);
    snprintf(report->job, sizeof report->job, "%s", row->public_id);
    trace_id_of(row->trace, report->trace);
    report->attempt = row->attempts + 1;
    int rc = settle(errand, &notified, &verdict, &dead, err);
    if (rc < 0)
        return rc;
    report->result = verdict == QUEUE_LOST ? NOTIFY_GONE : result_of(outcome, dead);
    if (report->result == NOTIFY_REFUSED)
        count(errand, MAIL_EVENT_GIVEN_UP, 0, &report->reason);
    return 0;
}

/* ---- on its way ------------------------------------------------------------------------------ */

static void release(struct errand *errand)
{
    thumbnail_fini(&errand->thumbnail);
    errand->used = errand->ready = false;
}

static void hold(struct notify *notify, int64_t ms)
{
    notify->held_until_ms = clock_ms() + (ms < MAX_HELD_MS ? ms : MAX_HELD_MS);
}

static enum queue_notify_outcome judge(struct errand *errand, int rc,
                                       const struct courier_delivery *delivery,
                                       struct notify_report *report)
{
    struct notify *notify = errand->notify;
    int64_t hold_ms = delivery->quota ? notify->options.hold_ms : 0;
    if (rc < 0)
        err_set(&report->reason, rc, NULL, "%s", err_name(rc));
    count(errand, rc == 0 ? MAIL_EVENT_SENT : delivery->event, hold_ms, &report->reason);
    if (rc == 0)
        return QUEUE_NOTIFY_SENT;
    if (hold_ms > 0) {
        hold(notify, hold_ms);
        report->wait_ms = hold_ms;
        return QUEUE_NOTIFY_HELD;
    }
    if (err_action(rc) == ACTION_BURY)
        return QUEUE_NOTIFY_REFUSED;
    report->everyone = delivery->everyone;
    report->wait_ms = retry_after_ms(errand, delivery->everyone);
    return QUEUE_NOTIFY_RETRY;
}

static int send_now(struct errand *errand, struct notify_report *report, struct err *err)
{
    struct courier_delivery delivery = {.event = MAIL_EVENT_OTHER};
    report->picture = errand->thumbnail.jpeg.size > 0;
    int rc = send_mail(errand, &delivery, &report->reason);
    enum queue_notify_outcome outcome = judge(errand, rc, &delivery, report);
    rc = conclude(errand, outcome, report, err);
    release(errand);
    return rc;
}

static void on_thumbnail(struct thumbnail *thumbnail)
{
    struct errand *errand = thumbnail->data;
    errand->ready = true;
}

/* True where the mail now waits for its small picture. */
static bool fetch_picture(struct errand *errand)
{
    const struct notify_options *options = &errand->notify->options;
    struct thumbnail *thumbnail = &errand->thumbnail;
    char view[TOKEN_SIZE];
    if (!options->thumbnailer || errand->row.state != JOB_SUCCEEDED ||
        token_make(options->tokens, TOKEN_VIEW, errand->row.public_id, view) < 0)
        return false;
    int length = snprintf(thumbnail->url, sizeof thumbnail->url, "%s/v1/jobs/%s/result?token=%s",
                          options->public_url, errand->row.public_id, view);
    thumbnail->done = on_thumbnail;
    thumbnail->data = errand;
    return length < THUMBNAIL_URL_SIZE && thumbnailer_start(options->thumbnailer, thumbnail) == 0;
}

/* The ledger has said no. */
static int turn_away(struct errand *errand, const struct mail_answer *answer,
                     struct notify_report *report, struct err *err)
{
    enum queue_notify_outcome outcome = QUEUE_NOTIFY_UNWANTED;
    report->wait_ms = answer->wait_ms;
    if (answer->verdict == MAIL_HELD) {
        outcome = QUEUE_NOTIFY_HELD;
        hold(errand->notify, answer->wait_ms);
    } else {
        bool limited = answer->verdict == MAIL_LIMITED;
        outcome = limited ? QUEUE_NOTIFY_WAIT : QUEUE_NOTIFY_UNWANTED;
        count(errand, limited ? MAIL_EVENT_LIMITED : MAIL_EVENT_UNWANTED, 0, &report->reason);
    }
    int rc = conclude(errand, outcome, report, err);
    release(errand);
    return rc;
}

static int begin(struct errand *errand, struct notify_report *report, struct err *err)
{
    struct mail_answer answer = {.verdict = MAIL_MAY_GO};
    int rc = open_address(errand, &report->reason);
    if (rc == 0)
        rc = ask_ledger(errand, &answer, &report->reason);
    if (rc < 0) {
        struct courier_delivery delivery = {.event = MAIL_EVENT_OTHER};
        rc = conclude(errand, judge(errand, rc, &delivery, report), report, err);
        release(errand);
        return rc;
    }
    if (answer.verdict != MAIL_MAY_GO)
        return turn_away(errand, &answer, report, err);
    if (!fetch_picture(errand))
        return send_now(errand, report, err);
    report->result = NOTIFY_BEGUN;
    return 0;
}

/* ---- tick ------------------------------------------------------------------------------------ */

static struct errand *free_errand(struct notify *notify)
{
    for (size_t i = 0; i < MAX_AT_ONCE; i++)
        if (!notify->errands[i].used)
            return &notify->errands[i];
    return NULL;
}

static struct errand *ready_errand(struct notify *notify)
{
    if (notify->options.thumbnailer)
        thumbnailer_finish(notify->options.thumbnailer);
    for (size_t i = 0; i < MAX_AT_ONCE; i++)
        if (notify->errands[i].ready)
            return &notify->errands[i];
    return NULL;
}

static int claim(struct notify *notify, const struct queue *queue, struct errand *errand,
                 struct notify_report *report, struct err *err)
{
    struct queue_notify_rows rows = {0};
    struct redis *redis = notify->options.redis;
    int moved = 0, rc;
    do
        rc = queue_notify_intake(queue, redis, CALL_MS, &moved, err);
    while (rc == 0 && moved > 0);
    if (rc == 0)
        rc = queue_notify_claim(queue, redis, 1, notify->options.lease_ms, CALL_MS, &rows, err);
    if (rc == 0 && rows.count == 0)
        report->next_due_ms = rows.next_due_ms;
    if (rc == 0 && rows.count > 0) {
        *errand = (struct errand){.notify = notify,
                                  .queue = queue,
                                  .row = rows.rows[0],
                                  .end_ms = clock_ms() + notify->options.lease_ms,
                                  .used = true};
        rc = begin(errand, report, err);
    }
    queue_notify_rows_fini(&rows);
    return rc;
}

int notify_tick(struct notify *notify, const struct queue *queue, struct notify_report *out_report,
                struct err *err)
{
    *out_report = (struct notify_report){.result = NOTIFY_IDLE, .next_due_ms = -1};
    struct errand *errand = ready_errand(notify);
    if (errand)
        return send_now(errand, out_report, err);
    int64_t held_ms = notify->held_until_ms - clock_ms();
    errand = free_errand(notify);
    if (held_ms > 0)
        out_report->next_due_ms = held_ms;
    else if (errand)
        return claim(notify, queue, errand, out_report, err);
    return 0;
}

int notify_create(const struct notify_options *options, struct notify **out, struct err *err)
{
    struct notify *notify = calloc(1, sizeof *notify);
    if (!notify)
        return err_set(err, ERR_NOMEM, NULL, "no memory for the mails");
    notify->options = *options;
    *out = notify;
    return 0;
}

void notify_destroy(struct notify **slot)
{
    struct notify *notify = *slot;
    *slot = NULL;
    for (size_t i = 0; notify && i < MAX_AT_ONCE; i++) {
        struct errand *errand = &notify->errands[i];
        if (!errand->used)
            continue;
        const struct queue_notified back = {errand->row.notify_id, errand->row.epoch,
                                            QUEUE_NOTIFY_BACK, 0, NULL};
        enum queue_verdict verdict;
        bool dead;
        settle(errand, &back, &verdict, &dead, NULL);
        release(errand);
    }
    free(notify);
}

void notify_limit(struct notify *notify, const struct notify_limits *limits)
{
    struct notify_options *options = &notify->options;
    options->per_address_hour = limits->per_address_hour;
    options->quota_hour = limits->quota_hour;
    options->quota_day = limits->quota_day;
    options->hold_ms = limits->hold_ms;
    options->retry_ms = limits->retry_ms;
}

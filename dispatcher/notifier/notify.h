/* SPDX-License-Identifier: MIT
 *
 * Turns outbox rows into mails.
 *
 *     rc = notify_create(&options, &notify, &err);
 *     for (;;) {
 *         rc = notify_tick(notify, &queue, &report, &err);      // one row at most
 *         if (rc == 0 && report.result == NOTIFY_IDLE)
 *             … wait for report.next_due_ms, or until a thumbnail is ready …
 *     }
 *     notify_destroy(&notify);
 *
 * The order is claim, ask the ledger (mail_ledger.h), fetch a small picture, send, settle: dying in
 * between sends the same mail once more, with the same Message-ID, and never loses one. While a
 * picture is fetched other rows go on. What cannot be sent now waits in the row's own backoff; what
 * will never go is settled as refused, with the reason and without the address. Where no mails may
 * go out at all, none is claimed until they may. Belongs to one thread. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_NOTIFY_H
#define DARKROOM_DISPATCHER_NOTIFIER_NOTIFY_H

#include "common/err.h"
#include "common/trace.h"
#include "dispatcher/notifier/courier.h"
#include "dispatcher/notifier/mail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalogue;
struct manifest_set;
struct metrics;
struct notify;
struct queue;
struct redis;
struct thumbnailer;
struct token_keys;
struct tracer;
struct unsubscribe_keys;

/* Everything is borrowed. */
struct notify_options {
    struct redis *redis;
    const struct address_keys *addresses;
    const struct token_keys *tokens;
    const struct unsubscribe_keys *unsubscribe;
    const struct catalogue *catalogue;
    const struct manifest_set *models; /* for titles; a model that is not there goes by its name */
    const struct mail_sender *sender;
    const struct courier *courier;
    struct thumbnailer *thumbnailer; /* NULL: no small pictures */
    struct metrics *metrics;         /* NULL: nobody asks */
    struct tracer *tracer;           /* NULL: nobody collects traces */
    const char *public_url;          /* without a slash at its end */
    int64_t per_address_hour;
    int64_t quota_hour, quota_day; /* of all mails together; 0: no limit */
    int64_t hold_ms;               /* the pause after the mail server takes no more */
    int64_t lease_ms;              /* of a row: longer than sending takes at most */
    int64_t retry_ms;              /* the first backoff */
};

enum notify_result {
    NOTIFY_IDLE, /* no row was due, or none may go now */
    NOTIFY_SENT,
    NOTIFY_LIMITED,  /* the address has had its mails of this hour */
    NOTIFY_HELD,     /* no mails may go out now */
    NOTIFY_UNWANTED, /* the address has unsubscribed */
    NOTIFY_DEFERRED, /* tried, and will be tried again */
    NOTIFY_REFUSED,  /* will not be tried again */
    NOTIFY_GONE,     /* somebody else's by now, or the job was erased */
    NOTIFY_BEGUN     /* its small picture is being fetched */
};

struct notify_report {
    enum notify_result result;
    bool everyone;       /* deferred for a reason that every mail shares: pause before the next */
    int64_t next_due_ms; /* when idle: until the next row is due; -1: there is none */
    int64_t wait_ms;     /* limited, held or deferred: until this row is due again */
    char id[MAIL_MAX_ID + 1];
    char job[64];
    char trace[TRACE_ID_SIZE]; /* "": none */
    int attempt;               /* 1: the first try */
    bool picture;              /* it went with a small picture */
    struct err reason;         /* of a mail that was deferred or refused */
};

int notify_create(const struct notify_options *options, struct notify **out, struct err *err);
/* Gives back what waits for its picture, so that another notifier need not wait for the leases. The
 * thumbnailer is closed before, so that no thread has one in hand. */
void notify_destroy(struct notify **notify);

/* Sends a mail whose picture has come; else takes in the stream of `queue`, claims one row of it
 * and begins or sends its mail. An error is one of Redis (nothing was claimed, or the row could not
 * be settled and comes back by its lease); what became of the mail is in the report, which is
 * always set. */
int notify_tick(struct notify *notify, const struct queue *queue, struct notify_report *out_report,
                struct err *err);

/* What a reload may change. */
struct notify_limits {
    int64_t per_address_hour, quota_hour, quota_day, hold_ms, retry_ms; /* as in the options */
};
void notify_limit(struct notify *notify, const struct notify_limits *limits);

#endif

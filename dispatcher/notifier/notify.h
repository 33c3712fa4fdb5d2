/* SPDX-License-Identifier: MIT
 *
 * Turns outbox rows into mails.
 *
 *     struct notify notify = {.queue = &queue, .redis = redis, .courier = &courier, …};
 *     for (;;) {
 *         rc = notify_tick(&notify, &report, &err);      // one row at most
 *         if (rc == 0 && !report.took_row)
 *             queue_notify_wait(&queue, redis, report.next_due_ms, …);
 *     }
 *
 * The order is claim, send, settle: dying in between sends the same mail once more, with the same
 * Message-ID, and never loses one. What cannot be sent now waits in the row's own backoff; what
 * will never go is settled as refused, with the reason and without the address. Belongs to one
 * thread. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_NOTIFY_H
#define DARKROOM_DISPATCHER_NOTIFIER_NOTIFY_H

#include "common/err.h"
#include "dispatcher/notifier/mail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct manifest_set;
struct queue;
struct redis;
struct token_keys;

/* Takes a message over for good, or says why not: by err_action() of the code it is tried again
 * later or refused for good. *out_everyone says that any other mail would have failed as well
 * (server away). A function and its context, so that a folder can stand where a mail server would.
 */
struct notify_courier {
    int (*deliver)(void *context, const char *id, const char *from, const char *to,
                   const void *message, size_t size, bool *out_everyone, struct err *err);
    void *context;
};

/* Everything is borrowed. */
struct notify {
    const struct queue *queue;
    struct redis *redis;
    const struct address_keys *addresses;
    const struct token_keys *tokens;
    const struct manifest_set *models; /* for titles; a model that is not there goes by its name */
    const struct mail_sender *sender;
    const struct notify_courier *courier;
    const char *public_url; /* without a slash at its end */
    int per_address_hour;
    int64_t lease_ms; /* of a row: longer than sending takes at most */
    int64_t retry_ms; /* the first backoff */
};

enum notify_result {
    NOTIFY_IDLE, /* no row was due */
    NOTIFY_SENT,
    NOTIFY_LIMITED,  /* the address has had its mails of this hour */
    NOTIFY_DEFERRED, /* tried, and will be tried again */
    NOTIFY_REFUSED,  /* will not be tried again */
    NOTIFY_GONE      /* somebody else's by now, or the job was erased */
};

struct notify_report {
    enum notify_result result;
    bool everyone;       /* deferred for a reason that every mail shares: pause before the next */
    int64_t next_due_ms; /* when idle: until the next row is due; -1: there is none */
    int64_t wait_ms;     /* limited or deferred: until this row is due again */
    char id[MAIL_MAX_ID + 1];
    char job[64];
    int attempt;       /* 1: the first try */
    struct err reason; /* of a mail that was deferred or refused */
};

/* Takes in the stream, claims one row and sees it through. An error is one of Redis (nothing was
 * claimed, or the row could not be settled and comes back by its lease); what became of the mail is
 * in the report, which is always set. */
int notify_tick(struct notify *notify, struct notify_report *out_report, struct err *err);

/* Writes messages as <id>.eml into `folder` (borrowed), each complete or not at all. */
struct notify_courier notify_folder_courier(const char *folder);

/* Hands messages to a mail server; `smtp` is borrowed. */
struct smtp;
struct notify_courier notify_smtp_courier(struct smtp *smtp);

#endif

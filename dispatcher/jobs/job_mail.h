/* SPDX-License-Identifier: MIT
 *
 * What a submission's e-mail address becomes: sealed for the notifier, hashed for limits and
 * erasure, with the language in which its mail will be written.
 *
 *     rc = job_mail_check(dispatcher, &intake, &err);          // do we write to it, in that
 * language? rc = job_mail_prepare(dispatcher, &intake, "nl", public_id, &mail); … mail.unwanted, by
 * mail_ledger_unwanted_command(mail.unsubscribe, …) … job_mail_apply(&mail, &queue_submit); //
 * borrows from `mail` rc = job_mail_line(&mail, &extra);                       // as the record
 * will have it
 *
 * Any thread. */
#ifndef DARKROOM_DISPATCHER_JOBS_JOB_MAIL_H
#define DARKROOM_DISPATCHER_JOBS_JOB_MAIL_H

#include "common/address.h"
#include "common/queue.h"
#include "common/unsubscribe.h"

#include <stdbool.h>

struct buf;
struct dispatcher;
struct err;
struct intake;

struct job_mail {
    char hash[ADDRESS_HASH_SIZE];     /* "" where no address was given */
    char sealed[ADDRESS_SEALED_SIZE]; /* for the notifier alone */
    char language[QUEUE_LANGUAGE_SIZE];
    char unsubscribe[UNSUBSCRIBE_ID_SIZE]; /* what the unwanted are known by */
    bool unwanted;                         /* its owner has unsubscribed it */
};

/* ERR_INVALID with the field "email" (a domain that gets no mail from here) or "lang". */
int job_mail_check(const struct dispatcher *dispatcher, const struct intake *intake,
                   struct err *err);

/* `language`: where the submission names none. */
int job_mail_prepare(const struct dispatcher *dispatcher, const struct intake *intake,
                     const char *language, const char *public_id, struct job_mail *out);

void job_mail_apply(const struct job_mail *mail, struct queue_submit *out);

/* The line that queue_submit makes of it in the record; nothing where there is no address. */
int job_mail_line(const struct job_mail *mail, struct buf *out);

#endif

/* SPDX-License-Identifier: MIT
 *
 * What a submission's e-mail address becomes: sealed for the notifier, hashed for limits and
 * erasure, with the language in which its mail will be written.
 *
 *     rc = job_mail_prepare(dispatcher, email, lang, public_id, &mail);
 *     job_mail_apply(&mail, &queue_submit);                    // borrows from `mail`
 *     rc = job_mail_line(&mail, &extra);                       // as the record will have it
 *
 * Any thread. */
#ifndef DARKROOM_DISPATCHER_JOBS_JOB_MAIL_H
#define DARKROOM_DISPATCHER_JOBS_JOB_MAIL_H

#include "common/address.h"
#include "common/queue.h"

#include <stdbool.h>

struct buf;
struct dispatcher;

struct job_mail {
    char hash[ADDRESS_HASH_SIZE];     /* "" where no address was given */
    char sealed[ADDRESS_SEALED_SIZE]; /* "" where the address wants no mail */
    char language[QUEUE_LANGUAGE_SIZE];
    bool unwanted; /* its owner has unsubscribed it */
};

/* `email` "": nothing is wanted. `lang` is a tag that we speak, or "". */
int job_mail_prepare(const struct dispatcher *dispatcher, const char *email, const char *lang,
                     const char *public_id, struct job_mail *out);

void job_mail_apply(const struct job_mail *mail, struct queue_submit *out);

/* The line that queue_submit makes of it in the record; nothing where there is no address. */
int job_mail_line(const struct job_mail *mail, struct buf *out);

#endif

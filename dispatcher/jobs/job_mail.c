/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/job_mail.h"

#include "common/buf.h"
#include "common/catalogue.h"
#include "common/err.h"
#include "dispatcher/access/blocked.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/jobs/intake.h"
#include "dispatcher/pages/pages.h"

#include <stdio.h>
#include <string.h>

/* "nl-be" is spoken where "nl" is (RFC 4647, 3.4). */
static const struct catalogue_language *find_language(const struct dispatcher *dispatcher,
                                                      const char *tag)
{
    char shorter[QUEUE_LANGUAGE_SIZE];
    snprintf(shorter, sizeof shorter, "%s", tag);
    for (;;) {
        const struct catalogue_language *found =
            catalogue_find(dispatcher->pages->catalogue, shorter);
        char *dash = strrchr(shorter, '-');
        if (found || !dash)
            return found;
        *dash = 0;
    }
}

int job_mail_check(const struct dispatcher *dispatcher, const struct intake *intake,
                   struct err *err)
{
    if (intake->lang[0] && !find_language(dispatcher, intake->lang))
        return err_set(err, ERR_INVALID, "lang", "lang: we do not speak this language");
    if (intake->email[0] && blocked_has(dispatcher->blocked, intake->email))
        return err_set(err, ERR_INVALID, "email",
                       "email: we do not write to addresses of this domain; use another address, "
                       "or none");
    return 0;
}

int job_mail_prepare(const struct dispatcher *dispatcher, const struct intake *intake,
                     const char *language, const char *public_id, struct job_mail *out)
{
    struct job_mail mail = {.unwanted = false};
    if (!intake->email[0]) {
        *out = mail;
        return 0;
    }
    const struct catalogue_language *asked =
        intake->lang[0] ? find_language(dispatcher, intake->lang) : NULL;
    snprintf(mail.language, sizeof mail.language, "%s", asked ? asked->tag : language);
    int rc = address_seal(dispatcher->addresses, intake->email, public_id, mail.sealed);
    if (rc == 0)
        rc = address_hash(dispatcher->addresses, intake->email, mail.hash);
    if (rc == 0)
        rc = unsubscribe_id(dispatcher->unsubscribe, mail.hash, mail.unsubscribe);
    if (rc == 0)
        *out = mail;
    return rc;
}

void job_mail_apply(const struct job_mail *mail, struct queue_submit *out)
{
    out->notify_address = mail->hash;
    out->notify_language = mail->language[0] ? mail->language : NULL;
    out->notify_unwanted = mail->unwanted;
    out->notify_blob = mail->sealed;
    out->notify_blob_size = mail->unwanted ? 0 : strlen(mail->sealed);
}

int job_mail_line(const struct job_mail *mail, struct buf *out)
{
    if (!mail->hash[0])
        return 0;
    return buf_printf(out, "m=%c %s\n", mail->unwanted ? 'x' : 'w', mail->language);
}

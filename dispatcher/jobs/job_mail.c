/* SPDX-License-Identifier: MIT */
#include "dispatcher/jobs/job_mail.h"

#include "common/buf.h"
#include "dispatcher/dispatcher.h"

#include <stdio.h>
#include <string.h>

int job_mail_prepare(const struct dispatcher *dispatcher, const char *email, const char *lang,
                     const char *public_id, struct job_mail *out)
{
    struct job_mail mail = {.unwanted = false};
    if (!email[0]) {
        *out = mail;
        return 0;
    }
    snprintf(mail.language, sizeof mail.language, "%s", *lang ? lang : "en");
    int rc = address_seal(dispatcher->addresses, email, public_id, mail.sealed);
    if (rc == 0)
        rc = address_hash(dispatcher->addresses, email, mail.hash);
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

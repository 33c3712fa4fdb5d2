/* SPDX-License-Identifier: MIT
 *
 * The mails that Darkroom writes: one template for a picture that is ready and one that could not
 * be made, as text and as HTML, in the languages of the catalogue.
 *
 *     struct mail mail = {.kind = MAIL_SUCCEEDED, .id = "6f1c….1", .to = address,
 *                         .language = language, .result_url = url, …};
 *     struct buf message;
 *     buf_init(&message, MAIL_MAX_BYTES);
 *     rc = mail_compose(&sender, &mail, clock_wall_ms(), &message, &err);
 *
 *     multipart/alternative
 *       text/plain
 *       multipart/related        only where there is a small picture; else text/html alone
 *         text/html
 *         image/jpeg             inline, cid:
 *
 * The subject is a text of the catalogue; nothing that a visitor typed is in a header but the
 * address. In the HTML every value is escaped. The Message-ID and the boundaries come from `id`, so
 * that the mail of a retry is the same mail to whoever receives it. Pure functions; any thread. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_MAIL_H
#define DARKROOM_DISPATCHER_NOTIFIER_MAIL_H

#include "common/address.h"

#include <stddef.h>
#include <stdint.h>

struct buf;
struct catalogue_language;
struct err;

#define MAIL_MAX_BYTES 131072
#define MAIL_MAX_ID 96
#define MAIL_MAX_THUMBNAIL 30720 /* bytes of the small picture */

enum mail_kind { MAIL_SUCCEEDED, MAIL_FAILED };

/* Who writes: plain values. */
struct mail_sender {
    char name[128]; /* "" for none */
    char address[ADDRESS_SIZE];
};

/* A JPEG; size 0: none. */
struct mail_thumbnail {
    const void *data; /* borrowed */
    size_t size;
    int width, height; /* as it is to be shown */
};

/* All texts are borrowed. */
struct mail {
    enum mail_kind kind;
    const char *id; /* of the notification: [A-Za-z0-9.-]{1,96} */
    const char *to;
    const struct catalogue_language *language;
    const char *site_url; /* where pictures are handed in */
    const char *result_url;
    const char *delete_url;
    const char *unsubscribe_url;
    const char *public_id;
    const char *model;  /* its title */
    const char *reason; /* err_name() of why it failed; only for MAIL_FAILED, NULL: not known */
    struct mail_thumbnail thumbnail;
};

/* `Darkroom <darkroom@example.org>` or only the address. ERR_INVALID with the field
 * "mail-from". */
int mail_sender_parse(const char *text, struct mail_sender *out_sender, struct err *err);

/* Appends the message with CRLF line ends, ready for SMTP's DATA or a file. ERR_INVALID: an
 * address, id or link that may not stand in a mail; ERR_LIMIT, ERR_NOMEM. On failure the buffer
 * holds part of a message. */
int mail_compose(const struct mail_sender *sender, const struct mail *mail, int64_t wall_ms,
                 struct buf *out, struct err *err);

#endif

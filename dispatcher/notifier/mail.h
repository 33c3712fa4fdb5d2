/* SPDX-License-Identifier: MIT
 *
 * The mails that Darkroom writes: one template for a picture that is ready and one for a picture
 * that could not be made, each as text and HTML in a multipart/alternative message.
 *
 *     struct mail mail = {.kind = MAIL_SUCCEEDED, .id = "6f1c….1", .to = address,
 *                         .result_url = url, …};
 *     struct buf message;
 *     buf_init(&message, MAIL_MAX_BYTES);
 *     rc = mail_compose(&sender, &mail, clock_wall_ms(), &message, &err);
 *
 * The subject is the template's first line; nothing that a visitor typed is in it. In the body
 * every value is escaped for HTML. The Message-ID and the boundary come from `id`, so that the
 * mail of a retry is the same mail to whoever receives it. Pure functions; any thread. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_MAIL_H
#define DARKROOM_DISPATCHER_NOTIFIER_MAIL_H

#include "common/address.h"

#include <stdint.h>

struct buf;
struct err;

#define MAIL_MAX_BYTES 65536
#define MAIL_MAX_ID 96

enum mail_kind { MAIL_SUCCEEDED, MAIL_FAILED };

/* Who writes: plain values. */
struct mail_sender {
    char name[128]; /* "" for none */
    char address[ADDRESS_SIZE];
};

/* All texts are borrowed. */
struct mail {
    enum mail_kind kind;
    const char *id; /* of the notification: [A-Za-z0-9.-]{1,96} */
    const char *to;
    const char *site_url; /* where pictures are handed in */
    const char *result_url;
    const char *delete_url;
    const char *public_id;
    const char *model;  /* its title */
    const char *reason; /* err_name() of why it failed; only for MAIL_FAILED, NULL: not known */
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

/* SPDX-License-Identifier: MIT
 *
 * Hands mails to a mail server (RFC 5321) through libcurl.
 *
 *     struct smtp *smtp = NULL;
 *     rc = smtp_create(&(struct smtp_options){.url = "smtp+starttls://mail.example:587", ...},
 *                      &smtp, &err);
 *     rc = smtp_send(smtp, "lab@darkroom.example", to, message, size, &outcome, &err);
 *     smtp_destroy(&smtp);
 *
 * `smtps://` is encrypted from the first byte, `smtp+starttls://` insists on STARTTLS before
 * anything else is said; both check the server's certificate. `smtp://` is plain and therefore
 * only for this machine, unless allow_plain says otherwise. A path in the URL is the name for
 * EHLO instead of this host's.
 *
 * What comes back says what to do: 0 when the server has taken the mail, ERR_INVALID when it will
 * never take it (5xx to this recipient or this message), ERR_DENIED for a wrong user or password,
 * ERR_UNAVAILABLE or ERR_TIMEOUT for all that may pass: server away, 4xx, no TLS, and 5xx before
 * the recipient was named, which is a fault of the configuration and of no mail. A mail for which
 * no answer came may have been taken all the same: send it again with the same Message-ID. What
 * servers answer once we have sent as much as we may (452, 454 and x.4.5, save where it is the
 * recipient's mailbox that is full) is ERR_UNAVAILABLE as well, with `quota`.
 *
 * Errors name the reply's code and never an address. One connection is kept between mails. Belongs
 * to one thread. */
#ifndef DARKROOM_COMMON_SMTP_H
#define DARKROOM_COMMON_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct smtp;

/* All texts are borrowed for the call of smtp_create(). */
struct smtp_options {
    const char *url;
    const char *user;     /* NULL or "": no AUTH */
    const char *password; /* NULL: "" */
    const char *ca_file;  /* certificates to trust; NULL or "": the system's */
    bool allow_plain;     /* smtp:// to other machines, passwords included */
    int64_t timeout_ms;   /* for one mail, connecting included; 0: 60,000 */
};

/* How far the server let us come. */
enum smtp_stage {
    SMTP_CONNECT, /* greeting, EHLO, STARTTLS */
    SMTP_AUTH,
    SMTP_SENDER,
    SMTP_RECIPIENT,
    SMTP_CONTENT,
    SMTP_TAKEN
};

struct smtp_outcome {
    enum smtp_stage stage; /* where it ended; before SMTP_RECIPIENT every mail would fare alike */
    int reply;             /* the server's last code there, such as 550; 0: none */
    int detail[3];         /* its enhanced code (RFC 3463), such as 5.1.1; zeros: none */
    bool quota;            /* it takes no more mails from us for now, whoever they are for */
};

/* ERR_INVALID: not a URL of these kinds, or plain to another machine. Does not connect. *out_smtp
 * is owned by the caller. */
int smtp_create(const struct smtp_options *options, struct smtp **out_smtp, struct err *err);
void smtp_destroy(struct smtp **smtp);

/* The message has CRLF line ends; dots are doubled on the way. The addresses pass address_check()
 * once more. *out_outcome (nullable) is always set. Ends early with ERR_UNAVAILABLE when the
 * program is to stop (common/stop.h), unless the content is under way. */
int smtp_send(struct smtp *smtp, const char *from, const char *to, const void *message, size_t size,
              struct smtp_outcome *out_outcome, struct err *err);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The parts of MIME that a mail of ours needs: header lines, dates, quoted-printable and base64
 * bodies.
 *
 *     mime_append_header(&mail, "Subject", "Your picture is ready", &err);
 *     mime_append_quoted_printable(&mail, html, strlen(html));
 *
 * Whatever is appended ends its lines with CRLF and keeps them within 76 characters (78 in a
 * header, save a word that cannot be broken; 998 never). A control character in a header is an
 * error, never an escape: that is how nobody adds a header of their own. Pure functions; any
 * thread. RFC 5322, 2045 and 2047. */
#ifndef DARKROOM_DISPATCHER_NOTIFIER_MIME_H
#define DARKROOM_DISPATCHER_NOTIFIER_MIME_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

/* "Name: text", folded at spaces; text beyond ASCII becomes encoded words (UTF-8, Q).
 * ERR_INVALID: a control character or bytes that are not UTF-8; ERR_LIMIT: a word that would make
 * a line longer than 998. All borrowed. */
int mime_append_header(struct buf *out, const char *name, const char *text, struct err *err);

/* `Name: "display name" <address>`. An empty or NULL `display` leaves the address alone. The
 * address passes address_check() once more, whoever checked it before: ERR_INVALID. */
int mime_append_mailbox(struct buf *out, const char *name, const char *display, const char *address,
                        struct err *err);

/* "Sat, 21 Nov 2026 12:22:10 +0000". */
#define MIME_DATE_SIZE 32
void mime_date(int64_t wall_ms, char out[MIME_DATE_SIZE]);

/* Text with LF or CRLF line ends; the result's last line is always ended. ERR_NOMEM, ERR_LIMIT. */
int mime_append_quoted_printable(struct buf *out, const char *text, size_t size);

/* Bytes of any kind. */
int mime_append_base64(struct buf *out, const void *data, size_t size);

#endif

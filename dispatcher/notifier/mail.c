/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/mail.h"

#include "common/buf.h"
#include "common/err.h"
#include "dispatcher/notifier/mime.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MAX_SUBJECT 120
#define MAX_URL 1024

/* Made by embed.c from templates/. */
extern const char mail_succeeded_txt[], mail_succeeded_html[], mail_failed_txt[],
    mail_failed_html[];

/* What a visitor can do about a failure. Whatever is not in the table was our fault. */
static const struct {
    const char *code;
    const char *reason;
    const char *advice;
} failures[] = {
    {"corrupt", "The file could not be read as a picture: it seems to be damaged or cut off.",
     "Please save the photo once more or choose another one, and send it again."},
    {"unsupported", "The file is of a kind that we cannot read.",
     "JPEG, PNG and WebP pictures work: please send one of these."},
    {"limit", "The picture is larger than this model takes.",
     "A smaller copy of it will work: please send that."},
    {"invalid", "Something in the order did not fit the picture, such as a crop outside of it.",
     "Please choose the part of the picture again, and send it again."},
    {"timeout", "Making it took longer than we allow.",
     "It was not the fault of your picture. Trying again later may work."},
    {NULL, "Something went wrong on our side, and trying again did not help.",
     "It was not the fault of your picture. Trying again later may work."},
};

struct value {
    const char *name;
    const char *text;
};

static int append_escaped(struct buf *out, const char *text)
{
    int rc = 0;
    for (; rc == 0 && *text; text++) {
        switch (*text) {
        case '&': rc = buf_append_text(out, "&amp;"); break;
        case '<': rc = buf_append_text(out, "&lt;"); break;
        case '>': rc = buf_append_text(out, "&gt;"); break;
        case '"': rc = buf_append_text(out, "&quot;"); break;
        case '\'': rc = buf_append_text(out, "&#39;"); break;
        default: rc = buf_append(out, text, 1);
        }
    }
    return rc;
}

static const char *find_value(const struct value *values, const char *name, size_t length)
{
    for (; values->name; values++)
        if (strlen(values->name) == length && memcmp(values->name, name, length) == 0)
            return values->text;
    return NULL;
}

/* Replaces each {{name}}; an unknown one is a fault of the template (ERR_INTERNAL). */
static int render(struct buf *out, const char *template, const struct value *values, bool html,
                  struct err *err)
{
    int rc = 0;
    while (rc == 0) {
        const char *open = strstr(template, "{{");
        if (!open)
            return buf_append_text(out, template);
        const char *close = strstr(open, "}}");
        const char *text = close ? find_value(values, open + 2, (size_t)(close - open) - 2) : NULL;
        if (!text)
            return err_set(err, ERR_INTERNAL, NULL,
                           "the mail template has a bad placeholder: %.20s", open);
        rc = buf_append(out, template, (size_t)(open - template));
        if (rc == 0)
            rc = html ? append_escaped(out, text) : buf_append_text(out, text);
        template = close + 2;
    }
    return rc;
}

static int append_part(struct buf *out, const char *boundary, const char *type,
                       const char *template, const struct value *values, struct err *err)
{
    struct buf body;
    buf_init(&body, MAIL_MAX_BYTES);
    int rc = render(&body, template, values, strcmp(type, "text/html") == 0, err);
    if (rc == 0)
        rc = buf_printf(out,
                        "--%s\r\n"
                        "Content-Type: %s; charset=utf-8\r\n"
                        "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
                        boundary, type);
    if (rc == 0)
        rc = mime_append_quoted_printable(out, buf_text(&body), body.size);
    buf_fini(&body);
    return rc;
}

/* Splits "Subject: ...", an empty line and the text that follows. */
static int split_subject(const char *template, char subject[MAX_SUBJECT], const char **out_text,
                         struct err *err)
{
    static const char label[] = "Subject: ";
    const char *start = template + sizeof label - 1;
    size_t length = strcspn(template, "\n");
    if (strncmp(template, label, sizeof label - 1) || strncmp(template + length, "\n\n", 2) ||
        length - (sizeof label - 1) >= MAX_SUBJECT)
        return err_set(err, ERR_INTERNAL, NULL, "the mail template has no subject line");
    snprintf(subject, MAX_SUBJECT, "%.*s", (int)(length - (sizeof label - 1)), start);
    *out_text = template + length + 2;
    return 0;
}

static int append_headers(struct buf *out, const struct mail_sender *sender,
                          const struct mail *mail, const char *subject, const char *boundary,
                          int64_t wall_ms, struct err *err)
{
    char date[MIME_DATE_SIZE];
    mime_date(wall_ms, date);
    int rc = mime_append_header(out, "Date", date, err);
    if (rc == 0)
        rc = mime_append_mailbox(out, "From", sender->name, sender->address, err);
    if (rc == 0)
        rc = mime_append_mailbox(out, "To", NULL, mail->to, err);
    if (rc == 0)
        rc = mime_append_header(out, "Subject", subject, err);
    if (rc == 0)
        rc = buf_printf(out,
                        "Message-ID: <%s%s>\r\n"
                        "Auto-Submitted: auto-generated\r\n"
                        "MIME-Version: 1.0\r\n"
                        "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n",
                        mail->id, strchr(sender->address, '@'), boundary);
    return rc;
}

static bool is_id(const char *id)
{
    size_t length = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
    /* A dot-atom: dots stand between characters. */
    return length > 0 && length <= MAIL_MAX_ID && !id[length] && id[0] != '.' &&
           id[length - 1] != '.' && !strstr(id, "..");
}

static bool is_url(const char *url)
{
    if (strncmp(url, "http://", 7) && strncmp(url, "https://", 8))
        return false;
    for (const char *c = url; *c; c++)
        if (*c <= ' ' || *c >= 0x7f || strchr("<>\"\\^`{|}", *c))
            return false;
    return strlen(url) <= MAX_URL;
}

static int check(const struct mail *mail, struct err *err)
{
    if (!is_id(mail->id))
        return err_set(err, ERR_INVALID, "id", "the notification's id may not stand in a mail");
    if (!is_url(mail->site_url) || !is_url(mail->result_url) || !is_url(mail->delete_url))
        return err_set(err, ERR_INVALID, "public-url", "a link may not stand in a mail");
    return 0;
}

int mail_compose(const struct mail_sender *sender, const struct mail *mail, int64_t wall_ms,
                 struct buf *out, struct err *err)
{
    bool ready = mail->kind == MAIL_SUCCEEDED;
    size_t row = 0;
    while (failures[row].code && (!mail->reason || strcmp(failures[row].code, mail->reason)))
        row++;
    const struct value values[] = {
        {"site", mail->site_url},         {"result_url", mail->result_url},
        {"delete_url", mail->delete_url}, {"public_id", mail->public_id},
        {"model", mail->model},           {"reason", failures[row].reason},
        {"advice", failures[row].advice}, {NULL, NULL},
    };
    const char *text = NULL;
    char subject[MAX_SUBJECT];
    /* "=_" cannot be in quoted-printable text (RFC 2045, section 6.7). */
    char boundary[MAIL_MAX_ID + 16];
    snprintf(boundary, sizeof boundary, "=_%.60s", mail->id);

    int rc = check(mail, err);
    if (rc == 0)
        rc = split_subject(ready ? mail_succeeded_txt : mail_failed_txt, subject, &text, err);
    if (rc == 0)
        rc = append_headers(out, sender, mail, subject, boundary, wall_ms, err);
    if (rc == 0)
        rc = append_part(out, boundary, "text/plain", text, values, err);
    if (rc == 0)
        rc = append_part(out, boundary, "text/html", ready ? mail_succeeded_html : mail_failed_html,
                         values, err);
    if (rc == 0)
        rc = buf_printf(out, "--%s--\r\n", boundary);
    return rc;
}

int mail_sender_parse(const char *text, struct mail_sender *out_sender, struct err *err)
{
    struct mail_sender sender = {.name = ""};
    char address[ADDRESS_SIZE + 2] = "";
    const char *open = strchr(text, '<');
    if (open) {
        size_t name = (size_t)(open - text);
        while (name && text[name - 1] == ' ')
            name--;
        size_t length = strcspn(open + 1, ">");
        if (strcmp(open + 1 + length, ">") || length >= sizeof address ||
            name >= sizeof sender.name || !name)
            return err_set(err, ERR_INVALID, "mail-from",
                           "mail-from wants 'Name <address>' or an address; the name at most %zu "
                           "bytes",
                           sizeof sender.name - 1);
        memcpy(sender.name, text, name);
        memcpy(address, open + 1, length);
    } else {
        snprintf(address, sizeof address, "%s", text);
    }
    struct err inner = {0};
    if (address_check(address, sender.address, &inner) < 0)
        return err_set(err, ERR_INVALID, "mail-from", "mail-from: %s", inner.text);
    struct buf scratch;
    buf_init(&scratch, 4096);
    int rc = mime_append_mailbox(&scratch, "From", sender.name, sender.address, &inner);
    buf_fini(&scratch);
    if (rc < 0)
        return err_set(err, rc, "mail-from", "mail-from: %s", inner.text);
    *out_sender = sender;
    return 0;
}

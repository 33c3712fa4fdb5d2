/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/mail.h"

#include "common/buf.h"
#include "common/catalogue.h"
#include "common/err.h"
#include "common/json.h"
#include "common/template.h"
#include "dispatcher/notifier/mime.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MAX_URL 1024
#define MAX_NAME 64

/* Made by embed.c from templates/. */
extern const char mail_mail_txt[], mail_mail_html[];

/* "=_" cannot be in quoted-printable text (RFC 2045, section 6.7), nor in base64. */
struct boundaries {
    char outer[MAIL_MAX_ID + 16], inner[MAIL_MAX_ID + 16];
    char content_id[MAIL_MAX_ID + ADDRESS_SIZE + 16];
};

/* ---- the texts ------------------------------------------------------------------------------- */

/* A text about why it failed, or of whatever went wrong where we have no words for it. */
static const char *failure_text(const struct mail *mail, const char *which)
{
    char name[MAX_NAME];
    const char *text = NULL;
    const char *reason = mail->reason ? mail->reason : "";
    if (reason[strspn(reason, "abcdefghijklmnopqrstuvwxyz_-")] == 0 && strlen(reason) < 32) {
        snprintf(name, sizeof name, "mail.reason.%s.%s", reason, which);
        text = catalogue_text(mail->language, name);
    }
    snprintf(name, sizeof name, "mail.reason.other.%s", which);
    return text ? text : catalogue_text(mail->language, name);
}

static const char *subject_of(const struct mail *mail)
{
    return catalogue_text(mail->language, mail->kind == MAIL_SUCCEEDED ? "mail.ready.subject"
                                                                       : "mail.failed.subject");
}

/* What the templates are filled with; NULL without memory. */
static json_t *data_of(const struct mail *mail, const struct boundaries *boundaries)
{
    json_t *data = json_pack(
        "{s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "lang", mail->language->tag,
        "ready", mail->kind == MAIL_SUCCEEDED, "subject", subject_of(mail), "site", mail->site_url,
        "result_url", mail->result_url, "delete_url", mail->delete_url, "unsubscribe_url",
        mail->unsubscribe_url, "public_id", mail->public_id, "model", mail->model, "why",
        failure_text(mail, "why"), "advice", failure_text(mail, "advice"));
    if (data && mail->thumbnail.size &&
        json_object_set_new(data, "thumbnail",
                            json_pack("{s:s, s:i, s:i}", "cid", boundaries->content_id, "width",
                                      mail->thumbnail.width, "height", mail->thumbnail.height)) <
            0) {
        json_decref(data);
        return NULL;
    }
    return data;
}

/* ---- the parts ------------------------------------------------------------------------------- */

static int append_text(struct buf *out, const char *boundary, bool html, const struct mail *mail,
                       const json_t *data, struct err *err)
{
    const struct template_options options = {.html = html, .texts = mail->language->texts};
    struct buf body;
    buf_init(&body, MAIL_MAX_BYTES);
    int rc = template_render(html ? "mail.html" : "mail.txt", html ? mail_mail_html : mail_mail_txt,
                             data, &options, &body, err);
    if (rc == 0)
        rc = buf_printf(out,
                        "--%s\r\n"
                        "Content-Type: text/%s; charset=utf-8\r\n"
                        "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
                        boundary, html ? "html" : "plain");
    if (rc == 0)
        rc = mime_append_quoted_printable(out, buf_text(&body), body.size);
    buf_fini(&body);
    return rc;
}

/* The HTML and the picture in it belong together (RFC 2387). */
static int append_related(struct buf *out, const struct boundaries *boundaries,
                          const struct mail *mail, const json_t *data, struct err *err)
{
    int rc = buf_printf(out,
                        "--%s\r\n"
                        "Content-Type: multipart/related; type=\"text/html\";\r\n"
                        " boundary=\"%s\"\r\n\r\n",
                        boundaries->outer, boundaries->inner);
    if (rc == 0)
        rc = append_text(out, boundaries->inner, true, mail, data, err);
    if (rc == 0)
        rc = buf_printf(out,
                        "--%s\r\n"
                        "Content-Type: image/jpeg\r\n"
                        "Content-Transfer-Encoding: base64\r\n"
                        "Content-ID: <%s>\r\n"
                        "Content-Disposition: inline; filename=\"picture.jpg\"\r\n\r\n",
                        boundaries->inner, boundaries->content_id);
    if (rc == 0)
        rc = mime_append_base64(out, mail->thumbnail.data, mail->thumbnail.size);
    return rc == 0 ? buf_printf(out, "--%s--\r\n", boundaries->inner) : rc;
}

static int append_body(struct buf *out, const struct boundaries *boundaries,
                       const struct mail *mail, struct err *err)
{
    json_t *data = data_of(mail, boundaries);
    int rc = data ? 0 : ERR_NOMEM;
    if (rc == 0)
        rc = append_text(out, boundaries->outer, false, mail, data, err);
    if (rc == 0 && mail->thumbnail.size)
        rc = append_related(out, boundaries, mail, data, err);
    else if (rc == 0)
        rc = append_text(out, boundaries->outer, true, mail, data, err);
    json_decref(data);
    return rc == 0 ? buf_printf(out, "--%s--\r\n", boundaries->outer) : rc;
}

/* ---- the headers ----------------------------------------------------------------------------- */

/* One-click (RFC 8058) is for https alone. */
static int append_unsubscribe(struct buf *out, const struct mail *mail)
{
    int rc = buf_printf(out, "List-Unsubscribe: <%s>\r\n", mail->unsubscribe_url);
    if (rc == 0 && strncmp(mail->unsubscribe_url, "https://", 8) == 0)
        rc = buf_append_text(out, "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
    return rc;
}

static int append_headers(struct buf *out, const struct mail_sender *sender,
                          const struct mail *mail, const char *boundary, int64_t wall_ms,
                          struct err *err)
{
    char date[MIME_DATE_SIZE];
    mime_date(wall_ms, date);
    int rc = mime_append_header(out, "Date", date, err);
    if (rc == 0)
        rc = mime_append_mailbox(out, "From", sender->name, sender->address, err);
    if (rc == 0)
        rc = mime_append_mailbox(out, "To", NULL, mail->to, err);
    if (rc == 0)
        rc = mime_append_header(out, "Subject", subject_of(mail), err);
    if (rc == 0)
        rc = buf_printf(out, "Message-ID: <%s%s>\r\nAuto-Submitted: auto-generated\r\n", mail->id,
                        strchr(sender->address, '@'));
    if (rc == 0)
        rc = append_unsubscribe(out, mail);
    if (rc == 0)
        rc = buf_printf(out,
                        "Content-Language: %s\r\n"
                        "MIME-Version: 1.0\r\n"
                        "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n",
                        mail->language->tag, boundary);
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
    if (!is_url(mail->site_url) || !is_url(mail->result_url) || !is_url(mail->delete_url) ||
        !is_url(mail->unsubscribe_url))
        return err_set(err, ERR_INVALID, "public-url", "a link may not stand in a mail");
    if (mail->thumbnail.size > MAIL_MAX_THUMBNAIL)
        return err_set(err, ERR_LIMIT, "thumbnail", "the small picture has more than %d bytes",
                       MAIL_MAX_THUMBNAIL);
    return 0;
}

int mail_compose(const struct mail_sender *sender, const struct mail *mail, int64_t wall_ms,
                 struct buf *out, struct err *err)
{
    struct boundaries boundaries;
    int rc = check(mail, err);
    if (rc < 0)
        return rc;
    snprintf(boundaries.outer, sizeof boundaries.outer, "=_%.60s", mail->id);
    snprintf(boundaries.inner, sizeof boundaries.inner, "=_r_%.58s", mail->id);
    snprintf(boundaries.content_id, sizeof boundaries.content_id, "p.%s%s", mail->id,
             strchr(sender->address, '@'));
    rc = append_headers(out, sender, mail, boundaries.outer, wall_ms, err);
    return rc == 0 ? append_body(out, &boundaries, mail, err) : rc;
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

/* SPDX-License-Identifier: MIT */
#include "common/smtp.h"

#include "common/address.h"
#include "common/err.h"
#include "common/stop.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS 60000
#define CONNECT_TIMEOUT_MS 15000
#define MAX_URL 512
#define MAX_IDLE_S 30L /* mail servers hang up on the idle after some minutes */

struct smtp {
    CURL *curl; /* owned */
    char url[MAX_URL];
    /* The mail under way. */
    const char *message; /* borrowed */
    size_t size, sent;
    struct smtp_outcome outcome;
    bool quitting; /* replies no longer concern the mail */
};

static void follow_command(struct smtp *smtp, const char *text, size_t size)
{
    static const struct {
        const char *verb;
        enum smtp_stage stage;
    } stages[] = {{"EHLO ", SMTP_CONNECT},
                  {"AUTH ", SMTP_AUTH},
                  {"MAIL ", SMTP_SENDER},
                  {"RCPT ", SMTP_RECIPIENT},
                  {"DATA\r", SMTP_CONTENT}};
    if (size >= 4 && memcmp(text, "QUIT", 4) == 0)
        smtp->quitting = true;
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        if (size >= 5 && memcmp(text, stages[i].verb, 5) == 0) {
            smtp->outcome = (struct smtp_outcome){.stage = stages[i].stage};
        }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "550 5.1.1 …": the code behind the code. */
static void read_detail(const char *text, size_t size, int out[3])
{
    int detail[3] = {0};
    size_t at = 4;
    for (int i = 0; i < 3; i++, at++) {
        size_t first = at;
        for (; at < size && is_digit(text[at]) && at - first < 3; at++)
            detail[i] = 10 * detail[i] + (text[at] - '0');
        if (at == first || (i < 2 && (at >= size || text[at] != '.')))
            return;
    }
    memcpy(out, detail, sizeof detail);
}

/* curl reports every command and reply here: the only way to know to which command a refusal was
 * the answer. Looks at verbs and codes; the rest may hold passwords and addresses. */
static int on_debug(CURL *curl, curl_infotype type, char *data, size_t size, void *context)
{
    (void)curl;
    struct smtp *smtp = context;
    if (type == CURLINFO_HEADER_OUT)
        follow_command(smtp, data, size);
    else if (type == CURLINFO_HEADER_IN && !smtp->quitting && size >= 3 && is_digit(data[0]) &&
             is_digit(data[1]) && is_digit(data[2])) {
        smtp->outcome.reply = (data[0] - '0') * 100 + (data[1] - '0') * 10 + (data[2] - '0');
        memset(smtp->outcome.detail, 0, sizeof smtp->outcome.detail);
        read_detail(data, size, smtp->outcome.detail);
    }
    return 0;
}

static size_t on_read(char *out, size_t size, size_t count, void *context)
{
    struct smtp *smtp = context;
    size_t left = smtp->size - smtp->sent;
    size_t now = size * count < left ? size * count : left;
    memcpy(out, smtp->message + smtp->sent, now);
    smtp->sent += now;
    return now;
}

/* Bytes that nobody asked for. */
static size_t on_write(char *data, size_t size, size_t count, void *context)
{
    (void)data;
    (void)context;
    return size * count;
}

static int on_progress(void *context, curl_off_t total_down, curl_off_t down, curl_off_t total_up,
                       curl_off_t up)
{
    (void)total_down;
    (void)down;
    (void)total_up;
    (void)up;
    const struct smtp *smtp = context;
    return stop_requested() && smtp->outcome.stage < SMTP_CONTENT;
}

static bool is_this_machine(const char *host)
{
    return !strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "[::1]");
}

/* Checks the URL and rewrites it to what curl knows. */
static int read_url(const struct smtp_options *options, char out[MAX_URL], bool *out_starttls,
                    struct err *err)
{
    static const char starttls[] = "smtp+starttls://";
    bool wants_starttls = strncmp(options->url, starttls, sizeof starttls - 1) == 0;
    int length = wants_starttls
                     ? snprintf(out, MAX_URL, "smtp://%s", options->url + sizeof starttls - 1)
                     : snprintf(out, MAX_URL, "%s", options->url);
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL, *user = NULL;
    int rc = 0;
    if (!url)
        return ERR_NOMEM;
    if (length >= MAX_URL || curl_url_set(url, CURLUPART_URL, out, 0) ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) ||
        (strcmp(scheme, "smtp") && strcmp(scheme, "smtps")))
        rc = err_set(err, ERR_INVALID, "smtp",
                     "smtp wants smtps://HOST, smtp+starttls://HOST[:PORT] or smtp://HOST[:PORT]");
    else if (curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK)
        rc = err_set(err, ERR_INVALID, "smtp", "smtp: user and password have options of their own");
    else if (!strcmp(scheme, "smtp") && !wants_starttls && !options->allow_plain &&
             !is_this_machine(host))
        rc = err_set(err, ERR_INVALID, "smtp",
                     "smtp://%s would be plain text: use smtp+starttls:// or smtps://, or "
                     "--smtp-allow-plain",
                     host);
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_url_cleanup(url);
    *out_starttls = wants_starttls;
    return rc;
}

static CURLcode set_options(struct smtp *smtp, const struct smtp_options *options, bool starttls)
{
    CURL *curl = smtp->curl;
    int64_t timeout_ms = options->timeout_ms ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    long connect_ms = timeout_ms < CONNECT_TIMEOUT_MS ? (long)timeout_ms : CONNECT_TIMEOUT_MS;
    CURLcode rc = curl_easy_setopt(curl, CURLOPT_URL, smtp->url);
#define SET(option, value) rc = rc ? rc : curl_easy_setopt(curl, option, value)
    SET(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    SET(CURLOPT_PROXY, ""); /* whatever the environment says */
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_USE_SSL, starttls ? (long)CURLUSESSL_ALL : (long)CURLUSESSL_NONE);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    SET(CURLOPT_MAXAGE_CONN, MAX_IDLE_S);
    SET(CURLOPT_UPLOAD, 1L);
    SET(CURLOPT_READFUNCTION, on_read);
    SET(CURLOPT_READDATA, smtp);
    SET(CURLOPT_WRITEFUNCTION, on_write);
    SET(CURLOPT_VERBOSE, 1L);
    SET(CURLOPT_DEBUGFUNCTION, on_debug);
    SET(CURLOPT_DEBUGDATA, smtp);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, smtp);
    if (options->ca_file && *options->ca_file)
        SET(CURLOPT_CAINFO, options->ca_file);
    if (options->user && *options->user) {
        SET(CURLOPT_USERNAME, options->user);
        SET(CURLOPT_PASSWORD, options->password ? options->password : "");
    }
#undef SET
    return rc;
}

int smtp_create(const struct smtp_options *options, struct smtp **out_smtp, struct err *err)
{
    bool starttls = false;
    int rc = 0;
    struct smtp *smtp = calloc(1, sizeof *smtp);
    if (!smtp)
        return ERR_NOMEM;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(smtp->curl = curl_easy_init()))
        rc = err_set(err, ERR_NOMEM, NULL, "libcurl does not start");
    if (rc == 0)
        rc = read_url(options, smtp->url, &starttls, err);
    if (rc == 0 && set_options(smtp, options, starttls))
        rc = err_set(err, ERR_UNSUPPORTED, "smtp", "this libcurl lacks SMTP or TLS");
    if (rc < 0) {
        smtp_destroy(&smtp);
        return rc;
    }
    *out_smtp = smtp;
    return 0;
}

void smtp_destroy(struct smtp **smtp)
{
    if (!*smtp)
        return;
    if ((*smtp)->curl) {
        (*smtp)->quitting = true;
        curl_easy_cleanup((*smtp)->curl);
    }
    free(*smtp);
    *smtp = NULL;
}

/* Have we sent as much as we may? To the recipient alone 452 and 454 say nothing so general unless
 * the enhanced code does, as some servers say it there of a mailbox that is full. */
static bool is_quota(const struct smtp_outcome *outcome)
{
    const int *detail = outcome->detail;
    if (outcome->stage < SMTP_SENDER || detail[1] == 2)
        return false;
    if (detail[0] && detail[1] == 4 && detail[2] == 5)
        return true;
    return (outcome->reply == 452 || outcome->reply == 454) &&
           (outcome->stage != SMTP_RECIPIENT || detail[0]);
}

/* What curl's result and the server's last word mean for the mail. */
static int judge(struct smtp *smtp, CURLcode result, struct err *err)
{
    static const char *const stages[] = {
        [SMTP_CONNECT] = "the connection", [SMTP_AUTH] = "the login",
        [SMTP_SENDER] = "our address",     [SMTP_RECIPIENT] = "the recipient",
        [SMTP_CONTENT] = "the message",    [SMTP_TAKEN] = "the message"};
    struct smtp_outcome *outcome = &smtp->outcome;
    outcome->quota = is_quota(outcome);
    if (outcome->quota)
        return err_set(err, ERR_UNAVAILABLE, NULL,
                       "the mail server answered %d to %s: it takes no more for now",
                       outcome->reply, stages[outcome->stage]);
    if (outcome->stage == SMTP_AUTH && outcome->reply >= 500)
        return err_set(err, ERR_DENIED, "smtp-user", "the mail server answered %d to the login",
                       outcome->reply);
    if (outcome->reply >= 400) {
        bool final = outcome->reply >= 500 && outcome->stage >= SMTP_RECIPIENT;
        return err_set(err, final ? ERR_INVALID : ERR_UNAVAILABLE, NULL,
                       "the mail server answered %d to %s", outcome->reply, stages[outcome->stage]);
    }
    if (result == CURLE_LOGIN_DENIED)
        return err_set(err, ERR_DENIED, "smtp-user",
                       "the mail server offers no login that fits ours");
    if (result == CURLE_OPERATION_TIMEDOUT)
        return err_set(err, ERR_TIMEOUT, NULL, "the mail server did not answer in time");
    return err_set(err, ERR_UNAVAILABLE, NULL, "the mail server cannot be used: %s",
                   curl_easy_strerror(result));
}

int smtp_send(struct smtp *smtp, const char *from, const char *to, const void *message, size_t size,
              struct smtp_outcome *out_outcome, struct err *err)
{
    char sender[ADDRESS_SIZE], recipient[ADDRESS_SIZE];
    smtp->message = message;
    smtp->size = size;
    smtp->sent = 0;
    smtp->outcome = (struct smtp_outcome){.stage = SMTP_CONNECT};
    smtp->quitting = false;

    int rc = address_check(from, sender, err);
    if (rc == 0)
        rc = address_check(to, recipient, err);
    struct curl_slist *recipients = rc == 0 ? curl_slist_append(NULL, recipient) : NULL;
    if (rc == 0 && !recipients)
        rc = ERR_NOMEM;
    if (rc == 0 && (curl_easy_setopt(smtp->curl, CURLOPT_MAIL_FROM, sender) ||
                    curl_easy_setopt(smtp->curl, CURLOPT_MAIL_RCPT, recipients)))
        rc = ERR_NOMEM;
    if (rc == 0) {
        CURLcode result = curl_easy_perform(smtp->curl);
        if (result)
            rc = judge(smtp, result, err);
        else
            smtp->outcome.stage = SMTP_TAKEN;
    }
    /* The list must not outlive this call inside the handle. */
    curl_easy_setopt(smtp->curl, CURLOPT_MAIL_RCPT, NULL);
    curl_slist_free_all(recipients);
    if (out_outcome)
        *out_outcome = smtp->outcome;
    return rc;
}

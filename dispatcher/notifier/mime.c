/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/mime.h"

#include "common/address.h"
#include "common/base64.h"
#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAX_HEADER_LINE 78
#define MAX_LINE 998
#define MAX_BODY_LINE 76
#define BASE64_LINE_BYTES 57 /* make 76 characters */
#define MAX_ENCODED_WORD 75
#define MAX_DISPLAY 128

/* The length of the UTF-8 sequence at `text`; 0 where it is none (RFC 3629). */
static size_t utf8_length(const unsigned char *text)
{
    if (text[0] < 0x80)
        return 1;
    size_t length = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] < 0xc2 || text[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool surrogate = text[0] == 0xed && text[1] > 0x9f;
    bool beyond = text[0] == 0xf4 && text[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : length;
}

static int check_text(const char *name, const char *text, bool *out_ascii, struct err *err)
{
    bool ascii = true;
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        size_t length = utf8_length(c);
        if (*c < ' ' || *c == 0x7f || !length)
            return err_set(err, ERR_INVALID, name,
                           "the header %s holds a character that is not text", name);
        ascii = ascii && length == 1;
        c += length;
    }
    *out_ascii = ascii;
    return 0;
}

/* Words of printable ASCII, a new line in front of a word that would reach past the edge. */
static int append_folded(struct buf *out, const char *name, const char *text, struct err *err)
{
    int rc = buf_printf(out, "%s:", name);
    size_t column = strlen(name) + 1;
    while (rc == 0 && *text) {
        size_t blanks = strspn(text, " ");
        size_t word = strcspn(text + blanks, " ");
        if (word + 1 > MAX_LINE)
            return err_set(err, ERR_LIMIT, name,
                           "the header %s has a word of %zu characters; %d fit", name, word,
                           MAX_LINE - 1);
        if (column + 1 + word > MAX_HEADER_LINE && column > strlen(name) + 1) {
            rc = buf_append_text(out, "\r\n");
            column = 0;
        }
        if (rc == 0)
            rc = buf_printf(out, " %.*s", (int)word, text + blanks);
        column += 1 + word;
        text += blanks + word;
    }
    return rc < 0 ? rc : buf_append_text(out, "\r\n");
}

static bool stands_for_itself(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("!*+-/", c) != NULL;
}

/* One encoded word per line: no character is split over two of them (RFC 2047, section 5). The
 * first one stands behind `column` characters: a header that begins with a new line is a rare
 * sight, and not every program reads it well. */
static int append_encoded_words(struct buf *out, size_t column, const char *text)
{
    static const char open[] = "=?utf-8?Q?";
    int rc = buf_append_text(out, open);
    size_t used = column + sizeof open - 1;
    for (const unsigned char *c = (const unsigned char *)text; rc == 0 && *c;) {
        size_t length = utf8_length(c);
        size_t need = stands_for_itself(*c) || *c == ' ' ? 1 : 3 * length;
        if (used + need + 2 > MAX_ENCODED_WORD) {
            rc = buf_printf(out, "?=\r\n %s", open);
            used = sizeof open - 1;
        }
        for (size_t i = 0; rc == 0 && i < length; i++) {
            if (c[i] == ' ')
                rc = buf_append(out, "_", 1);
            else if (stands_for_itself(c[i]))
                rc = buf_append(out, c + i, 1);
            else
                rc = buf_printf(out, "=%02X", c[i]);
        }
        used += need;
        c += length;
    }
    return rc < 0 ? rc : buf_append_text(out, "?=");
}

int mime_append_header(struct buf *out, const char *name, const char *text, struct err *err)
{
    bool ascii = false;
    int rc = check_text(name, text, &ascii, err);
    if (rc < 0)
        return rc;
    if (ascii)
        return append_folded(out, name, text, err);
    rc = buf_printf(out, "%s: ", name);
    if (rc == 0)
        rc = append_encoded_words(out, strlen(name) + 2, text);
    return rc < 0 ? rc : buf_append_text(out, "\r\n");
}

static int append_quoted_string(struct buf *out, const char *text)
{
    int rc = buf_append(out, "\"", 1);
    for (; rc == 0 && *text; text++) {
        if (*text == '"' || *text == '\\')
            rc = buf_append(out, "\\", 1);
        if (rc == 0)
            rc = buf_append(out, text, 1);
    }
    return rc < 0 ? rc : buf_append(out, "\"", 1);
}

int mime_append_mailbox(struct buf *out, const char *name, const char *display, const char *address,
                        struct err *err)
{
    bool ascii = true;
    char plain[ADDRESS_SIZE];
    int rc = address_check(address, plain, err);
    if (rc == 0 && (!display || !*display))
        return buf_printf(out, "%s: <%s>\r\n", name, plain);
    if (rc == 0)
        rc = check_text(name, display, &ascii, err);
    if (rc == 0 && strlen(display) > MAX_DISPLAY)
        rc = err_set(err, ERR_LIMIT, name, "the name in %s is longer than %d bytes", name,
                     MAX_DISPLAY);
    if (rc == 0)
        rc = buf_printf(out, "%s: ", name);
    if (rc == 0)
        rc = ascii ? append_quoted_string(out, display)
                   : append_encoded_words(out, strlen(name) + 2, display);
    return rc < 0 ? rc : buf_printf(out, "\r\n <%s>\r\n", plain);
}

void mime_date(int64_t wall_ms, char out[MIME_DATE_SIZE])
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    snprintf(out, MIME_DATE_SIZE, "%s, %d %s %04d %02d:%02d:%02d +0000", days[tm.tm_wday],
             tm.tm_mday, months[tm.tm_mon], (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min,
             tm.tm_sec);
}

static bool is_literal(unsigned char c, bool ends_line)
{
    if (c == ' ' || c == '\t')
        return !ends_line;
    return c > ' ' && c < 0x7f && c != '=';
}

/* One line of text without its end. */
static int append_qp_line(struct buf *out, const char *text, size_t size)
{
    size_t column = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        bool last = i + 1 == size;
        bool literal = is_literal(c, last);
        /* Room for the soft break's '=' unless the line ends here anyway. */
        if (column + (literal ? 1 : 3) > (size_t)MAX_BODY_LINE - (last ? 0 : 1)) {
            rc = buf_append_text(out, "=\r\n");
            column = 0;
        }
        if (rc == 0)
            rc = literal ? buf_append(out, &c, 1) : buf_printf(out, "=%02X", c);
        column += literal ? 1 : 3;
    }
    return rc < 0 ? rc : buf_append_text(out, "\r\n");
}

int mime_append_quoted_printable(struct buf *out, const char *text, size_t size)
{
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        size_t visible = length && text[at + length - 1] == '\r' && end ? length - 1 : length;
        rc = append_qp_line(out, text + at, visible);
        at += length + (end ? 1 : 0);
    }
    return rc;
}

int mime_append_base64(struct buf *out, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < size; at += BASE64_LINE_BYTES) {
        char line[BASE64_LENGTH(BASE64_LINE_BYTES) + 1];
        size_t now = size - at < BASE64_LINE_BYTES ? size - at : BASE64_LINE_BYTES;
        base64_encode(BASE64_STANDARD, bytes + at, now, line);
        rc = buf_join(out, line, "\r\n", NULL);
    }
    return rc;
}

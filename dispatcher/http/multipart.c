/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/multipart.h"

#include "common/err.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_BOUNDARY 70 /* RFC 2046, 5.1.1 */

enum state {
    IN_DATA,         /* also before the first delimiter, with `preamble` set */
    AFTER_DELIMITER, /* CRLF: another part; "--": the end */
    AFTER_CR,
    AFTER_DASH,
    IN_HEADERS,
    AT_END
};

struct multipart {
    struct multipart_sink sink;
    enum state state;
    bool preamble; /* no part is open: data here is an error */
    char delimiter[4 + MAX_BOUNDARY + 1];
    size_t delimiter_size;
    size_t matched; /* bytes of the delimiter seen and held back */
    int parts;
    char headers[MULTIPART_MAX_HEADER_BYTES + 1];
    size_t headers_size;
    int failure; /* sticky */
};

/* RFC 2045 token characters and those that boundaries may hold in quotes. No control, no quote. */
static bool boundary_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("'()+_,-./:=? ", c));
}

static int read_boundary(const char *content_type, char *out, size_t *out_size, struct err *err)
{
    static const char type[] = "multipart/form-data";
    if (!content_type || strncasecmp(content_type, type, sizeof type - 1) != 0 ||
        (content_type[sizeof type - 1] && !strchr("; \t", content_type[sizeof type - 1])))
        return err_set(err, ERR_UNSUPPORTED, NULL, "not multipart/form-data");
    const char *at = strcasestr(content_type, "boundary=");
    if (!at)
        return err_set(err, ERR_INVALID, NULL, "multipart/form-data has no boundary");
    at += strlen("boundary=");
    bool quoted = *at == '"';
    at += quoted;
    size_t size = quoted ? strcspn(at, "\"") : strcspn(at, "; \t");
    if (size < 1 || size > MAX_BOUNDARY || (quoted && at[size] != '"') || at[size - 1] == ' ')
        return err_set(err, ERR_INVALID, NULL, "the boundary must have 1 to %d characters",
                       MAX_BOUNDARY);
    for (size_t i = 0; i < size; i++)
        if (!boundary_char(at[i]))
            return err_set(err, ERR_INVALID, NULL,
                           "the boundary holds a character that it may not");
    memcpy(out, at, size);
    *out_size = size;
    return 0;
}

int multipart_create(const char *content_type, const struct multipart_sink *sink,
                     struct multipart **out, struct err *err)
{
    char boundary[MAX_BOUNDARY];
    size_t size = 0;
    int rc = read_boundary(content_type, boundary, &size, err);
    if (rc < 0)
        return rc;
    struct multipart *parser = calloc(1, sizeof *parser);
    if (!parser)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a form");
    parser->sink = *sink;
    memcpy(parser->delimiter, "\r\n--", 4);
    memcpy(parser->delimiter + 4, boundary, size);
    parser->delimiter_size = 4 + size;
    parser->state = IN_DATA;
    parser->preamble = true;
    parser->matched = 2; /* the first delimiter stands without its CRLF */
    *out = parser;
    return 0;
}

void multipart_destroy(struct multipart **parser)
{
    free(*parser);
    *parser = NULL;
}

static int syntax(struct err *err, const char *what)
{
    return err_set(err, ERR_INVALID, NULL, "the multipart body is malformed: %s", what);
}

static int give(struct multipart *parser, const char *data, size_t size, struct err *err)
{
    if (size == 0)
        return 0;
    if (parser->preamble)
        return syntax(err, "it does not start with its boundary");
    return parser->sink.data(parser->sink.context, data, size, err);
}

/* Reads `key="value"` or key=value behind a semicolon. True if there was one. */
static bool next_parameter(const char **at, char key[32], char value[MULTIPART_MAX_NAME + 2])
{
    const char *c = *at + strspn(*at, "; \t");
    size_t key_size = strcspn(c, "=; \t");
    if (c[key_size] != '=' || key_size < 1 || key_size > 31)
        return false;
    memcpy(key, c, key_size);
    key[key_size] = 0;
    c += key_size + 1;
    bool quoted = *c == '"';
    c += quoted;
    size_t used = 0;
    while (*c && (quoted ? *c != '"' : !strchr("; \t", *c))) {
        if (quoted && *c == '\\' && c[1])
            c++;
        if (used <= MULTIPART_MAX_NAME) /* one more than allowed shows that it is too long */
            value[used++] = *c;
        c++;
    }
    value[used] = 0;
    if (quoted && *c++ != '"')
        return false;
    *at = c;
    return true;
}

/* Gives the name in "form-data; name=…"; a file's own name is not used for anything. */
static int read_disposition(const char *value, char name[MULTIPART_MAX_NAME + 2], struct err *err)
{
    char key[32], text[MULTIPART_MAX_NAME + 2];
    bool found = false;
    value += strspn(value, " \t");
    if (strncasecmp(value, "form-data", 9) != 0)
        return syntax(err, "a part is not form-data");
    value += 9;
    while (next_parameter(&value, key, text)) {
        if (strcasecmp(key, "name") != 0)
            continue;
        memcpy(name, text, strlen(text) + 1);
        found = true;
    }
    if (value[strspn(value, "; \t")])
        return syntax(err, "a Content-Disposition cannot be read");
    if (!found || !*name)
        return syntax(err, "a part has no name");
    if (strchr(name, '\t')) /* allowed between words, but the sink is promised no controls */
        return syntax(err, "a tab in a part's name");
    if (strlen(name) > MULTIPART_MAX_NAME)
        return err_set(err, ERR_LIMIT, NULL, "a part's name is longer than %d bytes",
                       MULTIPART_MAX_NAME);
    return 0;
}

/* The block of header lines of one part, each ended by CRLF, is complete. */
static int open_part(struct multipart *parser, struct err *err)
{
    char name[MULTIPART_MAX_NAME + 2] = "";
    char *line = parser->headers;
    int rc;
    while (*line) {
        char *end = strstr(line, "\r\n");
        *end = 0;
        for (const char *c = line; *c; c++)
            if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
                return syntax(err, "control characters in a part's headers");
        static const char disposition[] = "Content-Disposition:";
        if (strncasecmp(line, disposition, sizeof disposition - 1) == 0 &&
            (rc = read_disposition(line + sizeof disposition - 1, name, err)) < 0)
            return rc;
        line = end + 2;
    }
    if (!*name)
        return syntax(err, "a part has no Content-Disposition");
    if (++parser->parts > MULTIPART_MAX_PARTS)
        return err_set(err, ERR_LIMIT, NULL, "more than %d parts", MULTIPART_MAX_PARTS);
    parser->headers_size = 0;
    parser->preamble = false;
    parser->state = IN_DATA;
    parser->matched = 0;
    if ((rc = parser->sink.part(parser->sink.context, name, err)) < 0)
        return rc;
    return 0;
}

static int take_header_byte(struct multipart *parser, char c, struct err *err)
{
    if (c == 0)
        return syntax(err, "a zero in a part's headers");
    if (parser->headers_size == MULTIPART_MAX_HEADER_BYTES)
        return err_set(err, ERR_LIMIT, NULL, "a part's headers are longer than %d bytes",
                       MULTIPART_MAX_HEADER_BYTES);
    char *headers = parser->headers;
    headers[parser->headers_size++] = c;
    headers[parser->headers_size] = 0;
    size_t n = parser->headers_size;
    bool line_end = n >= 2 && headers[n - 2] == '\r' && c == '\n';
    if (c == '\n' && !line_end)
        return syntax(err, "a header line without CRLF");
    bool empty_line = line_end && (n == 2 || (n >= 4 && headers[n - 3] == '\n'));
    if (!empty_line)
        return 0;
    headers[n - 2] = 0;
    return open_part(parser, err);
}

static int close_part(struct multipart *parser, struct err *err)
{
    bool open = !parser->preamble;
    parser->preamble = true;
    parser->state = AFTER_DELIMITER;
    parser->matched = 0;
    return open ? parser->sink.end(parser->sink.context, err) : 0;
}

/* Consumes data up to and including what could be a delimiter; returns how many bytes in
 * out_used. A boundary holds no CR, so after a mismatch only the byte at hand can start anew. */
static int take_data(struct multipart *parser, const char *data, size_t size, size_t *out_used,
                     struct err *err)
{
    int rc;
    *out_used = 1;
    if (parser->matched == 0) {
        const char *cr = memchr(data, '\r', size);
        size_t plain = cr ? (size_t)(cr - data) : size;
        *out_used = plain + (cr != NULL);
        parser->matched = cr != NULL;
        return give(parser, data, plain, err);
    }
    if (*data == parser->delimiter[parser->matched]) {
        parser->matched++;
        return parser->matched == parser->delimiter_size ? close_part(parser, err) : 0;
    }
    /* Not a delimiter after all: what was held back is data, and this byte is looked at again. */
    rc = give(parser, parser->delimiter, parser->matched, err);
    parser->matched = 0;
    *out_used = 0;
    return rc;
}

static int take_byte(struct multipart *parser, char c, struct err *err)
{
    switch (parser->state) {
    case AFTER_DELIMITER:
        parser->state = c == '\r' ? AFTER_CR : AFTER_DASH;
        return c == '\r' || c == '-' ? 0 : syntax(err, "bytes behind a boundary");
    case AFTER_CR:
        parser->state = IN_HEADERS;
        parser->headers_size = 0;
        return c == '\n' ? 0 : syntax(err, "a boundary without CRLF");
    case AFTER_DASH:
        parser->state = AT_END;
        return c == '-' ? 0 : syntax(err, "bytes behind a boundary");
    case IN_HEADERS: return take_header_byte(parser, c, err);
    case IN_DATA:
    case AT_END: break; /* an epilogue means nothing */
    }
    return 0;
}

int multipart_feed(struct multipart *parser, const void *data, size_t size, struct err *err)
{
    const char *c = data;
    while (size > 0 && parser->failure == 0) {
        size_t used = 1;
        if (parser->state == IN_DATA)
            parser->failure = take_data(parser, c, size, &used, err);
        else
            parser->failure = take_byte(parser, *c, err);
        c += used;
        size -= used;
    }
    return parser->failure;
}

int multipart_finish(struct multipart *parser, struct err *err)
{
    if (parser->failure)
        return parser->failure;
    if (parser->state != AT_END)
        return err_set(err, ERR_CORRUPT, NULL, "the multipart body ends before its last boundary");
    return 0;
}

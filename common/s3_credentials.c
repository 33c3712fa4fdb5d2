/* SPDX-License-Identifier: MIT */
#include "common/s3_credentials.h"

#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/secret.h"

#include <stdbool.h>
#include <string.h>

#define MAX_FILE 65536

/* A stretch of the text. */
struct span {
    const char *start;
    size_t length;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span span)
{
    while (span.length && is_space(*span.start)) {
        span.start++;
        span.length--;
    }
    while (span.length && is_space(span.start[span.length - 1]))
        span.length--;
    return span;
}

static bool equals(struct span span, const char *text)
{
    return span.length == strlen(text) && memcmp(span.start, text, span.length) == 0;
}

/* The next line that is neither empty nor a comment; false at the end. */
static bool next_line(struct span *rest, struct span *out)
{
    while (rest->length) {
        const char *end = memchr(rest->start, '\n', rest->length);
        size_t length = end ? (size_t)(end - rest->start) : rest->length;
        *out = trim((struct span){rest->start, length});
        rest->start += length + (end ? 1 : 0);
        rest->length -= length + (end ? 1 : 0);
        if (out->length && *out->start != '#' && *out->start != ';')
            return true;
    }
    return false;
}

static int copy(struct span value, char *out, size_t size, const char *name, struct err *err)
{
    bool printable = value.length > 0;
    for (size_t i = 0; i < value.length; i++)
        printable = printable && value.start[i] > ' ' && value.start[i] < 0x7f;
    if (!printable || value.length >= size)
        return err_set(err, ERR_INVALID, NULL,
                       "the %s of the S3 credentials wants 1 to %zu printable characters", name,
                       size - 1);
    memcpy(out, value.start, value.length);
    out[value.length] = 0;
    return 0;
}

/* The two halves of "name = value"; false where there is no '='. */
static bool split(struct span line, struct span *out_name, struct span *out_value)
{
    const char *equals_sign = memchr(line.start, '=', line.length);
    if (!equals_sign)
        return false;
    size_t name_length = (size_t)(equals_sign - line.start);
    *out_name = trim((struct span){line.start, name_length});
    *out_value = trim((struct span){equals_sign + 1, line.length - name_length - 1});
    return true;
}

static int parse_member(struct span name, struct span value, struct s3_credentials *credentials,
                        struct err *err)
{
    if (equals(name, "aws_access_key_id"))
        return copy(value, credentials->access_key, sizeof credentials->access_key, "access key",
                    err);
    if (equals(name, "aws_secret_access_key"))
        return copy(value, credentials->secret_key, sizeof credentials->secret_key, "secret key",
                    err);
    if (equals(name, "aws_session_token"))
        return copy(value, credentials->session_token, sizeof credentials->session_token,
                    "session token", err);
    return 0; /* region, output and what else AWS's tools keep there */
}

static int parse_ini(struct span rest, struct s3_credentials *credentials, struct err *err)
{
    struct span line, name, value;
    bool ours = true;
    int rc = 0;
    while (rc == 0 && next_line(&rest, &line)) {
        if (*line.start == '[')
            ours = equals(line, "[default]");
        else if (ours && split(line, &name, &value))
            rc = parse_member(name, value, credentials, err);
    }
    return rc;
}

/* A secret key may hold '=', so the form is told by the names that only the ini has. */
static bool is_ini(struct span text)
{
    struct span line, name, value;
    while (next_line(&text, &line)) {
        if (*line.start == '[')
            return true;
        if (split(line, &name, &value) && name.length > 4 && memcmp(name.start, "aws_", 4) == 0)
            return true;
    }
    return false;
}

static int parse_lines(struct span rest, struct s3_credentials *credentials, struct err *err)
{
    struct span line;
    int rc = 0;
    for (int number = 0; rc == 0 && next_line(&rest, &line); number++) {
        if (number == 0)
            rc = copy(line, credentials->access_key, sizeof credentials->access_key, "access key",
                      err);
        else if (number == 1)
            rc = copy(line, credentials->secret_key, sizeof credentials->secret_key, "secret key",
                      err);
        else
            rc = err_set(err, ERR_INVALID, NULL, "the S3 credentials have more than two lines");
    }
    return rc;
}

int s3_credentials_parse(const char *text, size_t size, struct s3_credentials *out_credentials,
                         struct err *err)
{
    struct s3_credentials credentials = {.access_key = ""};
    struct span all = {text, size};
    int rc = is_ini(all) ? parse_ini(all, &credentials, err) : parse_lines(all, &credentials, err);
    if (rc == 0 && (!*credentials.access_key || !*credentials.secret_key))
        rc = err_set(err, ERR_INVALID, NULL,
                     "the S3 credentials want an access key and a secret "
                     "key, on two lines or in a section [default]");
    if (rc == 0)
        *out_credentials = credentials;
    s3_credentials_wipe(&credentials);
    return rc;
}

int s3_credentials_load(const char *path, struct s3_credentials *out_credentials, struct err *err)
{
    struct buf file;
    buf_init(&file, MAX_FILE);
    int rc = secret_read_file(path, &file, err);
    if (rc == 0)
        rc = s3_credentials_parse(buf_text(&file), file.size, out_credentials, err);
    secret_wipe_buf(&file);
    buf_fini(&file);
    return rc;
}

void s3_credentials_wipe(struct s3_credentials *credentials)
{
    crypto_wipe(credentials, sizeof *credentials);
}

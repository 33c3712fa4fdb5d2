/* SPDX-License-Identifier: MIT */
#include "common/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

/* The retry policy: one row for each code, indexed by its negation. */
static const struct {
    const char *name;
    enum err_action action;
    int exit_status;
} rows[] = {
    [-ERR_OK] = {"ok", ACTION_NONE, 0},
    [-ERR_NOMEM] = {"no-memory", ACTION_RETRY, EX_OSERR},
    [-ERR_IO] = {"io", ACTION_RETRY, EX_IOERR},
    [-ERR_INVALID] = {"invalid", ACTION_BURY, EX_USAGE},
    [-ERR_LIMIT] = {"limit", ACTION_BURY, EX_DATAERR},
    [-ERR_CORRUPT] = {"corrupt", ACTION_BURY, EX_DATAERR},
    [-ERR_UNSUPPORTED] = {"unsupported", ACTION_BURY, EX_DATAERR},
    [-ERR_NOT_FOUND] = {"not-found", ACTION_BURY, EX_NOINPUT},
    [-ERR_DENIED] = {"denied", ACTION_RETRY, EX_NOPERM},
    [-ERR_CONFLICT] = {"conflict", ACTION_NONE, EX_TEMPFAIL},
    [-ERR_UNAVAILABLE] = {"unavailable", ACTION_RETRY, EX_UNAVAILABLE},
    [-ERR_TIMEOUT] = {"timeout", ACTION_RETRY, EX_TEMPFAIL},
    [-ERR_LOST] = {"lost", ACTION_NONE, EX_TEMPFAIL},
    [-ERR_CANCELLED] = {"cancelled", ACTION_NONE, EX_TEMPFAIL},
    [-ERR_DEVICE] = {"device", ACTION_DIE, 80},
    [-ERR_INTERNAL] = {"internal", ACTION_BURY, EX_SOFTWARE},
    [-ERR_PROTOCOL] = {"protocol", ACTION_DIE, EX_PROTOCOL},
    [-ERR_CHECKSUM] = {"checksum", ACTION_BURY, 81},
    [-ERR_SELF_TEST] = {"self-test", ACTION_BURY, 82},
};

static int row_of(int code)
{
    int row = -code;
    assert(row >= 0 && row < (int)(sizeof rows / sizeof rows[0]));
    return row;
}

static void record(struct err *err, int code, const char *field, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));

static void record(struct err *err, int code, const char *field, const char *format, va_list args)
{
    err->code = code;
    snprintf(err->field, sizeof err->field, "%s", field ? field : "");
    vsnprintf(err->text, sizeof err->text, format, args);
    /* Parts of a text may come from outside: keep it one line. */
    for (char *c = err->text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
}

int err_set(struct err *err, int code, const char *field, const char *format, ...)
{
    assert(code < 0);
    if (err && err->code == 0) {
        va_list args;
        va_start(args, format);
        record(err, code, field, format, args);
        va_end(args);
    }
    return code;
}

static void record_errno(struct err *err, int code, int cause, const char *field,
                         const char *format, va_list args) __attribute__((format(printf, 5, 0)));

static void record_errno(struct err *err, int code, int cause, const char *field,
                         const char *format, va_list args)
{
    record(err, code, field, format, args);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", strerror(cause));
}

int err_set_errno(struct err *err, const char *field, const char *format, ...)
{
    int cause = errno;
    if (err && err->code == 0) {
        va_list args;
        va_start(args, format);
        record_errno(err, ERR_IO, cause, field, format, args);
        va_end(args);
    }
    return ERR_IO;
}

static int code_of(int cause)
{
    switch (cause) {
    case ENOENT:
    case ENOTDIR: return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS: return ERR_DENIED;
    case EADDRINUSE: return ERR_CONFLICT;
    default: return ERR_IO;
    }
}

int err_set_open(struct err *err, const char *field, const char *format, ...)
{
    int cause = errno, code = code_of(cause);
    if (err && err->code == 0) {
        va_list args;
        va_start(args, format);
        record_errno(err, code, cause, field, format, args);
        va_end(args);
    }
    return code;
}

int err_blame(int code, const char *field, struct err *err)
{
    if (code < 0 && err && !err->field[0])
        snprintf(err->field, sizeof err->field, "%s", field);
    return code;
}

const char *err_name(int code)
{
    return rows[row_of(code)].name;
}

enum err_action err_action(int code)
{
    return rows[row_of(code)].action;
}

int err_exit_status(int code)
{
    return rows[row_of(code)].exit_status;
}

/* SPDX-License-Identifier: MIT
 *
 * Error codes and the one-line explanation that travels with them.
 *
 *     int png_open(const char *path, struct png **out, struct err *err)
 *     {
 *         ...
 *         return err_set(err, ERR_CORRUPT, "input", "the PNG ends after %zu bytes", n);
 *     }
 *
 * Functions return 0 or one of the negative codes below. Where several causes matter the last
 * parameter is a nullable `struct err *`; the first writer wins, so the innermost cause survives.
 * What to do about a code is data: err_action(). A struct err belongs to one thread. */
#ifndef DARKROOM_COMMON_ERR_H
#define DARKROOM_COMMON_ERR_H

#include <stdbool.h>

enum err_code {
    ERR_OK = 0,
    ERR_NOMEM = -1,        /* memory ran out, on the host or on the device */
    ERR_IO = -2,           /* a system call failed; errno is in the text */
    ERR_INVALID = -3,      /* the outside world sent something that breaks a rule */
    ERR_LIMIT = -4,        /* well-formed, but larger or more than is allowed */
    ERR_CORRUPT = -5,      /* a file or record that is cut off or contradicts itself */
    ERR_UNSUPPORTED = -6,  /* well-formed, but a kind that we do not handle */
    ERR_NOT_FOUND = -7,    /* no such job, model, object or file */
    ERR_DENIED = -8,       /* a wrong token, signature or right */
    ERR_CONFLICT = -9,     /* the state does not allow this transition */
    ERR_UNAVAILABLE = -10, /* a server is away or overloaded: later it may work */
    ERR_TIMEOUT = -11,     /* no answer within the deadline: later it may work */
    ERR_LOST = -12,        /* the lease went to somebody else: drop the work silently */
    ERR_CANCELLED = -13,   /* the owner of the job asked to stop */
    ERR_DEVICE = -14,      /* the GPU is unusable: this process must end */
    ERR_INTERNAL = -15,    /* an invariant of ours was found broken at run time */
    ERR_PROTOCOL = -16,    /* the data are of a version that this program may not touch */
    ERR_CHECKSUM = -17,    /* a file is whole and another one than was meant */
    ERR_SELF_TEST = -18    /* a model does not draw what it should; the device is well */
};

/* What the owner of a job does with a failure. */
enum err_action {
    ACTION_NONE,  /* success, or nothing to report (lost, cancelled) */
    ACTION_RETRY, /* back to the queue after a backoff */
    ACTION_BURY,  /* would fail the same way again: fail the job now */
    ACTION_DIE    /* this process cannot go on; the lease brings the job back */
};

struct err {
    int code;
    char field[48]; /* the input field, option or tensor at fault; "" where none is */
    char text[256]; /* one line for a person, no newline, no secrets */
};

/* Records `code`, `field` (borrowed, may be NULL) and the text unless `err` already holds an
 * error; `err` may be NULL. Returns `code`, so that it can end a function. */
int err_set(struct err *err, int code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Like err_set() with ": strerror(errno)" appended; returns ERR_IO. */
int err_set_errno(struct err *err, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for what has to be opened or made: ERR_NOT_FOUND where it is not there, ERR_DENIED where
 * we may not, ERR_CONFLICT where somebody else has it, else ERR_IO. */
int err_set_open(struct err *err, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A file that cannot be read says so; which option named it, only the caller knows. Returns `code`.
 */
int err_blame(int code, const char *field, struct err *err);

/* Short stable name, as in logs and dead letters: "corrupt", "unavailable". Static storage. */
const char *err_name(int code);

enum err_action err_action(int code);

/* Exit status of a program that ends with this code (sysexits where one fits). */
int err_exit_status(int code);

#endif

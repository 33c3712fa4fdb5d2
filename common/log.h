/* SPDX-License-Identifier: MIT
 *
 * One `key=value` line per event on standard error.
 *
 *     log_event(LOG_INFO, "job.done", "job", LOG_S, public_id, "ms", LOG_I, (int64_t)ms, NULL);
 *
 *     → 2026-01-05T10:11:12.345Z info worker job.done job=6f… ms=412
 *
 * Values that hold spaces, quotes or control characters are quoted and escaped, so that nothing
 * from outside can forge a line. Never pass payloads, e-mail addresses or secrets.
 * Only programs log above debug; library folders return codes. Safe from any thread: a line is
 * one write(2), or part of one after log_gather(). */
#ifndef DARKROOM_COMMON_LOG_H
#define DARKROOM_COMMON_LOG_H

#include <stdint.h>

struct err;

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* The type tag in front of each value. */
enum log_type {
    LOG_S = 1, /* const char *, NULL prints as "-" */
    LOG_I,     /* int64_t */
    LOG_F      /* double, three decimals */
};

/* Names the program in every line and drops lines below `level`. Call once, before threads.
 * `program` is borrowed for the life of the process. */
void log_init(const char *program, enum log_level level);
/* Another level from now on. Any thread. */
void log_set_level(enum log_level level);
/* "debug", "info", "warn" or "error"; else ERR_INVALID with the field "log". */
int log_level_parse(const char *name, enum log_level *out_level, struct err *err);

/* From now on lines below a warning wait for log_flush(), for a warning or for a full buffer: a
 * loop that handles many requests in a turn writes once. A crash loses the lines of one turn. */
void log_gather(void);
/* Writes what waits. Harmless where nothing does. */
void log_flush(void);

/* `event` is dotted lower case. Then triples (key, LOG_x, value), ended by NULL. */
void log_event(enum log_level level, const char *event, ...) __attribute__((sentinel));

#endif

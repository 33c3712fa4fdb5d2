/* SPDX-License-Identifier: MIT
 *
 * SIGHUP: the program reads its configuration again and takes over what may change while it runs.
 *
 *     reload_init();                                   // in main, beside stop_init()
 *     ... reload_fd() is readable: ...
 *     if (reload_take()) {
 *         rc = ...;                                    // all of it, or nothing
 *         reload_tell(rc, fixed, &err);
 *     }
 *
 * reload_tell() logs how it went and keeps it for the figures:
 * darkroom_config_last_reload_successful and …_success_timestamp_seconds, by which Prometheus' own
 * programs call theirs. The start counts as a success. Main thread; the figures from any. */
#ifndef DARKROOM_COMMON_RELOAD_H
#define DARKROOM_COMMON_RELOAD_H

#include <stdbool.h>

struct buf;
struct err;

void reload_init(void);

/* Readable (poll, epoll) once a reload was asked for, until reload_take(). */
int reload_fd(void);
/* True once for all signals that came since. Tells the supervisor that it begins. */
bool reload_take(void);

/* `fixed`: the options that have changed and want a restart, separated by commas, or "". */
void reload_tell(int rc, const char *fixed, const struct err *err);

/* Appends the two figures. */
int reload_write_metrics(struct buf *out);

#endif

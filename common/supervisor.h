/* SPDX-License-Identifier: MIT
 *
 * Tells the supervisor how we are, where there is one that wants to know: the datagrams of
 * sd_notify(3) over the socket that NOTIFY_SOCKET names. Without it nothing here does anything.
 *
 *     supervisor_init();                          // in main, before threads
 *     ...
 *     supervisor_ready();
 *     while (!stop_requested()) {
 *         if (supervisor_due(now_ms))
 *             supervisor_beat(now_ms, "%u connections", count);
 *         wait until earlier(next_ms, supervisor_next_ms());
 *     }
 *     supervisor_stopping();
 *
 * A beat is WATCHDOG=1 with a line for `systemctl status`, at half of what WATCHDOG_USEC allows and
 * every ten seconds at least. It comes from the loop that does the work, so a loop that hangs is
 * seen. Nothing here waits: a datagram that the supervisor does not take at once is sent anew a
 * second later. Main thread. */
#ifndef DARKROOM_COMMON_SUPERVISOR_H
#define DARKROOM_COMMON_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

/* Takes the variables out of the environment, so that no child speaks for us. */
void supervisor_init(void);

/* The service does its work from now on; said with the next beat, which is due at once. */
void supervisor_ready(void);

/* It goes, and has begun to; beats go on until it is gone. */
void supervisor_stopping(void);

/* When the next beat is due; INT64_MAX where nobody listens. */
int64_t supervisor_next_ms(void);
bool supervisor_due(int64_t now_ms);
void supervisor_beat(int64_t now_ms, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

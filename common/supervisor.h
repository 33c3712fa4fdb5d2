/* SPDX-License-Identifier: MIT
 *
 * How we are: told to the supervisor, where there is one that wants to know, by the datagrams of
 * sd_notify(3) over the socket that NOTIFY_SOCKET names, and kept for probes (metrics_server.h).
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
 * second later. Main thread, but for what probes ask. */
#ifndef DARKROOM_COMMON_SUPERVISOR_H
#define DARKROOM_COMMON_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

/* Takes the variables out of the environment, so that no child speaks for us. */
void supervisor_init(void);

/* The service does its work from now on; said with the next beat, which is due at once. */
void supervisor_ready(void);

/* The configuration is read again; then the service goes on as before, whatever came of it. */
void supervisor_reloading(void);
void supervisor_reloaded(void);

/* It goes, and has begun to; beats go on until it is gone. */
void supervisor_stopping(void);

int64_t supervisor_next_ms(void);
bool supervisor_due(int64_t now_ms);
void supervisor_beat(int64_t now_ms, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- for probes: any thread ----------------------------------------------------------------- */

#define SUPERVISOR_PATIENCE_MS 30000

/* For how long no beat may come before a probe hears that the loop hangs. */
void supervisor_patience(int64_t ms);

/* From supervisor_ready() to supervisor_stopping(). */
bool supervisor_is_ready(void);
/* False: the last beat is too long ago. Before the first one, while we start, nobody knows. */
bool supervisor_is_alive(int64_t now_ms);

#endif

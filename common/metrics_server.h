/* SPDX-License-Identifier: MIT
 *
 * Lets Prometheus fetch the figures of a program that serves nothing else, and probes ask how it
 * is.
 *
 *     rc = metrics_server_start("127.0.0.1:9464", metrics, refresh, context, &server, &err);
 *     metrics_server_stop(&server);
 *
 * GET /metrics, /healthz (503 once the loop that does the work is silent for too long) and /readyz
 * (200 from supervisor_ready() to supervisor_stopping(), else 503), and nothing more; in clear, for
 * whoever can reach the address: keep it on loopback or in a network of your own. One connection at
 * a time, each closed after its answer; who is slow is cut off after two seconds. A thread of its
 * own, so that the program is never held up. */
#ifndef DARKROOM_COMMON_METRICS_SERVER_H
#define DARKROOM_COMMON_METRICS_SERVER_H

#include <stdint.h>

struct err;
struct metrics;
struct metrics_server;

/* `refresh` (nullable) is called by the server's thread before each answer, to set gauges.
 * `metrics` and `context` are borrowed until the stop. `address` as for listen_open(), with the
 * field "metrics". */
int metrics_server_start(const char *address, struct metrics *metrics,
                         void (*refresh)(void *context), void *context,
                         struct metrics_server **out_server, struct err *err);
void metrics_server_stop(struct metrics_server **server); /* harmless on NULL */

uint16_t metrics_server_port(const struct metrics_server *server);

#endif

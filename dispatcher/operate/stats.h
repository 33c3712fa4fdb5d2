/* SPDX-License-Identifier: MIT
 *
 * GET /v1/stats: how many jobs have finished, and how fast. Open to everybody, and polled by every
 * page that shows the counter; so Redis is asked at most about once a second, whoever asks us.
 *
 *     rc = stats_create(&stats);
 *     stats_get(dispatcher, call);     // the route
 *
 * Loop's thread only. */
#ifndef DARKROOM_DISPATCHER_OPERATE_STATS_H
#define DARKROOM_DISPATCHER_OPERATE_STATS_H

struct dispatcher;
struct stats;

int stats_create(struct stats **out);
void stats_destroy(struct stats **stats);

#endif

/* SPDX-License-Identifier: MIT
 *
 * All nodes of a cluster behind one redis_async. Only common/redis*.c include this.
 *
 * There is a link to each master that serves a slot in use. The map of slots is asked for at the
 * start, when a node says MOVED, and while a slot in use is nobody's or its master is silent, of
 * any node that answers. A command that is redirected is sent again, at once where the other node
 * is connected and else when it is, for up to two seconds. One thread. */
#ifndef DARKROOM_COMMON_REDIS_CLUSTER_H
#define DARKROOM_COMMON_REDIS_CLUSTER_H

#include "common/redis_async.h"

struct redis_cluster;

/* Links put themselves on `epoll_fd` as in redis_link.h. `target` is borrowed. */
int redis_cluster_create(const struct redis_target *target, int epoll_fd,
                         struct redis_cluster **out_cluster, struct err *err);
void redis_cluster_destroy(struct redis_cluster **cluster); /* NULL is fine */
void redis_cluster_set_timeout(struct redis_cluster *cluster, int64_t timeout_ms);

/* As the functions of redis_async.h of the same names. */
int redis_cluster_send(struct redis_cluster *cluster, const struct redis_command *command,
                       redis_async_done *done, void *data);
int64_t redis_cluster_tick(struct redis_cluster *cluster, int64_t now_ms);
void redis_cluster_flush(struct redis_cluster *cluster);
bool redis_cluster_connected(const struct redis_cluster *cluster);
size_t redis_cluster_pending(const struct redis_cluster *cluster);
const char *redis_cluster_reason(const struct redis_cluster *cluster);
void redis_cluster_use(struct redis_cluster *cluster, int slot);
bool redis_cluster_reaches(const struct redis_cluster *cluster, int slot);

#endif

/* SPDX-License-Identifier: MIT
 *
 * One connection to one server inside an epoll loop: what redis_async.h is made of. Only
 * common/redis*.c include this.
 *
 * The contract is that of redis_async.h for a single server. A link is never destroyed from inside
 * one of its own callbacks. One thread. */
#ifndef DARKROOM_COMMON_REDIS_LINK_H
#define DARKROOM_COMMON_REDIS_LINK_H

#include "common/redis_async.h"

struct redis_address;
struct redis_link;

/* Events carry `epoll_tag`, or with NULL the link itself. `target` is a REDIS_ONE. */
int redis_link_create(const struct redis_target *target, int epoll_fd, void *epoll_tag,
                      struct redis_link **out_link, struct err *err);
void redis_link_destroy(struct redis_link **link); /* NULL is fine */

void redis_link_set_timeout(struct redis_link *link, int64_t timeout_ms);

enum redis_link_flags {
    REDIS_LINK_KEPT = 1,  /* the command stays as it is until `done`: no copy is needed */
    REDIS_LINK_ASKING = 2 /* behind ASKING */
};
int redis_link_send(struct redis_link *link, const struct redis_command *command, unsigned flags,
                    redis_async_done *done, void *data);
void redis_link_handle(struct redis_link *link, uint32_t events);
int64_t redis_link_tick(struct redis_link *link, int64_t now_ms);
void redis_link_flush(struct redis_link *link);

bool redis_link_ready(const struct redis_link *link);
size_t redis_link_pending(const struct redis_link *link);
const char *redis_link_reason(const struct redis_link *link);
const struct redis_address *redis_link_address(const struct redis_link *link);
/* Since when the oldest waiting command has been waiting in vain; INT64_MAX: none waits. */
int64_t redis_link_silent_ms(const struct redis_link *link);

#endif

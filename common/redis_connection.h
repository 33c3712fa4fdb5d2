/* SPDX-License-Identifier: MIT
 *
 * A synchronous connection to one server: what the calls of redis.h are made of. Only
 * common/redis*.c include this.
 *
 * All functions use `wire`, memory that is kept between commands. One thread. */
#ifndef DARKROOM_COMMON_REDIS_CONNECTION_H
#define DARKROOM_COMMON_REDIS_CONNECTION_H

#include "common/redis.h"

struct redisContext;
struct ssl_st;

struct redis_connection {
    struct redis_connection *next;
    struct redis_target target;   /* a REDIS_ONE */
    struct redisContext *context; /* owned; NULL while disconnected */
    struct ssl_st *session;       /* the context's; NULL without TLS */
    int64_t timeout_ms;           /* that the socket has now; 0: none was set */
    int64_t functions_ms; /* until then scripts go by their hash: functions are not to be had */
    bool may_not_load;    /* functions: others may have loaded them by then */
};

/* Connects and shakes hands where that was not done. ERR_UNAVAILABLE, ERR_DENIED, ERR_NOMEM. */
int redis_connection_open(struct redis_connection *connection, struct buf *wire, int64_t timeout_ms,
                          struct err *err);
void redis_connection_close(struct redis_connection *connection); /* may be closed already */

/* Sends commands, behind ASKING where that is wanted, on a connection that is open, and those whose
 * script the server does not know once more in another form. All of out_replies are set, or none,
 * and then the connection is closed: ERR_UNAVAILABLE, ERR_TIMEOUT; or ERR_NOMEM, ERR_LIMIT. */
int redis_connection_exchange(struct redis_connection *connection, struct buf *wire,
                              const struct redis_command *const *commands, size_t count,
                              bool asking, int64_t timeout_ms, struct redis_reply **out_replies,
                              struct err *err);

#endif

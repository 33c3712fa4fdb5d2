/* SPDX-License-Identifier: MIT
 *
 * TLS between hiredis and a server, where the build has hiredis_ssl; else redis_tls_absent.c stands
 * in, and redis_target_init() refuses rediss://. Only common/redis*.c and tests include this.
 *
 *     rc = redis_tls_open(&redis->target, &err);      // the copy that connections are made from
 *     rc = redis_tls_start(&target, context, &session, &err);            // right after the connect
 *     redis_tls_forget(session); ... hiredis reads and writes ... redis_tls_reason(session, ...);
 *     redis_tls_close(&redis->target);                                   // after the connections
 *
 * hiredis owns the session and frees it with its context. One thread for each session. */
#ifndef DARKROOM_COMMON_REDIS_TLS_H
#define DARKROOM_COMMON_REDIS_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct redisContext;
struct redis_target;
struct ssl_st;

bool redis_tls_built_in(void);

/* Reads the target's files into target->tls. 0 and nothing where the target is without TLS. */
int redis_tls_open(struct redis_target *target, struct err *err);
void redis_tls_close(struct redis_target *target); /* harmless on one that was not opened */

/* Shakes hands; of a context that does not block only begins to: the rest happens inside hiredis'
 * handlers, and the first answer proves it. ERR_DENIED: the server's certificate is refused;
 * ERR_UNAVAILABLE, ERR_NOMEM. The session is borrowed from the context. */
int redis_tls_start(const struct redis_target *target, struct redisContext *context,
                    struct ssl_st **out_session, struct err *err);

/* Both do nothing with a NULL session. What hiredis says of a failure of TLS is errno's text. */
void redis_tls_forget(const struct ssl_st *session);
bool redis_tls_reason(const struct ssl_st *session, char *out, size_t size);
/* Adds to `text` what may be behind a connection that breaks before its first answer: a server that
 * refuses us says so in a message that may never arrive. */
void redis_tls_guess(const struct redis_target *target, char *text, size_t size);
#define REDIS_TLS_SILENCE "no TLS handshake in time: does this port speak TLS?"

#endif

/* SPDX-License-Identifier: MIT
 *
 * Many HTTP requests at once from one thread, so that a server that takes its time holds up nobody
 * but those who wait for it.
 *
 *     rc = http_pool_create(&options, 256, &pool, &err);
 *     if (http_pool_free_slots(pool) > 0)
 *         rc = http_pool_send(pool, &request, MAX_ANSWER, on_done, data, &err);
 *     http_pool_wait(pool, fds, 2, 1000);        // moves everything; on_done is called in here
 *     http_pool_destroy(&pool);
 *
 * Each request is one of http_client.h with the same limits and codes. There are no queues: what
 * does not find a free slot is the caller's to keep. One thread. */
#ifndef DARKROOM_COMMON_HTTP_CLIENT_POOL_H
#define DARKROOM_COMMON_HTTP_CLIENT_POOL_H

#include "common/http_client.h"

struct http_pool;

/* What became of a request; everything is borrowed for the call. May send others. */
typedef void http_pool_done(int rc, const struct http_response *response, const struct err *err,
                            void *data);

int http_pool_create(const struct http_client_options *options, size_t slots,
                     struct http_pool **out_pool, struct err *err);
/* Requests under way are dropped; their callbacks run with ERR_CANCELLED. */
void http_pool_destroy(struct http_pool **pool);

size_t http_pool_free_slots(const struct http_pool *pool);
size_t http_pool_busy_slots(const struct http_pool *pool);

/* Begins a request; URL, headers and body are copied, callbacks in it are not allowed. The answer's
 * body is kept up to max_body bytes. `done` is called exactly once iff this returns 0, never
 * inside. ERR_UNAVAILABLE: no slot is free; ERR_INVALID: URL or header; ERR_NOMEM. */
int http_pool_send(struct http_pool *pool, const struct http_request *request, size_t max_body,
                   http_pool_done *done, void *data, struct err *err);

/* Moves what can be moved, and waits until something happened, one of the descriptors is readable,
 * or timeout_ms are over. */
int http_pool_wait(struct http_pool *pool, const int *fds, size_t fd_count, int64_t timeout_ms);

#endif

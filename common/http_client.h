/* SPDX-License-Identifier: MIT
 *
 * HTTP requests to other machines; the home of libcurl for HTTP.
 *
 *     struct http_client *client = NULL;
 *     struct http_response response;
 *     rc = http_client_create(&(struct http_client_options){.total_timeout_ms = 30000}, &client);
 *     http_response_init(&response, MAX_INPUT_BYTES);
 *     rc = http_client_send(client, &(struct http_request){.method = HTTP_GET, .url = url},
 *                           &response, &err);
 *     http_response_fini(&response);
 *     http_client_destroy(&client);
 *
 * A client keeps its connections open between requests, so use one again. Only http and https
 * are spoken; redirects are followed only where a request allows it, and proxies of the
 * environment are used only where the options say so. Every wait ends: connecting, the whole
 * request, and a transfer that all but stands still.
 *
 * What an answer means, whatever the server:
 *     2xx 0 · 3xx ERR_UNSUPPORTED · 401, 403 ERR_DENIED · 404, 410 ERR_NOT_FOUND · 409 ERR_CONFLICT
 *     408 ERR_TIMEOUT · 413 ERR_LIMIT · 429, 5xx ERR_UNAVAILABLE · other 4xx ERR_INVALID
 * and where there is none: ERR_UNAVAILABLE (refused, reset, no such host, TLS), ERR_TIMEOUT,
 * ERR_LIMIT (answer larger than its buffer), ERR_CANCELLED (the callback said so), ERR_DENIED (an
 * address that only_public_or forbids).
 *
 * A client belongs to one thread at a time. */
#ifndef DARKROOM_COMMON_HTTP_CLIENT_H
#define DARKROOM_COMMON_HTTP_CLIENT_H

#include "common/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct http_client;

/* PURGE is what caches understand (Varnish, Squid, Fastly). */
enum http_method { HTTP_GET, HTTP_HEAD, HTTP_PUT, HTTP_POST, HTTP_PATCH, HTTP_DELETE, HTTP_PURGE };

/* Zeros stand for the defaults. Texts are borrowed for the call of create(). */
struct http_client_options {
    int64_t connect_timeout_ms; /* 5000 */
    int64_t total_timeout_ms;   /* 60000; for one request, connecting included */
    int64_t stall_timeout_ms;   /* 15000; below 1 KiB/s for so long is a timeout */
    const char *ca_file;        /* certificates to trust; NULL: the system's */
    bool use_environment_proxy; /* honour http_proxy and its kin */
    bool https_only;
    /* Not NULL: only to addresses of the public internet and to those in this set (network.h),
     * judged when a socket opens, whatever the name resolved to. Never through a proxy. Borrowed
     * for the life of the client. */
    const struct network_set *only_public_or;
};

struct http_header {
    const char *name, *value;
};

/* All pointers are borrowed for the call of send(). */
struct http_request {
    enum http_method method;
    const char *url;
    const struct http_header *headers; /* CR, LF or control characters in one: ERR_INVALID */
    size_t header_count;
    const void *body; /* PUT, POST and PATCH only */
    size_t body_size;
    int64_t total_timeout_ms; /* 0: the client's; negative: none, nor a stall limit (events) */
    int max_redirects;        /* 0: a redirect is an answer like others, see above */
    int64_t resume_at;        /* GET: from this byte on; where the server gives the whole all the
                                 same, ERR_UNSUPPORTED with status 200, before any data */

    /* Called often, at least once a second; anything but 0 ends the request. May be NULL. */
    int (*on_progress)(void *context, int64_t sent_bytes, int64_t received_bytes);
    /* Gets the body of a 2xx piece by piece instead of the response's buffer; anything but 0 ends
     * the request. May be NULL. */
    int (*on_data)(void *context, const void *data, size_t size);
    void *context;
};

struct http_response {
    int status;             /* 0: none arrived */
    struct buf body;        /* also of a refusal, up to its limit */
    int64_t content_length; /* as announced (HEAD); -1: unknown */
    int64_t retry_after_s;  /* -1: none */
    char content_type[128]; /* "" where none */
    char location[2048];    /* "" where none */
    char etag[72];          /* as sent; "" where none, or where it is longer */
};

/* The body may grow to max_bytes. fini() is harmless twice. */
void http_response_init(struct http_response *response, size_t max_bytes);
void http_response_fini(struct http_response *response);

int http_client_create(const struct http_client_options *options, struct http_client **out_client,
                       struct err *err);
void http_client_destroy(struct http_client **client);

/* Sends and waits. `response` must be initialised; what it held is overwritten. Its status and
 * headers are filled also when a refusal returns an error. The error's text names the host and
 * the status, never the path or query, where a signature may stand. */
int http_client_send(struct http_client *client, const struct http_request *request,
                     struct http_response *response, struct err *err);

#endif

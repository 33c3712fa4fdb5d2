/* SPDX-License-Identifier: MIT
 *
 * An HTTP server on loopback that answers as a test tells it, byte for byte: for what a well-kept
 * server would never send.
 *
 *     static enum stub_next answer(const struct stub_request *request, struct buf *out, void *c)
 *     { buf_printf(out, "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"); return STUB_KEEP; }
 *     struct http_stub *stub = http_stub_start(answer, NULL);
 *     ... http_stub_url(stub) ...
 *     http_stub_stop(&stub);
 *
 * One thread serves one connection after the other; the handler runs in it. */
#ifndef DARKROOM_TESTS_HTTP_STUB_H
#define DARKROOM_TESTS_HTTP_STUB_H

#include "common/buf.h"

struct http_stub;

struct stub_request {
    const char *head; /* request line and headers, up to and with the empty line */
    const unsigned char *body;
    size_t body_size;
};

enum stub_next {
    STUB_KEEP,  /* send, wait for the next request on this connection */
    STUB_CLOSE, /* send, close */
    STUB_HANG,  /* send, then stay silent until the client leaves */
    STUB_RESET  /* send, then break the connection off: the client sees a reset */
};

typedef enum stub_next stub_handler(const struct stub_request *request, struct buf *out,
                                    void *context);

/* Aborts the test program where the socket cannot be made. */
struct http_stub *http_stub_start(stub_handler *handler, void *context);
void http_stub_stop(struct http_stub **stub);

/* "http://127.0.0.1:PORT", borrowed. */
const char *http_stub_url(const struct http_stub *stub);

/* How many connections were accepted and how many requests answered so far. */
int http_stub_connections(struct http_stub *stub);
int http_stub_requests(struct http_stub *stub);

#endif

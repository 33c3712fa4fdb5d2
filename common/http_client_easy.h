/* SPDX-License-Identifier: MIT
 *
 * One request of one handle of libcurl: what http_client.c and http_client_pool.c share, and nobody
 * else includes. A handle stands as void *, so that curl's header stays in their sources.
 *
 *     rc = http_easy_begin(&easy, curl, &options, &request, &response, &err);
 *     ... perform ...
 *     rc = http_easy_end(&easy, curl_code, &err);     // also frees what begin made
 *
 * One thread. */
#ifndef DARKROOM_COMMON_HTTP_CLIENT_EASY_H
#define DARKROOM_COMMON_HTTP_CLIENT_EASY_H

#include "common/http_client.h"

struct network_set;

/* All pointers are borrowed until end(); the struct must not move meanwhile. */
struct http_easy {
    void *curl;
    const struct http_client_options *options;
    const struct http_request *request;
    struct http_response *response;
    void *headers; /* owned list of curl's */
    int broken;    /* what a callback of ours refused with; 0 */
    bool guarded;  /* an address was refused by options->only_public */
    char detail[256];
};

int http_easy_init_library(struct err *err);

int http_easy_begin(struct http_easy *easy, void *curl, const struct http_client_options *options,
                    const struct http_request *request, struct http_response *response,
                    struct err *err);

/* `failure` is a CURLcode. Fills the response, and judges as http_client.h says. */
int http_easy_end(struct http_easy *easy, int failure, struct err *err);

#endif

/* SPDX-License-Identifier: MIT */
#include "common/http_client_pool.h"

#include "common/err.h"
#include "common/http_client_easy.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WAIT_FDS 8
#define BUFFER_BYTES (16 * 1024L) /* of one of many */

struct slot {
    CURL *curl; /* owned; NULL until first used */
    bool busy;
    struct http_easy easy;
    struct http_request request; /* its URL is owned, its headers and body are curl's copies */
    struct http_response response;
    http_pool_done *done;
    void *data;
};

struct http_pool {
    CURLM *multi; /* owned */
    struct http_client_options options;
    char *ca_file; /* owned */
    size_t slot_count, busy;
    struct slot slots[];
};

int http_pool_create(const struct http_client_options *options, size_t slots,
                     struct http_pool **out_pool, struct err *err)
{
    int rc = http_easy_init_library(err);
    if (rc < 0)
        return rc;
    struct http_pool *pool = calloc(1, sizeof *pool + slots * sizeof pool->slots[0]);
    if (!pool)
        return ERR_NOMEM;
    pool->slot_count = slots;
    pool->options = *options;
    pool->multi = curl_multi_init();
    if (options->ca_file)
        pool->ca_file = strdup(options->ca_file);
    pool->options.ca_file = pool->ca_file;
    if (!pool->multi || (options->ca_file && !pool->ca_file)) {
        http_pool_destroy(&pool);
        return ERR_NOMEM;
    }
    curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, (long)slots);
    *out_pool = pool;
    return 0;
}

/* The slot is free again before the callback, which may use it. */
static void finish(struct http_pool *pool, struct slot *slot, int rc, const struct err *err)
{
    struct http_response response = slot->response;
    free((void *)(uintptr_t)slot->request.url);
    slot->request = (struct http_request){.url = NULL};
    slot->busy = false;
    pool->busy--;
    slot->done(rc, &response, err, slot->data);
    http_response_fini(&response);
}

void http_pool_destroy(struct http_pool **slot)
{
    struct http_pool *pool = *slot;
    *slot = NULL;
    if (!pool)
        return;
    for (size_t i = 0; i < pool->slot_count; i++) {
        struct slot *one = &pool->slots[i];
        if (one->busy) {
            struct err err = {0};
            curl_multi_remove_handle(pool->multi, one->curl);
            http_easy_end(&one->easy, CURLE_ABORTED_BY_CALLBACK, NULL);
            err_set(&err, ERR_CANCELLED, NULL, "we stop");
            finish(pool, one, ERR_CANCELLED, &err);
        }
        curl_easy_cleanup(one->curl);
    }
    curl_multi_cleanup(pool->multi);
    free(pool->ca_file);
    free(pool);
}

size_t http_pool_busy_slots(const struct http_pool *pool)
{
    return pool->busy;
}

size_t http_pool_free_slots(const struct http_pool *pool)
{
    return pool->slot_count - pool->busy;
}

static struct slot *find_slot(struct http_pool *pool)
{
    for (size_t i = 0; i < pool->slot_count; i++) {
        struct slot *slot = &pool->slots[i];
        if (slot->busy)
            continue;
        if (!slot->curl)
            slot->curl = curl_easy_init();
        return slot->curl ? slot : NULL;
    }
    return NULL;
}

int http_pool_send(struct http_pool *pool, const struct http_request *request, size_t max_body,
                   http_pool_done *done, void *data, struct err *err)
{
    assert(!request->on_data && !request->on_progress);
    struct slot *slot = find_slot(pool);
    char *url = strdup(request->url);
    if (!slot || !url) {
        free(url);
        return err_set(err, slot ? ERR_NOMEM : ERR_UNAVAILABLE, NULL, "no slot is free");
    }
    slot->request = *request;
    slot->request.url = url;
    slot->done = done;
    slot->data = data;
    http_response_init(&slot->response, max_body);
    int rc = http_easy_begin(&slot->easy, slot->curl, &pool->options, &slot->request,
                             &slot->response, err);
    if (rc < 0) {
        free(url);
        return rc;
    }
    /* Curl's own copy, after the size that begin() has set: the caller's goes away. */
    if (request->body_size &&
        curl_easy_setopt(slot->curl, CURLOPT_COPYPOSTFIELDS, request->body) != CURLE_OK)
        rc = ERR_NOMEM;
    curl_easy_setopt(slot->curl, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    curl_easy_setopt(slot->curl, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES);
    slot->request.headers = NULL;
    slot->request.header_count = 0;
    slot->request.body = NULL;
    curl_easy_setopt(slot->curl, CURLOPT_PRIVATE, slot);
    if (rc == 0 && curl_multi_add_handle(pool->multi, slot->curl) != CURLM_OK)
        rc = ERR_INTERNAL;
    if (rc < 0) {
        http_easy_end(&slot->easy, CURLE_OUT_OF_MEMORY, NULL);
        free(url);
        return err_set(err, rc, NULL, "libcurl takes no request");
    }
    slot->busy = true;
    pool->busy++;
    return 0;
}

static void collect(struct http_pool *pool)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(pool->multi, &left))) {
        struct slot *slot = NULL;
        struct err err = {0};
        CURLcode result = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
        /* After this `message` is gone. */
        curl_multi_remove_handle(pool->multi, slot->curl);
        int rc = http_easy_end(&slot->easy, (int)result, &err);
        finish(pool, slot, rc, &err);
    }
}

int http_pool_wait(struct http_pool *pool, const int *fds, size_t fd_count, int64_t timeout_ms)
{
    struct curl_waitfd extra[MAX_WAIT_FDS];
    int running = 0;
    assert(fd_count <= MAX_WAIT_FDS);
    for (size_t i = 0; i < fd_count; i++)
        extra[i] = (struct curl_waitfd){.fd = fds[i], .events = CURL_WAIT_POLLIN};
    CURLMcode code = curl_multi_perform(pool->multi, &running);
    size_t before = pool->busy;
    collect(pool);
    if (code == CURLM_OK && pool->busy < before)
        return 0; /* there may be something else to begin now */
    if (code == CURLM_OK)
        code = curl_multi_poll(pool->multi, extra, (unsigned)fd_count, (int)timeout_ms, NULL);
    if (code == CURLM_OK)
        code = curl_multi_perform(pool->multi, &running);
    collect(pool);
    return code == CURLM_OK ? 0 : ERR_INTERNAL;
}

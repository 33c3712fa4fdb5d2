/* SPDX-License-Identifier: MIT */
#include "common/http_client.h"

#include "common/err.h"

#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CONNECT_MS 5000
#define DEFAULT_TOTAL_MS 60000
#define DEFAULT_STALL_MS 15000
#define STALL_BYTES_PER_S 1024
#define TRANSFER_BUFFER_BYTES (256 * 1024) /* a picture goes out in a few writes */
#define MAX_HOST 128

struct http_client {
    CURL *curl; /* owned; keeps the connections */
    struct http_client_options options;
    char *ca_file; /* owned */
};

/* One request under way. */
struct exchange {
    struct http_client *client;
    const struct http_request *request;
    struct http_response *response;
    int broken; /* what a callback of ours refused with; 0 */
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_result;

static void init_global(void)
{
    global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

void http_response_init(struct http_response *response, size_t max_bytes)
{
    *response = (struct http_response){.content_length = -1, .retry_after_s = -1};
    buf_init(&response->body, max_bytes);
}

void http_response_fini(struct http_response *response)
{
    buf_fini(&response->body);
}

int http_client_create(const struct http_client_options *options, struct http_client **out_client,
                       struct err *err)
{
    pthread_once(&global_once, init_global);
    if (global_result != CURLE_OK)
        return err_set(err, ERR_INTERNAL, NULL, "libcurl: %s", curl_easy_strerror(global_result));
    struct http_client *client = calloc(1, sizeof *client);
    if (!client)
        return ERR_NOMEM;
    client->options = *options;
    client->options.ca_file = NULL;
    client->curl = curl_easy_init();
    if (options->ca_file)
        client->ca_file = strdup(options->ca_file);
    if (!client->curl || (options->ca_file && !client->ca_file)) {
        http_client_destroy(&client);
        return ERR_NOMEM;
    }
    *out_client = client;
    return 0;
}

void http_client_destroy(struct http_client **client)
{
    if (!*client)
        return;
    curl_easy_cleanup((*client)->curl);
    free((*client)->ca_file);
    free(*client);
    *client = NULL;
}

/* --- callbacks of libcurl --------------------------------------------------------------------- */

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
    struct exchange *exchange = context;
    const struct http_request *request = exchange->request;
    struct buf *body = &exchange->response->body;
    long status = 0;
    curl_easy_getinfo(exchange->client->curl, CURLINFO_RESPONSE_CODE, &status);
    bool success = status >= 200 && status < 300;
    if (success && request->on_data) {
        if (request->on_data(request->context, data, size) != 0)
            exchange->broken = ERR_CANCELLED;
    } else if (success) {
        exchange->broken = buf_append(body, data, size);
    } else {
        /* Of a refusal only the beginning matters, and its status must not be lost over its
         * length. */
        size_t room = body->max_size - body->size;
        exchange->broken = buf_append(body, data, size < room ? size : room);
    }
    return exchange->broken ? 0 : size * one;
}

static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    struct exchange *exchange = context;
    return exchange->request->on_progress(exchange->request->context, up, down);
}

/* --- a request ----------------------------------------------------------------------------------
 */

/* "host:port" of a URL, for messages. */
static void host_of(const char *url, char out[MAX_HOST])
{
    const char *start = strstr(url, "://");
    start = start ? start + 3 : url;
    size_t length = strcspn(start, "/?#");
    if (length >= MAX_HOST)
        length = MAX_HOST - 1;
    memcpy(out, start, length);
    out[length] = 0;
}

static bool has_control(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < ' ' || *c == 0x7f)
            return true;
    return false;
}

static int append_header(struct curl_slist **list, const struct http_header *header,
                         struct err *err)
{
    static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    struct buf line;
    if (!*header->name || header->name[strspn(header->name, token)] || has_control(header->value))
        return err_set(err, ERR_INVALID, NULL, "a header holds a character that is not allowed");
    buf_init(&line, 16384);
    /* "Name;" is how libcurl sends a header without a value. */
    int rc = *header->value ? buf_printf(&line, "%s: %s", header->name, header->value)
                            : buf_printf(&line, "%s;", header->name);
    struct curl_slist *longer = rc == 0 ? curl_slist_append(*list, buf_text(&line)) : NULL;
    buf_fini(&line);
    if (rc < 0)
        return err_set(err, rc, NULL, "the header %s is too long", header->name);
    if (!longer)
        return ERR_NOMEM;
    *list = longer;
    return 0;
}

/* The request's headers, and what libcurl must not add by itself. */
static int build_headers(const struct http_request *request, struct curl_slist **out_list,
                         struct err *err)
{
    bool typed = false;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->header_count; i++) {
        typed = typed || !strcasecmp(request->headers[i].name, "content-type");
        rc = append_header(out_list, &request->headers[i], err);
    }
    /* "Expect: 100-continue" would cost a round trip and, at a server that ignores it, a second. */
    const char *const suppressed[] = {"Expect:", typed ? NULL : "Content-Type:"};
    for (int i = 0; rc == 0 && i < 2 && suppressed[i]; i++) {
        struct curl_slist *longer = curl_slist_append(*out_list, suppressed[i]);
        if (longer)
            *out_list = longer;
        else
            rc = ERR_NOMEM;
    }
    return rc;
}

static long or_default(int64_t value, long standard)
{
    return value ? (long)value : standard;
}

static void set_limits(CURL *curl, const struct http_client *client,
                       const struct http_request *request)
{
    const struct http_client_options *options = &client->options;
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     or_default(options->connect_timeout_ms, DEFAULT_CONNECT_MS));
    if (request->total_timeout_ms >= 0) {
        int64_t total =
            request->total_timeout_ms ? request->total_timeout_ms : options->total_timeout_ms;
        long stall_ms = or_default(options->stall_timeout_ms, DEFAULT_STALL_MS);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, or_default(total, DEFAULT_TOTAL_MS));
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_PER_S);
        curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (stall_ms + 999) / 1000);
    }
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, request->max_redirects > 0 ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)request->max_redirects);
    curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    if (!options->use_environment_proxy)
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (client->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca_file);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "darkroom/" DARKROOM_VERSION);
    curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)TRANSFER_BUFFER_BYTES);
    curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, (long)TRANSFER_BUFFER_BYTES);
}

static void set_method(CURL *curl, const struct http_request *request)
{
    switch (request->method) {
    case HTTP_GET: curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L); break;
    case HTTP_HEAD: curl_easy_setopt(curl, CURLOPT_NOBODY, 1L); break;
    case HTTP_DELETE: curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "DELETE"); break;
    case HTTP_PUT:
    case HTTP_POST:
        /* As a memory body also for PUT: headers and a small body leave in one packet. */
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body_size ? request->body : "");
        if (request->method == HTTP_PUT)
            curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "PUT");
        break;
    }
}

static void read_info(CURL *curl, struct http_response *response)
{
    long status = 0;
    curl_off_t number = -1;
    const char *text = NULL;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    response->status = (int)status;
    curl_easy_getinfo(curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &number);
    response->content_length = number;
    number = 0;
    curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &number);
    response->retry_after_s = number > 0 ? number : -1;
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &text);
    /* A value that does not fit is left out: half a type or address would be another one. */
    if (text && strlen(text) < sizeof response->content_type)
        snprintf(response->content_type, sizeof response->content_type, "%s", text);
    text = NULL;
    curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &text);
    if (text && strlen(text) < sizeof response->location)
        snprintf(response->location, sizeof response->location, "%s", text);
    struct curl_header *etag;
    if (curl_easy_header(curl, "ETag", 0, CURLH_HEADER, -1, &etag) == CURLHE_OK &&
        strlen(etag->value) < sizeof response->etag)
        snprintf(response->etag, sizeof response->etag, "%s", etag->value);
}

static int code_of_status(int status)
{
    if (status >= 200 && status < 300)
        return 0;
    if (status >= 500 || status == 429)
        return ERR_UNAVAILABLE;
    switch (status) {
    case 401:
    case 403: return ERR_DENIED;
    case 404:
    case 410: return ERR_NOT_FOUND;
    case 408: return ERR_TIMEOUT;
    case 409: return ERR_CONFLICT;
    case 413: return ERR_LIMIT;
    default: return status >= 400 ? ERR_INVALID : ERR_UNSUPPORTED;
    }
}

static int code_of_failure(CURLcode failure)
{
    switch ((int)failure) {
    case CURLE_OPERATION_TIMEDOUT: return ERR_TIMEOUT;
    case CURLE_ABORTED_BY_CALLBACK: return ERR_CANCELLED;
    case CURLE_OUT_OF_MEMORY: return ERR_NOMEM;
    case CURLE_URL_MALFORMAT:
    case CURLE_LOGIN_DENIED: return ERR_INVALID;
    case CURLE_TOO_MANY_REDIRECTS: return ERR_UNSUPPORTED;
    default: return ERR_UNAVAILABLE; /* refused, reset, cut off, no HTTP, no such host, TLS */
    }
}

static int judge(const struct exchange *exchange, CURLcode failure, const char *detail,
                 struct err *err)
{
    const struct http_response *response = exchange->response;
    char host[MAX_HOST];
    host_of(exchange->request->url, host);
    if (exchange->broken == ERR_LIMIT)
        return err_set(err, ERR_LIMIT, NULL, "%s: the answer is larger than %zu bytes", host,
                       response->body.max_size);
    if (exchange->broken)
        return exchange->broken;
    /* A server that refuses a body may close before having read it all: its answer counts. */
    bool refused =
        response->status >= 400 && (failure == CURLE_SEND_ERROR || failure == CURLE_RECV_ERROR ||
                                    failure == CURLE_PARTIAL_FILE);
    if (failure != CURLE_OK && !refused)
        return err_set(err, code_of_failure(failure), NULL, "%s: %s", host,
                       *detail ? detail : curl_easy_strerror(failure));
    int rc = code_of_status(response->status);
    return rc < 0 ? err_set(err, rc, NULL, "%s answered %d", host, response->status) : 0;
}

int http_client_send(struct http_client *client, const struct http_request *request,
                     struct http_response *response, struct err *err)
{
    assert(request->max_redirects == 0 || request->method <= HTTP_HEAD);
    assert(request->body_size == 0 || request->method == HTTP_PUT || request->method == HTTP_POST);
    CURL *curl = client->curl;
    struct exchange exchange = {client, request, response, 0};
    struct curl_slist *headers = NULL;
    char detail[CURL_ERROR_SIZE] = "";
    buf_clear(&response->body);
    *response =
        (struct http_response){.body = response->body, .content_length = -1, .retry_after_s = -1};
    if (has_control(request->url) ||
        (strncmp(request->url, "http://", 7) && strncmp(request->url, "https://", 8)))
        return err_set(err, ERR_INVALID, NULL, "a URL is not one of http or https");
    int rc = build_headers(request, &headers, err);
    if (rc < 0)
        goto out;
    curl_easy_reset(curl); /* options only: connections stay */
    set_limits(curl, client, request);
    set_method(curl, request);
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &exchange);
    if (request->on_progress) {
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &exchange);
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    }
    CURLcode failure = curl_easy_perform(curl);
    read_info(curl, response);
    rc = judge(&exchange, failure, detail, err);
out:
    curl_slist_free_all(headers);
    return rc;
}

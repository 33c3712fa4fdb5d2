/* SPDX-License-Identifier: MIT */
#include "common/http_client_easy.h"

#include "common/err.h"
#include "common/network.h"

#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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

static_assert(sizeof((struct http_easy *)0)->detail >= CURL_ERROR_SIZE, "as curl wants it");

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_result;

static void init_global(void)
{
    global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_easy_init_library(struct err *err)
{
    pthread_once(&global_once, init_global);
    if (global_result != CURLE_OK)
        return err_set(err, ERR_INTERNAL, NULL, "libcurl: %s", curl_easy_strerror(global_result));
    return 0;
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
    int rc = http_easy_init_library(err);
    if (rc < 0)
        return rc;
    struct http_client *client = calloc(1, sizeof *client);
    if (!client)
        return ERR_NOMEM;
    client->options = *options;
    client->curl = curl_easy_init();
    if (options->ca_file)
        client->ca_file = strdup(options->ca_file);
    client->options.ca_file = client->ca_file;
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
    struct http_easy *easy = context;
    const struct http_request *request = easy->request;
    struct buf *body = &easy->response->body;
    long status = 0;
    curl_easy_getinfo(easy->curl, CURLINFO_RESPONSE_CODE, &status);
    bool success = status >= 200 && status < 300;
    if (success && request->on_data) {
        if (request->on_data(request->context, data, size) != 0)
            easy->broken = ERR_CANCELLED;
    } else if (success) {
        easy->broken = buf_append(body, data, size);
    } else {
        /* Of a refusal only the beginning matters, and its status must not be lost over its
         * length. */
        size_t room = body->max_size - body->size;
        easy->broken = buf_append(body, data, size < room ? size : room);
    }
    return easy->broken ? 0 : size * one;
}

static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    struct http_easy *easy = context;
    return easy->request->on_progress(easy->request->context, up, down);
}

/* The only place that knows where a connection really goes: a name may resolve to anything, and to
 * something else the next time. What is refused here never gets a packet. */
static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *peer)
{
    struct http_easy *easy = context;
    unsigned char address[NETWORK_ADDRESS_SIZE];
    network_of_peer(&peer->addr, address);
    if (!network_is_public(address) &&
        !network_set_contains(easy->options->only_public_or, address)) {
        easy->guarded = true;
        return CURL_SOCKET_BAD;
    }
    return socket(peer->family, peer->socktype | SOCK_CLOEXEC, peer->protocol);
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

static void set_limits(CURL *curl, const struct http_client_options *options,
                       const struct http_request *request)
{
    const char *protocols = options->https_only ? "https" : "http,https";
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
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, request->max_redirects > 0 ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)request->max_redirects);
    curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)request->resume_at);
    if (!options->use_environment_proxy || options->only_public_or)
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (options->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, options->ca_file);
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
    case HTTP_PURGE: curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "PURGE"); break;
    case HTTP_PUT:
    case HTTP_PATCH:
    case HTTP_POST:
        /* As a memory body also for PUT: headers and a small body leave in one packet. */
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body_size ? request->body : "");
        if (request->method == HTTP_PUT)
            curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "PUT");
        if (request->method == HTTP_PATCH)
            curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "PATCH");
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

/* Late is who has heard the request; whom it never reached is not there. */
static int code_of_timeout(CURL *curl)
{
    curl_off_t begun_us = 0;
    curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &begun_us);
    return begun_us > 0 ? ERR_TIMEOUT : ERR_UNAVAILABLE;
}

static int code_of_failure(CURL *curl, CURLcode failure)
{
    switch ((int)failure) {
    case CURLE_OPERATION_TIMEDOUT: return code_of_timeout(curl);
    case CURLE_ABORTED_BY_CALLBACK: return ERR_CANCELLED;
    case CURLE_OUT_OF_MEMORY: return ERR_NOMEM;
    case CURLE_URL_MALFORMAT:
    case CURLE_LOGIN_DENIED: return ERR_INVALID;
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_RANGE_ERROR: return ERR_UNSUPPORTED;
    default: return ERR_UNAVAILABLE; /* refused, reset, cut off, no HTTP, no such host, TLS */
    }
}

static int judge(const struct http_easy *easy, CURLcode failure, struct err *err)
{
    const struct http_response *response = easy->response;
    char host[MAX_HOST];
    host_of(easy->request->url, host);
    if (easy->broken == ERR_LIMIT)
        return err_set(err, ERR_LIMIT, NULL, "%s: the answer is larger than %zu bytes", host,
                       response->body.max_size);
    if (easy->broken)
        return easy->broken;
    /* A server that refuses a body may close before having read it all: its answer counts. */
    bool refused =
        response->status >= 400 && (failure == CURLE_SEND_ERROR || failure == CURLE_RECV_ERROR ||
                                    failure == CURLE_PARTIAL_FILE);
    if (failure == CURLE_COULDNT_CONNECT && easy->guarded)
        return err_set(err, ERR_DENIED, NULL, "%s is not on the public internet", host);
    if (failure != CURLE_OK && !refused)
        return err_set(err, code_of_failure(easy->curl, failure), NULL, "%s: %s", host,
                       *easy->detail ? easy->detail : curl_easy_strerror(failure));
    int rc = code_of_status(response->status);
    return rc < 0 ? err_set(err, rc, NULL, "%s answered %d", host, response->status) : 0;
}

static int check_url(const char *url, bool https_only, struct err *err)
{
    if (has_control(url) ||
        (strncmp(url, "https://", 8) && (https_only || strncmp(url, "http://", 7))))
        return err_set(err, ERR_INVALID, NULL, "a URL is not one of %s",
                       https_only ? "https" : "http or https");
    return 0;
}

int http_easy_begin(struct http_easy *easy, void *curl, const struct http_client_options *options,
                    const struct http_request *request, struct http_response *response,
                    struct err *err)
{
    struct curl_slist *headers = NULL;
    assert(request->max_redirects == 0 || request->method <= HTTP_HEAD);
    assert(request->resume_at == 0 || request->method == HTTP_GET);
    assert(request->body_size == 0 || request->method == HTTP_PUT || request->method == HTTP_POST ||
           request->method == HTTP_PATCH);
    *easy = (struct http_easy){
        .curl = curl, .options = options, .request = request, .response = response};
    buf_clear(&response->body);
    *response =
        (struct http_response){.body = response->body, .content_length = -1, .retry_after_s = -1};
    int rc = check_url(request->url, options->https_only, err);
    if (rc == 0)
        rc = build_headers(request, &headers, err);
    if (rc < 0) {
        curl_slist_free_all(headers);
        return rc;
    }
    easy->headers = headers;
    curl_easy_reset(curl); /* options only: connections stay */
    set_limits(curl, options, request);
    set_method(curl, request);
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, easy->detail);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, easy);
    if (options->only_public_or) {
        curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
        curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, easy);
    }
    if (request->on_progress) {
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, easy);
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    }
    return 0;
}

int http_easy_end(struct http_easy *easy, int failure, struct err *err)
{
    read_info(easy->curl, easy->response);
    int rc = judge(easy, (CURLcode)failure, err);
    curl_slist_free_all(easy->headers);
    easy->headers = NULL;
    return rc;
}

int http_client_send(struct http_client *client, const struct http_request *request,
                     struct http_response *response, struct err *err)
{
    struct http_easy easy;
    int rc = http_easy_begin(&easy, client->curl, &client->options, request, response, err);
    return rc < 0 ? rc : http_easy_end(&easy, (int)curl_easy_perform(client->curl), err);
}

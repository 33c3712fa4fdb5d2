/* SPDX-License-Identifier: MIT */
#include "common/buf.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/reach.h"
#include "common/s3_keys.h"
#include "common/s3_xml.h"
#include "common/sigv4.h"
#include "common/store_backend.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_REGION "us-east-1"
#define DEFAULT_TIMEOUT_MS 30000
#define MAX_IDLE_CLIENTS 8 /* connections kept for the threads that come next */
#define MAX_HOST 256
#define MAX_ANSWER_BYTES (4 * 1024 * 1024) /* a listing of 1,000 keys is 500 KB at most */
#define MAX_PAGE 1000                      /* S3 lists no more at once */

struct store_s3 {
    struct store base;
    struct s3_keys *keys; /* owned */
    char scheme[9];       /* "https://" */
    char host[MAX_HOST];  /* as in the Host header: a port only where it is not the scheme's own */
    char path[MAX_HOST];  /* in front of the key, ends in '/': "/bucket/", "/" */
    char bucket[64];
    char region[64];
    int64_t timeout_ms;
    pthread_mutex_t lock;                       /* guards the two below */
    struct http_client *idle[MAX_IDLE_CLIENTS]; /* owned */
    size_t idle_count;
    struct reach reach;
};

static struct store_s3 *s3_of(const struct store *store)
{
    return (struct store_s3 *)(uintptr_t)store;
}

/* --- clients: each thread borrows one for a request ------------------------------------------ */

static int take_client(struct store_s3 *s3, struct http_client **out_client, struct err *err)
{
    struct http_client *client = NULL;
    pthread_mutex_lock(&s3->lock);
    if (s3->idle_count)
        client = s3->idle[--s3->idle_count];
    pthread_mutex_unlock(&s3->lock);
    *out_client = client;
    if (client)
        return 0;
    /* A kept connection that leads nowhere any more must not cost the whole of it. */
    const struct http_client_options limits = {.total_timeout_ms = s3->timeout_ms,
                                               .stall_timeout_ms = s3->timeout_ms / 2};
    return http_client_create(&limits, out_client, err);
}

static void give_client(struct store_s3 *s3, struct http_client *client)
{
    pthread_mutex_lock(&s3->lock);
    if (s3->idle_count < MAX_IDLE_CLIENTS) {
        s3->idle[s3->idle_count++] = client;
        client = NULL;
    }
    pthread_mutex_unlock(&s3->lock);
    http_client_destroy(&client);
}

/* --- one signed request --- */

struct s3_request {
    enum http_method method;
    const char *key; /* "" for the bucket itself */
    const struct sigv4_pair *query;
    size_t query_count;
    const void *body;
    size_t body_size;
    const char *content_type; /* NULL where there is no body */
};

static const char *method_name(enum http_method method)
{
    static const char *const names[] = {[HTTP_GET] = "GET",
                                        [HTTP_HEAD] = "HEAD",
                                        [HTTP_PUT] = "PUT",
                                        [HTTP_POST] = "POST",
                                        [HTTP_DELETE] = "DELETE"};
    return names[method];
}

static int full_path(const struct store_s3 *s3, const char *key, struct buf *out)
{
    int rc = buf_append_text(out, s3->path);
    return rc < 0 ? rc : buf_append_text(out, key);
}

/* scheme, host, encoded path and, if any, "?" with the query. */
static int write_url(const struct store_s3 *s3, const char *path, const char *query,
                     struct buf *url)
{
    int rc = buf_printf(url, "%s%s", s3->scheme, s3->host);
    if (rc == 0)
        rc = sigv4_encode(path, 1, url);
    if (rc == 0 && *query)
        rc = buf_printf(url, "?%s", query);
    return rc;
}

/* What S3 itself says about a failure, which is worth more than the status. */
static const struct {
    const char *name;
    int code;
    const char *text;
} s3_errors[] = {
    {"RequestTimeTooSkewed", ERR_DENIED,
     "the clocks of this machine and of the object store are more than 15 minutes apart"},
    {"SignatureDoesNotMatch", ERR_DENIED, "the object store does not accept the secret key"},
    {"InvalidAccessKeyId", ERR_DENIED, "the object store does not know the access key"},
    {"ExpiredToken", ERR_DENIED, "the session token of the S3 credentials has expired"},
    {"AccessDenied", ERR_DENIED, "the object store denies access; see the rights that it needs"},
    {"AuthorizationHeaderMalformed", ERR_DENIED, "s3-region is not the bucket's region"},
    {"NoSuchBucket", ERR_UNAVAILABLE, "the bucket does not exist"},
    {"EntityTooLarge", ERR_LIMIT, "the object is larger than the object store takes"},
    {"RequestTimeout", ERR_TIMEOUT, "the object store waited too long for the body"},
    {"PermanentRedirect", ERR_UNSUPPORTED, "the bucket lives at another endpoint"},
};

static int explain(const struct store_s3 *s3, const struct http_response *response,
                   const struct err *http_err, struct err *err)
{
    char name[64];
    if (!s3_xml_text(buf_text(&response->body), response->body.size, "Code", name, sizeof name))
        return err_set(err, http_err->code, NULL, "object store %s: %s", s3->bucket,
                       http_err->text);
    for (size_t i = 0; i < sizeof s3_errors / sizeof s3_errors[0]; i++)
        if (!strcmp(name, s3_errors[i].name))
            return err_set(err, s3_errors[i].code, NULL, "object store %s: %s (%s)", s3->bucket,
                           s3_errors[i].text, name);
    return err_set(err, http_err->code, NULL, "object store %s: %s (%s)", s3->bucket,
                   http_err->text, name);
}

/* A request made ready: its URL and all its headers. The texts behind the headers live here. */
struct prepared {
    struct s3_credentials credentials;
    struct buf path, url, authorization;
    char time[SIGV4_TIME_SIZE];
    char hash[CRYPTO_SHA256_HEX_SIZE];
    struct sigv4_pair signed_headers[6]; /* in ascending order */
    size_t signed_count;
};

static void prepared_init(struct prepared *prepared)
{
    *prepared = (struct prepared){.signed_count = 0};
    buf_init(&prepared->path, 2 * MAX_HOST + STORE_KEY_SIZE);
    buf_init(&prepared->url, 4 * STORE_URL_SIZE);
    buf_init(&prepared->authorization, 2048);
}

static void prepared_fini(struct prepared *prepared)
{
    buf_fini(&prepared->path);
    buf_fini(&prepared->url);
    buf_fini(&prepared->authorization);
    s3_credentials_wipe(&prepared->credentials);
}

static void add_signed(struct prepared *prepared, const char *name, const char *value)
{
    prepared->signed_headers[prepared->signed_count++] = (struct sigv4_pair){name, value};
}

static int prepare_url(const struct store_s3 *s3, const struct s3_request *request,
                       struct prepared *prepared)
{
    struct buf query;
    buf_init(&query, 2 * STORE_URL_SIZE);
    int rc = full_path(s3, request->key, &prepared->path);
    if (rc == 0)
        rc = sigv4_query(request->query, request->query_count, &query);
    if (rc == 0)
        rc = write_url(s3, buf_text(&prepared->path), buf_text(&query), &prepared->url);
    buf_fini(&query);
    return rc;
}

static int prepare(const struct store_s3 *s3, const struct s3_request *request,
                   struct prepared *prepared)
{
    const struct sigv4_scope scope = {&prepared->credentials, s3->region, "s3",
                                      clock_wall_ms() / 1000};
    s3_keys_take(s3->keys, &prepared->credentials);
    int rc = prepare_url(s3, request, prepared);
    if (rc == 0)
        rc = crypto_sha256_hex(request->body ? request->body : "", request->body_size,
                               prepared->hash);
    if (rc < 0)
        return rc;
    sigv4_time(scope.time_s, prepared->time);
    if (request->content_type)
        add_signed(prepared, "content-type", request->content_type);
    add_signed(prepared, "host", s3->host);
    add_signed(prepared, "x-amz-content-sha256", prepared->hash);
    add_signed(prepared, "x-amz-date", prepared->time);
    if (*prepared->credentials.session_token)
        add_signed(prepared, "x-amz-security-token", prepared->credentials.session_token);
    return sigv4_sign(&scope,
                      &(struct sigv4_request){.method = method_name(request->method),
                                              .path = buf_text(&prepared->path),
                                              .query = request->query,
                                              .query_count = request->query_count,
                                              .headers = prepared->signed_headers,
                                              .header_count = prepared->signed_count,
                                              .payload_hash = prepared->hash},
                      &prepared->authorization);
}

/* Sends, unless there is no point; the answer is in `response`. */
static int send_prepared(struct store_s3 *s3, const struct http_request *http,
                         struct http_response *response, struct err *err)
{
    struct http_client *client = NULL;
    int rc = take_client(s3, &client, err);
    if (rc < 0)
        return rc;
    struct err http_err = {0};
    struct reach_turn turn = reach_begin(&s3->reach);
    if (turn.may) {
        rc = http_client_send(client, http, response, &http_err);
        reach_end(&s3->reach, &turn, response->status != 0);
    } else {
        rc = err_set(err, ERR_UNAVAILABLE, NULL, "object store %s: nobody answers", s3->bucket);
    }
    give_client(s3, client);
    return rc < 0 && http_err.code ? explain(s3, response, &http_err, err) : rc;
}

/* The answer is in `response`, which the caller has initialised. */
static int send_signed(struct store_s3 *s3, const struct s3_request *request,
                       struct http_response *response, struct err *err)
{
    struct prepared prepared;
    struct http_header headers[8];
    size_t count = 0;
    prepared_init(&prepared);
    int rc = prepare(s3, request, &prepared);
    if (rc == 0) {
        headers[count++] = (struct http_header){"Authorization", buf_text(&prepared.authorization)};
        for (size_t i = 0; i < prepared.signed_count; i++)
            headers[count++] = (struct http_header){prepared.signed_headers[i].name,
                                                    prepared.signed_headers[i].value};
        const struct http_request http = {.method = request->method,
                                          .url = buf_text(&prepared.url),
                                          .headers = headers,
                                          .header_count = count,
                                          .body = request->body,
                                          .body_size = request->body_size};
        rc = send_prepared(s3, &http, response, err);
        if (rc == ERR_DENIED)
            s3_keys_doubt(s3->keys);
    }
    prepared_fini(&prepared);
    return rc;
}

/* --- the backend --- */

static int put_s3(struct store *store, const char *key, const void *data, size_t size,
                  const char *content_type, struct err *err)
{
    struct http_response response;
    http_response_init(&response, MAX_ANSWER_BYTES);
    const struct s3_request request = {.method = HTTP_PUT,
                                       .key = key,
                                       .body = data,
                                       .body_size = size,
                                       .content_type = content_type};
    int rc = send_signed(s3_of(store), &request, &response, err);
    http_response_fini(&response);
    return rc;
}

static int get_s3(struct store *store, const char *key, struct buf *out, struct err *err)
{
    struct http_response response;
    size_t room = out->max_size - out->size;
    /* An error document needs room too, even where the object has none. */
    http_response_init(&response, room > 4096 ? room : 4096);
    int rc = send_signed(s3_of(store), &(struct s3_request){.method = HTTP_GET, .key = key},
                         &response, err);
    if (rc == 0)
        rc = buf_append(out, response.body.data, response.body.size);
    if (rc == ERR_LIMIT)
        err_set(err, rc, NULL, "the object is larger than %zu bytes", room);
    http_response_fini(&response);
    return rc;
}

static int head_s3(struct store *store, const char *key, int64_t *out_bytes, struct err *err)
{
    struct http_response response;
    http_response_init(&response, 0);
    int rc = send_signed(s3_of(store), &(struct s3_request){.method = HTTP_HEAD, .key = key},
                         &response, err);
    if (rc == 0)
        *out_bytes = response.content_length;
    http_response_fini(&response);
    return rc;
}

static int delete_s3(struct store *store, const char *key, struct err *err)
{
    struct http_response response;
    http_response_init(&response, MAX_ANSWER_BYTES);
    struct err why = {0};
    int rc = send_signed(s3_of(store), &(struct s3_request){.method = HTTP_DELETE, .key = key},
                         &response, &why);
    http_response_fini(&response);
    if (rc == 0 || rc == ERR_NOT_FOUND) /* AWS answers 204 for what is not there, some others 404 */
        return 0;
    return err_set(err, rc, NULL, "%s", why.text);
}

static int list_s3(struct store *store, const char *prefix, char *cursor,
                   struct store_entry *entries, size_t max_entries, size_t *out_count,
                   struct err *err)
{
    char page[16];
    snprintf(page, sizeof page, "%zu", max_entries < MAX_PAGE ? max_entries : MAX_PAGE);
    const struct sigv4_pair query[] = {
        {"list-type", "2"}, {"max-keys", page}, {"prefix", prefix}, {"continuation-token", cursor}};
    struct http_response response;
    http_response_init(&response, MAX_ANSWER_BYTES);
    const struct s3_request request = {
        .method = HTTP_GET, .key = "", .query = query, .query_count = *cursor ? 4 : 3};
    int rc = send_signed(s3_of(store), &request, &response, err);
    if (rc == 0)
        rc = s3_xml_list(buf_text(&response.body), response.body.size, cursor, entries, max_entries,
                         out_count);
    if (rc == ERR_CORRUPT)
        err_set(err, rc, NULL, "object store %s: no listing came back", s3_of(store)->bucket);
    http_response_fini(&response);
    return rc;
}

static int ping_s3(struct store *store, struct err *err)
{
    char cursor[STORE_CURSOR_SIZE] = "";
    struct store_entry entry;
    size_t count;
    return list_s3(store, "", cursor, &entry, 1, &count, err);
}

static int presign_s3(const struct store *store, const struct store_link_request *request,
                      struct store_link *out_link, struct err *err)
{
    const struct store_s3 *s3 = s3_of(store);
    struct s3_credentials credentials;
    const struct sigv4_scope scope = {&credentials, s3->region, "s3", clock_wall_ms() / 1000};
    bool put = request->method == STORE_PUT;
    /* For a PUT the type is a header that is signed, for a GET it overrides what is answered. */
    const struct sigv4_pair headers[] = {{"content-type", request->content_type},
                                         {"host", s3->host}};
    const struct sigv4_pair query[] = {{"response-content-type", request->content_type}};
    struct buf path, signed_query, url;
    buf_init(&path, 2 * MAX_HOST + STORE_KEY_SIZE);
    buf_init(&signed_query, STORE_URL_SIZE);
    buf_init(&url, sizeof out_link->url - 1);
    s3_keys_take(s3->keys, &credentials);
    int rc = full_path(s3, request->key, &path);
    if (rc == 0)
        rc = sigv4_presign(&scope,
                           &(struct sigv4_request){.method = put ? "PUT" : "GET",
                                                   .path = buf_text(&path),
                                                   .query = query,
                                                   .query_count = !put && request->content_type,
                                                   .headers = put ? headers : headers + 1,
                                                   .header_count = put ? 2 : 1},
                           request->lifetime_s, &signed_query);
    if (rc == 0)
        rc = write_url(s3, buf_text(&path), buf_text(&signed_query), &url);
    if (rc == 0) {
        snprintf(out_link->url, sizeof out_link->url, "%s", buf_text(&url));
        snprintf(out_link->content_type, sizeof out_link->content_type, "%s",
                 put ? request->content_type : "");
    } else {
        err_set(err, rc, NULL, "cannot make a link to an object");
    }
    buf_fini(&path);
    buf_fini(&signed_query);
    buf_fini(&url);
    s3_credentials_wipe(&credentials);
    return rc;
}

static void close_s3(struct store *store)
{
    struct store_s3 *s3 = s3_of(store);
    while (s3->idle_count)
        http_client_destroy(&s3->idle[--s3->idle_count]);
    pthread_mutex_destroy(&s3->lock);
    s3_keys_close(&s3->keys);
    free(s3);
}

static const struct store_backend backend = {
    .close = close_s3,
    .put = put_s3,
    .get = get_s3,
    .head = head_s3,
    .delete = delete_s3,
    .list = list_s3,
    .ping = ping_s3,
    .presign = presign_s3,
};

/* --- opening --------------------------------------------------------------------------------- */

/* Lower case, digits, dots and hyphens: what AWS allows in a bucket's or region's name. */
static bool is_plain_name(const char *name, size_t min, size_t max)
{
    size_t length = strnlen(name, max + 1);
    return length >= min && length <= max &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == length;
}

/* Splits "https://host:port" and drops a port that is the scheme's own, as clients do in Host. */
static int parse_endpoint(struct store_s3 *s3, const char *endpoint, struct err *err)
{
    bool secure = !strncmp(endpoint, "https://", 8), plain = !strncmp(endpoint, "http://", 7);
    const char *host = secure ? endpoint + 8 : plain ? endpoint + 7 : "";
    snprintf(s3->scheme, sizeof s3->scheme, "%s", secure ? "https://" : "http://");
    size_t length = strcspn(host, "/");
    if (!length || length >= MAX_HOST - sizeof s3->bucket || (host[length] && host[length + 1]) ||
        strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") <
            length)
        return err_set(err, ERR_INVALID, "s3-endpoint", "s3-endpoint wants http(s)://HOST[:PORT]");
    memcpy(s3->host, host, length);
    s3->host[length] = 0;
    const char *own_port = secure ? ":443" : ":80";
    size_t port_length = strlen(own_port);
    if (length > port_length && !strcmp(s3->host + length - port_length, own_port))
        s3->host[length - port_length] = 0;
    return 0;
}

/* Where objects are addressed: at bucket.host, or below host/bucket. */
static int place_bucket(struct store_s3 *s3, bool virtual_host)
{
    char host[MAX_HOST];
    if (!virtual_host) {
        snprintf(s3->path, sizeof s3->path, "/%s/", s3->bucket);
        return 0;
    }
    snprintf(s3->path, sizeof s3->path, "/");
    if (snprintf(host, sizeof host, "%s.%s", s3->bucket, s3->host) >= (int)sizeof host)
        return ERR_LIMIT;
    snprintf(s3->host, sizeof s3->host, "%s", host);
    return 0;
}

static int configure(struct store_s3 *s3, const struct store_options *options, const char *bucket,
                     struct err *err)
{
    const char *region = options->region ? options->region : DEFAULT_REGION;
    char aws[MAX_HOST];
    if (!is_plain_name(bucket, 3, sizeof s3->bucket - 1))
        return err_set(err, ERR_INVALID, "store",
                       "store: a bucket's name has 3 to 63 of a-z, 0-9, '.' and '-'");
    if (!is_plain_name(region, 1, sizeof s3->region - 1))
        return err_set(err, ERR_INVALID, "s3-region",
                       "s3-region: a region's name has 1 to 63 of a-z, 0-9, '.' and '-'");
    snprintf(s3->bucket, sizeof s3->bucket, "%s", bucket);
    snprintf(s3->region, sizeof s3->region, "%s", region);
    s3->timeout_ms = options->timeout_ms ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    snprintf(aws, sizeof aws, "https://s3.%s.amazonaws.com", region);
    int rc = parse_endpoint(s3, options->endpoint ? options->endpoint : aws, err);
    if (rc == 0)
        rc = place_bucket(s3, options->virtual_host || !options->endpoint);
    return rc < 0 ? rc : s3_keys_open(options->credentials_file, options->role, &s3->keys, err);
}

int store_s3_open(const struct store_options *options, const char *bucket, struct store **out_store,
                  struct err *err)
{
    struct store_s3 *s3 = calloc(1, sizeof *s3);
    if (!s3)
        return ERR_NOMEM;
    s3->base.backend = &backend;
    if (pthread_mutex_init(&s3->lock, NULL) != 0) {
        free(s3);
        return ERR_NOMEM;
    }
    int rc = configure(s3, options, bucket, err);
    if (rc < 0) {
        close_s3(&s3->base);
        return rc;
    }
    *out_store = &s3->base;
    return 0;
}

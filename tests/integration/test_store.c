/* SPDX-License-Identifier: MIT */
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/secret.h"
#include "common/store.h"
#include "tests/unit/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* The same for both kinds of store, with links used as a worker uses them: against a real S3
 * server (tests/support/s3_server.sh run) or a dispatcher in front of a directory
 * (test_store_local.py). Their environment says which. */
static struct store *store;
static struct secret secret;
static bool in_bucket;
static struct http_client *client;
static struct http_response response;
static struct err err;

static struct store_options options(void)
{
    static char url[4096];
    if (in_bucket)
        snprintf(url, sizeof url, "s3://%s", getenv("S3_BUCKET"));
    else
        snprintf(url, sizeof url, "local:%s", getenv("STORE_DIRECTORY"));
    return (struct store_options){.url = url,
                                  .public_url = getenv("STORE_PUBLIC_URL"),
                                  .secret = &secret,
                                  .endpoint = getenv("S3_ENDPOINT"),
                                  .region = getenv("S3_REGION"),
                                  .credentials_file = getenv("S3_CREDENTIALS_FILE"),
                                  .timeout_ms = 10000};
}

static void an_object_comes_back_as_it_was_put(void)
{
    size_t size = 3 << 20;
    unsigned char *data = malloc(size);
    struct buf out;
    int64_t bytes = 0;
    buf_init(&out, size);
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)(i * 31 + (i >> 9));
    CHECK_INT(store_put(store, "inputs/a-b_c.D9", data, size, "image/jpeg", NULL), 0);
    CHECK_INT(store_head(store, "inputs/a-b_c.D9", &bytes, NULL), 0);
    CHECK_INT(bytes, size);
    CHECK_INT(store_get(store, "inputs/a-b_c.D9", &out, NULL), 0);
    CHECK_INT(out.size, size);
    CHECK(memcmp(out.data, data, size) == 0);
    buf_fini(&out);
    free(data);
}

static void an_empty_object_is_an_object(void)
{
    int64_t bytes = -1;
    CHECK_INT(store_put(store, "inputs/empty", "", 0, "image/png", NULL), 0);
    CHECK_INT(store_head(store, "inputs/empty", &bytes, NULL), 0);
    CHECK_INT(bytes, 0);
}

static void putting_a_key_again_replaces_the_object(void)
{
    struct buf out;
    buf_init(&out, 100);
    CHECK_INT(store_put(store, "inputs/twice", "one", 3, "image/png", NULL), 0);
    CHECK_INT(store_put(store, "inputs/twice", "two!", 4, "image/png", NULL), 0);
    CHECK_INT(store_get(store, "inputs/twice", &out, NULL), 0);
    CHECK_TEXT(buf_text(&out), "two!");
    buf_fini(&out);
}

static void a_missing_object_is_not_found_and_deleting_it_succeeds(void)
{
    struct buf out;
    int64_t bytes;
    buf_init(&out, 100);
    CHECK_INT(store_get(store, "inputs/none", &out, NULL), ERR_NOT_FOUND);
    CHECK_INT(store_head(store, "inputs/none", &bytes, NULL), ERR_NOT_FOUND);
    CHECK_INT(store_delete(store, "inputs/none", NULL), 0);
    CHECK_INT(store_put(store, "inputs/gone", "1", 1, "image/png", NULL), 0);
    CHECK_INT(store_delete(store, "inputs/gone", NULL), 0);
    CHECK_INT(store_head(store, "inputs/gone", &bytes, NULL), ERR_NOT_FOUND);
    buf_fini(&out);
}

static void an_object_larger_than_the_buffer_is_a_limit(void)
{
    struct buf out;
    buf_init(&out, 10);
    CHECK_INT(store_put(store, "inputs/big", "12345678901", 11, "image/png", NULL), 0);
    CHECK_INT(store_get(store, "inputs/big", &out, NULL), ERR_LIMIT);
    CHECK_INT(out.size, 0);
    buf_fini(&out);
}

static void a_walk_lists_every_key_once_at_any_page_size(void)
{
    enum { COUNT = 7 };
    for (int i = 0; i < COUNT; i++) {
        char key[32];
        snprintf(key, sizeof key, "walk/%d/x", i);
        CHECK_INT(store_put(store, key, "12", 2, "image/png", NULL), 0);
    }
    for (size_t page = 1; page <= COUNT + 1; page += 2) {
        char cursor[STORE_CURSOR_SIZE] = "";
        int seen = 0;
        do {
            struct store_entry entries[COUNT + 1];
            size_t count = 0;
            CHECK_INT(store_list(store, "walk/", cursor, entries, page, &count, NULL), 0);
            for (size_t i = 0; i < count; i++, seen++) {
                char key[32];
                snprintf(key, sizeof key, "walk/%d/x", seen);
                CHECK_TEXT(entries[i].key, key);
                CHECK_INT(entries[i].bytes, 2);
                CHECK(llabs(entries[i].modified_ms - clock_wall_ms()) < 600000);
            }
        } while (*cursor);
        CHECK_INT(seen, COUNT);
    }
}

/* --- links, used as a worker does ------------------------------------------------------------ */

static const struct store_link_request put_request = {STORE_PUT, "results/ab/1/result.png", 60,
                                                      1000, "image/png"};
static const struct store_link_request get_request = {STORE_GET, "results/ab/1/result.png", 60, 0,
                                                      "image/png"};

static int fetch(const char *url)
{
    return http_client_send(client, &(struct http_request){.method = HTTP_GET, .url = url},
                            &response, NULL);
}

static int upload(const char *url, const char *content_type)
{
    const struct http_header header = {"Content-Type", content_type};
    return http_client_send(client,
                            &(struct http_request){.method = HTTP_PUT,
                                                   .url = url,
                                                   .headers = &header,
                                                   .header_count = 1,
                                                   .body = "drawn",
                                                   .body_size = 5},
                            &response, NULL);
}

static struct store_link link_for(const struct store_link_request *request)
{
    struct store_link link = {.url = ""};
    CHECK_INT(store_presign(store, request, &link, NULL), 0);
    return link;
}

static void a_link_uploads_and_another_one_fetches(void)
{
    struct store_link put = link_for(&put_request), get = link_for(&get_request);
    CHECK_TEXT(put.content_type, "image/png");
    CHECK_INT(upload(put.url, put.content_type), 0);
    CHECK_INT(fetch(get.url), 0);
    CHECK_TEXT(buf_text(&response.body), "drawn");
    CHECK_TEXT(response.content_type, "image/png");
}

static void a_link_may_name_the_type_that_is_answered(void)
{
    struct store_link_request request = get_request;
    request.content_type = "application/octet-stream";
    CHECK_INT(fetch(link_for(&request).url), 0);
    CHECK_TEXT(response.content_type, "application/octet-stream");
}

/* S3 says 403 to all that was not signed, the dispatcher 415 to another content type. */
static bool is_refused(int rc)
{
    return rc == ERR_DENIED || (rc == ERR_INVALID && response.status == 415);
}

static void a_link_is_good_for_its_own_method_key_and_type_only(void)
{
    struct store_link put = link_for(&put_request), get = link_for(&get_request);
    int64_t bytes;
    CHECK(is_refused(upload(put.url, "text/html")));
    CHECK(is_refused(upload(get.url, "image/png")));
    CHECK(is_refused(fetch(put.url)));
    char *epoch = strstr(put.url, "/ab/1/") + 4;
    *epoch = '2';
    CHECK(is_refused(upload(put.url, put.content_type)));
    CHECK_INT(store_head(store, "results/ab/2/result.png", &bytes, NULL), ERR_NOT_FOUND);
}

static void a_changed_signature_or_none_is_denied(void)
{
    struct store_link get = link_for(&get_request);
    char *signature = strstr(get.url, in_bucket ? "Signature=" : "&s=") + (in_bucket ? 10 : 3);
    *signature = *signature == '0' ? '1' : '0';
    CHECK_INT(fetch(get.url), ERR_DENIED);
    *strchr(get.url, '?') = 0;
    CHECK_INT(fetch(get.url), ERR_DENIED);
}

static void an_upload_larger_than_was_signed_is_a_limit(void)
{
    struct store_link_request request = put_request;
    int64_t bytes;
    request.key = "results/ab/3/result.png";
    request.max_bytes = 4;
    struct store_link link = link_for(&request);
    CHECK_INT(upload(link.url, link.content_type), ERR_LIMIT);
    CHECK_INT(store_head(store, request.key, &bytes, NULL), ERR_NOT_FOUND);
}

/* radosgw takes BUCKET.localhost for a bucket, and libcurl finds that host by itself. */
static void a_bucket_may_be_part_of_the_host_name(void)
{
    struct store_options other = options();
    struct store *hosted = NULL;
    struct store_link link;
    char endpoint[128];
    snprintf(endpoint, sizeof endpoint, "http://localhost%s", strrchr(other.endpoint, ':'));
    other.endpoint = endpoint;
    other.virtual_host = true;
    CHECK_INT(store_open(&other, &hosted, NULL), 0);
    CHECK_INT(store_put(hosted, put_request.key, "hosted", 6, "image/png", NULL), 0);
    CHECK_INT(store_presign(hosted, &get_request, &link, NULL), 0);
    store_close(&hosted);
    CHECK_INT(fetch(link.url), 0);
    CHECK_TEXT(buf_text(&response.body), "hosted");
}

static void a_link_ends_when_it_says(void)
{
    struct store_link_request request = get_request;
    request.lifetime_s = 1;
    struct store_link link = link_for(&request);
    int64_t deadline = clock_ms() + 10000;
    int rc;
    while ((rc = fetch(link.url)) == 0 && clock_ms() < deadline)
        usleep(50000);
    CHECK_INT(rc, ERR_DENIED);
}

/* --- what goes wrong ------------------------------------------------------------------------- */

static int ping_with(const char *access_key, const char *secret_key)
{
    char path[] = "/tmp/darkroom-s3-keys-XXXXXX";
    struct store_options other = options();
    struct store *stranger = NULL;
    FILE *file = fdopen(mkstemp(path), "w");
    CHECK(file != NULL);
    fprintf(file, "%s\n%s\n", access_key, secret_key);
    fclose(file);
    other.credentials_file = path;
    err = (struct err){0};
    int rc = store_open(&other, &stranger, &err);
    if (rc == 0)
        rc = store_ping(stranger, &err);
    store_close(&stranger);
    unlink(path);
    return rc;
}

static void wrong_keys_are_denied_and_named(void)
{
    CHECK_INT(ping_with("TESTACCESSKEY", "wrong"), ERR_DENIED);
    CHECK_HAS(err.text, "secret key");
    CHECK_INT(ping_with("NOSUCHKEY", "wrong"), ERR_DENIED);
    CHECK_HAS(err.text, "access key");
}

static void a_bucket_that_is_not_there_is_named(void)
{
    struct store_options other = options();
    struct store *stranger = NULL;
    other.url = "s3://no-such-bucket";
    CHECK_INT(store_open(&other, &stranger, NULL), 0);
    err = (struct err){0};
    CHECK_INT(store_put(stranger, "inputs/x", "1", 1, "image/png", &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "no-such-bucket");
    err = (struct err){0};
    CHECK_INT(store_delete(stranger, "inputs/x", &err), ERR_UNAVAILABLE);
    CHECK_INT(store_ping(stranger, NULL), ERR_UNAVAILABLE);
    store_close(&stranger);
}

static void a_server_that_is_away_may_come_back(void)
{
    struct store_options other = options();
    struct store *nobody = NULL;
    other.endpoint = "http://127.0.0.1:1";
    CHECK_INT(store_open(&other, &nobody, NULL), 0);
    CHECK_INT(store_put(nobody, "inputs/x", "1", 1, "image/png", NULL), ERR_UNAVAILABLE);
    CHECK_INT(store_ping(nobody, NULL), ERR_UNAVAILABLE);
    store_close(&nobody);
    CHECK_INT(store_ping(store, NULL), 0);
}

static atomic_int failures;

static void *put_get_delete(void *context)
{
    char key[64];
    struct buf out;
    buf_init(&out, 100);
    for (int i = 0; i < 5; i++) {
        snprintf(key, sizeof key, "threads/%s/%d", (const char *)context, i);
        if (store_put(store, key, key, strlen(key), "image/png", NULL) < 0 ||
            store_get(store, key, &out, NULL) < 0 || strcmp(buf_text(&out), key) ||
            store_delete(store, key, NULL) < 0)
            atomic_fetch_add(&failures, 1);
        buf_clear(&out);
    }
    buf_fini(&out);
    return NULL;
}

static void one_store_serves_several_threads(void)
{
    static char names[3][2] = {"a", "b", "c"};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, put_get_delete, names[i]), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&failures), 0);
}

int main(void)
{
    in_bucket = getenv("S3_BUCKET") != NULL;
    if (!in_bucket && !getenv("STORE_DIRECTORY"))
        check_skip("no store; tests/support/s3_server.sh run starts one");
    http_response_init(&response, 10000);
    if ((!in_bucket && secret_load(getenv("STORE_SECRET_FILE"), &secret, &err) < 0) ||
        http_client_create(&(struct http_client_options){0}, &client, &err) < 0) {
        printf("# %s\n", err.text);
        return EXIT_FAILURE;
    }
    const struct store_options own = options();
    if (store_open(&own, &store, &err) < 0) {
        printf("# %s\n", err.text);
        return EXIT_FAILURE;
    }
    RUN(an_object_comes_back_as_it_was_put);
    RUN(an_empty_object_is_an_object);
    RUN(putting_a_key_again_replaces_the_object);
    RUN(a_missing_object_is_not_found_and_deleting_it_succeeds);
    RUN(an_object_larger_than_the_buffer_is_a_limit);
    RUN(a_walk_lists_every_key_once_at_any_page_size);
    RUN(a_link_uploads_and_another_one_fetches);
    RUN(a_link_may_name_the_type_that_is_answered);
    RUN(a_link_is_good_for_its_own_method_key_and_type_only);
    RUN(a_changed_signature_or_none_is_denied);
    RUN(a_link_ends_when_it_says);
    RUN(one_store_serves_several_threads);
    if (in_bucket) {
        RUN(a_bucket_may_be_part_of_the_host_name);
        RUN(wrong_keys_are_denied_and_named);
        RUN(a_bucket_that_is_not_there_is_named);
        RUN(a_server_that_is_away_may_come_back);
    } else {
        RUN(an_upload_larger_than_was_signed_is_a_limit);
    }
    store_close(&store);
    http_client_destroy(&client);
    http_response_fini(&response);
    return check_report();
}

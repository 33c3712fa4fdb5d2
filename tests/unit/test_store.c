/* SPDX-License-Identifier: MIT */
#include "common/store.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/secret.h"
#include "tests/unit/check.h"

#include <dirent.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

/* The rules for keys and types, and the local store in a directory of its own. */
static char folder[] = "/tmp/darkroom-store-XXXXXX";
static char url[160], root[128];
static const struct secret secret = {{1, 2, 3}};
static struct store *store;

static struct store_options options(void)
{
    return (struct store_options){
        .url = url, .public_url = "http://127.0.0.1:8080/", .secret = &secret};
}

/* How many names lie in a folder of the store; -1: there is none. */
static int names_in(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    DIR *dir = opendir(path);
    int count = 0;
    if (!dir)
        return -1;
    for (struct dirent *entry; (entry = readdir(dir));)
        count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(dir);
    return count;
}

static void only_our_own_kind_of_key_is_valid(void)
{
    static const char *const good[] = {"a", "inputs/00ab", "results/x/1/result.png", "a-b_c.D9"};
    static const char *const bad[] = {
        "",      "/",    "/a",  "a/",   "a//b", "..",    "a/../b", ".",        "./a",
        ".a",    "a/.b", "a b", "a\nb", "a?b",  "a%2Fb", "a\\b",   "\xc3\xa4", "a/b/c/d/e/f/g/h/i",
        ".tmp/x"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK(store_key_is_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!store_key_is_valid(bad[i]));
    char longest[STORE_KEY_SIZE + 1];
    memset(longest, 'a', sizeof longest);
    longest[STORE_KEY_SIZE] = 0;
    CHECK(!store_key_is_valid(longest));
    longest[STORE_KEY_SIZE - 1] = 0;
    CHECK(store_key_is_valid(longest));
    CHECK_INT(store_put(store, "../x", "x", 1, "text/plain", NULL), ERR_INVALID);
    CHECK_INT(store_delete(store, "../x", NULL), ERR_INVALID);
}

static void only_plain_content_types_are_valid(void)
{
    static const char *const bad[] = {
        "",     "image", "/png", "image/", "a/b/c", "text/html; charset=x", "image/png\r\nX: y",
        "a b/c"};
    CHECK(store_type_is_valid("image/svg+xml"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!store_type_is_valid(bad[i]));
}

static void an_object_comes_back_as_it_was_put(void)
{
    struct buf out;
    int64_t bytes = 0;
    buf_init(&out, 100);
    CHECK_INT(store_put(store, "inputs/ab", "one\0two", 7, "image/png", NULL), 0);
    CHECK_INT(store_get(store, "inputs/ab", &out, NULL), 0);
    CHECK_INT(out.size, 7);
    CHECK(memcmp(out.data, "one\0two", 7) == 0);
    CHECK_INT(store_head(store, "inputs/ab", &bytes, NULL), 0);
    CHECK_INT(bytes, 7);
    CHECK_INT(store_put(store, "inputs/ab", "", 0, "image/png", NULL), 0);
    CHECK_INT(store_head(store, "inputs/ab", &bytes, NULL), 0);
    CHECK_INT(bytes, 0);
    CHECK_INT(names_in(".tmp"), 0);
    buf_fini(&out);
}

static void a_missing_object_is_not_found_and_deleting_it_succeeds(void)
{
    struct buf out;
    int64_t bytes;
    struct err err = {0};
    buf_init(&out, 100);
    CHECK_INT(store_get(store, "inputs/none", &out, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "no such object");
    CHECK_INT(store_get(store, "none/at/all", &out, NULL), ERR_NOT_FOUND);
    CHECK_INT(store_head(store, "inputs/none", &bytes, NULL), ERR_NOT_FOUND);
    CHECK_INT(store_head(store, "inputs", &bytes, NULL), ERR_NOT_FOUND);
    CHECK_INT(store_head(store, "inputs/ab/c", &bytes, NULL), ERR_NOT_FOUND);
    CHECK_INT(store_delete(store, "inputs/none", NULL), 0);
    CHECK_INT(store_delete(store, "none/at/all", NULL), 0);
    buf_fini(&out);
}

static void an_object_larger_than_the_buffer_is_a_limit(void)
{
    struct buf out;
    struct err err = {0};
    buf_init(&out, 3);
    CHECK_INT(store_put(store, "inputs/big", "1234", 4, "image/png", NULL), 0);
    CHECK_INT(store_get(store, "inputs/big", &out, &err), ERR_LIMIT);
    CHECK_HAS(err.text, "3 bytes");
    CHECK_INT(out.size, 0);
    buf_fini(&out);
}

static void deleting_the_last_object_removes_its_folders(void)
{
    CHECK_INT(store_put(store, "results/x/1/result.png", "1", 1, "image/png", NULL), 0);
    CHECK_INT(store_put(store, "results/x/2/result.png", "2", 1, "image/png", NULL), 0);
    CHECK_INT(store_delete(store, "results/x/1/result.png", NULL), 0);
    CHECK_INT(names_in("results/x"), 1);
    CHECK_INT(store_delete(store, "results/x/2/result.png", NULL), 0);
    CHECK_INT(names_in("results"), -1);
    CHECK_INT(names_in("inputs"), 2);
}

static void a_walk_lists_every_key_once_in_order_at_any_page_size(void)
{
    static const char *const keys[] = {"walk/a",     "walk/a-b",   "walk/a.c",   "walk/a.d/1",
                                       "walk/a.d/2", "walk/b/c/d", "walk/b/c/e", "walk/z"};
    enum { COUNT = sizeof keys / sizeof keys[0] };
    for (int i = 0; i < COUNT; i++)
        CHECK_INT(store_put(store, keys[i], "12", 2, "image/png", NULL), 0);
    for (size_t page = 1; page <= COUNT + 1; page++) {
        char cursor[STORE_CURSOR_SIZE] = "";
        size_t seen = 0;
        do {
            struct store_entry entries[COUNT + 1];
            size_t count = 0;
            CHECK_INT(store_list(store, "walk/", cursor, entries, page, &count, NULL), 0);
            CHECK(count <= page);
            for (size_t i = 0; i < count; i++, seen++) {
                CHECK(seen < COUNT);
                CHECK_TEXT(entries[i].key, keys[seen]);
                CHECK_INT(entries[i].bytes, 2);
                CHECK(entries[i].modified_ms > 0);
            }
        } while (*cursor);
        CHECK_INT(seen, COUNT);
    }
    char cursor[STORE_CURSOR_SIZE] = "";
    struct store_entry entry;
    size_t count = 7;
    CHECK_INT(store_list(store, "walk/b/c/e", cursor, &entry, 1, &count, NULL), 0);
    CHECK_INT(count, 1);
    CHECK_INT(store_list(store, "nothing/", cursor, &entry, 1, &count, NULL), 0);
    CHECK_INT(count, 0);
    CHECK_TEXT(cursor, "");
    for (int i = 0; i < COUNT; i++)
        CHECK_INT(store_delete(store, keys[i], NULL), 0);
}

static const struct store_permit upload_permit = {STORE_PUT, "results/y/1/result.png", "image/png",
                                                  8};

static void an_upload_appears_only_when_it_is_complete(void)
{
    struct store_upload *upload = NULL;
    int64_t bytes;
    CHECK_INT(store_upload_begin(store, &upload_permit, &upload, NULL), 0);
    CHECK_INT(store_upload_append(upload, "1234", 4, NULL), 0);
    CHECK_INT(store_head(store, upload_permit.key, &bytes, NULL), ERR_NOT_FOUND);
    CHECK_INT(store_upload_append(upload, "5678", 4, NULL), 0);
    CHECK_INT(store_upload_commit(&upload, NULL), 0);
    CHECK(upload == NULL);
    CHECK_INT(store_head(store, upload_permit.key, &bytes, NULL), 0);
    CHECK_INT(bytes, 8);
}

static void an_upload_stops_at_the_length_that_was_signed(void)
{
    struct store_upload *upload = NULL;
    struct err err = {0};
    CHECK_INT(store_upload_begin(store, &upload_permit, &upload, NULL), 0);
    CHECK_INT(store_upload_append(upload, "12345678", 8, NULL), 0);
    CHECK_INT(store_upload_append(upload, "9", 1, &err), ERR_LIMIT);
    CHECK_HAS(err.text, "8 bytes");
    store_upload_abort(&upload);
    store_upload_abort(&upload);
    CHECK_INT(names_in(".tmp"), 0);
}

static void an_object_opens_for_streaming(void)
{
    struct store_permit permit = {.method = STORE_GET, .key = "results/y/1/result.png"};
    char text[9] = "";
    int64_t bytes;
    int fd;
    CHECK_INT(store_open_object(store, &permit, &fd, &bytes, NULL), 0);
    CHECK_INT(bytes, 8);
    CHECK_INT(read(fd, text, 8), 8);
    CHECK_TEXT(text, "12345678");
    close(fd);
    snprintf(permit.key, sizeof permit.key, "results/y/1/none.png");
    CHECK_INT(store_open_object(store, &permit, &fd, &bytes, NULL), ERR_NOT_FOUND);
}

static void a_link_of_one_store_is_denied_by_another_secret(void)
{
    struct store_link link;
    const struct store_link_request request = {STORE_GET, "inputs/ab", 60, 0, "image/png"};
    CHECK_INT(store_presign(store, &request, &link, NULL), 0);
    CHECK_HAS(link.url, "http://127.0.0.1:8080/o/inputs/ab?e=");
    char expires[32];
    snprintf(expires, sizeof expires, "%.*s",
             (int)strspn(strstr(link.url, "?e=") + 3, "0123456789"), strstr(link.url, "?e=") + 3);
    struct store_link_query query = {.method = "GET",
                                     .key = "inputs/ab",
                                     .expires = expires,
                                     .type = "image/png",
                                     .signature = strstr(link.url, "&s=") + 3};
    struct store_permit permit;
    CHECK_INT(store_verify_link(store, &query, 0, &permit, NULL), 0);

    static const struct secret other_secret = {{9}};
    struct store_options other = options();
    struct store *stranger = NULL;
    other.secret = &other_secret;
    CHECK_INT(store_open(&other, &stranger, NULL), 0);
    CHECK_INT(store_verify_link(stranger, &query, 0, &permit, NULL), ERR_DENIED);
    store_close(&stranger);
}

static void a_link_outside_the_limits_is_not_made(void)
{
    struct store_link link;
    struct store_link_request request = {STORE_PUT, "inputs/ab", 60, 100, "image/png"};
    CHECK_INT(store_presign(store, &request, &link, NULL), 0);
    request.lifetime_s = 0;
    CHECK_INT(store_presign(store, &request, &link, NULL), ERR_LIMIT);
    request.lifetime_s = STORE_MAX_LINK_S + 1;
    CHECK_INT(store_presign(store, &request, &link, NULL), ERR_LIMIT);
    request.lifetime_s = 60;
    request.max_bytes = 0;
    CHECK_INT(store_presign(store, &request, &link, NULL), ERR_INVALID);
    request.max_bytes = 1;
    request.content_type = NULL;
    CHECK_INT(store_presign(store, &request, &link, NULL), ERR_INVALID);
    request.content_type = "image/png";
    request.key = "a/../b";
    CHECK_INT(store_presign(store, &request, &link, NULL), ERR_INVALID);
}

static void scratch_files_of_a_crash_go_at_the_next_start_and_fresh_ones_stay(void)
{
    static const char *const names[] = {"old", "fresh"};
    struct store *again = NULL;
    struct store_options same = options();
    char path[256];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/.tmp/%s", root, names[i]);
        FILE *file = fopen(path, "w");
        CHECK(file != NULL);
        fclose(file);
        const struct timespec times[2] = {{1000, 0}, {1000, 0}};
        if (i == 0)
            CHECK_INT(utimensat(-1, path, times, 0), 0);
    }
    CHECK_INT(store_open(&same, &again, NULL), 0);
    store_close(&again);
    CHECK_INT(names_in(".tmp"), 1);
    unlink(path);
}

static void bad_options_are_named(void)
{
    static const struct {
        const char *url, *public_url, *field;
        bool secret;
    } rows[] = {
        {NULL, "http://x", "store", true},
        {"", "http://x", "store", true},
        {"/tmp", "http://x", "store", true},
        {"local:", "http://x", "store", true},
        {"local:/tmp/x", NULL, "public-url", true},
        {"local:/tmp/x", "ftp://x", "public-url", true},
        {"local:/tmp/x", "http://x?y", "public-url", true},
        {"local:/tmp/x", "http://x", "secret-file", false},
        {"local:/proc/none", "http://x", "store", true},
        {"s3://ab", NULL, "store", true},
        {"s3://a/b/c", NULL, "store", true},
        {"s3://bucket", NULL, "s3-credentials-file", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct store *none = NULL;
        struct err err = {0};
        struct store_options bad = {.url = rows[i].url,
                                    .public_url = rows[i].public_url,
                                    .secret = rows[i].secret ? &secret : NULL};
        CHECK(store_open(&bad, &none, &err) < 0);
        CHECK_TEXT(err.field, rows[i].field);
        CHECK(none == NULL);
    }
    static const char *const endpoints[] = {"host",
                                            "ftp://host",
                                            "http://",
                                            "http://host/path",
                                            "http://host name",
                                            "http://user@host"};
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        struct store *none = NULL;
        struct err err = {0};
        const struct store_options bad = {
            .url = "s3://bucket", .endpoint = endpoints[i], .credentials_file = "/none"};
        CHECK_INT(store_open(&bad, &none, &err), ERR_INVALID);
        CHECK_TEXT(err.field, "s3-endpoint");
    }
}

static void a_link_to_s3_stands_where_the_bucket_is(void)
{
    static const struct {
        const char *endpoint, *region, *start;
        bool virtual_host;
    } rows[] = {
        {NULL, NULL, "https://bucket.s3.us-east-1.amazonaws.com/inputs/ab?X-Amz-", false},
        {NULL, "eu-central-1", "https://bucket.s3.eu-central-1.amazonaws.com/inputs/ab?", false},
        {"https://host:443/", NULL, "https://host/bucket/inputs/ab?X-Amz-", false},
        {"http://host:443", NULL, "http://host:443/bucket/inputs/ab?X-Amz-", false},
        {"http://host:9000", NULL, "http://bucket.host:9000/inputs/ab?X-Amz-", true},
    };
    char path[] = "/tmp/darkroom-s3-XXXXXX";
    int fd = mkstemp(path);
    CHECK_INT(write(fd, "AKIA\nsecret\n", 12), 12);
    close(fd);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct store_options s3 = {.url = "s3://bucket",
                                         .endpoint = rows[i].endpoint,
                                         .region = rows[i].region,
                                         .credentials_file = path,
                                         .virtual_host = rows[i].virtual_host};
        const struct store_link_request request = {STORE_GET, "inputs/ab", 60, 0, NULL};
        struct store_link link;
        struct store *bucket = NULL;
        CHECK_INT(store_open(&s3, &bucket, NULL), 0);
        CHECK(!store_is_local(bucket));
        CHECK_INT(store_presign(bucket, &request, &link, NULL), 0);
        CHECK_INT(strncmp(link.url, rows[i].start, strlen(rows[i].start)), 0);
        CHECK_HAS(link.url, "&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=");
        store_close(&bucket);
    }
    unlink(path);
}

static atomic_int failures;

/* Makes and removes the same folders as its rivals, again and again. */
static void *put_and_delete(void *context)
{
    char key[64];
    snprintf(key, sizeof key, "rival/x/%s", (const char *)context);
    for (int i = 0; i < 50; i++)
        if (store_put(store, key, "1", 1, "image/png", NULL) < 0 ||
            store_delete(store, key, NULL) < 0)
            atomic_fetch_add(&failures, 1);
    return NULL;
}

static void threads_that_put_and_delete_side_by_side_do_not_fail(void)
{
    static char names[3][2] = {"a", "b", "c"};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, put_and_delete, names[i]), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&failures), 0);
    CHECK_INT(names_in(".tmp"), 0);
    CHECK_INT(names_in("rival"), -1);
}

static void a_store_whose_directory_is_gone_is_not_ready(void)
{
    CHECK_INT(store_ping(store, NULL), 0);
    char path[256];
    snprintf(path, sizeof path, "%s/.tmp", root);
    CHECK_INT(rmdir(path), 0);
    CHECK_INT(store_ping(store, NULL), ERR_UNAVAILABLE);
    CHECK_INT(store_put(store, "inputs/ab", "1", 1, "image/png", NULL), ERR_IO);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    return remove(path);
}

int main(void)
{
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    snprintf(root, sizeof root, "%s/deep/objects", folder);
    snprintf(url, sizeof url, "local:%s/", root);
    const struct store_options own = options();
    if (store_open(&own, &store, NULL) < 0)
        return EXIT_FAILURE;
    RUN(only_our_own_kind_of_key_is_valid);
    RUN(only_plain_content_types_are_valid);
    RUN(an_object_comes_back_as_it_was_put);
    RUN(a_missing_object_is_not_found_and_deleting_it_succeeds);
    RUN(an_object_larger_than_the_buffer_is_a_limit);
    RUN(deleting_the_last_object_removes_its_folders);
    RUN(a_walk_lists_every_key_once_in_order_at_any_page_size);
    RUN(an_upload_appears_only_when_it_is_complete);
    RUN(an_upload_stops_at_the_length_that_was_signed);
    RUN(an_object_opens_for_streaming);
    RUN(a_link_of_one_store_is_denied_by_another_secret);
    RUN(a_link_outside_the_limits_is_not_made);
    RUN(scratch_files_of_a_crash_go_at_the_next_start_and_fresh_ones_stay);
    RUN(bad_options_are_named);
    RUN(a_link_to_s3_stands_where_the_bucket_is);
    RUN(threads_that_put_and_delete_side_by_side_do_not_fail);
    RUN(a_store_whose_directory_is_gone_is_not_ready);
    store_close(&store);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return check_report();
}

/* SPDX-License-Identifier: MIT
 *
 * What is read, sealed and stored when memory runs out: each allocation in turn fails, those inside
 * libpng, libjpeg, libwebp, jansson and libcrypto included, until everything succeeds. Nothing may
 * crash, nothing may leak. The program's malloc replaces glibc's for that; a sanitizer replaces it
 * already, so there the test is skipped. */
#include "common/address.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/manifest.h"
#include "common/picture.h"
#include "common/picture_metadata.h"
#include "common/secret.h"
#include "common/store.h"
#include "common/template.h"
#include "common/token.h"
#include "gpu/weights/weights.h"
#include "tests/unit/check.h"

#include <unistd.h>

#ifdef __has_feature
#define HAS_SANITIZER __has_feature(address_sanitizer)
#else
#define HAS_SANITIZER 0
#endif

#if HAS_SANITIZER || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||              \
    !defined(__GLIBC__)

int main(void)
{
    check_skip("malloc belongs to a sanitizer");
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void __libc_free(void *memory);

static long countdown = -1; /* < 0: nothing fails */
static long alive;

static bool must_fail(void)
{
    return countdown >= 0 && countdown-- == 0;
}

void *malloc(size_t size)
{
    void *memory = must_fail() ? NULL : __libc_malloc(size);
    alive += memory != NULL;
    return memory;
}

void *calloc(size_t count, size_t size)
{
    void *memory = must_fail() ? NULL : __libc_calloc(count, size);
    alive += memory != NULL;
    return memory;
}

void *realloc(void *memory, size_t size)
{
    void *result = must_fail() ? NULL : __libc_realloc(memory, size);
    alive += !memory && result;
    return result;
}

void free(void *memory)
{
    alive -= memory != NULL;
    __libc_free(memory);
}

/* Something that may run out of memory anywhere; cleans up after itself. */
typedef int attempt(const struct buf *input, struct err *err);

static void fail_each(attempt *try_it, const struct buf *input, int other_code, bool may_keep)
{
    for (long n = 0; n < 10000; n++) {
        struct err err = {0};
        long before = alive;
        countdown = n;
        int rc = try_it(input, &err);
        bool reached = countdown < 0;
        countdown = -1;
        if (!may_keep)
            CHECK_INT(alive, before);
        if (rc == 0 && !reached)
            return;
        /* A library may do without what it asked for, but a failure must say what it is. */
        if (rc < 0 && rc != other_code)
            CHECK_INT(rc, ERR_NOMEM);
    }
    CHECK(false);
}

static void fail_each_allocation(attempt *try_it, const struct buf *input, int other_code)
{
    fail_each(try_it, input, other_code, false);
}

/* libcrypto does not say why it failed, crashes itself where its first use fails, and keeps what it
 * sets up then and a text for each of the last errors of a thread. So it is used once before, and
 * only the second round must leave nothing behind. */
static void fail_each_allocation_twice(attempt *try_it, const struct buf *input)
{
    CHECK_INT(try_it(input, NULL), 0);
    fail_each(try_it, input, ERR_INTERNAL, true);
    fail_each(try_it, input, ERR_INTERNAL, false);
}

static int develop(const struct buf *input, struct err *err)
{
    static const struct picture_limits limits = {
        .max_bytes = 1 << 20, .max_pixels = 1000000, .max_side = 2000};
    struct picture photo = {0}, square = {0};
    int rc = picture_decode(input->data, input->size, &limits, &photo, err);
    if (rc == 0)
        rc = picture_resize(&photo, 9, 9, PICTURE_ANTIALIAS, &square, err);
    picture_fini(&photo);
    picture_fini(&square);
    return rc;
}

static int encode_each(const struct buf *input, struct err *err)
{
    static uint8_t pixels[40 * 30 * 3];
    struct picture picture = {.pixels = pixels, .width = 40, .height = 30};
    struct buf out;
    buf_init(&out, 1 << 20);
    struct picture_metadata metadata = {
        .model = "digits", .version = "1", .source = PICTURE_SOURCE_TRAINED, .has_seed = true};
    int rc = picture_encode(&picture, PICTURE_PNG, 80, &metadata, &out, err);
    if (rc == 0)
        rc = picture_encode(&picture, PICTURE_JPEG, 80, &metadata, &out, err);
    if (rc == 0)
        rc = picture_encode(&picture, PICTURE_WEBP, 80, &metadata, &out, err);
    buf_fini(&out);
    return rc;
}

/* A file that says where it comes from, read and told on. */
static int read_words(const struct buf *input, struct err *err)
{
    struct picture_metadata metadata = {0};
    int rc = picture_metadata_read(input->data, input->size, &metadata, err);
    json_t *view = rc == 0 ? picture_metadata_json(&metadata) : NULL;
    if (rc == 0 && !view)
        rc = err_set(err, ERR_NOMEM, NULL, "no memory for a view");
    json_decref(view);
    picture_metadata_fini(&metadata);
    return rc;
}

static int read_manifest(const struct buf *input, struct err *err)
{
    struct manifest manifest;
    json_t *params = NULL;
    int rc = manifest_parse(input->data, input->size, "models", &manifest, err);
    if (rc < 0)
        return rc;
    rc = manifest_check_params(&manifest, NULL, &params, err);
    json_decref(params);
    manifest_fini(&manifest);
    return rc;
}

static int render_template(const struct buf *input, struct err *err)
{
    struct template_options options = {.html = true};
    json_t *data = json_pack("{s:s, s:[i, i, i]}", "name", "<a & b>", "list", 1, 2, 3);
    struct buf out;
    if (!data)
        return err_set(err, ERR_NOMEM, NULL, "no data");
    buf_init(&out, 1 << 16);
    int rc = template_render("a page", "{{name}}{{#list}}{{.}} of {{name}}; {{/list}}", data,
                             &options, &out, err);
    json_decref(data);
    buf_fini(&out);
    return rc;
}

static const struct secret secret = {{1, 2, 3}};

static int seal_and_sign(const struct buf *input, struct err *err)
{
    static const char id[] = "00112233445566778899aabbccddeeff00";
    struct token_keys *tokens = NULL;
    struct address_keys *addresses = NULL;
    char token[TOKEN_SIZE], sealed[ADDRESS_SEALED_SIZE], address[ADDRESS_SIZE];
    char hash[ADDRESS_HASH_SIZE];
    int rc = token_keys_create(&secret, &tokens);
    if (rc == 0)
        rc = token_make(tokens, TOKEN_VIEW, id, token);
    if (rc == 0)
        rc = address_keys_create(&secret, &addresses);
    if (rc == 0)
        rc = address_hash(addresses, "a@example.org", hash);
    if (rc == 0)
        rc = address_seal(addresses, "a@example.org", id, sealed);
    if (rc == 0)
        rc = address_open(addresses, sealed, id, address);
    token_keys_destroy(&tokens);
    address_keys_destroy(&addresses);
    return rc;
}

static int keep_object(const struct buf *input, struct err *err)
{
    const struct store_options options = {
        .url = buf_text(input), .public_url = "http://127.0.0.1", .secret = &secret};
    const struct store_link_request request = {STORE_GET, "a/b/c", 60, 0, NULL};
    char cursor[STORE_CURSOR_SIZE] = "";
    struct store *store = NULL;
    struct store_entry entry;
    struct store_link link;
    struct buf out;
    size_t count;
    buf_init(&out, 100);
    int rc = store_open(&options, &store, err);
    if (rc == 0)
        rc = store_put(store, "a/b/c", "text", 4, "text/plain", err);
    if (rc == 0)
        rc = store_list(store, "a/", cursor, &entry, 1, &count, err);
    if (rc == 0)
        rc = store_get(store, "a/b/c", &out, err);
    if (rc == 0)
        rc = store_presign(store, &request, &link, err);
    if (rc == 0)
        rc = store_delete(store, "a/b/c", err);
    store_close(&store);
    buf_fini(&out);
    return rc;
}

static void load(const char *folder, const char *name, struct buf *buf)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", getenv(folder), name);
    buf_init(buf, 1 << 20);
    CHECK_INT(buf_read_file(buf, path, NULL), 0);
}

static void pictures_survive_every_failed_allocation(void)
{
    /* No lossless WebP: there libwebp 1.2.4 itself follows a null pointer. */
    static const char *const files[] = {"rgba8.png", "interlaced.png",  "turned6.jpg",
                                        "cmyk.jpg",  "progressive.jpg", "lossy.webp"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct buf input;
        char name[64];
        snprintf(name, sizeof name, "pictures/%s", files[i]);
        load("DARKROOM_TEST_DATA", name, &input);
        printf("# %s\n", files[i]);
        /* libwebp reports some of its own failures as a damaged file. */
        fail_each_allocation(develop, &input, strstr(name, ".webp") ? ERR_CORRUPT : ERR_NOMEM);
        buf_fini(&input);
    }
}

static void encoders_survive_every_failed_allocation(void)
{
    fail_each_allocation(encode_each, NULL, ERR_NOMEM);
}

static void provenance_survives_every_failed_allocation(void)
{
    static uint8_t pixels[3];
    struct picture picture = {.pixels = pixels, .width = 1, .height = 1};
    struct picture_metadata metadata = {
        .model = "digits", .version = "1", .source = PICTURE_SOURCE_TRAINED};
    json_t *params = json_pack("{s:s}", "number", "\xd0\xb6");
    struct buf file;
    buf_init(&file, 65536);
    CHECK_INT(picture_metadata_set_params(&metadata, params, NULL), 0);
    CHECK_INT(picture_encode(&picture, PICTURE_PNG, 0, &metadata, &file, NULL), 0);
    fail_each_allocation(read_words, &file, ERR_CORRUPT); /* jansson does not tell why */
    buf_fini(&file);
    picture_metadata_fini(&metadata);
    json_decref(params);
}

static void manifests_survive_every_failed_allocation(void)
{
    struct buf input;
    load("DARKROOM_MODELS", "portrait-drawing.json", &input);
    /* jansson reports some of its own failures as bad JSON. */
    fail_each_allocation(read_manifest, &input, ERR_INVALID);
    buf_fini(&input);
}

static int open_weights(const struct buf *input, struct err *err)
{
    struct weights *weights = NULL;
    int rc = weights_open_memory(input->data, input->size, &weights, err);
    weights_close(&weights);
    return rc;
}

static void weights_survive_every_failed_allocation(void)
{
    static const char *const files[] = {"torch/zip", "torch/legacy", "stylegan/protocol_4"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct buf input;
        load("DARKROOM_TEST_CORPUS", files[i], &input);
        fail_each_allocation(open_weights, &input, ERR_CORRUPT); /* jansson does not tell why */
        CHECK_INT(open_weights(&input, NULL), 0);
        buf_fini(&input);
    }
}

static void templates_survive_every_failed_allocation(void)
{
    fail_each_allocation(render_template, NULL, ERR_NOMEM);
}

static void secrets_survive_every_failed_allocation(void)
{
    fail_each_allocation_twice(seal_and_sign, NULL);
}

static void objects_survive_every_failed_allocation(void)
{
    char folder[] = "/tmp/darkroom-nomem-XXXXXX";
    struct buf url;
    buf_init(&url, 100);
    CHECK(mkdtemp(folder) != NULL);
    CHECK_INT(buf_printf(&url, "local:%s", folder), 0);
    fail_each_allocation_twice(keep_object, &url);
    CHECK_INT(keep_object(&url, NULL), 0);
    buf_fini(&url);
    char scratch[64];
    snprintf(scratch, sizeof scratch, "%s/.tmp", folder);
    CHECK_INT(rmdir(scratch), 0); /* empty: no upload was left behind */
    CHECK_INT(rmdir(folder), 0);
}

int main(void)
{
    RUN(pictures_survive_every_failed_allocation);
    RUN(encoders_survive_every_failed_allocation);
    RUN(provenance_survives_every_failed_allocation);
    RUN(manifests_survive_every_failed_allocation);
    RUN(weights_survive_every_failed_allocation);
    RUN(templates_survive_every_failed_allocation);
    RUN(secrets_survive_every_failed_allocation);
    RUN(objects_survive_every_failed_allocation);
    return check_report();
}

#endif

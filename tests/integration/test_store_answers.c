/* SPDX-License-Identifier: MIT */
#include "common/buf.h"
#include "common/err.h"
#include "common/store.h"
#include "tests/support/http_stub.h"
#include "tests/unit/check.h"

#include <unistd.h>

/* What the S3 store makes of answers that a healthy server does not give. */
static struct http_stub *stub;
static struct store *store;
static struct err err;
static const char *status_line, *body;
static struct buf last_head;

static enum stub_next answer(const struct stub_request *request, struct buf *out, void *context)
{
    buf_clear(&last_head);
    buf_append_text(&last_head, request->head);
    buf_printf(out, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status_line, strlen(body),
               body);
    return STUB_KEEP;
}

static int put_answered(const char *status, const char *with_body)
{
    status_line = status;
    body = with_body;
    err = (struct err){0};
    return store_put(store, "inputs/marker", "1", 1, "image/png", &err);
}

#define ERROR(code)                                                                                \
    "<?xml version=\"1.0\"?><Error><Code>" code "</Code><Message>x</Message></Error>"

static void every_refusal_has_its_code_and_a_plain_text(void)
{
    static const struct {
        const char *status, *body, *text;
        int code;
    } rows[] = {
        {"403 x", ERROR("RequestTimeTooSkewed"), "clocks", ERR_DENIED},
        {"403 x", ERROR("SignatureDoesNotMatch"), "secret key", ERR_DENIED},
        {"403 x", ERROR("InvalidAccessKeyId"), "access key", ERR_DENIED},
        {"403 x", ERROR("AccessDenied"), "rights", ERR_DENIED},
        {"403 x", "", "answered 403", ERR_DENIED},
        {"400 x", ERROR("ExpiredToken"), "session token", ERR_DENIED},
        {"400 x", ERROR("AuthorizationHeaderMalformed"), "s3-region", ERR_DENIED},
        {"400 x", ERROR("EntityTooLarge"), "larger", ERR_LIMIT},
        {"400 x", ERROR("RequestTimeout"), "too long", ERR_TIMEOUT},
        {"400 x", ERROR("Unheard"), "(Unheard)", ERR_INVALID},
        {"301 x", ERROR("PermanentRedirect"), "another endpoint", ERR_UNSUPPORTED},
        {"307 x", "", "answered 307", ERR_UNSUPPORTED},
        {"404 x", ERROR("NoSuchBucket"), "bucket does not exist", ERR_UNAVAILABLE},
        {"503 x", ERROR("SlowDown"), "(SlowDown)", ERR_UNAVAILABLE},
        {"502 x", "<html>Bad gateway</html>", "answered 502", ERR_UNAVAILABLE},
        {"500 x", "<Error><Code>", "answered 500", ERR_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CHECK_INT(put_answered(rows[i].status, rows[i].body), rows[i].code);
        CHECK_HAS(err.text, rows[i].text);
        CHECK(strstr(err.text, "marker") == NULL);
    }
}

static void a_success_is_a_success_on_one_connection(void)
{
    CHECK_INT(put_answered("200 OK", ""), 0);
    int before = http_stub_connections(stub);
    for (int i = 0; i < 5; i++)
        CHECK_INT(put_answered("200 OK", ""), 0);
    CHECK_INT(http_stub_connections(stub), before);
    CHECK_HAS(buf_text(&last_head), "PUT /bucket/inputs/marker HTTP/1.1");
    CHECK_HAS(buf_text(&last_head),
              "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date,");
}

static void a_listing_that_is_none_is_corrupt(void)
{
    char cursor[STORE_CURSOR_SIZE] = "";
    struct store_entry entry;
    size_t count;
    status_line = "200 OK";
    body = "<html>a captive portal</html>";
    CHECK_INT(store_list(store, "", cursor, &entry, 1, &count, NULL), ERR_CORRUPT);
    CHECK_INT(store_ping(store, NULL), ERR_CORRUPT);
}

static void an_object_that_is_gone_counts_as_deleted(void)
{
    status_line = "404 x";
    body = ERROR("NoSuchKey");
    CHECK_INT(store_delete(store, "inputs/x", NULL), 0);
    body = ERROR("NoSuchBucket");
    CHECK_INT(store_delete(store, "inputs/x", NULL), ERR_UNAVAILABLE);
}

int main(void)
{
    char path[] = "/tmp/darkroom-s3-keys-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, "AKIA\nsecret\n", 12) != 12)
        return EXIT_FAILURE;
    close(fd);
    buf_init(&last_head, 65536);
    stub = http_stub_start(answer, NULL);
    const struct store_options options = {
        .url = "s3://bucket", .endpoint = http_stub_url(stub), .credentials_file = path};
    if (store_open(&options, &store, NULL) < 0)
        return EXIT_FAILURE;
    RUN(every_refusal_has_its_code_and_a_plain_text);
    RUN(a_success_is_a_success_on_one_connection);
    RUN(a_listing_that_is_none_is_corrupt);
    RUN(an_object_that_is_gone_counts_as_deleted);
    store_close(&store);
    http_stub_stop(&stub);
    buf_fini(&last_head);
    unlink(path);
    return check_report();
}

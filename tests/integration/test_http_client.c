/* SPDX-License-Identifier: MIT */
#include "common/http_client.h"

#include "common/err.h"
#include "tests/support/http_stub.h"
#include "tests/unit/check.h"

/* What the stub does is in the path: /status/503, /bytes/1000, /hang … */
static struct buf last_head, last_body;

static enum stub_next answer(const struct stub_request *request, struct buf *out, void *context)
{
    int number = 0;
    buf_clear(&last_head);
    buf_clear(&last_body);
    buf_append_text(&last_head, request->head);
    buf_append(&last_body, request->body, request->body_size);
    const char *path = strchr(request->head, ' ') + 1;
    if (sscanf(path, "/status/%d", &number) == 1) {
        buf_printf(out,
                   "HTTP/1.1 %d x\r\nContent-Type: application/problem+json\r\nRetry-After: 7\r\n"
                   "Location: /status/200\r\nContent-Length: %d\r\n\r\n%s",
                   number, number == 204 ? 0 : 6, number == 204 ? "" : "detail");
        return STUB_KEEP;
    }
    if (sscanf(path, "/bytes/%d", &number) == 1) {
        buf_printf(out, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", number);
        for (int i = 0; i < number && strncmp(request->head, "HEAD", 4); i++)
            buf_append_text(out, "x");
        return STUB_KEEP;
    }
    if (!strncmp(path, "/chunked", 8)) {
        buf_append_text(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
        return STUB_KEEP;
    }
    if (!strncmp(path, "/short", 6)) {
        buf_append_text(out, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        return STUB_CLOSE;
    }
    if (!strncmp(path, "/reset", 6))
        return STUB_RESET;
    if (!strncmp(path, "/garbage", 8)) {
        buf_append_text(out, "SMTP ready\r\n\r\n");
        return STUB_CLOSE;
    }
    if (!strncmp(path, "/trickle", 8))
        buf_append_text(out, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    return STUB_HANG;
}

static struct http_stub *stub;
static struct http_client *client;
static struct http_response response;
static struct err err;

static int request_of(struct http_request request, const char *path)
{
    char url[512];
    snprintf(url, sizeof url, "%s%s", http_stub_url(stub), path);
    request.url = url;
    err = (struct err){0};
    return http_client_send(client, &request, &response, &err);
}

static int get(const char *path)
{
    return request_of((struct http_request){.method = HTTP_GET}, path);
}

static void every_status_has_its_code(void)
{
    static const struct {
        int status, code;
    } rows[] = {{200, 0},
                {204, 0},
                {302, ERR_UNSUPPORTED},
                {400, ERR_INVALID},
                {401, ERR_DENIED},
                {403, ERR_DENIED},
                {404, ERR_NOT_FOUND},
                {408, ERR_TIMEOUT},
                {409, ERR_CONFLICT},
                {410, ERR_NOT_FOUND},
                {413, ERR_LIMIT},
                {422, ERR_INVALID},
                {429, ERR_UNAVAILABLE},
                {500, ERR_UNAVAILABLE},
                {503, ERR_UNAVAILABLE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, "/status/%d?secret=marker", rows[i].status);
        CHECK_INT(get(path), rows[i].code);
        CHECK_INT(response.status, rows[i].status);
        CHECK_TEXT(buf_text(&response.body), rows[i].status == 204 ? "" : "detail");
        CHECK_TEXT(response.content_type, "application/problem+json");
        CHECK_INT(response.retry_after_s, 7);
        CHECK(strstr(err.text, "marker") == NULL);
    }
}

static void one_connection_serves_many_requests(void)
{
    CHECK_INT(get("/bytes/1"), 0);
    int before = http_stub_connections(stub);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(get("/bytes/1000"), 0);
        CHECK_INT(response.body.size, 1000);
    }
    CHECK_INT(http_stub_connections(stub), before);
}

static void a_redirect_is_followed_only_on_request(void)
{
    CHECK_INT(get("/status/302"), ERR_UNSUPPORTED);
    CHECK_HAS(response.location, "/status/200");
    CHECK_INT(
        request_of((struct http_request){.method = HTTP_GET, .max_redirects = 3}, "/status/302"),
        0);
    CHECK_INT(response.status, 200);
}

static void an_answer_larger_than_its_buffer_is_refused(void)
{
    CHECK_INT(get("/bytes/100001"), ERR_LIMIT);
    CHECK_HAS(err.text, "100000 bytes");
    CHECK_INT(get("/bytes/100000"), 0);
}

static void a_body_arrives_as_it_was_sent(void)
{
    size_t size = 3 << 20;
    unsigned char *body = malloc(size);
    for (size_t i = 0; i < size; i++)
        body[i] = (unsigned char)(i * 7 + (i >> 8));
    const struct http_header headers[] = {{"Content-Type", "image/png"}, {"X-Empty", ""}};
    const struct http_request put = {
        .method = HTTP_PUT, .headers = headers, .header_count = 2, .body = body, .body_size = size};
    CHECK_INT(request_of(put, "/bytes/0"), 0);
    CHECK_INT(last_body.size, size);
    CHECK(memcmp(last_body.data, body, size) == 0);
    CHECK_HAS(buf_text(&last_head), "PUT /bytes/0 HTTP/1.1");
    CHECK_HAS(buf_text(&last_head), "Content-Type: image/png\r\n");
    CHECK_HAS(buf_text(&last_head), "X-Empty:");
    CHECK(strstr(buf_text(&last_head), "Expect") == NULL);
    free(body);
}

static void each_method_says_its_name_and_an_empty_body_its_length(void)
{
    CHECK_INT(request_of((struct http_request){.method = HTTP_POST}, "/bytes/2"), 0);
    CHECK_HAS(buf_text(&last_head), "POST /bytes/2");
    CHECK_HAS(buf_text(&last_head), "Content-Length: 0");
    CHECK(strstr(buf_text(&last_head), "Content-Type") == NULL);
    CHECK_INT(request_of((struct http_request){.method = HTTP_DELETE}, "/bytes/2"), 0);
    CHECK_HAS(buf_text(&last_head), "DELETE /bytes/2");
    CHECK_INT(request_of((struct http_request){.method = HTTP_HEAD}, "/bytes/2000"), 0);
    CHECK_INT(response.content_length, 2000);
    CHECK_INT(response.body.size, 0);
}

static void a_chunked_answer_is_joined(void)
{
    CHECK_INT(get("/chunked"), 0);
    CHECK_TEXT(buf_text(&response.body), "abcdefg");
}

static void what_breaks_off_may_work_later(void)
{
    CHECK_INT(get("/short"), ERR_UNAVAILABLE);
    CHECK_INT(get("/reset"), ERR_UNAVAILABLE);
    CHECK_INT(get("/garbage"), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "127.0.0.1");
    struct http_request request = {.method = HTTP_GET, .url = "http://127.0.0.1:1/?x=marker"};
    err = (struct err){0};
    CHECK_INT(http_client_send(client, &request, &response, &err), ERR_UNAVAILABLE);
    CHECK_INT(response.status, 0);
    CHECK(strstr(err.text, "marker") == NULL);
    request.url = "http://no-such-host.invalid/";
    CHECK_INT(http_client_send(client, &request, &response, NULL), ERR_UNAVAILABLE);
}

static void silence_is_a_timeout(void)
{
    const struct http_request quick = {.method = HTTP_GET, .total_timeout_ms = 200};
    CHECK_INT(request_of(quick, "/hang"), ERR_TIMEOUT);
    CHECK_INT(request_of(quick, "/trickle"), ERR_TIMEOUT);
    struct http_client *patient = client;
    CHECK_INT(
        http_client_create(&(struct http_client_options){.stall_timeout_ms = 1000}, &client, NULL),
        0);
    int rc = get("/trickle");
    http_client_destroy(&client);
    client = patient;
    CHECK_INT(rc, ERR_TIMEOUT);
}

static int stop_at_once(void *context, int64_t sent, int64_t received)
{
    ++*(int *)context;
    return 1;
}

static int refuse_data(void *context, const void *data, size_t size)
{
    return 1;
}

static int collect(void *context, const void *data, size_t size)
{
    return buf_append(context, data, size);
}

static void a_callback_can_end_the_request(void)
{
    int calls = 0;
    struct http_request request = {
        .method = HTTP_GET, .on_progress = stop_at_once, .context = &calls};
    CHECK_INT(request_of(request, "/hang"), ERR_CANCELLED);
    CHECK_INT(calls, 1);
    request = (struct http_request){.method = HTTP_GET, .on_data = refuse_data};
    CHECK_INT(request_of(request, "/bytes/10"), ERR_CANCELLED);
}

static void data_may_be_taken_piece_by_piece_but_refusals_stay_whole(void)
{
    struct buf pieces;
    buf_init(&pieces, 1 << 20);
    struct http_request request = {.method = HTTP_GET, .on_data = collect, .context = &pieces};
    CHECK_INT(request_of(request, "/bytes/500000"), 0);
    CHECK_INT(pieces.size, 500000);
    CHECK_INT(response.body.size, 0);
    CHECK_INT(request_of(request, "/status/422"), ERR_INVALID);
    CHECK_TEXT(buf_text(&response.body), "detail");
    CHECK_INT(pieces.size, 500000);
    buf_fini(&pieces);
}

static void nothing_unchecked_enters_a_header_or_url(void)
{
    static const struct http_header bad[] = {{"X-A", "b\r\nX-C: d"}, {"X-A", "\x01"}, {"X A", "b"},
                                             {"X-A\r\n", "b"},       {"X:A", "b"},    {"", "b"}};
    int before = http_stub_requests(stub);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct http_request request = {.method = HTTP_GET, .headers = &bad[i], .header_count = 1};
        CHECK_INT(request_of(request, "/bytes/1"), ERR_INVALID);
    }
    CHECK_INT(get("/bytes/1\r\nX: y"), ERR_INVALID);
    static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/", "gopher://x", "",
                                       "http://user:password@127.0.0.1/"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct http_request request = {.method = HTTP_GET, .url = urls[i]};
        CHECK_INT(http_client_send(client, &request, &response, NULL), ERR_INVALID);
    }
    CHECK_INT(http_stub_requests(stub), before);
}

static void a_proxy_of_the_environment_is_ignored(void)
{
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("no_proxy", "", 1);
    int rc = get("/bytes/1");
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    CHECK_INT(rc, 0);
}

int main(void)
{
    buf_init(&last_head, 1 << 16);
    buf_init(&last_body, 1 << 26);
    http_response_init(&response, 100000);
    stub = http_stub_start(answer, NULL);
    if (http_client_create(&(struct http_client_options){0}, &client, NULL) < 0)
        return EXIT_FAILURE;
    RUN(every_status_has_its_code);
    RUN(one_connection_serves_many_requests);
    RUN(a_redirect_is_followed_only_on_request);
    RUN(an_answer_larger_than_its_buffer_is_refused);
    RUN(a_body_arrives_as_it_was_sent);
    RUN(each_method_says_its_name_and_an_empty_body_its_length);
    RUN(a_chunked_answer_is_joined);
    RUN(what_breaks_off_may_work_later);
    RUN(silence_is_a_timeout);
    RUN(a_callback_can_end_the_request);
    RUN(data_may_be_taken_piece_by_piece_but_refusals_stay_whole);
    RUN(nothing_unchecked_enters_a_header_or_url);
    RUN(a_proxy_of_the_environment_is_ignored);
    http_client_destroy(&client);
    http_stub_stop(&stub);
    http_response_fini(&response);
    buf_fini(&last_head);
    buf_fini(&last_body);
    return check_report();
}

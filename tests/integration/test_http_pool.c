/* SPDX-License-Identifier: MIT */
#include "common/http_client_pool.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/network.h"
#include "tests/support/http_stub.h"
#include "tests/unit/check.h"

#define DEADLINE_MS 20000

static struct network_set nobody, loopback;

static enum stub_next answer(const struct stub_request *request, struct buf *out, void *context)
{
    const char *path = strchr(request->head, ' ') + 1;
    if (!strncmp(path, "/hang", 5))
        return STUB_HANG;
    if (!strncmp(path, "/redirect", 9)) {
        buf_printf(out,
                   "HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
        return STUB_KEEP;
    }
    buf_printf(out, "HTTP/1.1 200 OK\r\nRetry-After: 3\r\nContent-Length: %zu\r\n\r\n",
               request->body_size);
    buf_append(out, request->body, request->body_size);
    return STUB_KEEP;
}

struct outcome {
    int calls, rc, status;
    char body[64], text[256];
};

static void note(int rc, const struct http_response *response, const struct err *err, void *data)
{
    struct outcome *outcome = data;
    outcome->calls++;
    outcome->rc = rc;
    outcome->status = response->status;
    snprintf(outcome->body, sizeof outcome->body, "%.*s", (int)response->body.size,
             response->body.size ? (const char *)response->body.data : "");
    snprintf(outcome->text, sizeof outcome->text, "%s", err->text);
}

static struct http_pool *open_pool(size_t slots, const struct network_set *only_public_or)
{
    struct http_pool *pool = NULL;
    const struct http_client_options options = {.total_timeout_ms = DEADLINE_MS,
                                                .only_public_or = only_public_or};
    CHECK_INT(http_pool_create(&options, slots, &pool, NULL), 0);
    return pool;
}

static int post(struct http_pool *pool, const char *base, const char *path, const char *body,
                struct outcome *outcome)
{
    char url[512], copy[64];
    snprintf(url, sizeof url, "%s%s", base, path);
    snprintf(copy, sizeof copy, "%s", body);
    const struct http_header header = {"X-Test", "1"};
    const struct http_request request = {.method = HTTP_POST,
                                         .url = url,
                                         .headers = &header,
                                         .header_count = 1,
                                         .body = copy,
                                         .body_size = strlen(copy)};
    *outcome = (struct outcome){.calls = 0};
    int rc = http_pool_send(pool, &request, 32, note, outcome, NULL);
    memset(url, 'x', sizeof url); /* what was handed over is the pool's own */
    memset(copy, 'x', sizeof copy);
    return rc;
}

static void wait_for(struct http_pool *pool, const struct outcome *outcome)
{
    int64_t end = clock_ms() + DEADLINE_MS;
    while (!outcome->calls && clock_ms() < end)
        CHECK_INT(http_pool_wait(pool, NULL, 0, 100), 0);
    CHECK_INT(outcome->calls, 1);
}

static void a_request_brings_its_answer(void)
{
    struct http_stub *stub = http_stub_start(answer, NULL);
    struct http_pool *pool = open_pool(2, NULL);
    struct outcome outcome;
    CHECK_INT(post(pool, http_stub_url(stub), "/", "hello", &outcome), 0);
    CHECK_INT(http_pool_busy_slots(pool), 1);
    wait_for(pool, &outcome);
    CHECK_INT(outcome.rc, 0);
    CHECK_TEXT(outcome.body, "hello");
    CHECK_INT(http_pool_free_slots(pool), 2);
    http_pool_destroy(&pool);
    http_stub_stop(&stub);
}

static void a_server_that_hangs_holds_up_nobody_else(void)
{
    struct http_stub *slow = http_stub_start(answer, NULL), *quick = http_stub_start(answer, NULL);
    struct http_pool *pool = open_pool(8, NULL);
    struct outcome hanging[7], outcome;
    for (int i = 0; i < 7; i++)
        CHECK_INT(post(pool, http_stub_url(slow), "/hang", "x", &hanging[i]), 0);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(post(pool, http_stub_url(quick), "/", "y", &outcome), 0);
        CHECK_INT(post(pool, http_stub_url(quick), "/", "y", &hanging[0]), ERR_UNAVAILABLE);
        wait_for(pool, &outcome);
        CHECK_INT(outcome.rc, 0);
    }
    CHECK_INT(http_pool_busy_slots(pool), 7);
    http_pool_destroy(&pool);
    for (int i = 1; i < 7; i++) {
        CHECK_INT(hanging[i].calls, 1);
        CHECK_INT(hanging[i].rc, ERR_CANCELLED);
    }
    http_stub_stop(&quick);
    http_stub_stop(&slow);
}

/* Whatever the address is called, it is judged when the socket opens: no packet leaves. */
static void an_internal_address_gets_no_connection_under_any_name(void)
{
    static const char *const hosts[] = {
        "127.0.0.1",  "localhost",  "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0",   "0",
        "2130706433", "0x7f000001", "0177.0.0.1",         "127.1",           "127.0.0.1."};
    struct http_stub *stub = http_stub_start(answer, NULL);
    const char *port = strrchr(http_stub_url(stub), ':');
    struct http_pool *pool = open_pool(2, &nobody);
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct outcome outcome;
        char base[128];
        snprintf(base, sizeof base, "http://%s%s", hosts[i], port);
        CHECK_INT(post(pool, base, "/", "x", &outcome), 0);
        wait_for(pool, &outcome);
        CHECK(outcome.rc == ERR_DENIED || outcome.rc == ERR_UNAVAILABLE /* no such host */);
        CHECK_INT(outcome.status, 0);
    }
    struct outcome outcome;
    CHECK_INT(post(pool, http_stub_url(stub), "/", "x", &outcome), 0);
    wait_for(pool, &outcome);
    CHECK_INT(outcome.rc, ERR_DENIED);
    CHECK_HAS(outcome.text, "not on the public internet");
    CHECK_INT(http_stub_connections(stub), 0);
    http_pool_destroy(&pool);
    http_stub_stop(&stub);
}

static void an_allowed_address_is_reached_and_its_redirect_is_not_followed(void)
{
    struct http_stub *stub = http_stub_start(answer, NULL);
    struct http_pool *pool = open_pool(2, &loopback);
    struct outcome outcome;
    CHECK_INT(post(pool, http_stub_url(stub), "/", "x", &outcome), 0);
    wait_for(pool, &outcome);
    CHECK_INT(outcome.rc, 0);
    CHECK_INT(post(pool, http_stub_url(stub), "/redirect", "x", &outcome), 0);
    wait_for(pool, &outcome);
    CHECK_INT(outcome.rc, ERR_UNSUPPORTED);
    CHECK_INT(outcome.status, 307);
    http_pool_destroy(&pool);
    http_stub_stop(&stub);
}

static void a_guarded_client_asks_no_proxy(void)
{
    struct http_stub *stub = http_stub_start(answer, NULL);
    struct http_client *client = NULL;
    struct http_response response;
    setenv("http_proxy", http_stub_url(stub), 1);
    const struct http_client_options options = {
        .total_timeout_ms = 2000, .use_environment_proxy = true, .only_public_or = &nobody};
    CHECK_INT(http_client_create(&options, &client, NULL), 0);
    http_response_init(&response, 64);
    int rc = http_client_send(
        client, &(struct http_request){.method = HTTP_GET, .url = "http://127.0.0.1:1/"}, &response,
        NULL);
    unsetenv("http_proxy");
    CHECK_INT(rc, ERR_DENIED);
    CHECK_INT(http_stub_connections(stub), 0);
    http_response_fini(&response);
    http_client_destroy(&client);
    http_stub_stop(&stub);
}

static void https_only_means_it(void)
{
    struct http_pool *pool = NULL;
    struct outcome outcome;
    const struct http_client_options options = {.https_only = true};
    CHECK_INT(http_pool_create(&options, 1, &pool, NULL), 0);
    CHECK_INT(post(pool, "http://127.0.0.1:1", "/", "x", &outcome), ERR_INVALID);
    CHECK_INT(http_pool_free_slots(pool), 1);
    http_pool_destroy(&pool);
}

int main(void)
{
    network_set_parse("127.0.0.0/8", "x", &loopback, NULL);
    RUN(a_request_brings_its_answer);
    RUN(a_server_that_hangs_holds_up_nobody_else);
    RUN(an_internal_address_gets_no_connection_under_any_name);
    RUN(an_allowed_address_is_reached_and_its_redirect_is_not_followed);
    RUN(a_guarded_client_asks_no_proxy);
    RUN(https_only_means_it);
    return check_report();
}

/* SPDX-License-Identifier: MIT
 *
 * store_bench DIRECTORY: what tokens, links and uploads cost. The uploads go to a stub on
 * loopback, so that they measure our side; the local store writes below DIRECTORY. */
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/secret.h"
#include "common/store.h"
#include "common/token.h"
#include "tests/support/http_stub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PICTURE_BYTES (120 * 1024) /* a 256² drawing as PNG */

static const struct secret secret = {{1, 2, 3}};

struct timer {
    int64_t wall_us, cpu_us;
};

static int64_t thread_cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct timer start(void)
{
    return (struct timer){clock_us(), thread_cpu_us()};
}

static void report(const char *what, struct timer from, int rounds)
{
    printf("%-36s %9.2f us wall  %9.2f us CPU\n", what,
           (double)(clock_us() - from.wall_us) / rounds,
           (double)(thread_cpu_us() - from.cpu_us) / rounds);
}

static void must(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "store_bench: %s: %s\n", what, err_name(rc));
    exit(EXIT_FAILURE);
}

static void bench_tokens(void)
{
    struct token_keys *keys = NULL;
    char token[TOKEN_SIZE];
    enum { ROUNDS = 100000 };
    must(token_keys_create(&secret, &keys), "keys");
    struct timer timer = start();
    for (int i = 0; i < ROUNDS; i++)
        must(token_make(keys, TOKEN_VIEW, "00112233445566778899aabbccddeeff00", token), "token");
    report("token", timer, ROUNDS);
    token_keys_destroy(&keys);
}

static void bench_links(const struct store *store, const char *what)
{
    const struct store_link_request request = {STORE_PUT, "results/00112233/1/result.png", 900,
                                               1 << 20, "image/png"};
    struct store_link link;
    enum { ROUNDS = 20000 };
    struct timer timer = start();
    for (int i = 0; i < ROUNDS; i++)
        must(store_presign(store, &request, &link, NULL), "link");
    report(what, timer, ROUNDS);
}

static void bench_local(struct store *store, const unsigned char *picture)
{
    struct buf out;
    enum { ROUNDS = 200 };
    struct timer timer = start();
    for (int i = 0; i < ROUNDS; i++)
        must(store_put(store, "bench/x/1/result.png", picture, PICTURE_BYTES, "image/png", NULL),
             "put");
    report("local put, 120 KiB, flushed", timer, ROUNDS);
    buf_init(&out, PICTURE_BYTES);
    timer = start();
    for (int i = 0; i < ROUNDS; i++) {
        buf_clear(&out);
        must(store_get(store, "bench/x/1/result.png", &out, NULL), "get");
    }
    report("local get, 120 KiB", timer, ROUNDS);
    buf_fini(&out);
    must(store_delete(store, "bench/x/1/result.png", NULL), "delete");
}

static enum stub_next accept_all(const struct stub_request *request, struct buf *out, void *context)
{
    buf_append_text(out, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    return STUB_KEEP;
}

static void bench_http(const struct http_stub *stub, const unsigned char *picture)
{
    struct http_client *client = NULL;
    struct http_response response;
    char url[256];
    enum { ROUNDS = 1000 };
    http_response_init(&response, 1000);
    must(http_client_create(&(struct http_client_options){0}, &client, NULL), "client");
    snprintf(url, sizeof url, "%s/o/results/x", http_stub_url(stub));
    const struct http_header header = {"Content-Type", "image/png"};
    const struct http_request request = {.method = HTTP_PUT,
                                         .url = url,
                                         .headers = &header,
                                         .header_count = 1,
                                         .body = picture,
                                         .body_size = PICTURE_BYTES};
    must(http_client_send(client, &request, &response, NULL), "PUT");
    struct timer timer = start();
    for (int i = 0; i < ROUNDS; i++)
        must(http_client_send(client, &request, &response, NULL), "PUT");
    report("PUT over HTTP, 120 KiB", timer, ROUNDS);
    http_client_destroy(&client);
    http_response_fini(&response);
}

static void bench_s3(const struct http_stub *stub, const unsigned char *picture)
{
    char keys[] = "/tmp/darkroom-bench-XXXXXX";
    struct store *store = NULL;
    enum { ROUNDS = 1000 };
    int fd = mkstemp(keys);
    must(fd < 0 || write(fd, "AKIA\nsecret\n", 12) != 12 ? ERR_IO : 0, "keys");
    close(fd);
    const struct store_options options = {
        .url = "s3://bucket", .endpoint = http_stub_url(stub), .credentials_file = keys};
    must(store_open(&options, &store, NULL), "store");
    bench_links(store, "link, s3");
    struct timer timer = start();
    for (int i = 0; i < ROUNDS; i++)
        must(store_put(store, "results/x", picture, PICTURE_BYTES, "image/png", NULL), "put");
    report("s3 put, 120 KiB", timer, ROUNDS);
    store_close(&store);
    unlink(keys);
}

int main(int argc, char **argv)
{
    char url[4096];
    struct store *store = NULL;
    if (argc != 2) {
        fprintf(stderr, "usage: store_bench DIRECTORY\n");
        return EXIT_FAILURE;
    }
    unsigned char *picture = malloc(PICTURE_BYTES);
    must(picture ? crypto_random(picture, PICTURE_BYTES) : ERR_NOMEM, "picture");
    snprintf(url, sizeof url, "local:%s", argv[1]);
    const struct store_options options = {
        .url = url, .public_url = "http://127.0.0.1:8080", .secret = &secret};
    must(store_open(&options, &store, NULL), "store");
    bench_tokens();
    bench_links(store, "link, local");
    bench_local(store, picture);
    struct http_stub *stub = http_stub_start(accept_all, NULL);
    bench_http(stub, picture);
    bench_s3(stub, picture);
    http_stub_stop(&stub);
    store_close(&store);
    free(picture);
    return 0;
}

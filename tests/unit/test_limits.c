/* SPDX-License-Identifier: MIT */
#include "dispatcher/access/limits.h"

#include "common/err.h"
#include "dispatcher/access/client.h"
#include "dispatcher/http/list.h"
#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct client_key key_of(const char *proxies_text, const char *peer, const char *forwarded)
{
    struct client_proxies proxies;
    struct client_key key;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    CHECK_INT(client_proxies_parse(proxies_text, &proxies, NULL), 0);
    if (inet_pton(AF_INET, peer, &v4.sin_addr) == 1) {
        client_key(&proxies, (struct sockaddr *)&v4, forwarded, &key);
    } else {
        CHECK_INT(inet_pton(AF_INET6, peer, &v6.sin6_addr), 1);
        client_key(&proxies, (struct sockaddr *)&v6, forwarded, &key);
    }
    return key;
}

static bool same(struct client_key a, struct client_key b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* ---- buckets: a Redis of two lines ---- */

struct world {
    struct limits *limits;
    int64_t left;  /* tokens in the bucket */
    int64_t asked; /* tokens that the question under way wants */
    int64_t given_back;
    int questions;
    bool away;
    struct limits_question *question; /* NULL: none is under way */
};

static int ask(void *context, const struct limits_bucket *bucket, int64_t count,
               struct limits_question *question)
{
    struct world *world = context;
    if (world->away)
        return ERR_UNAVAILABLE;
    if (count < 0) {
        world->given_back -= count;
        world->left -= count;
        CHECK(!question);
        return 0;
    }
    CHECK(!world->question);
    world->asked = count;
    world->question = question;
    world->questions++;
    return 0;
}

/* What the script would say. */
static void answer(struct world *world, int64_t now_ms)
{
    struct limits_question *question = world->question;
    int64_t taken = world->asked < world->left ? world->asked : world->left;
    world->question = NULL;
    world->left -= taken;
    limits_answer(question, 0, taken, taken ? 0 : 700, now_ms);
}

struct client {
    struct limits_wait wait;
    enum limits_verdict verdict;
    int64_t wait_ms;
};

static void on_verdict(struct limits_wait *wait, enum limits_verdict verdict, int64_t wait_ms)
{
    struct client *client = (struct client *)(void *)wait;
    client->verdict = verdict;
    client->wait_ms = wait_ms;
}

static struct client take(struct world *world, const char *name, int64_t burst, int64_t now_ms)
{
    struct limits_bucket bucket = {.per_minute = 60000, .burst = burst};
    struct client client = {.wait.done = on_verdict};
    snprintf(bucket.name, sizeof bucket.name, "%s", name);
    client.verdict = limits_take(world->limits, &bucket, now_ms, &client.wait, &client.wait_ms);
    if (client.verdict == LIMITS_WAITS && world->question)
        answer(world, now_ms);
    return client;
}

static void begin(struct world *world, int64_t left)
{
    *world = (struct world){.left = left};
    CHECK_INT(limits_create(&(struct limits_options){world, ask}, &world->limits), 0);
}

static void a_quiet_client_takes_one_token_at_a_time(void)
{
    struct world world;
    begin(&world, 3);
    for (int i = 0; i < 3; i++)
        CHECK_INT(take(&world, "v00ff", 1000, 1000 + i * 500).verdict, LIMITS_TAKEN);
    CHECK_INT(world.questions, 3);
    CHECK_INT(world.left, 0);
    struct client client = take(&world, "v00ff", 1000, 2500);
    CHECK_INT(client.verdict, LIMITS_REFUSED);
    CHECK_INT(client.wait_ms, 700);
    limits_destroy(&world.limits);
}

static void nobody_asks_before_the_next_token(void)
{
    struct world world;
    begin(&world, 0);
    CHECK_INT(take(&world, "v00ff", 10, 1000).verdict, LIMITS_REFUSED);
    struct client client = take(&world, "v00ff", 10, 1600);
    CHECK_INT(client.verdict, LIMITS_REFUSED);
    CHECK_INT(client.wait_ms, 100);
    CHECK_INT(world.questions, 1);
    world.left = 1;
    CHECK_INT(take(&world, "v00ff", 10, 1700).verdict, LIMITS_TAKEN);
    CHECK_INT(world.questions, 2);
    /* Another's bucket is another's. */
    CHECK_INT(take(&world, "vff00", 10, 1600).verdict, LIMITS_REFUSED);
    limits_destroy(&world.limits);
}

static void a_busy_client_seldom_asks_and_what_is_left_goes_back(void)
{
    struct world world;
    begin(&world, 100000);
    for (int i = 0; i < 10000; i++) { /* ten in each millisecond */
        CHECK_INT(take(&world, "k00ff", 10000, 1000 + i / 10).verdict, LIMITS_TAKEN);
        if (world.question)
            answer(&world, 1000 + i / 10);
    }
    CHECK(world.questions < 500);
    CHECK(100000 - world.left >= 10000);
    CHECK(100000 - world.left <= 10000 + 10000 / 8);
    CHECK_INT(limits_tick(world.limits, 2000) > 2000, true);
    CHECK_INT(world.given_back, 0);
    CHECK_INT(limits_tick(world.limits, 2200), INT64_MAX);
    CHECK_INT(world.left, 90000);
    limits_destroy(&world.limits);
}

static void a_small_bucket_is_never_taken_ahead(void)
{
    struct world world;
    begin(&world, 7);
    for (int i = 0; i < 7; i++)
        CHECK_INT(take(&world, "k00ff", 7, 1000).verdict, LIMITS_TAKEN);
    CHECK_INT(world.questions, 7);
    CHECK_INT(take(&world, "k00ff", 7, 1000).verdict, LIMITS_REFUSED);
    CHECK_INT(limits_tick(world.limits, 5000), INT64_MAX);
    limits_destroy(&world.limits);
}

static void those_who_wait_are_served_in_order_and_the_rest_refused(void)
{
    struct world world;
    struct client clients[5];
    struct limits_bucket bucket = {.name = "v00ff", .per_minute = 60, .burst = 10};
    begin(&world, 3);
    for (int i = 0; i < 5; i++) {
        clients[i] = (struct client){.wait.done = on_verdict};
        clients[i].verdict =
            limits_take(world.limits, &bucket, 1000, &clients[i].wait, &clients[i].wait_ms);
        CHECK_INT(clients[i].verdict, LIMITS_WAITS);
    }
    while (world.question)
        answer(&world, 1001);
    for (int i = 0; i < 5; i++)
        CHECK_INT(clients[i].verdict, i < 3 ? LIMITS_TAKEN : LIMITS_REFUSED);
    limits_destroy(&world.limits);
}

static void without_redis_we_count_for_ourselves(void)
{
    struct world world;
    struct limits_bucket bucket = {.name = "v00ff", .per_minute = 60, .burst = 2};
    struct client clients[4];
    int64_t wait_ms;
    begin(&world, 10);
    /* Nobody can be asked. */
    world.away = true;
    CHECK_INT(limits_take(world.limits, &bucket, 1000, &clients[0].wait, &wait_ms), LIMITS_TAKEN);
    CHECK_INT(limits_take(world.limits, &bucket, 1000, &clients[0].wait, &wait_ms), LIMITS_TAKEN);
    CHECK_INT(limits_take(world.limits, &bucket, 1250, &clients[0].wait, &wait_ms), LIMITS_REFUSED);
    CHECK_INT(wait_ms, 750);
    CHECK_INT(limits_take(world.limits, &bucket, 2000, &clients[0].wait, &wait_ms), LIMITS_TAKEN);
    /* The answer does not come. */
    world.away = false;
    for (int i = 0; i < 4; i++) {
        clients[i] = (struct client){.wait.done = on_verdict};
        clients[i].verdict =
            limits_take(world.limits, &bucket, 9000, &clients[i].wait, &clients[i].wait_ms);
        CHECK_INT(clients[i].verdict, LIMITS_WAITS);
    }
    limits_answer(world.question, ERR_UNAVAILABLE, 0, 0, 9100);
    world.question = NULL;
    for (int i = 0; i < 4; i++)
        CHECK_INT(clients[i].verdict, i < 2 ? LIMITS_TAKEN : LIMITS_REFUSED);
    CHECK_INT(clients[3].wait_ms, 1000);
    /* And when Redis is back it is Redis that counts. */
    CHECK_INT(take(&world, "v00ff", 10, 9200).verdict, LIMITS_TAKEN);
    CHECK_INT(world.left, 9);
    limits_destroy(&world.limits);
}

static void a_flood_of_clients_keeps_the_table_as_it_is(void)
{
    struct world world;
    char name[LIMITS_NAME_SIZE];
    begin(&world, 0);
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "v%04x%08x", i & 0xffff, i);
        world.left = 1;
        CHECK_INT(take(&world, name, 10, 1000).verdict, LIMITS_TAKEN);
    }
    limits_destroy(&world.limits);
}

static void zero_means_no_limit(void)
{
    struct world world;
    struct limits_bucket bucket = {.name = "v00ff"};
    struct limits_wait wait;
    int64_t wait_ms;
    begin(&world, 0);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(limits_take(world.limits, &bucket, 0, &wait, &wait_ms), LIMITS_TAKEN);
    CHECK_INT(world.questions, 0);
    limits_destroy(&world.limits);
}

static void forwarded_for_is_believed_from_trusted_proxies_only(void)
{
    struct client_key direct = key_of(NULL, "203.0.113.9", NULL);
    CHECK(same(key_of(NULL, "203.0.113.9", "198.51.100.1"), direct));
    CHECK(same(key_of("10.0.0.0/8", "203.0.113.9", "198.51.100.1"), direct));
    CHECK(same(key_of("10.0.0.0/8", "10.1.2.3", "203.0.113.9"), direct));
    /* What the client wrote itself stands further left and counts for nothing. */
    CHECK(same(key_of("10.0.0.0/8", "10.1.2.3", "1.2.3.4, 203.0.113.9"), direct));
    CHECK(same(key_of("10.0.0.0/8, 192.0.2.7", "10.1.2.3", "203.0.113.9,192.0.2.7"), direct));
    CHECK(same(key_of("10.0.0.0/8", "10.1.2.3", "junk"), key_of(NULL, "10.1.2.3", NULL)));
    CHECK(same(key_of("10.0.0.0/8", "10.1.2.3", ""), key_of(NULL, "10.1.2.3", NULL)));
    CHECK(same(key_of("::1", "::1", "203.0.113.9"), direct));
}

static void header_lines_become_one_list_that_keeps_its_end(void)
{
    char out[12];
    struct http_list list;
    http_list_init(&list, out, sizeof out);
    CHECK_TEXT(out, "");
    http_list_add(&list, "1.2.3");
    CHECK_TEXT(out, "1.2.3");
    http_list_add(&list, "4.5");
    CHECK_TEXT(out, "1.2.3,4.5");
    http_list_add(&list, "6.7.8");
    CHECK_TEXT(out, "3,4.5,6.7.8");
    http_list_add(&list, "0123456789abcdef");
    CHECK_TEXT(out, "56789abcdef");
    CHECK_INT(list.count, 4);
}

static void a_key_is_the_v4_address_or_the_v6_network(void)
{
    CHECK(same(key_of(NULL, "2001:db8::1", NULL), key_of(NULL, "2001:db8::ffff:1", NULL)));
    CHECK(!same(key_of(NULL, "2001:db8::1", NULL), key_of(NULL, "2001:db8:0:1::1", NULL)));
    CHECK(!same(key_of(NULL, "192.0.2.1", NULL), key_of(NULL, "192.0.2.2", NULL)));
    CHECK(same(key_of(NULL, "192.0.2.1", NULL), key_of(NULL, "::ffff:192.0.2.1", NULL)));
}

static void bad_proxies_are_refused(void)
{
    static const char *const texts[] = {"x",           "10.0.0.0/33", "10.0.0.0/",  "::/129",
                                        "10.0.0.0/-1", "1.2.3",       "10.0.0.0/8x"};
    struct client_proxies proxies;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct err err = {0};
        CHECK_INT(client_proxies_parse(texts[i], &proxies, &err), ERR_INVALID);
        CHECK_TEXT(err.field, "trusted-proxies");
    }
}

int main(void)
{
    RUN(a_quiet_client_takes_one_token_at_a_time);
    RUN(nobody_asks_before_the_next_token);
    RUN(a_busy_client_seldom_asks_and_what_is_left_goes_back);
    RUN(a_small_bucket_is_never_taken_ahead);
    RUN(those_who_wait_are_served_in_order_and_the_rest_refused);
    RUN(without_redis_we_count_for_ourselves);
    RUN(a_flood_of_clients_keeps_the_table_as_it_is);
    RUN(zero_means_no_limit);
    RUN(forwarded_for_is_believed_from_trusted_proxies_only);
    RUN(header_lines_become_one_list_that_keeps_its_end);
    RUN(a_key_is_the_v4_address_or_the_v6_network);
    RUN(bad_proxies_are_refused);
    return check_report();
}

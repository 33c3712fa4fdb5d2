/* SPDX-License-Identifier: MIT */
#include "common/webhook.h"

#include "common/err.h"
#include "common/network.h"
#include "common/secret.h"
#include "common/webhook_endpoint.h"
#include "tests/unit/check.h"

static struct network_set loopback;
static struct webhook_keys *keys;

static int check_url(const char *url)
{
    struct err err = {0};
    int rc = webhook_url_check(url, NULL, &err);
    if (rc < 0) {
        CHECK_TEXT(err.field, "webhook");
        CHECK(strlen(url) < 12 || !strstr(err.text, url)); /* it may hold a token */
    }
    return rc;
}

static void usual_urls_are_taken(void)
{
    static const char *const good[] = {
        "https://example.org",
        "https://example.org/",
        "https://example.org/hooks/darkroom?token=a-b_c&x=%20",
        "https://EXAMPLE.org:443/x",
        "https://example.org:8443/x",
        "https://a.b.c.example.org?x",
        "https://xn--bcher-kva.example/",
        "https://93.184.215.14/x",
        "https://[2606:4700:4700::1111]/x",
        "https://[2606:4700:4700::1111]:8443",
        "https://localhost/", /* a name is judged when it is called */
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK_INT(check_url(good[i]), 0);
}

static void everything_else_is_refused(void)
{
    static const char *const bad[] = {
        "",
        "https://",
        "https:///x",
        "https://:443/",
        "http://example.org/",
        "HTTPS://example.org/",
        "ftp://example.org/",
        "//example.org/",
        "https:example.org",
        "https://user@example.org/",
        "https://user:password@example.org/",
        "https://example.org@10.0.0.1/",
        "https://example.org\\@10.0.0.1/",
        "https://example.org/#fragment",
        "https://example.org/ x",
        "https://example.org/\n",
        "https://exa\tmple.org/",
        "https://example.org/\x7f",
        ("https://b\xc3\xbc"
         "cher.example/"),
        "https://example.org:0/",
        "https://example.org:22/",
        "https://example.org:80/",
        "https://example.org:1023/",
        "https://example.org:65536/",
        "https://example.org:99999999999999999999/",
        "https://example.org:/",
        "https://example.org:443x/",
        "https://example.org:-1/",
        "https://exa_mple.org/",
        "https://example.org%00.evil.example/",
        "https://exam%70le.org/",
        "https://127.0.0.1/",
        "https://10.1.2.3/x",
        "https://169.254.169.254/latest/meta-data/",
        "https://0.0.0.0/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1%25eth0]/",
        "https://[::1/",
        "https://[8.8.8.8]/",
        "https://[example.org]/",
        "https://[]/",
        "https://::1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://example.org./",
        "https://1/",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(check_url(bad[i]), ERR_INVALID);
    char longest[WEBHOOK_URL_SIZE + 1];
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "https://example.org/", 20);
    longest[WEBHOOK_URL_SIZE - 1] = 0;
    CHECK_INT(check_url(longest), 0);
    longest[WEBHOOK_URL_SIZE - 1] = 'x';
    longest[WEBHOOK_URL_SIZE] = 0;
    CHECK_INT(check_url(longest), ERR_LIMIT);
}

static void an_operator_may_allow_an_internal_address(void)
{
    CHECK_INT(webhook_url_check("https://127.0.0.1:8443/", &loopback, NULL), 0);
    CHECK_INT(webhook_url_check("https://[::ffff:127.0.0.1]:8443/", &loopback, NULL), 0);
    CHECK_INT(webhook_url_check("https://127.0.0.2:8443/", &loopback, NULL), ERR_INVALID);
}

/* The example of the standard. */
static void a_signature_is_that_of_the_standard(void)
{
    char signature[WEBHOOK_SIGNATURE_SIZE];
    const char body[] = "{\"test\": 2432232314}";
    CHECK_INT(webhook_sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
                           1614265330, body, sizeof body - 1, signature),
              0);
    CHECK_TEXT(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    CHECK_INT(webhook_sign("MfKQ", "a", 1, body, 1, signature), ERR_INVALID);
    CHECK_INT(webhook_sign("whsec_Mf?Q", "a", 1, body, 1, signature), ERR_INVALID);
}

static void secrets_are_32_bytes_and_of_one_job_always_the_same(void)
{
    char first[WEBHOOK_SECRET_SIZE], second[WEBHOOK_SECRET_SIZE], again[WEBHOOK_SECRET_SIZE];
    CHECK_INT(webhook_secret_create(first), 0);
    CHECK_INT(webhook_secret_create(second), 0);
    CHECK_INT(strlen(first), WEBHOOK_SECRET_SIZE - 1);
    CHECK(strcmp(first, second) != 0);
    CHECK_INT(webhook_job_secret(keys, "id-1", first), 0);
    CHECK_INT(webhook_job_secret(keys, "id-1", again), 0);
    CHECK_INT(webhook_job_secret(keys, "id-2", second), 0);
    CHECK_TEXT(first, again);
    CHECK(strcmp(first, second) != 0);
    CHECK(strncmp(first, "whsec_", 6) == 0);
}

static void what_is_sealed_opens_only_for_its_owner(void)
{
    char sealed[WEBHOOK_SEALED_SIZE], text[WEBHOOK_URL_SIZE], longest[WEBHOOK_URL_SIZE + 1];
    CHECK_INT(webhook_seal(keys, "https://example.org/?key=1", "wh_1", sealed), 0);
    CHECK(!strstr(sealed, "example"));
    CHECK_INT(webhook_open(keys, sealed, "wh_1", text, sizeof text), 0);
    CHECK_TEXT(text, "https://example.org/?key=1");
    CHECK_INT(webhook_open(keys, sealed, "wh_2", text, sizeof text), ERR_DENIED);
    CHECK_INT(webhook_open(keys, "no sealed text", "wh_1", text, sizeof text), ERR_INVALID);
    CHECK(webhook_open(keys, "", "wh_1", text, sizeof text) < 0);
    CHECK(webhook_open(keys, sealed, "wh_1", text, 8) < 0);
    memset(longest, 'x', sizeof longest);
    longest[WEBHOOK_URL_SIZE] = 0;
    CHECK_INT(webhook_seal(keys, longest, "wh_1", sealed), ERR_LIMIT);
    longest[WEBHOOK_URL_SIZE - 1] = 0;
    CHECK_INT(webhook_seal(keys, longest, "wh_1", sealed), 0);
    CHECK_INT(webhook_open(keys, sealed, "wh_1", text, sizeof text), 0);
    CHECK_TEXT(text, longest);
}

static void a_target_is_a_flow_and_a_host(void)
{
    char first[WEBHOOK_TARGET_SIZE], other[WEBHOOK_TARGET_SIZE];
    CHECK_INT(webhook_target(keys, "alice", "https://example.org/a?b", first), 0);
    CHECK_INT(strlen(first), 17);
    CHECK_INT(webhook_target(keys, "alice", "https://EXAMPLE.org:8443/c", other), 0);
    CHECK_TEXT(first, other);
    CHECK_INT(webhook_target(keys, "bob", "https://example.org/a?b", other), 0);
    CHECK(strcmp(first, other) != 0);
    CHECK_INT(webhook_target(keys, "alice", "https://example.com/a?b", other), 0);
    CHECK(strcmp(first, other) != 0);
}

static void events_have_names_and_endpoints_ids(void)
{
    char id[ENDPOINT_ID_SIZE];
    CHECK_TEXT(endpoint_event_name('S'), "job.succeeded");
    CHECK_INT(endpoint_event_letter("job.cancelled"), 'C');
    CHECK_INT(endpoint_event_letter("job.started"), 0);
    CHECK(endpoint_event_name('Q') == NULL);
    CHECK_INT(endpoint_id_create(id), 0);
    CHECK(endpoint_id_valid(id));
    CHECK(!endpoint_id_valid("wh_123"));
    CHECK(!endpoint_id_valid("wh_0123456789abcdeg"));
    CHECK(!endpoint_id_valid("u0123456789abcdef01"));
}

int main(void)
{
    struct secret secret = {{1, 2, 3}};
    network_set_parse("127.0.0.1/32", "x", &loopback, NULL);
    if (webhook_keys_create(&secret, &keys) < 0)
        return EXIT_FAILURE;
    RUN(usual_urls_are_taken);
    RUN(everything_else_is_refused);
    RUN(an_operator_may_allow_an_internal_address);
    RUN(a_signature_is_that_of_the_standard);
    RUN(secrets_are_32_bytes_and_of_one_job_always_the_same);
    RUN(what_is_sealed_opens_only_for_its_owner);
    RUN(a_target_is_a_flow_and_a_host);
    RUN(events_have_names_and_endpoints_ids);
    webhook_keys_destroy(&keys);
    return check_report();
}

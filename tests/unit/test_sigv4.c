/* SPDX-License-Identifier: MIT */
#include "common/sigv4.h"

#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"
#include "tests/unit/check.h"

/* The worked examples of "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API
 * reference: key, date, bucket and signatures as printed there. */
static const struct s3_credentials credentials = {
    .access_key = "AKIAIOSFODNN7EXAMPLE", .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
static const struct sigv4_scope scope = {&credentials, "us-east-1", "s3", 1369353600};

#define HOST "examplebucket.s3.amazonaws.com"
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define DATE "20130524T000000Z"
#define CREDENTIAL                                                                                 \
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"

static void check_signed(const struct sigv4_request *request, const char *wanted)
{
    struct buf out;
    buf_init(&out, 2000);
    CHECK_INT(sigv4_sign(&scope, request, &out), 0);
    CHECK_TEXT(buf_text(&out), wanted);
    buf_fini(&out);
}

static void the_example_get_object_is_signed_as_printed(void)
{
    const struct sigv4_pair headers[] = {{"host", HOST},
                                         {"range", "bytes=0-9"},
                                         {"x-amz-content-sha256", EMPTY_HASH},
                                         {"x-amz-date", DATE}};
    check_signed(&(struct sigv4_request){"GET", "/test.txt", NULL, 0, headers, 4, EMPTY_HASH},
                 CREDENTIAL "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature="
                            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void the_example_put_object_is_signed_as_printed(void)
{
    char hash[CRYPTO_SHA256_HEX_SIZE];
    CHECK_INT(crypto_sha256_hex("Welcome to Amazon S3.", 21, hash), 0);
    const struct sigv4_pair headers[] = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                         {"host", HOST},
                                         {"x-amz-content-sha256", hash},
                                         {"x-amz-date", DATE},
                                         {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    check_signed(
        &(struct sigv4_request){"PUT", "/test$file.text", NULL, 0, headers, 5, hash}, CREDENTIAL
        "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,Signature="
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void the_example_queries_are_signed_as_printed(void)
{
    const struct sigv4_pair headers[] = {
        {"host", HOST}, {"x-amz-content-sha256", EMPTY_HASH}, {"x-amz-date", DATE}};
    const struct sigv4_pair lifecycle[] = {{"lifecycle", ""}};
    check_signed(&(struct sigv4_request){"GET", "/", lifecycle, 1, headers, 3, EMPTY_HASH},
                 CREDENTIAL "SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature="
                            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    const struct sigv4_pair list[] = {{"prefix", "J"}, {"max-keys", "2"}};
    check_signed(&(struct sigv4_request){"GET", "/", list, 2, headers, 3, EMPTY_HASH},
                 CREDENTIAL "SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature="
                            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void the_example_presigned_url_is_signed_as_printed(void)
{
    const struct sigv4_pair headers[] = {{"host", HOST}};
    struct buf out;
    buf_init(&out, 2000);
    CHECK_INT(sigv4_presign(&scope,
                            &(struct sigv4_request){"GET", "/test.txt", NULL, 0, headers, 1, NULL},
                            86400, &out),
              0);
    CHECK_TEXT(buf_text(&out),
               "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524"
               "%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
               "&X-Amz-SignedHeaders=host&X-Amz-Signature="
               "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    buf_fini(&out);
}

static void a_session_token_is_part_of_the_presigned_query(void)
{
    struct s3_credentials temporary = credentials;
    snprintf(temporary.session_token, sizeof temporary.session_token, "a/b+c");
    const struct sigv4_scope with_token = {&temporary, "us-east-1", "s3", 1369353600};
    const struct sigv4_pair headers[] = {{"host", HOST}};
    struct buf out;
    buf_init(&out, 2000);
    CHECK_INT(sigv4_presign(&with_token,
                            &(struct sigv4_request){"GET", "/", NULL, 0, headers, 1, NULL}, 60,
                            &out),
              0);
    CHECK_HAS(buf_text(&out), "&X-Amz-Security-Token=a%2Fb%2Bc&X-Amz-SignedHeaders=host&");
    buf_fini(&out);
}

static void too_many_members_of_a_query_are_a_limit(void)
{
    struct sigv4_pair query[SIGV4_MAX_QUERY + 1];
    for (int i = 0; i <= SIGV4_MAX_QUERY; i++)
        query[i] = (struct sigv4_pair){"a", "b"};
    struct buf out;
    buf_init(&out, 2000);
    CHECK_INT(sigv4_query(query, SIGV4_MAX_QUERY + 1, &out), ERR_LIMIT);
    CHECK_INT(sigv4_query(query, SIGV4_MAX_QUERY, &out), 0);
    const struct sigv4_pair headers[] = {{"host", HOST}};
    const struct sigv4_request request = {"GET", "/", query, SIGV4_MAX_QUERY - 5, headers, 1, NULL};
    CHECK_INT(sigv4_presign(&scope, &request, 60, &out), ERR_LIMIT);
    buf_fini(&out);
}

int main(void)
{
    RUN(the_example_get_object_is_signed_as_printed);
    RUN(the_example_put_object_is_signed_as_printed);
    RUN(the_example_queries_are_signed_as_printed);
    RUN(the_example_presigned_url_is_signed_as_printed);
    RUN(a_session_token_is_part_of_the_presigned_query);
    RUN(too_many_members_of_a_query_are_a_limit);
    return check_report();
}

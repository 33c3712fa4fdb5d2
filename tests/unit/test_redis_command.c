/* SPDX-License-Identifier: MIT */
#include "common/err.h"
#include "common/queue.h"
#include "common/queue_record.h"
#include "common/queue_worker.h"
#include "common/redis.h"
#include "common/redis_tls.h"
#include "common/redis_wire.h"
#include "tests/unit/check.h"

#include <unistd.h>

/* ---- addresses --------------------------------------------------------------------------------
 */

static void addresses_are_read(void)
{
    struct redis_target target;
    CHECK_INT(redis_target_init(&target, "redis://redis.example:6380/3", NULL, NULL), 0);
    CHECK_TEXT(target.node.host, "redis.example");
    CHECK_INT(target.node.port, 6380);
    CHECK_INT(target.database, 3);
    CHECK_INT(redis_target_init(&target, "redis://worker@[::1]", NULL, NULL), 0);
    CHECK_TEXT(target.node.host, "::1");
    CHECK_TEXT(target.user, "worker");
    CHECK_INT(target.node.port, 6379);
    CHECK_INT(redis_target_init(&target, "redis://[fe80::1]:7000/", NULL, NULL), 0);
    CHECK_TEXT(target.node.host, "fe80::1");
    CHECK_INT(target.node.port, 7000);
    CHECK_INT(redis_target_init(&target, "unix:/run/redis.sock?db=2", NULL, NULL), 0);
    CHECK_TEXT(target.path, "/run/redis.sock");
    CHECK_INT(target.database, 2);
}

static void bad_addresses_are_refused(void)
{
    static const char *const bad[] = {"",
                                      "http://x",
                                      "redis://",
                                      "redis://host:0",
                                      "redis://host:65536",
                                      "redis://host:x",
                                      "redis://host:",
                                      "redis://host/x",
                                      "redis://host/-1",
                                      "redis://@host",
                                      "redis://[::1",
                                      "redis://[::1]x",
                                      "redis+cluster://",
                                      "redis+cluster://a,,b",
                                      "redis+cluster://a,b:0",
                                      "redis+cluster://a/1",
                                      "redis+sentinel://a",
                                      "redis+sentinel://a/",
                                      "redis+sentinel:///lab",
                                      "redis+sentinel://a/lab/x",
                                      "redis+other://a",
                                      "rediss:/a",
                                      "redisss://a",
                                      "redi://a",
                                      "unix:relative",
                                      "unix:/path?x=1",
                                      "unix:/path?db="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct redis_target target;
        struct err err = {0};
        if (redis_target_init(&target, bad[i], NULL, &err) != ERR_INVALID)
            printf("# accepted: %s\n", bad[i]);
        CHECK_INT(err.code, ERR_INVALID);
        CHECK_TEXT(err.field, "redis");
    }
}

static void tls_is_for_builds_that_have_it(void)
{
    static const char *const urls[] = {"rediss://op@a:1/2", "rediss+cluster://op@a,b",
                                       "rediss+sentinel://op@a/lab/2"};
    struct redis_target target;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct err err = {0};
        int rc = redis_target_init(&target, urls[i], NULL, &err);
        CHECK_INT(rc, redis_tls_built_in() ? 0 : ERR_INVALID);
        if (rc == 0) {
            CHECK(target.secure);
            CHECK_TEXT(target.user, "op");
        } else {
            CHECK_HAS(err.text, "TLS is not built in");
        }
    }
    CHECK_INT(redis_target_init(&target, "redis://a", NULL, NULL), 0);
    CHECK(!target.secure);
}

static void certificates_are_for_tls_only(void)
{
    struct redis_target target;
    struct err err = {0};
    char ca[] = "ca.pem", cert[] = "cert.pem", key[] = "key.pem";
    CHECK_INT(redis_target_init(&target, "redis://a", NULL, NULL), 0);
    CHECK_INT(redis_target_secure(&target, &(struct redis_tls_files){0}, &err), 0);
    CHECK_INT(redis_target_secure(&target, &(struct redis_tls_files){.ca_file = ca}, &err),
              ERR_INVALID);
    CHECK_TEXT(err.field, "redis-ca-file");
    target.secure = true;
    err = (struct err){0};
    CHECK_INT(redis_target_secure(&target, &(struct redis_tls_files){.cert_file = cert}, &err),
              ERR_INVALID);
    CHECK_TEXT(err.field, "redis-key-file");
    err = (struct err){0};
    CHECK_INT(redis_target_secure(&target, &(struct redis_tls_files){.key_file = key}, &err),
              ERR_INVALID);
    CHECK_TEXT(err.field, "redis-cert-file");
    CHECK_INT(redis_target_secure(&target, &(struct redis_tls_files){ca, cert, key}, &err), 0);
    CHECK_TEXT(target.files.key_file, "key.pem");
}

static void a_password_in_the_url_is_refused_and_not_repeated(void)
{
    struct redis_target target;
    struct err err = {0};
    CHECK_INT(redis_target_init(&target, "redis://u:hunter2@host", NULL, &err), ERR_INVALID);
    CHECK_HAS(err.text, "--redis-password-file");
    CHECK(strstr(err.text, "hunter2") == NULL);
}

static void a_password_file_must_have_a_line(void)
{
    char path[] = "/tmp/darkroom-test-XXXXXX";
    struct redis_target target;
    struct err err = {0};
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK_INT(redis_target_init(&target, "redis://h", path, &err), ERR_CORRUPT);
    CHECK_TEXT(err.field, "redis-password-file");
    CHECK_INT(write(fd, "sesame\r\nx", 9), 9);
    CHECK_INT(redis_target_init(&target, "redis://h", path, NULL), 0);
    CHECK_TEXT(target.password, "sesame");
    close(fd);
    unlink(path);
    CHECK_INT(redis_target_init(&target, "redis://h", path, NULL), ERR_NOT_FOUND);
}

/* ---- commands ----------------------------------------------------------------------------------
 */

static const struct redis_script script = {
    "s", "0123456789012345678901234567890123456789", "return 1", 8, NULL, NULL};

static void commands_are_binary_safe(void)
{
    struct redis_command command;
    struct buf wire;
    buf_init(&wire, 1000);
    redis_command_init(&command, 1000);
    redis_command_text(&command, "SET");
    redis_command_bytes(&command, "a\0\r\n", 4);
    redis_command_int(&command, -7);
    CHECK_INT(redis_wire_append(&wire, &command, REDIS_BY_HASH), 0);
    static const char expected[] = "*3\r\n$3\r\nSET\r\n$4\r\na\0\r\n\r\n$2\r\n-7\r\n";
    CHECK_INT(wire.size, sizeof expected - 1);
    CHECK(!memcmp(wire.data, expected, wire.size));
    redis_command_fini(&command);
    buf_fini(&wire);
}

/* 0 is for ever, and so is whatever a server rounds down to it. */
static void no_wait_is_for_ever(void)
{
    struct queue queue;
    struct redis_command command;
    const char *models[] = {"model"};
    queue_init(&queue, 0, 1000);
    redis_command_init(&command, 4096);
    for (int64_t wait_ms = -1; wait_ms <= 2; wait_ms++) {
        queue_wait_command(&queue, 1, "worker", models, 1, wait_ms, &command);
        CHECK(memmem(command.args.data, command.args.size, "0.002", 5));
        queue_push_command(&queue, 1, "worker", wait_ms, &command);
        CHECK(memmem(command.args.data, command.args.size, "0.002", 5));
    }
    redis_command_fini(&command);
}

static void a_script_can_be_sent_by_hash_or_in_full(void)
{
    struct redis_command command;
    struct buf wire;
    buf_init(&wire, 1000);
    redis_command_init(&command, 1000);
    redis_command_script(&command, &script, "{k}");
    CHECK_INT(redis_wire_append(&wire, &command, REDIS_BY_HASH), 0);
    CHECK_TEXT(buf_text(&wire),
               "*5\r\n$7\r\nEVALSHA\r\n$40\r\n"
               "0123456789012345678901234567890123456789\r\n$1\r\n2\r\n$3\r\n{k}\r\n"
               "$4\r\n{k}-\r\n");
    buf_clear(&wire);
    CHECK_INT(redis_wire_append(&wire, &command, REDIS_BY_TEXT), 0);
    CHECK_TEXT(buf_text(&wire),
               "*5\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n2\r\n$3\r\n{k}\r\n$4\r\n{k}-"
               "\r\n");
    redis_command_fini(&command);
    buf_fini(&wire);
}

static void a_key_goes_by_its_hash_tag(void)
{
    CHECK_INT(redis_key_slot("123456789", 9), 0x31c3); /* the specification's example */
    CHECK_INT(redis_key_slot("{user1000}.following", 20), redis_key_slot("user1000", 8));
    CHECK_INT(redis_key_slot("foo{}{bar}", 10), 8363);
    CHECK_INT(redis_key_slot("foo{{bar}}zap", 13), redis_key_slot("{bar", 4));
    CHECK_INT(redis_key_slot("foo{bar}{zap}", 13), redis_key_slot("bar", 3));
    CHECK_INT(redis_key_slot("", 0), 0);
}

static void a_command_goes_by_its_first_tagged_argument(void)
{
    struct redis_command command;
    redis_command_init(&command, 1000);
    redis_command_text(&command, "INFO");
    CHECK_INT(command.slot, -1);
    redis_command_clear(&command);
    redis_command_script(&command, &script, "{q:03}");
    redis_command_text(&command, "{\"json\": {}}");
    CHECK_INT(command.slot, redis_key_slot("q:03", 4));
    redis_command_clear(&command);
    CHECK_INT(command.slot, -1);
    redis_command_fini(&command);
}

static void clusters_and_sentinels_are_named_by_some_of_their_hosts(void)
{
    struct redis_target target;
    CHECK_INT(redis_target_init(&target, "redis+cluster://op@a:7000,b,[::1]:7002", NULL, NULL), 0);
    CHECK_INT(target.kind, REDIS_CLUSTER);
    CHECK_INT(target.seed_count, 3);
    CHECK_TEXT(target.user, "op");
    CHECK_TEXT(target.seeds[0].host, "a");
    CHECK_INT(target.seeds[0].port, 7000);
    CHECK_INT(target.seeds[1].port, 6379);
    CHECK_TEXT(target.seeds[2].host, "::1");
    CHECK_INT(redis_target_init(&target, "redis+sentinel://s1,s2:26380/lab/2", NULL, NULL), 0);
    CHECK_INT(target.kind, REDIS_SENTINEL);
    CHECK_INT(target.seed_count, 2);
    CHECK_INT(target.seeds[0].port, 26379);
    CHECK_INT(target.seeds[1].port, 26380);
    CHECK_TEXT(target.master, "lab");
    CHECK_INT(target.database, 2);
}

static void a_command_over_its_limit_fails_where_it_is_sent(void)
{
    struct redis_command command;
    struct buf wire;
    buf_init(&wire, 1000);
    redis_command_init(&command, 20);
    redis_command_text(&command, "SET");
    redis_command_text(&command, "a value that is too long");
    redis_command_text(&command, "x");
    CHECK_INT(redis_wire_append(&wire, &command, REDIS_BY_HASH), ERR_LIMIT);
    redis_command_clear(&command);
    redis_command_text(&command, "PING");
    CHECK_INT(redis_wire_append(&wire, &command, REDIS_BY_HASH), 0);
    redis_command_fini(&command);
    buf_fini(&wire);
}

static void no_reply_is_an_empty_reply(void)
{
    struct redis_reply *none = NULL;
    CHECK_INT(redis_reply_type(none), REDIS_NIL);
    CHECK_TEXT(redis_reply_text(none), "");
    CHECK_INT(redis_reply_int(none), 0);
    CHECK_INT(redis_reply_count(none), 0);
    CHECK(redis_reply_at(none, 0) == NULL);
    CHECK_INT(redis_reply_check(none, NULL), 0);
    redis_reply_free(&none);
}

/* ---- records ------------------------------------------------------------------------------------
 */

/* Head of a record with the lengths 1, 1, 3, 0, 0, 2, 4 and the body "mfpng{}b=x\n". */
static size_t make_record(unsigned char out[80])
{
    static const unsigned char head[QUEUE_RECORD_HEAD] = {
        [0] = '2', [1] = 'Q', [2] = 1,  [5] = 2,  [13] = 1, [24] = 5,  [25] = 1, [27] = 3,
        [47] = 1,  [48] = 1,  [49] = 3, [54] = 2, [56] = 4, [59] = 20, [61] = 3};
    memcpy(out, head, sizeof head);
    memcpy(out + sizeof head, "mfpng{}b=x\n", 11);
    return sizeof head + 11;
}

static void a_record_is_read(void)
{
    unsigned char raw[80];
    struct queue_job job;
    size_t size = make_record(raw);
    CHECK_INT(queue_record_parse(0xabc, 3, raw, size, NULL, 0, &job, NULL), 0);
    CHECK_TEXT(job.public_id, "03000000000abc00000000000000000000");
    CHECK_TEXT(job.model, "m");
    CHECK_TEXT(job.extension, "png");
    CHECK_INT(job.epoch, 2);
    CHECK_INT(job.max_attempts, 3);
    CHECK_INT(job.spec_size, 2);
    CHECK(job.has_input);
    CHECK_INT(job.run_max_ms, 2000);
    CHECK_INT(job.backoff_ms, 30);
    char value[8];
    CHECK(queue_extra_get(&job, 'b', value, sizeof value));
    CHECK_TEXT(value, "x");
    CHECK(!queue_extra_get(&job, 'w', value, sizeof value));
    CHECK(!queue_extra_get(&job, 'b', value, 1));
}

static void every_prefix_of_a_record_is_corrupt(void)
{
    unsigned char raw[80];
    struct queue_job job;
    size_t size = make_record(raw);
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *copy = malloc(cut ? cut : 1); /* its own block, for the sanitizer */
        CHECK(copy != NULL);
        memcpy(copy, raw, cut);
        struct err err = {0};
        int rc = queue_record_parse(0xabc, 3, copy, cut, NULL, 0, &job, &err);
        free(copy);
        CHECK_INT(rc, ERR_CORRUPT);
        CHECK_HAS(err.text, "{q:03}j:000000000abc");
    }
}

static void every_damaged_byte_is_survived(void)
{
    unsigned char raw[80];
    struct queue_job job;
    for (size_t at = 0; at < QUEUE_RECORD_HEAD + 11; at++)
        for (int value = 0; value < 256; value += 5) {
            size_t size = make_record(raw);
            raw[at] = (unsigned char)value;
            int rc = queue_record_parse(1, 0, raw, size, NULL, 0, &job, NULL);
            CHECK(rc == 0 || rc == ERR_CORRUPT);
        }
}

int main(void)
{
    RUN(addresses_are_read);
    RUN(bad_addresses_are_refused);
    RUN(tls_is_for_builds_that_have_it);
    RUN(certificates_are_for_tls_only);
    RUN(a_password_in_the_url_is_refused_and_not_repeated);
    RUN(a_password_file_must_have_a_line);
    RUN(commands_are_binary_safe);
    RUN(no_wait_is_for_ever);
    RUN(a_script_can_be_sent_by_hash_or_in_full);
    RUN(a_key_goes_by_its_hash_tag);
    RUN(a_command_goes_by_its_first_tagged_argument);
    RUN(clusters_and_sentinels_are_named_by_some_of_their_hosts);
    RUN(a_command_over_its_limit_fails_where_it_is_sent);
    RUN(no_reply_is_an_empty_reply);
    RUN(a_record_is_read);
    RUN(every_prefix_of_a_record_is_corrupt);
    RUN(every_damaged_byte_is_survived);
    return check_report();
}

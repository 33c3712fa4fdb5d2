/* SPDX-License-Identifier: MIT
 *
 * What clusters and sentinels say, and what somebody else might say in their place. */
#include "tests/unit/check.h"

#include "common/redis_route.h"
#include "tests/support/queue_fixture.h"

static struct redis_topology topology;
static struct redis_address address;

/* Redis turns a Lua value into whatever reply a test wants. */
static struct redis_reply *reply_of(const char *lua)
{
    char script[2048];
    struct redis_command command;
    const struct redis_command *list[] = {&command};
    struct redis_reply *reply = NULL;
    snprintf(script, sizeof script, "return %s", lua);
    redis_command_init(&command, 1 << 16);
    redis_command_text(&command, "EVAL");
    redis_command_text(&command, script);
    redis_command_text(&command, "0");
    /* Not redis_call(), which takes errors apart. */
    CHECK_INT(redis_pipeline(redis, list, 1, CALL_MS, &reply, &err), 0);
    redis_command_fini(&command);
    return reply;
}

static int parse_topology(const char *lua)
{
    struct redis_reply *reply = reply_of(lua);
    err = (struct err){0};
    int rc = redis_topology_parse(reply, "asked", &topology, &err);
    redis_reply_free(&reply);
    return rc;
}

static void slots_are_found_in_their_ranges(void)
{
    CHECK_INT(parse_topology("{{0, 100, {'10.0.0.1', 7000, 'id'}, {'10.0.0.9', 7009, 'id'}}, "
                             "{200, 16383, {'', 7001, 'id'}}, {101, 150, {'10.0.0.1', 7000}}}"),
              0);
    CHECK_TEXT(redis_topology_find(&topology, 0)->host, "10.0.0.1");
    CHECK_INT(redis_topology_find(&topology, 100)->port, 7000);
    CHECK_TEXT(redis_topology_find(&topology, 120)->host, "10.0.0.1");
    CHECK(!redis_topology_find(&topology, 151));
    CHECK_TEXT(redis_topology_find(&topology, 16383)->host, "asked");
    CHECK_INT(topology.node_count, 3);
}

static void a_map_that_makes_no_sense_changes_nothing(void)
{
    static const char *const bad[] = {
        "1",
        "'slots'",
        "{1, 2, 3}",
        "{{0, 100}}",
        "{{0, 100, {}}}",
        "{{-1, 100, {'h', 7000}}}",
        "{{100, 99, {'h', 7000}}}",
        "{{0, 16384, {'h', 7000}}}",
        "{{0, 1, {'h', 0}}}",
        "{{0, 1, {'h', 65536}}}",
        "{{0, 1, {'h h', 7000}}}",
        "{{0, 1, {'h\\r\\nFLUSHALL', 7000}}}",
        "{{0, 1, {string.rep('h', 256), 7000}}}",
        "{{0, 1, {'h', 7000}, {'bad host', 1}}}",
    };
    CHECK_INT(parse_topology("{{0, 16383, {'good', 7000}}}"), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (parse_topology(bad[i]) != ERR_CORRUPT)
            printf("# %s\n", bad[i]);
        CHECK_INT(parse_topology(bad[i]), ERR_CORRUPT);
        CHECK_TEXT(redis_topology_find(&topology, 5)->host, "good");
    }
    CHECK_INT(parse_topology("{}"), 0);
    CHECK(!redis_topology_find(&topology, 5));
}

static void a_map_of_every_slot_on_its_own_is_read(void)
{
    CHECK_INT(parse_topology("(function() local t = {} for i = 0, 16383 do t[i + 1] = "
                             "{i, i, {'h' .. i % 5, 7000}} end return t end)()"),
              0);
    CHECK_TEXT(redis_topology_find(&topology, 16383)->host, "h3");
    CHECK_INT(parse_topology("(function() local t = {} for i = 0, 16384 do t[i + 1] = "
                             "{0, 0, {'h', 7000}} end return t end)()"),
              ERR_CORRUPT);
    CHECK_INT(parse_topology("(function() local t = {} for i = 0, 2048 do t[i + 1] = "
                             "{i, i, {'h' .. i, 7000}} end return t end)()"),
              ERR_CORRUPT);
}

static enum redis_redirect redirect(const char *text)
{
    char lua[512];
    snprintf(lua, sizeof lua, "redis.error_reply('%s')", text);
    struct redis_reply *reply = reply_of(lua);
    address = (struct redis_address){.port = -1};
    enum redis_redirect what = redis_redirect_parse(reply, "asked", &address);
    redis_reply_free(&reply);
    return what;
}

static void redirections_name_a_node(void)
{
    CHECK_INT(redirect("MOVED 3999 127.0.0.1:6381"), REDIS_MOVED);
    CHECK_TEXT(address.host, "127.0.0.1");
    CHECK_INT(address.port, 6381);
    CHECK_INT(redirect("ASK 3999 ::1:7000"), REDIS_ASK);
    CHECK_TEXT(address.host, "::1");
    CHECK_INT(redirect("MOVED 1 :7001"), REDIS_MOVED);
    CHECK_TEXT(address.host, "asked");
    CHECK_INT(redirect("TRYAGAIN Multiple keys request"), REDIS_LATER);
    CHECK_INT(redirect("CLUSTERDOWN Hash slot not served"), REDIS_LATER);
    CHECK_INT(redirect("NOSCRIPT"), REDIS_STAY);
}

static void a_redirection_to_nowhere_is_an_error_like_any_other(void)
{
    static const char *const bad[] = {"MOVED",         "MOVED 1",        "MOVED 1 host",
                                      "MOVED 1 host:", "MOVED 1 host:0", "MOVED 1 host:99999",
                                      "MOVED 1 a b:7", "ASK 1 ho/st:7",  "ASKING",
                                      "MOVEDX 1 h:7"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (redirect(bad[i]) != REDIS_STAY)
            printf("# %s\n", bad[i]);
        CHECK_INT(redirect(bad[i]), REDIS_STAY);
    }
    struct redis_reply *text = reply_of("'MOVED 1 h:7'");
    CHECK_INT(redis_redirect_parse(text, "asked", &address), REDIS_STAY);
    redis_reply_free(&text);
    CHECK_INT(redis_redirect_parse(NULL, "asked", &address), REDIS_STAY);
}

static int parse_sentinel(const char *lua, int64_t *out_epoch)
{
    struct redis_reply *reply = reply_of(lua);
    err = (struct err){0};
    int rc = redis_sentinel_parse(reply, &address, out_epoch, &err);
    redis_reply_free(&reply);
    return rc;
}

static void a_sentinel_names_the_master_and_its_epoch(void)
{
    int64_t epoch = -1;
    CHECK_INT(parse_sentinel("{'name', 'lab', 'ip', '10.0.0.1', 'port', '7000', 'config-epoch', "
                             "'3'}",
                             &epoch),
              0);
    CHECK_TEXT(address.host, "10.0.0.1");
    CHECK_INT(address.port, 7000);
    CHECK_INT(epoch, 3);
    static const char *const bad[] = {"1",
                                      "{}",
                                      "{'ip'}",
                                      "{'ip', '', 'port', '1'}",
                                      "{'ip', 'h', 'port', 'x'}",
                                      "{'ip', 'a b', 'port', '1'}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_INT(parse_sentinel(bad[i], &epoch), ERR_CORRUPT);
}

int main(void)
{
    fixture_start(NULL);
    RUN(slots_are_found_in_their_ranges);
    RUN(a_map_that_makes_no_sense_changes_nothing);
    RUN(a_map_of_every_slot_on_its_own_is_read);
    RUN(redirections_name_a_node);
    RUN(a_redirection_to_nowhere_is_an_error_like_any_other);
    RUN(a_sentinel_names_the_master_and_its_epoch);
    redis_topology_fini(&topology);
    fixture_stop();
    return check_report();
}

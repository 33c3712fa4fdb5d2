/* SPDX-License-Identifier: MIT */
#include "worker/grants.h"

#include "tests/unit/check.h"
#include "worker/task.h"

#define GRANT_17                                                                                   \
    "{\"id\":17,\"epoch\":2,\"get\":\"http://h/o/in?s=1\",\"put\":\"http://h/o/out?s=2\","         \
    "\"result_key\":\"results/x/2/result.png\",\"put_headers\":{\"Content-Type\":\"image/png\"}}"

static struct task *make(uint64_t id, uint32_t epoch)
{
    struct task *task = task_create();
    task->id = id;
    task->epoch = epoch;
    return task;
}

/* Parses `text` for the leases (17, 2) and (18, 1). */
static int parse(const char *text, struct task **tasks, bool *lost, struct err *err)
{
    return grants_parse(text, strlen(text), tasks, 2, lost, err);
}

static void the_request_lists_every_lease(void)
{
    struct buf body;
    struct task *tasks[2] = {make(17, 2), make(281474976710655, 1)};
    buf_init(&body, 4096);
    CHECK_INT(grants_format("w-1", tasks, 2, &body, NULL), 0);
    CHECK_TEXT(buf_text(&body), "{\"worker\":\"w-1\",\"shard\":0,\"jobs\":[{\"id\":17,\"epoch\":2},"
                                "{\"id\":281474976710655,\"epoch\":1}]}");
    buf_fini(&body);
    task_destroy(&tasks[0]);
    task_destroy(&tasks[1]);
}

static void links_and_lost_leases_find_their_tasks(void)
{
    struct err err = {0};
    struct task *tasks[2] = {make(17, 2), make(18, 1)};
    bool lost[2] = {false};
    CHECK_INT(parse("{\"grants\":[{\"id\":18,\"epoch\":1,\"error\":\"lost\"}," GRANT_17 "]}", tasks,
                    lost, &err),
              0);
    CHECK(!lost[0]);
    CHECK(lost[1]);
    CHECK_TEXT(tasks[0]->grant.get_url, "http://h/o/in?s=1");
    CHECK_TEXT(tasks[0]->grant.put_url, "http://h/o/out?s=2");
    CHECK_TEXT(tasks[0]->grant.put_type, "image/png");
    CHECK(tasks[1]->grant.get_url == NULL);
    task_destroy(&tasks[0]);
    task_destroy(&tasks[1]);
}

static void what_lies_beside_the_result_has_links_of_its_own(void)
{
    struct task *tasks[2] = {make(17, 2), make(18, 1)};
    bool lost[2] = {false};
    CHECK_INT(parse("{\"grants\":[" GRANT_17 ",{\"id\":18,\"epoch\":1,\"put\":\"http://h/o/b\","
                    "\"put_crop\":\"http://h/o/c\",\"put_heat_map\":\"http://h/o/h\","
                    "\"put_headers\":{\"Content-Type\":\"image/png\"}}]}",
                    tasks, lost, NULL),
              0);
    CHECK(tasks[0]->grant.crop_url == NULL);
    CHECK(tasks[0]->grant.heat_map_url == NULL);
    CHECK_TEXT(tasks[1]->grant.crop_url, "http://h/o/c");
    CHECK_TEXT(tasks[1]->grant.heat_map_url, "http://h/o/h");
    task_destroy(&tasks[0]);
    task_destroy(&tasks[1]);
}

static void a_job_without_input_gets_no_link_to_one(void)
{
    struct task *tasks[2] = {make(17, 2), make(18, 1)};
    bool lost[2] = {false};
    CHECK_INT(parse("{\"grants\":[" GRANT_17 ",{\"id\":18,\"epoch\":1,\"put\":\"http://h/o/b\","
                    "\"put_headers\":{\"Content-Type\":\"image/png\"}}]}",
                    tasks, lost, NULL),
              0);
    CHECK_TEXT(tasks[0]->grant.get_url, "http://h/o/in?s=1");
    CHECK(tasks[1]->grant.get_url == NULL);
    CHECK_TEXT(tasks[1]->grant.put_url, "http://h/o/b");
    task_destroy(&tasks[0]);
    task_destroy(&tasks[1]);
}

static void an_answer_that_is_none_changes_no_task(void)
{
    static const char *const bad[] = {
        "",
        "<html>",
        "{}",
        "{\"grants\":{}}",
        "{\"grants\":[" GRANT_17 "]}", /* leaves out 18 */
        "{\"grants\":[" GRANT_17 ",{\"id\":18,\"epoch\":2,\"error\":\"lost\"}]}", /* not epoch 1 */
        "{\"grants\":[" GRANT_17 ",{\"id\":18,\"epoch\":1,\"get\":\"http://h\"}]}",
        "{\"grants\":[" GRANT_17 ",{\"id\":18,\"epoch\":1,\"get\":1,\"put\":\"http://h\"}]}",
        "{\"grants\":[" GRANT_17
        ",{\"id\":18,\"epoch\":1,\"get\":\"http://h\",\"put\":\"http://h\","
        "\"put_headers\":{}}]}",
        "{\"grants\":[" GRANT_17
        ",{\"id\":18,\"epoch\":1,\"get\":\"http://h\",\"put\":\"http://h\","
        "\"put_headers\":{\"Content-Type\":\"image/png\\r\\nX: y\"}}]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = {0};
        struct task *tasks[2] = {make(17, 2), make(18, 1)};
        bool lost[2] = {false};
        CHECK_INT(parse(bad[i], tasks, lost, &err), ERR_CORRUPT);
        CHECK(tasks[0]->grant.get_url == NULL);
        CHECK(tasks[1]->grant.get_url == NULL);
        task_destroy(&tasks[0]);
        task_destroy(&tasks[1]);
    }
}

static void every_prefix_of_an_answer_is_refused(void)
{
    static const char whole[] =
        "{\"grants\":[" GRANT_17 ",{\"id\":18,\"epoch\":1,\"error\":\"lost\"}]}";
    for (size_t size = 0; size < sizeof whole - 1; size++) {
        struct task *tasks[2] = {make(17, 2), make(18, 1)};
        bool lost[2] = {false};
        CHECK_INT(grants_parse(whole, size, tasks, 2, lost, NULL), ERR_CORRUPT);
        task_destroy(&tasks[0]);
        task_destroy(&tasks[1]);
    }
}

int main(void)
{
    RUN(the_request_lists_every_lease);
    RUN(links_and_lost_leases_find_their_tasks);
    RUN(what_lies_beside_the_result_has_links_of_its_own);
    RUN(a_job_without_input_gets_no_link_to_one);
    RUN(an_answer_that_is_none_changes_no_task);
    RUN(every_prefix_of_an_answer_is_refused);
    return check_report();
}

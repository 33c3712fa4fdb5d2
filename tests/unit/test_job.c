/* SPDX-License-Identifier: MIT */
#include "common/job.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/queue_scripts.h"
#include "tests/unit/check.h"

#define STATES 6

static void states_have_names_and_letters(void)
{
    CHECK_TEXT(job_state_name(JOB_QUEUED), "queued");
    CHECK_TEXT(job_state_name(JOB_CANCELLED), "cancelled");
    for (int state = 1; state <= STATES; state++)
        CHECK_INT(job_state_from_letter(job_state_letter((enum job_state)state)), state);
    CHECK_INT(job_state_from_letter('Z'), 0);
    CHECK_INT(job_state_from_letter(0), 0);
}

static void nothing_but_a_replay_follows_a_final_state(void)
{
    for (int from = 1; from <= STATES; from++)
        for (int to = 1; to <= STATES; to++)
            if (job_state_is_final((enum job_state)from) &&
                job_state_may_follow((enum job_state)from, (enum job_state)to))
                CHECK(from == JOB_FAILED && to == JOB_QUEUED);
}

/* The scripts' table: NEXT = {Q = 'RC', R = '…', …} */
static void the_scripts_have_the_same_table(void)
{
    const char *table = strstr(queue_script_claim.body, "local NEXT = {");
    CHECK(table != NULL);
    for (int from = 1; from <= STATES; from++) {
        char entry[8];
        snprintf(entry, sizeof entry, "%c = '", job_state_letter((enum job_state)from));
        const char *letters = strstr(table, entry);
        CHECK(letters && letters < strchr(table, '}'));
        letters += strlen(entry);
        size_t length = strcspn(letters, "'");
        for (int to = 1; to <= STATES; to++)
            CHECK_INT(memchr(letters, job_state_letter((enum job_state)to), length) != NULL,
                      job_state_may_follow((enum job_state)from, (enum job_state)to));
    }
}

static void names_from_outside_are_checked(void)
{
    CHECK(job_model_valid("portrait-drawing"));
    CHECK(job_model_valid("a.b_c-1"));
    CHECK(!job_model_valid(""));
    CHECK(!job_model_valid("../x"));
    CHECK(!job_model_valid("a:b"));
    CHECK(!job_model_valid("Upper"));
    CHECK(!job_model_valid("m234567890123456789012345678901234567890123456789"));
    CHECK(job_flow_valid("v_Az09-"));
    CHECK(!job_flow_valid("a b"));
    CHECK(!job_flow_valid("$a"));
    CHECK(!job_flow_valid(""));
}

static void object_keys_are_made_from_ids(void)
{
    char key[JOB_KEY_SIZE];
    job_input_key("0a123456789abc00000000000000000000", key);
    CHECK_TEXT(key, "inputs/0a123456789abc00000000000000000000");
    job_result_key("0a123456789abc00000000000000000000", 12, "png", key);
    CHECK_TEXT(key, "results/0a123456789abc00000000000000000000/12/result.png");
}

static void the_job_of_an_object_is_read_from_its_key(void)
{
    char id[ID_PUBLIC_SIZE];
    CHECK(job_key_public_id("inputs/0a123456789abc00000000000000000000", id));
    CHECK_TEXT(id, "0a123456789abc00000000000000000000");
    CHECK(job_key_public_id("results/0b123456789abc00000000000000000000/12/result.png", id));
    CHECK_TEXT(id, "0b123456789abc00000000000000000000");
    CHECK(!job_key_public_id("inputs/0a123456789abc0000000000000000000", id));
    CHECK(!job_key_public_id("inputs/0A123456789abc00000000000000000000", id));
    CHECK(!job_key_public_id("others/0a123456789abc00000000000000000000", id));
    CHECK(!job_key_public_id("inputs/", id));
    CHECK(!job_key_public_id("inputs", id));
    CHECK(!job_key_public_id("", id));
}

static void a_description_survives_the_trip(void)
{
    struct job_spec spec = {.input_key = "inputs/x",
                            .input_bytes = 1234,
                            .input_type = "image/png",
                            .has_crop = true,
                            .crop = {1, 2, 300, 400}};
    json_t *params = json_pack("{s:i}", "seed", 7);
    struct job_spec back = {0};
    struct buf text;
    struct err err = {0};
    buf_init(&text, JOB_SPEC_MAX);
    CHECK_INT(job_spec_format(&spec, params, &text, &err), 0);
    json_decref(params);
    CHECK_INT(job_spec_parse(text.data, text.size, &back, &err), 0);
    CHECK_TEXT(back.input_key, "inputs/x");
    CHECK_TEXT(back.input_type, "image/png");
    CHECK_INT(back.input_bytes, 1234);
    CHECK(back.has_crop);
    CHECK_INT(back.crop.height, 400);
    CHECK_TEXT(back.params, "{\"seed\":7}");
    job_spec_fini(&back);
    /* No prefix of it is taken for a whole one. */
    for (size_t size = 0; size < text.size; size++)
        CHECK(job_spec_parse(text.data, size, &back, NULL) < 0);
    buf_fini(&text);
}

static void a_description_without_input_and_crop_is_fine(void)
{
    struct job_spec back = {0};
    static const char text[] = "{\"input\":null,\"crop\":null,\"params\":{}}";
    CHECK_INT(job_spec_parse(text, strlen(text), &back, NULL), 0);
    CHECK_TEXT(back.input_key, "");
    CHECK(!back.has_crop);
    CHECK_TEXT(back.params, "{}");
    job_spec_fini(&back);
}

static void bad_descriptions_name_the_member(void)
{
    static const struct {
        const char *text, *field;
    } bad[] = {
        {"{\"crop\":null}", "params"},
        {"{\"params\":{},\"crop\":[0,0,1]}", "crop"},
        {"{\"params\":{},\"crop\":[0,0,0,5]}", "crop"},
        {"{\"params\":{},\"crop\":[-1,0,5,5]}", "crop"},
        {"{\"params\":{},\"crop\":[0.5,0,5,5]}", "crop"},
        {"{\"params\":[]}", "params"},
        {"{\"params\":{},\"input\":{\"key\":\"k\"}}", "input.bytes"},
        {"{\"params\":{},\"other\":1}", "other"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct job_spec spec = {0};
        struct err err = {0};
        CHECK_INT(job_spec_parse(bad[i].text, strlen(bad[i].text), &spec, &err), ERR_INVALID);
        CHECK_TEXT(err.field, bad[i].field);
    }
}

static void a_description_has_a_limit(void)
{
    struct job_spec spec = {.input_bytes = 0};
    static char most[JOB_SPEC_MAX - 20];
    struct buf text;
    struct err err = {0};
    memset(most, 'x', sizeof most - 1);
    json_t *params = json_pack("{s:s}", "a", most);
    buf_init(&text, 1 << 20);
    CHECK_INT(job_spec_format(&spec, params, &text, &err), ERR_LIMIT);
    CHECK_TEXT(err.field, "params");
    CHECK_INT(text.size, 0);
    json_decref(params);
    buf_fini(&text);
}

int main(void)
{
    RUN(states_have_names_and_letters);
    RUN(nothing_but_a_replay_follows_a_final_state);
    RUN(the_scripts_have_the_same_table);
    RUN(names_from_outside_are_checked);
    RUN(object_keys_are_made_from_ids);
    RUN(the_job_of_an_object_is_read_from_its_key);
    RUN(a_description_survives_the_trip);
    RUN(a_description_without_input_and_crop_is_fine);
    RUN(bad_descriptions_name_the_member);
    RUN(a_description_has_a_limit);
    return check_report();
}

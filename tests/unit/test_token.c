/* SPDX-License-Identifier: MIT */
#include "common/token.h"

#include "common/err.h"
#include "common/secret.h"
#include "tests/unit/check.h"

#define ID "00112233445566778899aabbccddeeff00"

static const struct secret secret = {{1, 2, 3}};
static struct token_keys *keys;

static void each_right_opens_its_own_door_and_manage_may_view(void)
{
    static const bool allowed[4][4] = {/* asked for: view, manage, delete, share */
                                       [TOKEN_VIEW] = {true, false, false, true},
                                       [TOKEN_MANAGE] = {true, true, false, true},
                                       [TOKEN_DELETE] = {false, false, true, false},
                                       [TOKEN_SHARE] = {false, false, false, true}};
    for (int held = TOKEN_VIEW; held <= TOKEN_SHARE; held++) {
        char token[TOKEN_SIZE];
        CHECK_INT(token_make(keys, (enum token_right)held, ID, token), 0);
        CHECK_INT(strlen(token), TOKEN_SIZE - 1);
        for (int asked = TOKEN_VIEW; asked <= TOKEN_SHARE; asked++)
            CHECK_INT(token_allows(keys, (enum token_right)asked, ID, token), allowed[held][asked]);
    }
}

static void a_token_of_another_job_or_another_secret_is_refused(void)
{
    static const struct secret stranger = {{1, 2, 4}};
    struct token_keys *foreign = NULL;
    char token[TOKEN_SIZE];
    CHECK_INT(token_make(keys, TOKEN_VIEW, "11" ID, token), 0);
    CHECK(!token_allows(keys, TOKEN_VIEW, ID, token));
    CHECK_INT(token_keys_create(&stranger, &foreign), 0);
    CHECK_INT(token_make(foreign, TOKEN_VIEW, ID, token), 0);
    CHECK(!token_allows(keys, TOKEN_VIEW, ID, token));
    token_keys_destroy(&foreign);
}

static void any_other_text_is_refused(void)
{
    char token[TOKEN_SIZE + 2];
    CHECK_INT(token_make(keys, TOKEN_VIEW, ID, token), 0);
    CHECK(!token_allows(keys, TOKEN_VIEW, ID, NULL));
    CHECK(!token_allows(keys, TOKEN_VIEW, ID, ""));
    for (int i = 0; i < TOKEN_SIZE - 1; i++) {
        char changed[TOKEN_SIZE];
        memcpy(changed, token, TOKEN_SIZE);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        CHECK(!token_allows(keys, TOKEN_VIEW, ID, changed));
        changed[i] = 0;
        CHECK(!token_allows(keys, TOKEN_VIEW, ID, changed));
    }
    memcpy(token + TOKEN_SIZE - 1, "A", 2);
    CHECK(!token_allows(keys, TOKEN_VIEW, ID, token));
}

int main(void)
{
    if (token_keys_create(&secret, &keys) < 0)
        return EXIT_FAILURE;
    RUN(each_right_opens_its_own_door_and_manage_may_view);
    RUN(a_token_of_another_job_or_another_secret_is_refused);
    RUN(any_other_text_is_refused);
    token_keys_destroy(&keys);
    return check_report();
}

/* SPDX-License-Identifier: MIT */
#include "common/unsubscribe.h"

#include "common/secret.h"
#include "tests/unit/check.h"

#include <string.h>

static const struct secret secret = {{1, 2, 3}}, other_secret = {{4, 5, 6}};
static struct unsubscribe_keys *keys, *other_keys;
static const char hash[] = "0123456789abcdef0123456789abcdef";

static void a_token_opens_to_the_id_of_its_address(void)
{
    char id[UNSUBSCRIBE_ID_SIZE], found[UNSUBSCRIBE_ID_SIZE], token[UNSUBSCRIBE_TOKEN_SIZE];
    CHECK_INT(unsubscribe_id(keys, hash, id), 0);
    CHECK_INT(unsubscribe_token(keys, hash, token), 0);
    CHECK_INT(strlen(token), UNSUBSCRIBE_TOKEN_SIZE - 1);
    CHECK(unsubscribe_open(keys, token, found));
    CHECK_TEXT(found, id);
    CHECK(strstr(token, hash) == NULL); /* nobody learns how jobs are found by their address */
}

static void nothing_else_opens(void)
{
    char found[UNSUBSCRIBE_ID_SIZE] = "", token[UNSUBSCRIBE_TOKEN_SIZE];
    CHECK_INT(unsubscribe_token(keys, hash, token), 0);
    CHECK(!unsubscribe_open(other_keys, token, found));
    for (size_t i = 0; i < sizeof token - 1; i++) {
        char bent[UNSUBSCRIBE_TOKEN_SIZE + 1];
        memcpy(bent, token, sizeof token);
        bent[i] = bent[i] == 'a' ? 'b' : 'a';
        CHECK(!unsubscribe_open(keys, bent, found));
        bent[i] = 0;
        CHECK(!unsubscribe_open(keys, bent, found));
    }
    char longer[UNSUBSCRIBE_TOKEN_SIZE + 1];
    snprintf(longer, sizeof longer, "%sA", token);
    CHECK(!unsubscribe_open(keys, longer, found));
    CHECK(!unsubscribe_open(keys, "", found));
    CHECK(!unsubscribe_open(keys, "../../../../../../../../../../../../../../etc/passwd..", found));
    CHECK_TEXT(found, "");
}

int main(void)
{
    CHECK_INT(unsubscribe_keys_create(&secret, &keys), 0);
    CHECK_INT(unsubscribe_keys_create(&other_secret, &other_keys), 0);
    RUN(a_token_opens_to_the_id_of_its_address);
    RUN(nothing_else_opens);
    unsubscribe_keys_destroy(&keys);
    unsubscribe_keys_destroy(&other_keys);
    return check_report();
}

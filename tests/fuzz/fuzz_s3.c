/* SPDX-License-Identifier: MIT
 *
 * What comes from an S3 account: a credentials file, and the XML of its server. */
#include "common/err.h"
#include "common/s3_credentials.h"
#include "common/s3_xml.h"

#include "tests/fuzz/target.h"

static void try_credentials(const char *text, size_t size)
{
    struct s3_credentials credentials;
    struct err err = {0};
    if (s3_credentials_parse(text, size, &credentials, &err) == 0)
        fuzz_check(credentials.access_key[0] && credentials.secret_key[0]);
    else
        fuzz_check(err.text[0] != 0);
}

static void try_listing(const char *text, size_t size)
{
    char cursor[STORE_CURSOR_SIZE] = "";
    struct store_entry entries[4];
    size_t count = 0;
    if (s3_xml_list(text, size, cursor, entries, 4, &count) < 0)
        return;
    fuzz_check(count <= 4);
    for (size_t i = 0; i < count; i++)
        fuzz_check(store_key_is_valid(entries[i].key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char code[8];
    try_credentials((const char *)data, size);
    try_listing((const char *)data, size);
    s3_xml_text((const char *)data, size, "Code", code, sizeof code);
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * bucket_ls PREFIX: prints the keys in the bucket that tests/support/s3_server.sh has put into the
 * environment, for tests that are written in another language. */
#include "common/err.h"
#include "common/store.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    char url[128], cursor[STORE_CURSOR_SIZE] = "";
    struct err err = {0};
    struct store *store = NULL;
    snprintf(url, sizeof url, "s3://%s", getenv("S3_BUCKET"));
    const struct store_options options = {.url = url,
                                          .endpoint = getenv("S3_ENDPOINT"),
                                          .region = getenv("S3_REGION"),
                                          .credentials_file = getenv("S3_CREDENTIALS_FILE")};
    int rc = store_open(&options, &store, &err);
    do {
        struct store_entry entries[100];
        size_t count = 0;
        if (rc == 0)
            rc = store_list(store, argc > 1 ? argv[1] : "", cursor, entries, 100, &count, &err);
        for (size_t i = 0; i < count; i++)
            puts(entries[i].key);
    } while (rc == 0 && *cursor);
    store_close(&store);
    if (rc < 0)
        fprintf(stderr, "bucket_ls: %s\n", err.text);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

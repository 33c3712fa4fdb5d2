/* SPDX-License-Identifier: MIT
 *
 * Runs a fuzz target once on every file of a folder, without libFuzzer, so that each crash that
 * was ever found stays an ordinary test. Each input lies in memory of exactly its size, so that a
 * sanitizer sees a read past its end. */
#include "common/buf.h"
#include "common/err.h"

#include "tests/fuzz/target.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int replay_file(const char *folder, const char *name)
{
    char path[4096];
    struct buf file;
    struct err err = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    buf_init(&file, 16 << 20);
    int rc = buf_read_file(&file, path, &err);
    uint8_t *data = rc == 0 ? malloc(file.size + 1) : NULL;
    if (data) {
        if (file.size)
            memcpy(data + 1, file.data, file.size);
        LLVMFuzzerTestOneInput(data + 1, file.size);
    } else {
        printf("# %s\n", err.text);
    }
    free(data);
    buf_fini(&file);
    return rc;
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    int count = argc == 2 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
    int tests = 0, failed = 0;
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            int rc = replay_file(argv[1], entries[i]->d_name);
            printf("%s %d - %s\n", rc < 0 ? "not ok" : "ok", ++tests, entries[i]->d_name);
            fflush(stdout);
            failed += rc < 0;
        }
        free(entries[i]);
    }
    free(entries);
    printf("1..%d\n", tests);
    return tests > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

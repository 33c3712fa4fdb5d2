/* SPDX-License-Identifier: MIT */
#include "common/file.h"

#include "common/buf.h"
#include "common/err.h"
#include "tests/unit/check.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/darkroom-file-XXXXXX";
static char path[128];

static int entries(void)
{
    int count = 0;
    DIR *dir = opendir(folder);
    while (dir && readdir(dir))
        count++;
    closedir(dir);
    return count - 2; /* . and .. */
}

static void a_file_is_replaced_as_a_whole_with_its_mode(void)
{
    struct err err = {0};
    struct stat status;
    struct buf buf;
    CHECK_INT(file_write(path, "the first, longer text", 22, 0644, &err), 0);
    CHECK_INT(file_write(path, "second", 6, 0600, &err), 0);
    buf_init(&buf, 100);
    CHECK_INT(buf_read_file(&buf, path, &err), 0);
    CHECK_TEXT(buf_text(&buf), "second");
    buf_fini(&buf);
    CHECK_INT(stat(path, &status), 0);
    CHECK_INT(status.st_mode & 07777, 0600);
    CHECK_INT(entries(), 1);
}

static void a_failure_says_why_and_leaves_nothing_behind(void)
{
    struct err err = {0};
    char missing[160];
    snprintf(missing, sizeof missing, "%s/none/file", folder);
    CHECK_INT(file_write(missing, "x", 1, 0600, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "No such file");
    /* A folder stands where the file should go: the rename fails last of all. */
    err = (struct err){0};
    snprintf(missing, sizeof missing, "%s/folder", folder);
    CHECK_INT(mkdir(missing, 0700), 0);
    CHECK_INT(file_write(missing, "x", 1, 0600, &err), ERR_IO);
    rmdir(missing);
    CHECK_INT(entries(), 1);
}

int main(void)
{
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/file", folder);
    RUN(a_file_is_replaced_as_a_whole_with_its_mode);
    RUN(a_failure_says_why_and_leaves_nothing_behind);
    unlink(path);
    rmdir(folder);
    return check_report();
}

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

static void folders_are_made_with_those_above_them(void)
{
    char deep[160];
    struct err err = {0};
    struct stat status;
    snprintf(deep, sizeof deep, "%s/a/b/c", folder);
    CHECK_INT(file_make_folders(deep, 0700, &err), 0);
    CHECK_INT(file_make_folders(deep, 0700, &err), 0);
    CHECK_INT(stat(deep, &status), 0);
    CHECK_INT(status.st_mode & 0777, 0700);
    snprintf(deep, sizeof deep, "%s/a/b/c/d", folder);
    CHECK_INT(file_write(deep, "", 0, 0600, NULL), 0);
    snprintf(deep, sizeof deep, "%s/a/b/c/d/e", folder);
    CHECK_INT(file_make_folders(deep, 0700, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "/a/b/c/d");
    CHECK_INT(file_make_folders("", 0700, NULL), ERR_LIMIT);
    static const char *const made[] = {"a/b/c/d", "a/b/c", "a/b", "a"};
    for (int i = 0; i < 4; i++) {
        snprintf(deep, sizeof deep, "%s/%s", folder, made[i]);
        CHECK_INT(remove(deep), 0);
    }
}

int main(void)
{
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/file", folder);
    RUN(a_file_is_replaced_as_a_whole_with_its_mode);
    RUN(a_failure_says_why_and_leaves_nothing_behind);
    RUN(folders_are_made_with_those_above_them);
    unlink(path);
    rmdir(folder);
    return check_report();
}

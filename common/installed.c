/* SPDX-License-Identifier: MIT */
#include "common/installed.h"

#include "common/err.h"
#include "common/installed_paths.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int installed_path(const char *name, char *out, size_t size)
{
    char program[PATH_MAX] = "";
    char path[PATH_MAX + sizeof INSTALLED_DATA];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash = length > 0 ? strrchr(program, '/') : NULL;
    if (INSTALLED_DATA[0] == '/') {
        snprintf(path, sizeof path, "%s", INSTALLED_DATA);
    } else if (slash) {
        *slash = 0;
        snprintf(path, sizeof path, "%s/%s", program, INSTALLED_DATA);
    } else {
        return ERR_NOT_FOUND;
    }
    /* Resolved first: `..` behind a folder that is not there leads nowhere. */
    char whole[PATH_MAX];
    if (!realpath(path, whole))
        return ERR_NOT_FOUND;
    char found[PATH_MAX + NAME_MAX + 2];
    int written = snprintf(found, sizeof found, "%s/%s", whole, name);
    if (written < 0 || (size_t)written >= size || access(found, F_OK) < 0)
        return ERR_NOT_FOUND;
    memcpy(out, found, (size_t)written + 1);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "common/file.h"

#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        data += written;
        size -= (size_t)written;
    }
    return 0;
}

int file_sync_folder(int root_fd, const char *path)
{
    int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    int cause = errno;
    close(fd);
    errno = cause;
    return rc;
}

int file_write(const char *path, const void *data, size_t size, unsigned mode, struct err *err)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX], temporary[PATH_MAX];
    if (!slash)
        snprintf(folder, sizeof folder, ".");
    else
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if ((size_t)snprintf(temporary, sizeof temporary, "%s/.darkroom-XXXXXX", folder) >=
        sizeof temporary)
        return err_set(err, ERR_LIMIT, NULL, "a path longer than %d bytes", PATH_MAX);

    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, NULL, "cannot write in %s", folder);
    int rc = 0;
    if (fchmod(fd, mode) < 0 || write_all(fd, data, size) < 0 || fsync(fd) < 0)
        rc = err_set_errno(err, NULL, "cannot write %s", path);
    if (close(fd) < 0 && rc == 0)
        rc = err_set_errno(err, NULL, "cannot write %s", path);
    if (rc == 0 && (rename(temporary, path) < 0 || file_sync_folder(AT_FDCWD, folder) < 0))
        rc = err_set_errno(err, NULL, "cannot write %s", path);
    if (rc < 0)
        unlink(temporary);
    return rc;
}

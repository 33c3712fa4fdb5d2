/* SPDX-License-Identifier: MIT */
#include "common/file.h"

#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
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

int file_make_folders(const char *path, unsigned mode, struct err *err)
{
    char folder[4096];
    if (*path == 0 || snprintf(folder, sizeof folder, "%s", path) >= (int)sizeof folder)
        return err_set(err, ERR_LIMIT, NULL, "a folder's path must have 1 to %zu bytes",
                       sizeof folder - 1);
    for (char *slash = folder + 1;; slash++) {
        slash += strcspn(slash, "/");
        char kept = *slash;
        *slash = 0;
        if (mkdir(folder, mode) < 0 && errno != EEXIST)
            return err_set_open(err, NULL, "cannot make the folder %s", folder);
        *slash = kept;
        if (!kept)
            return 0;
    }
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

int file_writer_open(struct file_writer *writer, const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    *writer = (struct file_writer){.fd = -1};
    if (!slash)
        snprintf(writer->folder, sizeof writer->folder, ".");
    else
        snprintf(writer->folder, sizeof writer->folder, "%.*s",
                 slash == path ? 1 : (int)(slash - path), path);
    if ((size_t)snprintf(writer->path, sizeof writer->path, "%s", path) >= sizeof writer->path ||
        (size_t)snprintf(writer->temporary, sizeof writer->temporary, "%s/.darkroom-XXXXXX",
                         writer->folder) >= sizeof writer->temporary)
        return err_set(err, ERR_LIMIT, NULL, "a path longer than %zu bytes", sizeof writer->path);
    writer->fd = mkostemp(writer->temporary, O_CLOEXEC);
    return writer->fd < 0 ? err_set_open(err, NULL, "cannot write in %s", writer->folder) : 0;
}

int file_writer_append(struct file_writer *writer, const void *data, size_t size, struct err *err)
{
    return write_all(writer->fd, data, size) < 0
               ? err_set_errno(err, NULL, "cannot write %s", writer->path)
               : 0;
}

int file_writer_close(struct file_writer *writer, int rc, unsigned mode, struct err *err)
{
    if (writer->fd < 0)
        return rc;
    if (rc == 0 && (fchmod(writer->fd, mode) < 0 || fsync(writer->fd) < 0))
        rc = err_set_errno(err, NULL, "cannot write %s", writer->path);
    if (close(writer->fd) < 0 && rc == 0)
        rc = err_set_errno(err, NULL, "cannot write %s", writer->path);
    if (rc == 0 && (rename(writer->temporary, writer->path) < 0 ||
                    file_sync_folder(AT_FDCWD, writer->folder) < 0))
        rc = err_set_errno(err, NULL, "cannot write %s", writer->path);
    if (rc < 0)
        unlink(writer->temporary);
    writer->fd = -1;
    return rc;
}

int file_write(const char *path, const void *data, size_t size, unsigned mode, struct err *err)
{
    struct file_writer writer;
    int rc = file_writer_open(&writer, path, err);
    if (rc == 0)
        rc = file_writer_append(&writer, data, size, err);
    return file_writer_close(&writer, rc, mode, err);
}

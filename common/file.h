/* SPDX-License-Identifier: MIT
 *
 * Files that appear complete or not at all.
 *
 *     rc = file_write("outbox/6f1c.eml", data, size, 0600, &err);
 *
 * A crash at any moment leaves the old file or the new one, and at worst a hidden temporary file
 * beside it. Any thread; two writers of one path end with the file of one of them. */
#ifndef DARKROOM_COMMON_FILE_H
#define DARKROOM_COMMON_FILE_H

#include <stddef.h>

struct err;

/* Writes a temporary file in the same folder, syncs it, renames it into place and syncs the folder.
 * `mode` is taken as it is, whatever the umask. ERR_IO, with errno's text. */
int file_write(const char *path, const void *data, size_t size, unsigned mode, struct err *err);

/* Flushes the folder `path` below `root_fd` (AT_FDCWD: the working directory) to the disk: without
 * this a power cut may forget a rename. 0, or -1 with errno. */
int file_sync_folder(int root_fd, const char *path);

#endif

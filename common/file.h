/* SPDX-License-Identifier: MIT
 *
 * Files that appear complete or not at all.
 *
 *     rc = file_write("outbox/6f1c.eml", data, size, 0600, &err);
 *
 *     struct file_writer writer;                                   // what does not fit in memory
 *     rc = file_writer_open(&writer, "generator.safetensors", &err);
 *     while (rc == 0 && more)
 *         rc = file_writer_append(&writer, data, size, &err);
 *     rc = file_writer_close(&writer, rc, 0644, &err);             // in place, or gone
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

/* A file while it is written. Belongs to one thread. */
struct file_writer {
    char path[4096], folder[4096], temporary[4096];
    int fd; /* owned; -1: none */
};

/* ERR_IO, ERR_LIMIT (the path's length). After an error only file_writer_close() may be called. */
int file_writer_open(struct file_writer *writer, const char *path, struct err *err);
int file_writer_append(struct file_writer *writer, const void *data, size_t size, struct err *err);
/* Puts the file in place where `rc` is 0, and removes it otherwise; gives `rc` or what failed now.
 * Harmless after a failed open. */
int file_writer_close(struct file_writer *writer, int rc, unsigned mode, struct err *err);

/* Makes a folder and those above it that are missing, each with `mode` less the umask. As
 * err_set_open(), ERR_LIMIT. */
int file_make_folders(const char *path, unsigned mode, struct err *err);

/* Flushes the folder `path` below `root_fd` (AT_FDCWD: the working directory) to the disk: without
 * this a power cut may forget a rename. 0, or -1 with errno. */
int file_sync_folder(int root_fd, const char *path);

#endif

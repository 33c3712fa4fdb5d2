/* SPDX-License-Identifier: MIT */
#include "common/err.h"
#include "common/store_backend.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A walk in the order of keys, as S3 lists: within a folder the names are sorted, a subfolder as
 * if its name ended in '/'. The last key of a page is where the next one goes on. */
struct walk {
    int root_fd;
    const char *prefix, *cursor;
    struct store_entry *entries;
    size_t max, count;
    bool full;
};

/* The names in one folder, subfolders with a '/' at their end. */
struct names {
    char **items; /* owned, each too */
    size_t count, capacity;
};

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(struct names *names, const char *name, bool folder)
{
    size_t length = strlen(name);
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? 2 * names->capacity : 32;
        char **items = realloc(names->items, capacity * sizeof *items);
        if (!items)
            return ERR_NOMEM;
        names->items = items;
        names->capacity = capacity;
    }
    char *item = malloc(length + 2);
    if (!item)
        return ERR_NOMEM;
    memcpy(item, name, length + 1);
    if (folder)
        memcpy(item + length, "/", 2);
    names->items[names->count++] = item;
    return 0;
}

/* For file systems that do not tell in the folder itself. */
static unsigned char type_of(int folder_fd, const char *name)
{
    struct stat info;
    if (fstatat(folder_fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
        return DT_UNKNOWN;
    return S_ISDIR(info.st_mode) ? DT_DIR : S_ISREG(info.st_mode) ? DT_REG : DT_UNKNOWN;
}

/* `path` is "" or ends in '/'. A folder that vanished meanwhile is empty. */
static int read_names(int root_fd, const char *path, struct names *names, struct err *err)
{
    int fd = openat(root_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_set_errno(err, "store", "object store: %s", path);
    DIR *folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return ERR_NOMEM;
    }
    int rc = 0;
    for (struct dirent *entry; rc == 0 && (entry = readdir(folder));) {
        if (*entry->d_name == '.')
            continue;
        unsigned char type = entry->d_type;
        if (type == DT_UNKNOWN)
            type = type_of(fd, entry->d_name);
        if (type == DT_DIR || type == DT_REG)
            rc = add_name(names, entry->d_name, type == DT_DIR);
    }
    closedir(folder);
    if (rc == 0 && names->count)
        qsort(names->items, names->count, sizeof *names->items, by_text);
    return rc;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static void add_file(struct walk *walk, const char *key)
{
    struct stat info;
    if (!store_key_is_valid(key) || fstatat(walk->root_fd, key, &info, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (walk->count == walk->max) {
        walk->full = true;
        return;
    }
    struct store_entry *entry = &walk->entries[walk->count++];
    memcpy(entry->key, key, strlen(key) + 1); /* fits: it is a valid key */
    entry->bytes = info.st_size;
    entry->modified_ms = (int64_t)info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1000000;
}

/* Recursion is as deep as a key may have segments: deeper paths are no valid keys. */
static int walk_folder(struct walk *walk, const char *path, int depth, struct err *err)
{
    struct names names = {0};
    int rc = read_names(walk->root_fd, path, &names, err);
    for (size_t i = 0; rc == 0 && !walk->full && i < names.count; i++) {
        char key[STORE_KEY_SIZE + 1];
        size_t start = strlen(path), length = strlen(names.items[i]);
        if (start + length >= sizeof key)
            continue;
        memcpy(key, path, start);
        memcpy(key + start, names.items[i], length + 1);
        bool folder = key[start + length - 1] == '/';
        if (folder) {
            bool wanted = starts_with(key, walk->prefix) || starts_with(walk->prefix, key);
            bool passed = strcmp(key, walk->cursor) < 0 && !starts_with(walk->cursor, key);
            if (wanted && !passed && depth > 0)
                rc = walk_folder(walk, key, depth - 1, err);
        } else if (starts_with(key, walk->prefix) && strcmp(key, walk->cursor) > 0) {
            add_file(walk, key);
        }
    }
    free_names(&names);
    return rc;
}

int store_walk(int root_fd, const char *prefix, char cursor[STORE_CURSOR_SIZE],
               struct store_entry *entries, size_t max_entries, size_t *out_count, struct err *err)
{
    struct walk walk = {root_fd, prefix, cursor, entries, max_entries, 0, false};
    int rc = walk_folder(&walk, "", 8, err);
    if (rc < 0)
        return rc;
    snprintf(cursor, STORE_CURSOR_SIZE, "%s", walk.full ? entries[walk.count - 1].key : "");
    *out_count = walk.count;
    return 0;
}

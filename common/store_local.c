/* SPDX-License-Identifier: MIT */
#include "common/base64.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/file.h"
#include "common/secret.h"
#include "common/store_backend.h"
#include "common/store_link.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Objects are files below the directory, named by their keys. What is being written lives in
 * SCRATCH until it is complete and on disk, then moves to its place: a crash leaves either the
 * whole object or a scratch file, which a later start removes. */
#define SCRATCH ".tmp"
#define SCRATCH_NAME_SIZE (sizeof SCRATCH + 1 + 32)
#define SCRATCH_MAX_AGE_S 3600            /* no upload goes without a byte for so long */
#define MIN_FREE_BYTES (64 * 1024 * 1024) /* below it the store says that it is not ready */
#define MOVE_ATTEMPTS 16

struct store_local {
    struct store base;
    int root_fd;
    char *directory;        /* owned; for messages */
    char *public_url;       /* owned */
    struct crypto_mac *mac; /* owned */
    bool no_sync;
};

struct store_upload {
    struct store_local *local; /* borrowed */
    int fd;
    int64_t size, max_bytes;
    char scratch[SCRATCH_NAME_SIZE];
    char key[STORE_KEY_SIZE];
};

static struct store_local *local_of(const struct store *store)
{
    assert(store_local_is(store));
    return (struct store_local *)(uintptr_t)store;
}

/* A full disk may have room later: that is the store being away, not a broken object. */
static int fail(const struct store_local *local, struct err *err)
{
    bool full = errno == ENOSPC || errno == EDQUOT;
    bool missing = errno == ENOENT;
    err_set_errno(missing ? NULL : err, "store", "object store %s", local->directory);
    if (missing)
        return err_set(err, ERR_NOT_FOUND, NULL, "no such object");
    if (full && err && err->code == ERR_IO)
        err->code = ERR_UNAVAILABLE;
    return full ? ERR_UNAVAILABLE : ERR_IO;
}

/* --- opening -------------------------------------------------------------------------------- */

static void remove_old_scratch(int root_fd)
{
    int fd = openat(root_fd, SCRATCH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return;
    }
    int64_t now_s = clock_wall_ms() / 1000;
    struct stat info;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
            now_s - info.st_mtime > SCRATCH_MAX_AGE_S)
            unlinkat(fd, entry->d_name, 0);
    closedir(folder);
}

static int open_root(struct store_local *local, struct err *err)
{
    struct err why = {0};
    int rc = file_make_folders(local->directory, 0750, &why);
    if (rc < 0)
        return err_set(err, rc, "store", "store: %s", why.text);
    local->root_fd = open(local->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (local->root_fd < 0 || (mkdirat(local->root_fd, SCRATCH, 0750) < 0 && errno != EEXIST) ||
        faccessat(local->root_fd, SCRATCH, W_OK | X_OK, 0) < 0)
        return err_set_open(err, "store", "store: cannot use %s", local->directory);
    remove_old_scratch(local->root_fd);
    /* The first folders may be of somebody who was killed before their names were flushed. */
    return file_sync_folder(local->root_fd, ".") < 0
               ? err_set_errno(err, "store", "store: cannot flush %s", local->directory)
               : 0;
}

static void close_local(struct store *store)
{
    struct store_local *local = local_of(store);
    if (local->root_fd >= 0)
        close(local->root_fd);
    crypto_mac_destroy(&local->mac);
    free(local->directory);
    free(local->public_url);
    free(local);
}

/* --- writing -------------------------------------------------------------------------------- */

static int begin(struct store_local *local, const char *key, int64_t max_bytes,
                 struct store_upload **out_upload, struct err *err)
{
    unsigned char random[16];
    char name[2 * sizeof random + 1];
    struct store_upload *upload = calloc(1, sizeof *upload);
    if (!upload)
        return ERR_NOMEM;
    upload->local = local;
    upload->max_bytes = max_bytes;
    snprintf(upload->key, sizeof upload->key, "%s", key);
    int rc = crypto_random(random, sizeof random);
    if (rc < 0) {
        free(upload);
        return rc;
    }
    hex_encode(random, sizeof random, name);
    snprintf(upload->scratch, sizeof upload->scratch, SCRATCH "/%s", name);
    upload->fd = openat(local->root_fd, upload->scratch,
                        O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (upload->fd < 0) {
        /* Without its scratch folder the store is broken, not the object missing. */
        rc = err_set_errno(err, "store", "object store %s", local->directory);
        free(upload);
        return rc;
    }
    *out_upload = upload;
    return 0;
}

int store_upload_append(struct store_upload *upload, const void *data, size_t size, struct err *err)
{
    const char *from = data;
    if ((int64_t)size > upload->max_bytes - upload->size)
        return err_set(err, ERR_LIMIT, NULL, "the object is larger than %lld bytes",
                       (long long)upload->max_bytes);
    while (size) {
        ssize_t written = write(upload->fd, from, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fail(upload->local, err);
        from += written;
        size -= (size_t)written;
        upload->size += written;
    }
    return 0;
}

/* Makes the folders of a key. *out_old is how many characters of the key name the folder up to
 * which all have to be flushed: the first, or where that one was made the root. One further down
 * that was there before does not count: it may be of somebody who has not flushed its name yet, or
 * never will, having been killed. */
static int make_folders(int root_fd, const char *key, size_t *out_old)
{
    char path[STORE_KEY_SIZE];
    size_t old = 0;
    for (const char *slash = key; (slash = strchr(slash, '/')); slash++) {
        size_t length = (size_t)(slash - key);
        memcpy(path, key, length);
        path[length] = 0;
        if (mkdirat(root_fd, path, 0750) < 0) {
            if (errno != EEXIST)
                return -1;
            if (!strchr(path, '/'))
                old = length;
        }
    }
    *out_old = old;
    return 0;
}

/* Flushes the folders of a key from the deepest up to the one that make_folders() named. */
static int sync_folders(int root_fd, const char *key, size_t old)
{
    char path[STORE_KEY_SIZE];
    snprintf(path, sizeof path, "%s", key);
    for (;;) {
        char *slash = strrchr(path, '/');
        if (slash)
            *slash = 0;
        else
            *path = 0;
        if (file_sync_folder(root_fd, *path ? path : ".") < 0)
            return -1;
        if (strlen(path) <= old)
            return 0;
    }
}

/* The folders may vanish between making and using them, where somebody deletes the last object in
 * them at this moment: then once more. */
static int move_into_place(const struct store_upload *upload)
{
    int root_fd = upload->local->root_fd;
    for (int attempt = 0; attempt < MOVE_ATTEMPTS; attempt++) {
        size_t old = 0;
        if (make_folders(root_fd, upload->key, &old) == 0 &&
            renameat(root_fd, upload->scratch, root_fd, upload->key) == 0)
            return upload->local->no_sync ? 0 : sync_folders(root_fd, upload->key, old);
        if (errno != ENOENT)
            return -1;
    }
    errno = EBUSY;
    return -1;
}

int store_upload_commit(struct store_upload **upload, struct err *err)
{
    struct store_upload *done = *upload;
    int rc = 0;
    /* Contents before the name: the other way round a crash could publish an empty object. */
    if ((!done->local->no_sync && fsync(done->fd) < 0) || move_into_place(done) < 0) {
        rc = fail(done->local, err);
        store_upload_abort(upload);
        return rc;
    }
    close(done->fd);
    free(done);
    *upload = NULL;
    return 0;
}

void store_upload_abort(struct store_upload **upload)
{
    if (!*upload)
        return;
    close((*upload)->fd);
    unlinkat((*upload)->local->root_fd, (*upload)->scratch, 0);
    free(*upload);
    *upload = NULL;
}

static int put_local(struct store *store, const char *key, const void *data, size_t size,
                     const char *content_type, struct err *err)
{
    struct store_upload *upload = NULL;
    int rc = begin(local_of(store), key, (int64_t)size, &upload, err);
    if (rc == 0)
        rc = store_upload_append(upload, data, size, err);
    if (rc == 0)
        rc = store_upload_commit(&upload, err);
    store_upload_abort(&upload);
    return rc;
}

/* --- reading -------------------------------------------------------------------------------- */

static int open_key(struct store_local *local, const char *key, int *out_fd, int64_t *out_bytes,
                    struct err *err)
{
    struct stat info;
    /* O_NONBLOCK: whatever else may lie there must not hold us up. */
    int fd = openat(local->root_fd, key, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOTDIR)
        errno = ENOENT;
    if (fd < 0)
        return fail(local, err);
    int rc = fstat(fd, &info) < 0 ? fail(local, err) : 0;
    if (rc == 0 && !S_ISREG(info.st_mode))
        rc = err_set(err, ERR_NOT_FOUND, NULL, "no such object");
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *out_fd = fd;
    *out_bytes = info.st_size;
    return 0;
}

static int get_local(struct store *store, const char *key, struct buf *out, struct err *err)
{
    struct store_local *local = local_of(store);
    int64_t left = 0;
    int fd = -1;
    int rc = open_key(local, key, &fd, &left, err);
    if (rc < 0)
        return rc;
    size_t before = out->size;
    rc = buf_reserve(out, (size_t)left);
    if (rc == ERR_LIMIT)
        err_set(err, rc, NULL, "the object is larger than %zu bytes", out->max_size - before);
    while (rc == 0 && left > 0) {
        ssize_t got = read(fd, out->data + out->size, (size_t)left);
        if (got > 0) {
            out->size += (size_t)got;
            left -= got;
        } else if (got == 0 || errno != EINTR) {
            rc = got == 0 ? err_set(err, ERR_CORRUPT, NULL, "the object shrank while it was read")
                          : fail(local, err);
        }
    }
    if (rc < 0)
        out->size = before;
    if (out->data)
        out->data[out->size] = 0;
    close(fd);
    return rc;
}

static int head_local(struct store *store, const char *key, int64_t *out_bytes, struct err *err)
{
    int fd = -1;
    int rc = open_key(local_of(store), key, &fd, out_bytes, err);
    if (rc == 0)
        close(fd);
    return rc;
}

/* --- the rest ------------------------------------------------------------------------------- */

/* Removes the object, then the folders that it was the last in; flushes the first that stays, or
 * an erased picture could come back after a power cut. */
static int delete_local(struct store *store, const char *key, struct err *err)
{
    struct store_local *local = local_of(store);
    char path[STORE_KEY_SIZE];
    if (unlinkat(local->root_fd, key, 0) < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : fail(local, err);
    snprintf(path, sizeof path, "%s", key);
    for (;;) {
        char *slash = strrchr(path, '/');
        if (slash)
            *slash = 0;
        else
            *path = 0;
        if (!slash || unlinkat(local->root_fd, path, AT_REMOVEDIR) < 0)
            break;
    }
    /* Somebody else may have removed that folder in turn: then it is gone anyway. */
    if (!local->no_sync && file_sync_folder(local->root_fd, *path ? path : ".") < 0 &&
        errno != ENOENT)
        return fail(local, err);
    return 0;
}

static int list_local(struct store *store, const char *prefix, char *cursor,
                      struct store_entry *entries, size_t max_entries, size_t *out_count,
                      struct err *err)
{
    return store_walk(local_of(store)->root_fd, prefix, cursor, entries, max_entries, out_count,
                      err);
}

static int ping_local(struct store *store, struct err *err)
{
    struct store_local *local = local_of(store);
    struct statvfs disk;
    if (faccessat(local->root_fd, SCRATCH, W_OK | X_OK, 0) < 0 ||
        fstatvfs(local->root_fd, &disk) < 0) {
        err_set_errno(err, "store", "object store %s", local->directory);
        return ERR_UNAVAILABLE;
    }
    if ((uint64_t)disk.f_bavail * disk.f_frsize < MIN_FREE_BYTES)
        return err_set(err, ERR_UNAVAILABLE, "store", "object store %s: the disk is full",
                       local->directory);
    return 0;
}

static int presign_local(const struct store *store, const struct store_link_request *request,
                         struct store_link *out_link, struct err *err)
{
    const struct store_local *local = local_of(store);
    int rc =
        store_link_make(local->mac, local->public_url, request, clock_wall_ms() / 1000, out_link);
    return rc < 0 ? err_set(err, rc, NULL, "cannot make a link to an object") : 0;
}

static const struct store_backend backend = {
    .close = close_local,
    .put = put_local,
    .get = get_local,
    .head = head_local,
    .delete = delete_local,
    .list = list_local,
    .ping = ping_local,
    .presign = presign_local,
};

bool store_local_is(const struct store *store)
{
    return store->backend == &backend;
}

/* Without the slashes at its end, in memory of its own. */
static char *without_slash(const char *text)
{
    size_t length = strlen(text);
    while (length > 1 && text[length - 1] == '/')
        length--;
    return strndup(text, length);
}

int store_local_open(const struct store_options *options, const char *directory,
                     struct store **out_store, struct err *err)
{
    const char *url = options->public_url;
    if (!*directory)
        return err_set(err, ERR_INVALID, "store", "store: local: wants a directory");
    if (!url || (strncmp(url, "http://", 7) && strncmp(url, "https://", 8)) ||
        strpbrk(url, "?#\"<> \r\n"))
        return err_set(err, ERR_INVALID, "public-url",
                       "public-url wants http(s)://HOST[/PATH] for a local store");
    if (!options->secret)
        return err_set(err, ERR_INVALID, "secret-file", "a local store wants the secret file");
    struct store_local *local = calloc(1, sizeof *local);
    if (!local)
        return ERR_NOMEM;
    local->base.backend = &backend;
    local->root_fd = -1;
    local->no_sync = options->no_sync;
    local->directory = without_slash(directory);
    local->public_url = without_slash(url);
    int rc = local->directory && local->public_url ? 0 : ERR_NOMEM;
    if (rc == 0)
        rc = secret_mac(options->secret, SECRET_STORE_LINK, &local->mac);
    if (rc == 0)
        rc = open_root(local, err);
    if (rc < 0) {
        close_local(&local->base);
        return rc;
    }
    *out_store = &local->base;
    return 0;
}

/* --- behind a verified link ------------------------------------------------------------------- */

int store_verify_link(const struct store *store, const struct store_link_query *query,
                      int64_t now_s, struct store_permit *out_permit, struct err *err)
{
    return store_link_check(local_of(store)->mac, query, now_s, out_permit, err);
}

int store_open_object(struct store *store, const struct store_permit *permit, int *out_fd,
                      int64_t *out_bytes, struct err *err)
{
    assert(permit->method == STORE_GET);
    return open_key(local_of(store), permit->key, out_fd, out_bytes, err);
}

int store_upload_begin(struct store *store, const struct store_permit *permit,
                       struct store_upload **out_upload, struct err *err)
{
    assert(permit->method == STORE_PUT);
    return begin(local_of(store), permit->key, permit->max_bytes, out_upload, err);
}

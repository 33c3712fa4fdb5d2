/* SPDX-License-Identifier: MIT */
#include "worker/weights_cache.h"

#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/manifest.h"
#include "worker/weights_download.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PATH 4096
#define MAX_PLACE 90 /* of a URL in a line that names two sums as well */

/* A file that is wanted. */
struct wish {
    const struct weights_cache *cache;
    const struct manifest *manifest;
    char folder[MAX_PATH], path[MAX_PATH], part[MAX_PATH];
};

int weights_cache_folder(char *out, size_t size, struct err *err)
{
    const char *own = getenv("CACHE_DIRECTORY"), *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int length;
    /* The specifications: several are joined by colons, and what is not absolute is not set. */
    if (own && *own == '/')
        length = snprintf(out, size, "%.*s", (int)strcspn(own, ":"), own);
    else if (xdg && *xdg == '/')
        length = snprintf(out, size, "%s/darkroom", xdg);
    else if (home && *home == '/' && home[1] && geteuid() != 0)
        length = snprintf(out, size, "%s/.cache/darkroom", home);
    else
        length = snprintf(out, size, "/var/cache/darkroom");
    return length < (int)size ? 0
                              : err_set(err, ERR_LIMIT, "weights-cache", "the path is too long");
}

bool weights_cache_is_for(const struct manifest *manifest)
{
    return manifest->weights_url &&
           !(manifest->weights_path && access(manifest->weights_path, F_OK) == 0);
}

static int make_paths(struct wish *wish, struct err *err)
{
    const char *sha256 = wish->manifest->weights_sha256;
    int rc = 0;
    if (!wish->cache->folder)
        rc = weights_cache_folder(wish->folder, sizeof wish->folder, err);
    else if (snprintf(wish->folder, sizeof wish->folder, "%s", wish->cache->folder) >=
             (int)sizeof wish->folder)
        rc = err_set(err, ERR_LIMIT, "weights-cache", "the path is too long");
    if (rc < 0)
        return rc;
    if (snprintf(wish->path, sizeof wish->path, "%s/%s", wish->folder, sha256) >=
            (int)sizeof wish->path ||
        snprintf(wish->part, sizeof wish->part, "%s/%s.part", wish->folder, sha256) >=
            (int)sizeof wish->part)
        return err_set(err, ERR_LIMIT, "weights-cache", "the path is too long");
    struct err why = {0};
    rc = file_make_folders(wish->folder, 0755, &why);
    return rc < 0 ? err_set(err, rc, "weights-cache", "%s", why.text) : 0;
}

/* Compares a file with the manifest; ERR_CHECKSUM where it is another one. */
static int compare(const struct wish *wish, const char *path, char out_sha256[PICTURE_HASH_SIZE],
                   struct err *err)
{
    int rc = manifest_hash_weights(path, out_sha256, err);
    if (rc == 0 && strcmp(out_sha256, wish->manifest->weights_sha256) != 0)
        rc = ERR_CHECKSUM;
    return rc;
}

/* 0: it is there. ERR_NOT_FOUND: it is not, or not any more. */
static int look(const struct wish *wish, struct err *err)
{
    char sha256[PICTURE_HASH_SIZE];
    if (access(wish->path, F_OK) < 0)
        return ERR_NOT_FOUND;
    int rc = compare(wish, wish->path, sha256, err);
    if (rc != ERR_CHECKSUM)
        return rc;
    log_event(LOG_WARN, "worker.weights_broken", "model", LOG_S, wish->manifest->name, "file",
              LOG_S, wish->path, "sha256", LOG_S, sha256, NULL);
    unlink(wish->path);
    return ERR_NOT_FOUND;
}

/* True while the descriptor is what the name stands for: who had the lock before may have renamed
 * or removed it. */
static bool is_still(int fd, const char *path)
{
    struct stat ours, theirs;
    return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
           ours.st_dev == theirs.st_dev;
}

/* The .part, and the right to write it. Waits for whoever has it. */
static int take_part(const struct wish *wish, int *out_fd, struct err *err)
{
    const atomic_bool *stop = wish->cache->stop;
    bool told = false;
    int fd = open(wish->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return err_set_errno(err, "weights-cache", "cannot write %s", wish->part);
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            err_set_errno(err, "weights-cache", "cannot lock %s", wish->part);
            close(fd);
            return ERR_IO;
        }
        if (!told)
            log_event(LOG_INFO, "worker.weights_wait", "model", LOG_S, wish->manifest->name, NULL);
        told = true;
        if (!weights_download_pause(stop, 1)) {
            close(fd);
            return ERR_CANCELLED;
        }
    }
    *out_fd = fd;
    return 0;
}

static int refuse(const struct wish *wish, const char *sha256, struct err *err)
{
    char place[MAX_PLACE];
    weights_download_place(wish->manifest->weights_url, place, sizeof place);
    unlink(wish->part);
    return err_set(err, ERR_CHECKSUM, "weights.sha256", "%s has sha256 %s instead of %s", place,
                   sha256, wish->manifest->weights_sha256);
}

/* Fetches and compares. What was put together of pieces and does not match may be of two files:
 * that is fetched a second time, as a whole. */
static int fill(const struct wish *wish, int fd, struct err *err)
{
    char sha256[PICTURE_HASH_SIZE] = "", place[MAX_PLACE];
    struct weights_download download = {
        .name = wish->manifest->name,
        .url = wish->manifest->weights_url,
        .fd = fd,
        .patience_ms = wish->cache->patience_ms,
        .stop = wish->cache->stop,
    };
    struct err why = {0};
    int rc = weights_download(&download, &why);
    if (rc == 0)
        rc = compare(wish, wish->part, sha256, &why);
    if (rc == ERR_CHECKSUM && download.resumed && ftruncate(fd, 0) == 0) {
        rc = weights_download(&download, &why);
        if (rc == 0)
            rc = compare(wish, wish->part, sha256, &why);
    }
    if (rc == ERR_CHECKSUM)
        return refuse(wish, sha256, err);
    if (rc == 0 || rc == ERR_CANCELLED)
        return rc;
    /* Others need the room more than a piece of a file. */
    if (rc == ERR_IO)
        unlink(wish->part);
    weights_download_place(wish->manifest->weights_url, place, sizeof place);
    return err_set(err, rc, why.field, "%s into %s: %s", place, wish->folder, why.text);
}

static int keep(const struct wish *wish, int fd, struct err *err)
{
    if (fchmod(fd, 0444) < 0 || fsync(fd) < 0 || rename(wish->part, wish->path) < 0 ||
        file_sync_folder(AT_FDCWD, wish->folder) < 0)
        return err_set_errno(err, "weights-cache", "cannot write %s", wish->path);
    return 0;
}

/* ERR_CONFLICT: somebody else was faster, look again. */
static int fetch(const struct wish *wish, struct err *err)
{
    int fd = -1;
    int rc = take_part(wish, &fd, err);
    if (rc < 0)
        return rc;
    if (!is_still(fd, wish->part)) {
        rc = ERR_CONFLICT;
    } else if (access(wish->path, F_OK) == 0) {
        unlink(wish->part); /* which we made, too late */
        rc = ERR_CONFLICT;
    }
    if (rc == 0)
        rc = fill(wish, fd, err);
    if (rc == 0)
        rc = keep(wish, fd, err);
    close(fd);
    return rc;
}

static int find_or_fetch(const struct wish *wish, bool may_fetch, struct err *err)
{
    int rc = look(wish, err);
    while (rc == ERR_NOT_FOUND && may_fetch) {
        rc = fetch(wish, err);
        if (rc != ERR_CONFLICT)
            break;
        rc = look(wish, err);
    }
    return rc;
}

static int get(const struct weights_cache *cache, const struct manifest *manifest, bool may_fetch,
               char **out_path, struct err *err)
{
    struct wish *wish = malloc(sizeof *wish);
    char *path = NULL;
    if (!wish)
        return err_set(err, ERR_NOMEM, NULL, "no memory for a path");
    *wish = (struct wish){.cache = cache, .manifest = manifest};
    int rc = make_paths(wish, err);
    if (rc == 0)
        rc = find_or_fetch(wish, may_fetch, err);
    if (rc == 0) {
        path = strdup(wish->path);
        if (path)
            *out_path = path;
        else
            rc = err_set(err, ERR_NOMEM, NULL, "no memory for a path");
    }
    free(wish);
    return rc;
}

int weights_cache_find(const struct weights_cache *cache, const struct manifest *manifest,
                       char **out_path, struct err *err)
{
    return get(cache, manifest, false, out_path, err);
}

int weights_cache_get(const struct weights_cache *cache, const struct manifest *manifest,
                      char **out_path, struct err *err)
{
    return get(cache, manifest, true, out_path, err);
}

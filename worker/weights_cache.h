/* SPDX-License-Identifier: MIT
 *
 * Weights that a manifest names by URL: fetched once for all the workers of a machine, kept in a
 * folder under their sha256.
 *
 *     struct weights_cache cache = {.folder = "/var/cache/darkroom", .patience_ms = 300000};
 *     rc = weights_cache_get(&cache, manifest, &path, &err);
 *     free(path);
 *
 *     FOLDER/<sha256>         complete, compared with its name, never written again
 *     FOLDER/<sha256>.part    on its way; who holds its lock (flock) is the one who fetches
 *
 * A file gets its name after it was compared, flushed and the folder with it; whoever comes later
 * compares it again, which is 60 ms for 100 MB: no mark beside a file could tell more. What does
 * not match is removed and fetched anew. The lock ends with the process that holds it, so another
 * worker goes on where a killed one stopped. Any thread. */
#ifndef DARKROOM_WORKER_WEIGHTS_CACHE_H
#define DARKROOM_WORKER_WEIGHTS_CACHE_H

#include "common/config.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct manifest;

/* What the options say, the same for every command. */
struct weights_cache_settings {
    char *folder; /* owned by the settings; NULL: weights_cache_folder() */
    int64_t patience_s;
};

#define WEIGHTS_CACHE_OPTIONS(at)                                                                  \
    {"weights-cache", CONFIG_TEXT, (at) + offsetof(struct weights_cache_settings, folder),         \
     .help = "folder for weights that manifests name by URL; else the machine's or the user's"},   \
    {                                                                                              \
        "weights-patience-s", CONFIG_INT,                                                          \
            (at) + offsetof(struct weights_cache_settings, patience_s), "300", 1, 86400, "s",      \
            "without a byte more until weights are not waited for any longer"                      \
    }

struct weights_cache {
    const char *folder; /* borrowed; NULL: weights_cache_folder() */
    int64_t patience_ms;
    const atomic_bool *stop; /* borrowed; NULL: nobody ends it */
};

/* The folder of this machine or user: $CACHE_DIRECTORY (systemd's), $XDG_CACHE_HOME/darkroom,
 * ~/.cache/darkroom, and for root or without a home /var/cache/darkroom. ERR_LIMIT. */
int weights_cache_folder(char *out, size_t size, struct err *err);

/* True where the weights are to be fetched: there is a URL, and no file beside the manifest. */
bool weights_cache_is_for(const struct manifest *manifest);

/* For such a manifest. *out_path is owned by the caller. ERR_CHECKSUM names the URL and both
 * sums; else as weights_download(), whose texts get the URL. */
int weights_cache_get(const struct weights_cache *cache, const struct manifest *manifest,
                      char **out_path, struct err *err);

/* The same where they are there already; else ERR_NOT_FOUND, without a text. */
int weights_cache_find(const struct weights_cache *cache, const struct manifest *manifest,
                       char **out_path, struct err *err);

#endif

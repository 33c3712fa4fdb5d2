/* SPDX-License-Identifier: MIT */
#include "common/manifest_weights.h"

#include "common/crypto.h"
#include "common/err.h"
#include "common/manifest.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file below the manifest's folder: plain characters, no empty, hidden or parent component. */
static bool path_stays_inside(const char *path)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/";
    if (strspn(path, plain) != strlen(path))
        return false;
    for (const char *part = path;; part++) {
        if (*part == '.' || *part == '/' || *part == 0)
            return false;
        part += strcspn(part, "/");
        if (*part == 0)
            return true;
    }
}

/* Of http or https, printable, with a host and without a name or password. */
static bool url_is_sound(const char *url)
{
    const char *host = strstr(url, "://");
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return false;
    for (const unsigned char *c = (const unsigned char *)url; *c; c++)
        if (*c <= ' ' || *c >= 0x7f)
            return false;
    const size_t length = strcspn(host + 3, "/?#");
    return length > 0 && !memchr(host + 3, '@', length);
}

/* Where the weights are: a file, a URL, or both. */
static int read_place(const json_t *document, const char *folder, struct manifest *manifest,
                      struct err *err)
{
    const char *file = NULL;
    int rc = json_opt_text(document, "weights.url", MANIFEST_MAX_URL, &manifest->weights_url, err);
    if (rc == 0 && manifest->weights_url && !url_is_sound(manifest->weights_url))
        rc = err_set(err, ERR_INVALID, "weights.url",
                     "weights.url must be of http or https, without a name or password");
    if (rc == 0 && manifest->weights_url && !manifest->weights_sha256)
        rc = err_set(err, ERR_INVALID, "weights.sha256",
                     "weights.url needs weights.sha256: what comes is compared with it");
    if (rc == 0 && manifest->weights_url)
        rc = json_opt_text(document, "weights.file", 200, &file, err);
    else if (rc == 0)
        rc = json_get_text(document, "weights.file", 200, &file, err);
    if (rc < 0 || !file)
        return rc;
    if (!path_stays_inside(file))
        return err_set(err, ERR_INVALID, "weights.file",
                       "weights.file must be a file beside the manifest or in a folder below it");
    if (asprintf(&manifest->weights_path, "%s/%s", folder, file) < 0) {
        manifest->weights_path = NULL;
        return err_set(err, ERR_NOMEM, "weights", "no memory for a path");
    }
    return 0;
}

int manifest_weights_read(const json_t *document, const char *folder, struct manifest *manifest,
                          struct err *err)
{
    static const char *const names[] = {"file", "url", "sha256", "part", "smoothing", NULL};
    json_t *weights;
    bool smoothing = true;
    int rc = json_get_object(document, "weights", &weights, err);
    if (rc == 0)
        rc = json_check_members(weights, "weights", names, err);
    if (rc == 0)
        rc = json_opt_text(weights, "weights.sha256", 64, &manifest->weights_sha256, err);
    const char *digest = manifest->weights_sha256;
    if (rc == 0 && digest && (strlen(digest) != 64 || strspn(digest, "0123456789abcdef") != 64))
        rc = err_set(err, ERR_INVALID, "weights.sha256",
                     "weights.sha256 must be 64 lower-case hex digits");
    if (rc == 0)
        rc = json_opt_text(weights, "weights.part", 64, &manifest->weights_part, err);
    if (rc == 0)
        rc = json_opt_bool(weights, "weights.smoothing", &smoothing, err);
    manifest->no_smoothing = !smoothing;
    return rc == 0 ? read_place(weights, folder, manifest, err) : rc;
}

static_assert(PICTURE_HASH_SIZE == CRYPTO_SHA256_HEX_SIZE, "both are sha256 in hex");

/* One file more into the hash. */
static int add_file(struct crypto_sha256 *hash, const char *path, struct err *err)
{
    unsigned char chunk[65536];
    FILE *file = fopen(path, "rbe");
    if (!file) {
        int missing = errno == ENOENT;
        err_set_errno(err, "weights.file", "%s", path);
        return missing ? ERR_NOT_FOUND : ERR_IO;
    }
    int rc = 0;
    for (size_t got; rc == 0 && (got = fread(chunk, 1, sizeof chunk, file)) > 0;)
        rc = crypto_sha256_update(hash, chunk, got);
    if (rc == 0 && ferror(file))
        rc = err_set_errno(err, "weights.file", "%s", path);
    fclose(file);
    return rc;
}

/* The files of a checkpoint, in the order of their names: the data comes before the index. */
static int add_checkpoint(struct crypto_sha256 *hash, const char *stem, struct err *err)
{
    const char *slash = strrchr(stem, '/'), *base = slash ? slash + 1 : stem;
    char folder[4096], path[8192];
    struct dirent **entries = NULL;
    int rc = 0;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - stem + 1) : 2,
             slash ? stem : "./");
    int count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0)
        return err_set_errno(err, "weights.file", "%s", folder);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name, *rest = name + strlen(base);
        bool ours = strncmp(name, base, strlen(base)) == 0 &&
                    (strcmp(rest, ".index") == 0 || strncmp(rest, ".data-", 6) == 0);
        snprintf(path, sizeof path, "%s%s", folder, name);
        if (rc == 0 && ours)
            rc = add_file(hash, path, err);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

/* Bytes of the path that all files of a checkpoint begin with; 0: it is one file. */
static size_t stem_of(const char *path)
{
    static const char suffix[] = ".index";
    char index[4096];
    const size_t length = strlen(path);
    if (length > strlen(suffix) && strcmp(path + length - strlen(suffix), suffix) == 0)
        return length - strlen(suffix);
    const bool fits = snprintf(index, sizeof index, "%s%s", path, suffix) < (int)sizeof index;
    return fits && access(path, F_OK) < 0 && access(index, F_OK) == 0 ? length : 0;
}

int manifest_hash_weights(const char *path, char out_sha256[PICTURE_HASH_SIZE], struct err *err)
{
    struct crypto_sha256 *hash = NULL;
    unsigned char digest[CRYPTO_SHA256_SIZE];
    char stem[4096];
    const size_t length = stem_of(path);
    snprintf(stem, sizeof stem, "%.*s", (int)length, path);
    int rc = crypto_sha256_create(&hash);
    if (rc == 0)
        rc = length > 0 ? add_checkpoint(hash, stem, err) : add_file(hash, path, err);
    if (rc == 0)
        rc = crypto_sha256_final(hash, digest);
    for (size_t i = 0; rc == 0 && i < sizeof digest; i++)
        snprintf(out_sha256 + 2 * i, 3, "%02x", digest[i]);
    crypto_sha256_destroy(&hash);
    return rc;
}

int manifest_check_weights(const struct manifest *manifest, char out_sha256[PICTURE_HASH_SIZE],
                           struct err *err)
{
    char digest[CRYPTO_SHA256_HEX_SIZE];
    int rc = manifest_hash_weights(manifest->weights_path, digest, err);
    if (rc < 0)
        return rc;
    if (manifest->weights_sha256 && strcmp(digest, manifest->weights_sha256))
        return err_set(err, ERR_CHECKSUM, "weights.sha256",
                       "%s is not the file that the manifest of %s means (sha256 %.16s...)",
                       manifest->weights_path, manifest->name, digest);
    memcpy(out_sha256, digest, sizeof digest);
    return 0;
}

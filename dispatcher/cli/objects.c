/* SPDX-License-Identifier: MIT
 *
 * darkroom objects save, load: what is in the object store, into a folder and back, with a line for
 * sha256sum(1) of each object. The folder is a local store, so a directory and a bucket are saved
 * and loaded alike. An object never changes, so one that is there with its size is not copied once
 * more. */
#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/secret.h"
#include "common/store.h"
#include "dispatcher/cli/cli.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OBJECT_BYTES ((size_t)1 << 30)

struct copy {
    struct store *from, *to; /* borrowed */
    int64_t objects, bytes, kept, removed, gone;
    bool print; /* a line of each */
    struct buf data;
};

int cli_open_store(const struct cli *cli, struct store **out, struct err *err)
{
    const struct cli_settings *settings = &cli->settings;
    struct secret secret = {0};
    bool has_secret = settings->secret_file != NULL;
    if (!settings->store.url)
        return err_set(err, ERR_INVALID, "store", "--store is needed");
    struct store_options store = store_options_at(&settings->store);
    store.public_url = "http://localhost";
    store.secret = has_secret ? &secret : NULL;
    int rc = has_secret ? secret_load(settings->secret_file, &secret, err) : 0;
    if (rc == 0)
        rc = store_open(&store, out, err);
    secret_wipe(&secret);
    return rc;
}

/* Nobody gets a link to it, so its secret is any. It is flushed as a whole by whoever asked. */
static int open_folder(const char *folder, struct store **out, struct err *err)
{
    char url[PATH_MAX + 8];
    struct secret none = {{1}};
    if (snprintf(url, sizeof url, "local:%s", folder) >= (int)sizeof url)
        return err_set(err, ERR_LIMIT, NULL, "the folder's name is too long");
    return store_open(
        &(struct store_options){
            .url = url, .public_url = "http://localhost", .secret = &none, .no_sync = true},
        out, err);
}

static int print_sum(const struct copy *copy, const char *key, struct err *err)
{
    char hash[CRYPTO_SHA256_HEX_SIZE];
    int rc = crypto_sha256_hex(copy->data.data, copy->data.size, hash);
    if (rc == 0 && printf("%s  objects/%s\n", hash, key) < 0)
        rc = err_set_errno(err, NULL, "standard output");
    return rc;
}

/* The object's bytes in copy->data. ERR_NOT_FOUND: it has been deleted since it was listed. */
static int copy_object(const struct store_entry *entry, void *data, struct err *err)
{
    struct copy *copy = data;
    int64_t bytes = -1;
    struct err why = {0};
    const char *extension = strrchr(entry->key, '.');
    /* Links say the type by themselves; this is for whoever looks into a bucket. */
    const char *type =
        extension && !strcmp(extension, ".png") ? "image/png" : "application/octet-stream";
    if (store_head(copy->to, entry->key, &bytes, NULL) < 0)
        bytes = -1;
    copy->objects++;
    copy->bytes += entry->bytes;
    bool there = bytes == entry->bytes;
    if (there && !copy->print) {
        copy->kept++;
        return 0;
    }
    buf_clear(&copy->data);
    int rc = store_get(there ? copy->to : copy->from, entry->key, &copy->data, &why);
    if (rc == ERR_NOT_FOUND) {
        copy->gone++;
        return 0;
    }
    if (rc == 0 && !there)
        rc = store_put(copy->to, entry->key, copy->data.data, copy->data.size, type, &why);
    if (rc < 0)
        return err_set(err, rc, why.field, "%s: %s", entry->key, why.text);
    copy->kept += there;
    return copy->print ? print_sum(copy, entry->key, err) : 0;
}

/* What the folder has beside what the store has: of an earlier copy. */
static int remove_object(const struct store_entry *entry, void *data, struct err *err)
{
    struct copy *copy = data;
    int64_t bytes;
    struct err why = {0};
    int rc = store_head(copy->from, entry->key, &bytes, &why);
    if (rc != ERR_NOT_FOUND)
        return rc < 0 ? err_set(err, rc, why.field, "%s", why.text) : 0;
    copy->removed++;
    return store_delete(copy->to, entry->key, err);
}

static const char *const prefixes[] = {"inputs/", "results/"};

static int copy_all(struct cli *cli, const char *folder, bool save, struct err *err)
{
    struct store *store = NULL, *beside = NULL;
    struct copy copy = {.print = save};
    buf_init(&copy.data, MAX_OBJECT_BYTES);
    int rc = cli_open_store(cli, &store, err);
    if (rc == 0)
        rc = open_folder(folder, &beside, err);
    copy.from = save ? store : beside;
    copy.to = save ? beside : store;
    for (size_t i = 0; rc == 0 && i < 2; i++)
        rc = store_each(copy.from, prefixes[i], copy_object, &copy, err);
    for (size_t i = 0; rc == 0 && save && i < 2; i++)
        rc = store_each(copy.to, prefixes[i], remove_object, &copy, err);
    if (rc == 0 && save && fflush(stdout) != 0)
        rc = err_set_errno(err, NULL, "standard output");
    if (rc == 0)
        fprintf(stderr,
                "%" PRId64 " objects, %" PRId64 " bytes; %" PRId64 " were there, %" PRId64
                " removed, %" PRId64 " deleted meanwhile\n",
                copy.objects, copy.bytes, copy.kept, copy.removed, copy.gone);
    buf_fini(&copy.data);
    store_close(&beside);
    store_close(&store);
    return rc;
}

int cli_objects_save(struct cli *cli, const char *folder, struct err *err)
{
    return copy_all(cli, folder, true, err);
}

int cli_objects_load(struct cli *cli, const char *folder, struct err *err)
{
    return copy_all(cli, folder, false, err);
}

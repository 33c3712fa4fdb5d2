/* SPDX-License-Identifier: MIT
 *
 * torch.save since version 1.6 (torch/serialization.py, _save): a zip file with a folder of any
 * name, in it data.pkl and data/<key> for each storage, none compressed. */
#include "gpu/weights/torch.h"
#include "gpu/weights/zip.h"

#include "common/err.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_PATH_BYTES 1024

struct archive {
    struct zip *zip;             /* owned */
    char folder[MAX_PATH_BYTES]; /* with the slash at its end, or "" */
};

static bool ends_with(const struct zip_entry *entry, const char *end)
{
    size_t size = strlen(end);
    return entry->name_size >= size &&
           memcmp(entry->name + entry->name_size - size, end, size) == 0;
}

/* The data.pkl that lies highest; its folder is that of all the rest. */
static const struct zip_entry *find_pickle(const struct zip *zip)
{
    const struct zip_entry *best = NULL;
    for (size_t i = 0; i < zip_count(zip); i++) {
        const struct zip_entry *entry = zip_at(zip, i);
        bool named = ends_with(entry, "/data.pkl") ||
                     (entry->name_size == strlen("data.pkl") && ends_with(entry, "data.pkl"));
        if (named && (!best || entry->name_size < best->name_size))
            best = entry;
    }
    return best;
}

/* The entry `name` of the archive's folder; NULL where there is none. */
static const struct zip_entry *find_entry(const struct archive *archive, const char *name,
                                          size_t size)
{
    char path[2 * MAX_PATH_BYTES];
    snprintf(path, sizeof path, "%s%.*s", archive->folder, (int)size, name);
    return zip_find(archive->zip, path);
}

static int check_byte_order(const struct archive *archive, struct err *err)
{
    const unsigned char *bytes;
    const struct zip_entry *entry = find_entry(archive, "byteorder", strlen("byteorder"));
    if (!entry)
        return 0; /* older than torch 2.1: of this kind of machine, like all of them */
    int rc = zip_bytes(archive->zip, entry, &bytes, err);
    if (rc == 0 && (entry->size != strlen("little") || memcmp(bytes, "little", entry->size) != 0))
        rc = err_set(err, ERR_UNSUPPORTED, "weights",
                     "a file of torch.save whose numbers are not little-endian");
    return rc;
}

static int find_storage(void *state, const char *name, const struct pickle_node *node,
                        struct torch_storage *out_storage, struct err *err)
{
    const struct archive *archive = state;
    struct torch_id id;
    char key[TORCH_MAX_KEY_BYTES + 8];
    const unsigned char *data;
    uint64_t bytes;
    int rc = torch_read_id(name, node, &id, err);
    if (rc < 0)
        return rc;
    int size = snprintf(key, sizeof key, "data/%.*s", (int)id.key.size, (const char *)id.key.data);
    const struct zip_entry *entry = find_entry(archive, key, (size_t)size);
    if (!entry)
        return err_set(err, ERR_CORRUPT, name, "tensor %s: the file has no data for it", name);
    if ((rc = zip_bytes(archive->zip, entry, &data, err)) < 0)
        return rc;
    if (__builtin_mul_overflow(id.count, tensor_type_size(id.type), &bytes) || bytes > entry->size)
        return err_set(err, ERR_CORRUPT, name,
                       "tensor %s: its storage has %" PRIu64 " bytes, too few for %" PRIu64
                       " values of %s",
                       name, entry->size, id.count, tensor_type_name(id.type));
    *out_storage = (struct torch_storage){id.type, id.count, data};
    return 0;
}

static int open_archive(struct archive *archive, const struct weights_source *source,
                        const unsigned char **out_data, size_t *out_size, struct err *err)
{
    int rc = zip_open(source->data, source->size, &archive->zip, err);
    if (rc < 0)
        return rc;
    const struct zip_entry *entry = find_pickle(archive->zip);
    if (!entry)
        return err_set(
            err, ERR_UNSUPPORTED, "weights",
            "a zip file without data.pkl, so not of torch.save (perhaps .npz or .keras)");
    size_t folder = entry->name_size - strlen("data.pkl");
    if (folder >= sizeof archive->folder || memchr(entry->name, 0, folder))
        return err_set(err, ERR_UNSUPPORTED, "weights",
                       "the zip file's folder has too long a name");
    memcpy(archive->folder, entry->name, folder);
    archive->folder[folder] = 0;
    *out_size = (size_t)entry->size;
    rc = zip_bytes(archive->zip, entry, out_data, err);
    return rc < 0 ? rc : check_byte_order(archive, err);
}

static bool matches(const struct weights_source *source)
{
    return zip_matches(source->data, source->size);
}

static int read(const struct weights_source *source, struct table *table, struct err *err)
{
    struct archive archive = {0};
    struct pickle *pickle = NULL;
    struct torch_reading reading;
    const struct pickle_node *root = NULL;
    const unsigned char *data = NULL;
    size_t size = 0, used = 0;
    int rc = open_archive(&archive, source, &data, &size, err);
    if (rc == 0)
        rc = pickle_create(&pickle);
    if (rc == 0)
        rc = pickle_read(pickle, data, size, &used, &root, err);
    if (rc == 0) {
        torch_init(&reading, table, source->size, find_storage, &archive);
        rc = torch_add(&reading, "", root, err);
    }
    if (rc == 0)
        rc = torch_finish(&reading, err);
    pickle_destroy(&pickle);
    zip_close(&archive.zip);
    return rc;
}

const struct weights_reader weights_reader_torch_zip = {"torch-zip", matches, read};

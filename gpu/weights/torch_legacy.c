/* SPDX-License-Identifier: MIT
 *
 * torch.save before version 1.6 (torch/serialization.py, _legacy_save): five pickles in a row
 * (a magic number, 1001, a dict on the machine, the object, the list of storage keys), then for
 * each key an int64 count and the values. StyleGAN2-ADA's pickles hold one such stream for every
 * tensor. */
#include "gpu/weights/torch.h"

#include "common/err.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PROTOCOL 1001
#define TAR_MARK_AT 257
#define MAGIC_WINDOW 32 /* protocol, perhaps a frame, and the number */

struct torch_stored {
    struct torch_id id;
    const unsigned char *data; /* NULL until its bytes were met */
};

/* 0x1950a86a20f9469cfc6c, lowest byte first. */
static const unsigned char magic[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

bool torch_legacy_matches(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    return size >= 2 && bytes[0] == 0x80 &&
           memmem(bytes, size < MAGIC_WINDOW ? size : MAGIC_WINDOW, magic, sizeof magic);
}

static int by_key(const void *a, const void *b)
{
    const struct pickle_span *x = &((const struct torch_stored *)a)->id.key;
    const struct pickle_span *y = &((const struct torch_stored *)b)->id.key;
    int order = memcmp(x->data, y->data, x->size < y->size ? x->size : y->size);
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

static struct torch_stored *find_key(const struct torch_legacy *legacy, struct pickle_span key)
{
    struct torch_stored wanted = {.id.key = key};
    return bsearch(&wanted, legacy->storages, legacy->count, sizeof wanted, by_key);
}

/* The storages that the pickle names between two of its persistent nodes, each once. */
static int list_storages(struct torch_legacy *legacy, const struct pickle_node *last,
                         const struct pickle_node *before, struct err *err)
{
    size_t count = 0;
    int rc = 0;
    for (const struct pickle_node *n = last; n != before; n = n->persistent.previous)
        count += torch_is_storage(n);
    if (!(legacy->storages = calloc(count ? count : 1, sizeof *legacy->storages)))
        return ERR_NOMEM;
    for (const struct pickle_node *n = last; n != before && rc == 0; n = n->persistent.previous)
        if (torch_is_storage(n))
            rc = torch_read_id("of the file", n, &legacy->storages[legacy->count++].id, err);
    if (rc < 0)
        return rc;
    qsort(legacy->storages, count, sizeof *legacy->storages, by_key);
    legacy->count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct torch_stored *next = &legacy->storages[i];
        struct torch_stored *kept = legacy->count ? &legacy->storages[legacy->count - 1] : NULL;
        if (!kept || by_key(kept, next) != 0)
            legacy->storages[legacy->count++] = *next;
        else if (kept->id.type != next->id.type || kept->id.count != next->id.count)
            return err_set(err, ERR_CORRUPT, "weights",
                           "the file names one storage with two types or sizes");
    }
    return 0;
}

/* The bytes behind the list of keys: for each an int64 count and the values. */
static int place_storages(struct torch_legacy *legacy, const struct pickle_node *keys,
                          const unsigned char *data, size_t size, struct err *err)
{
    const struct pickle_list *list = pickle_items(keys);
    if (!list || list->count != legacy->count)
        return err_set(err, ERR_CORRUPT, "weights",
                       "the file's list of storages is not the one that its tensors name");
    for (size_t i = 0; i < list->count; i++) {
        const struct pickle_node *key = list->item[i];
        struct torch_stored *stored =
            pickle_is_kind(key, PICKLE_TEXT) ? find_key(legacy, key->bytes) : NULL;
        uint64_t count = 0, bytes;
        if (!stored || stored->data)
            return err_set(err, ERR_CORRUPT, "weights",
                           "the file's list of storages is not the one that its tensors name");
        for (int k = 7; k >= 0 && size >= 8; k--)
            count = count << 8 | data[k];
        if (size >= 8 && count != stored->id.count)
            return err_set(err, ERR_CORRUPT, "weights",
                           "a storage has %" PRIu64 " values where %" PRIu64 " were announced",
                           count, stored->id.count);
        if (size < 8 || __builtin_mul_overflow(count, tensor_type_size(stored->id.type), &bytes) ||
            bytes > size - 8)
            return err_set(err, ERR_CORRUPT, "weights",
                           "the file is cut off within storage %zu of %zu", i + 1, list->count);
        stored->data = data + 8;
        data += 8 + bytes;
        size -= 8 + bytes;
    }
    return 0;
}

static int check_head(const struct pickle_node *const head[3], struct err *err)
{
    int64_t version = 0;
    const struct pickle_node *little = pickle_get(head[2], "little_endian");
    if (!pickle_is_kind(head[0], PICKLE_LONG) || head[0]->bytes.size != sizeof magic ||
        memcmp(head[0]->bytes.data, magic, sizeof magic) != 0)
        return err_set(err, ERR_CORRUPT, "weights",
                       "no file of torch.save: its magic number lacks");
    if (!pickle_to_int(head[1], &version) || version != PROTOCOL)
        return err_set(err, ERR_UNSUPPORTED, "weights",
                       "a file of torch.save with version %" PRId64 ", not %d", version, PROTOCOL);
    if (pickle_is_kind(little, PICKLE_BOOL) && !little->boolean)
        return err_set(err, ERR_UNSUPPORTED, "weights",
                       "a file of torch.save from a big-endian machine");
    return 0;
}

int torch_legacy_open(struct torch_legacy *legacy, struct pickle *pickle, const void *data,
                      size_t size, struct err *err)
{
    const unsigned char *bytes = data;
    const struct pickle_node *root[5] = {NULL}, *before = NULL, *last = NULL;
    int rc = 0;
    *legacy = (struct torch_legacy){0};
    for (int i = 0; i < 5 && rc == 0; i++) {
        size_t used = 0;
        if (i == 3) {
            if ((rc = check_head(root, err)) < 0)
                break;
            before = pickle_last_persistent(pickle);
        }
        rc = pickle_read(pickle, bytes, size, &used, &root[i], err);
        if (i == 3)
            last = pickle_last_persistent(pickle);
        bytes += used;
        size -= used;
    }
    if (rc == 0)
        rc = list_storages(legacy, last, before, err);
    if (rc == 0)
        rc = place_storages(legacy, root[4], bytes, size, err);
    legacy->root = root[3];
    if (rc < 0)
        torch_legacy_close(legacy);
    return rc;
}

void torch_legacy_close(struct torch_legacy *legacy)
{
    free(legacy->storages);
    *legacy = (struct torch_legacy){0};
}

/* (key, offset, count): a part of a storage that was one for itself. */
static int apply_view(const char *name, const struct pickle_node *view,
                      struct torch_storage *storage, struct err *err)
{
    int64_t offset, count;
    if (!pickle_to_int(pickle_at(view, 1), &offset) || !pickle_to_int(pickle_at(view, 2), &count) ||
        offset < 0 || count < 0 || (uint64_t)offset > storage->count ||
        (uint64_t)count > storage->count - (uint64_t)offset)
        return err_set(err, ERR_CORRUPT, name, "tensor %s lies outside its storage", name);
    storage->data += (uint64_t)offset * tensor_type_size(storage->type);
    storage->count = (uint64_t)count;
    return 0;
}

int torch_legacy_find(void *state, const char *name, const struct pickle_node *node,
                      struct torch_storage *out_storage, struct err *err)
{
    const struct torch_legacy *legacy = state;
    struct torch_id id;
    int rc = torch_read_id(name, node, &id, err);
    if (rc < 0)
        return rc;
    const struct torch_stored *stored = find_key(legacy, id.key);
    if (!stored)
        return err_set(err, ERR_CORRUPT, name, "tensor %s names a storage that is not there", name);
    *out_storage = (struct torch_storage){stored->id.type, stored->id.count, stored->data};
    return id.view ? apply_view(name, id.view, out_storage, err) : 0;
}

/* torch.save before version 0.1.10, of 2017. */
static bool is_tar(const struct weights_source *source)
{
    return source->size >= TAR_MARK_AT + 5 && memcmp(source->data + TAR_MARK_AT, "ustar", 5) == 0;
}

static bool matches(const struct weights_source *source)
{
    return torch_legacy_matches(source->data, source->size) || is_tar(source);
}

static int read(const struct weights_source *source, struct table *table, struct err *err)
{
    struct pickle *pickle = NULL;
    struct torch_legacy legacy = {0};
    struct torch_reading reading;
    if (is_tar(source))
        return err_set(err, ERR_UNSUPPORTED, "weights",
                       "a tar file, as torch.save wrote in 2017: load and save it with a later "
                       "version of PyTorch");
    int rc = pickle_create(&pickle);
    if (rc == 0)
        rc = torch_legacy_open(&legacy, pickle, source->data, source->size, err);
    if (rc == 0) {
        torch_init(&reading, table, source->size, torch_legacy_find, &legacy);
        rc = torch_add(&reading, "", legacy.root, err);
    }
    if (rc == 0)
        rc = torch_finish(&reading, err);
    torch_legacy_close(&legacy);
    pickle_destroy(&pickle);
    return rc;
}

const struct weights_reader weights_reader_torch_legacy = {"torch-legacy", matches, read};

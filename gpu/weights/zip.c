/* SPDX-License-Identifier: MIT */
#include "gpu/weights/zip.h"

#include "common/err.h"

#include <stdlib.h>
#include <string.h>

#define LOCAL_SIZE 30     /* of a local header without name and extra field */
#define ENTRY_SIZE 46     /* of an entry of the directory without its three fields */
#define END_SIZE 22       /* of the end record without its comment */
#define END64_SIZE 56     /* of its zip64 form */
#define LOCATOR_SIZE 20   /* which says where that lies */
#define MAX_COMMENT 65535 /* behind the end record */
#define EXTRA_ZIP64 1
#define FLAG_ENCRYPTED 1

struct zip {
    const unsigned char *data;
    size_t size;
    struct zip_entry *entries; /* owned; in the order of their names */
    size_t count;
};

struct directory {
    uint64_t at, size, count;
};

static uint64_t number(const unsigned char *bytes, int width)
{
    uint64_t value = 0;
    for (int i = width - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static bool has_mark(const unsigned char *bytes, const char *mark)
{
    return memcmp(bytes, mark, 4) == 0;
}

bool zip_matches(const void *data, size_t size)
{
    return size >= 4 && (has_mark(data, "PK\3\4") || has_mark(data, "PK\5\6"));
}

static int corrupt(struct err *err, const char *what)
{
    return err_set(err, ERR_CORRUPT, "weights", "the zip file is damaged: %s", what);
}

/* The last end record of the file. */
static int find_end(const struct zip *zip, size_t *out_at, struct err *err)
{
    size_t lowest = zip->size > MAX_COMMENT + END_SIZE ? zip->size - MAX_COMMENT - END_SIZE : 0;
    for (size_t at = zip->size >= END_SIZE ? zip->size - END_SIZE + 1 : 0; at-- > lowest;)
        if (has_mark(zip->data + at, "PK\5\6")) {
            *out_at = at;
            return 0;
        }
    return corrupt(err, "it has no directory at its end, so it is cut off");
}

/* Replaces what the end record says by its zip64 form, where there is one. */
static int read_end64(const struct zip *zip, size_t end, struct directory *directory,
                      struct err *err)
{
    if (end < LOCATOR_SIZE || !has_mark(zip->data + end - LOCATOR_SIZE, "PK\6\7"))
        return 0;
    uint64_t at = number(zip->data + end - LOCATOR_SIZE + 8, 8);
    size_t room = end - LOCATOR_SIZE;
    if (room < END64_SIZE || at > room - END64_SIZE || !has_mark(zip->data + at, "PK\6\6"))
        return corrupt(err, "its zip64 record is not where it should be");
    const unsigned char *record = zip->data + at;
    if (number(record + 16, 4) != 0 || number(record + 20, 4) != 0)
        return err_set(err, ERR_UNSUPPORTED, "weights", "a zip file in several parts");
    *directory = (struct directory){.at = number(record + 48, 8),
                                    .size = number(record + 40, 8),
                                    .count = number(record + 32, 8)};
    return 0;
}

static int find_directory(const struct zip *zip, struct directory *out, struct err *err)
{
    size_t end = 0;
    int rc = find_end(zip, &end, err);
    if (rc < 0)
        return rc;
    const unsigned char *record = zip->data + end;
    *out = (struct directory){.at = number(record + 16, 4),
                              .size = number(record + 12, 4),
                              .count = number(record + 10, 2)};
    rc = read_end64(zip, end, out, err);
    if (rc < 0)
        return rc;
    if (out->size > end || out->at > end - out->size)
        return corrupt(err, "its directory lies outside it");
    if (out->count > ZIP_MAX_ENTRIES)
        return err_set(err, ERR_LIMIT, "weights", "a zip file of more than %u entries",
                       ZIP_MAX_ENTRIES);
    if (out->count > out->size / ENTRY_SIZE)
        return corrupt(err, "its directory is too small for its entries");
    return 0;
}

/* The 64-bit forms, in this order, of those fields that are all ones. */
static int read_extra(const unsigned char *extra, size_t size, struct zip_entry *entry,
                      struct err *err)
{
    uint64_t *const fields[] = {&entry->size, &entry->stored_size, &entry->header};
    while (size >= 4) {
        size_t length = (size_t)number(extra + 2, 2);
        if (length > size - 4)
            break; /* padding of other writers */
        if (number(extra, 2) == EXTRA_ZIP64) {
            const unsigned char *at = extra + 4, *end = at + length;
            for (int i = 0; i < 3; i++)
                if (*fields[i] == UINT32_MAX && end - at >= 8) {
                    *fields[i] = number(at, 8);
                    at += 8;
                }
            return 0;
        }
        extra += 4 + length;
        size -= 4 + length;
    }
    for (int i = 0; i < 3; i++)
        if (*fields[i] == UINT32_MAX)
            return corrupt(err, "an entry lacks its zip64 sizes");
    return 0;
}

/* One entry at `at` of `size` bytes of directory; *out_next is where the next one begins. */
static int read_entry(const unsigned char *directory, size_t size, size_t at, struct zip_entry *out,
                      size_t *out_next, struct err *err)
{
    const unsigned char *entry = directory + at;
    if (size - at < ENTRY_SIZE || !has_mark(entry, "PK\1\2"))
        return corrupt(err, "an entry of its directory is not readable");
    size_t name = (size_t)number(entry + 28, 2), extra = (size_t)number(entry + 30, 2);
    size_t comment = (size_t)number(entry + 32, 2);
    if (name + extra + comment > size - at - ENTRY_SIZE)
        return corrupt(err, "an entry of its directory is cut off");
    *out = (struct zip_entry){
        .name = (const char *)entry + ENTRY_SIZE,
        .name_size = name,
        .header = number(entry + 42, 4),
        .stored_size = number(entry + 20, 4),
        .size = number(entry + 24, 4),
        .method = (unsigned)number(entry + 10, 2),
        .flags = (unsigned)number(entry + 8, 2),
    };
    *out_next = at + ENTRY_SIZE + name + extra + comment;
    return read_extra(entry + ENTRY_SIZE + name, extra, out, err);
}

static int compare_names(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int by_name(const void *a, const void *b)
{
    const struct zip_entry *x = a, *y = b;
    return compare_names(x->name, x->name_size, y->name, y->name_size);
}

static int read_directory(struct zip *zip, struct err *err)
{
    struct directory directory = {0};
    int rc = find_directory(zip, &directory, err);
    if (rc < 0)
        return rc;
    zip->entries = calloc(directory.count ? (size_t)directory.count : 1, sizeof *zip->entries);
    if (!zip->entries)
        return ERR_NOMEM;
    size_t at = 0;
    while (rc == 0 && zip->count < directory.count) {
        rc = read_entry(zip->data + directory.at, (size_t)directory.size, at,
                        &zip->entries[zip->count], &at, err);
        zip->count += rc == 0;
    }
    if (rc < 0)
        return rc;
    qsort(zip->entries, zip->count, sizeof *zip->entries, by_name);
    for (size_t i = 1; i < zip->count; i++)
        if (by_name(&zip->entries[i - 1], &zip->entries[i]) == 0)
            return corrupt(err, "two entries have the same name");
    return 0;
}

int zip_open(const void *data, size_t size, struct zip **out_zip, struct err *err)
{
    struct zip *zip = calloc(1, sizeof *zip);
    if (!zip)
        return ERR_NOMEM;
    *zip = (struct zip){.data = data, .size = size};
    int rc = read_directory(zip, err);
    if (rc < 0)
        zip_close(&zip);
    else
        *out_zip = zip;
    return rc;
}

void zip_close(struct zip **zip)
{
    if (*zip)
        free((*zip)->entries);
    free(*zip);
    *zip = NULL;
}

size_t zip_count(const struct zip *zip)
{
    return zip->count;
}

const struct zip_entry *zip_at(const struct zip *zip, size_t index)
{
    return &zip->entries[index];
}

const struct zip_entry *zip_find(const struct zip *zip, const char *name)
{
    struct zip_entry key = {.name = name, .name_size = strlen(name)};
    return bsearch(&key, zip->entries, zip->count, sizeof key, by_name);
}

int zip_bytes(const struct zip *zip, const struct zip_entry *entry, const unsigned char **out_bytes,
              struct err *err)
{
    if (entry->flags & FLAG_ENCRYPTED)
        return err_set(err, ERR_UNSUPPORTED, "weights", "an entry of the zip file is encrypted");
    if (entry->method != 0 || entry->stored_size != entry->size)
        return err_set(err, ERR_UNSUPPORTED, "weights",
                       "an entry of the zip file is compressed (method %u), which torch.save does "
                       "not do: unpack it and pack it again without compression",
                       entry->method);
    if (zip->size < LOCAL_SIZE || entry->header > zip->size - LOCAL_SIZE ||
        !has_mark(zip->data + entry->header, "PK\3\4"))
        return corrupt(err, "an entry is not where the directory says");
    const unsigned char *header = zip->data + entry->header;
    uint64_t start = entry->header + LOCAL_SIZE + number(header + 26, 2) + number(header + 28, 2);
    if (start > zip->size || entry->size > zip->size - start)
        return corrupt(err, "an entry is cut off");
    *out_bytes = zip->data + start;
    return 0;
}

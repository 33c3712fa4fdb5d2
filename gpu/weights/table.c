/* SPDX-License-Identifier: MIT */
#include "gpu/weights/table_inside.h"

#include "common/err.h"
#include "common/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Room for one more item; the array grows by half. */
static int grow(void **items, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity)
        return 0;
    size_t larger = *capacity + *capacity / 2 + 16;
    void *more = realloc(*items, larger * item_size);
    if (!more)
        return ERR_NOMEM;
    *items = more;
    *capacity = larger;
    return 0;
}

int table_check_name(const char *name, struct err *err)
{
    size_t length = strnlen(name, WEIGHTS_MAX_NAME_BYTES + 1);
    json_t *text = NULL;
    bool good = length >= 1 && length <= WEIGHTS_MAX_NAME_BYTES &&
                json_text_is_clean(name, length) && (text = json_stringn(name, length));
    json_decref(text);
    if (!good)
        return err_set(err, ERR_CORRUPT, NULL,
                       "a tensor's name must be 1 to %d bytes of UTF-8 without control characters",
                       WEIGHTS_MAX_NAME_BYTES);
    return 0;
}

int table_tensor_bytes(const char *name, const struct tensor *tensor, uint64_t *out_bytes,
                       struct err *err)
{
    if (tensor->rank < 0 || tensor->rank > TENSOR_MAX_RANK)
        return err_set(err, ERR_UNSUPPORTED, name, "tensor %s has %d dimensions, more than %d",
                       name, tensor->rank, TENSOR_MAX_RANK);
    uint64_t bytes = tensor_type_size(tensor->type);
    for (int i = 0; i < tensor->rank; i++) {
        int64_t size = tensor->dim[i];
        if (size < 1 || size > TABLE_MAX_DIM ||
            __builtin_mul_overflow(bytes, (uint64_t)size, &bytes) || bytes > INT64_MAX)
            return err_set(err, ERR_CORRUPT, name, "tensor %s: dimension %d is not a size", name,
                           i);
    }
    *out_bytes = bytes;
    return 0;
}

int table_add(struct table *table, const char *name, const struct tensor *tensor, struct err *err)
{
    uint64_t bytes;
    if (table->count == WEIGHTS_MAX_TENSORS)
        return err_set(err, ERR_LIMIT, "weights", "more than %d tensors", WEIGHTS_MAX_TENSORS);
    int rc = table_check_name(name, err);
    if (rc == 0)
        rc = table_tensor_bytes(name, tensor, &bytes, err);
    if (rc == 0)
        rc = grow((void **)&table->entries, table->count, &table->capacity, sizeof *table->entries);
    if (rc < 0)
        return rc;
    struct table_entry *entry = &table->entries[table->count];
    *entry = (struct table_entry){.name = strdup(name), .tensor = *tensor};
    if (!entry->name)
        return ERR_NOMEM;
    table->count++;
    return 0;
}

/* Takes `text`, which may be NULL. */
static int add_attribute(struct table *table, const char *name, double value, char *text,
                         struct err *err)
{
    int rc = table_check_name(name, err);
    if (rc == 0 && table->attribute_count == TABLE_MAX_ATTRIBUTES)
        rc = err_set(err, ERR_LIMIT, "weights", "more than %d attributes", TABLE_MAX_ATTRIBUTES);
    if (rc == 0)
        rc = grow((void **)&table->attributes, table->attribute_count, &table->attribute_capacity,
                  sizeof *table->attributes);
    char *copy = rc == 0 ? strdup(name) : NULL;
    if (rc == 0 && !copy)
        rc = ERR_NOMEM;
    if (rc == 0)
        table->attributes[table->attribute_count++] =
            (struct table_attribute){.name = copy, .text = text, .number = value};
    else
        free(text);
    return rc;
}

int table_add_number(struct table *table, const char *name, double value, struct err *err)
{
    return add_attribute(table, name, value, NULL, err);
}

int table_add_text(struct table *table, const char *name, const char *text, size_t size,
                   struct err *err)
{
    json_t *valid = NULL;
    bool good = size <= WEIGHTS_MAX_TEXT_BYTES && !memchr(text, 0, size) &&
                (valid = json_stringn(text, size));
    json_decref(valid);
    if (!good)
        return 0;
    char *copy = strndup(text, size);
    return copy ? add_attribute(table, name, 0, copy, err) : ERR_NOMEM;
}

/* Remembers what is to be freed or unmapped with the table, and gives its data; takes it. NULL: no
 * memory, and the block is gone. */
static void *keep_block(struct table *table, struct table_block block)
{
    if (grow((void **)&table->blocks, table->block_count, &table->block_capacity, sizeof block) ==
        0) {
        table->blocks[table->block_count++] = block;
        return block.data;
    }
    if (block.mapped)
        munmap(block.data, block.size);
    else
        free(block.data);
    return NULL;
}

void *table_alloc(struct table *table, uint64_t bytes, int *out_rc, struct err *err)
{
    if (bytes > TABLE_MAX_BYTES - table->bytes) {
        *out_rc = err_set(err, ERR_LIMIT, "weights", "the tensors need more than %" PRIu64 " bytes",
                          TABLE_MAX_BYTES);
        return NULL;
    }
    void *data = malloc(bytes ? (size_t)bytes : 1);
    if (data)
        data = keep_block(table, (struct table_block){data, (size_t)bytes, false});
    if (data)
        table->bytes += bytes;
    *out_rc = data ? 0 : ERR_NOMEM;
    return data;
}

int table_map_descriptor(struct table *table, int fd, const char *path,
                         const unsigned char **out_data, size_t *out_size, struct err *err)
{
    struct stat status;
    void *data = NULL;
    if (fstat(fd, &status) < 0)
        return err_set_errno(err, "weights", "%s", path);
    if (!S_ISREG(status.st_mode))
        return err_set(err, ERR_INVALID, "weights", "%s is not a file", path);
    if (status.st_size > 0) {
        data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            return err_set_errno(err, "weights", "%s", path);
        if (!keep_block(table, (struct table_block){data, (size_t)status.st_size, true}))
            return ERR_NOMEM;
    }
    *out_data = data;
    *out_size = (size_t)status.st_size;
    return 0;
}

int table_map(struct table *table, const char *path, const unsigned char **out_data,
              size_t *out_size, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused, not waited for */
    if (fd < 0) {
        bool missing = errno == ENOENT;
        err_set_errno(err, "weights", "%s", path);
        return missing ? ERR_NOT_FOUND : ERR_IO;
    }
    int rc = table_map_descriptor(table, fd, path, out_data, out_size, err);
    close(fd);
    return rc;
}

void table_release_pages(const struct table *table)
{
    for (size_t i = 0; i < table->block_count; i++)
        if (table->blocks[i].mapped)
            madvise(table->blocks[i].data, table->blocks[i].size, MADV_DONTNEED);
}

/* Entries and attributes both begin with their name. */
static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int table_seal(struct table *table, struct err *err)
{
    if (table->count)
        qsort(table->entries, table->count, sizeof *table->entries, by_name);
    if (table->attribute_count)
        qsort(table->attributes, table->attribute_count, sizeof *table->attributes, by_name);
    for (size_t i = 1; i < table->count; i++)
        if (strcmp(table->entries[i].name, table->entries[i - 1].name) == 0)
            return err_set(err, ERR_CORRUPT, table->entries[i].name, "two tensors are called %s",
                           table->entries[i].name);
    return 0;
}

const struct table_entry *table_find(const struct table *table, const char *name)
{
    return table->count
               ? bsearch(&name, table->entries, table->count, sizeof *table->entries, by_name)
               : NULL;
}

const struct table_attribute *table_find_attribute(const struct table *table, const char *name)
{
    return table->attribute_count ? bsearch(&name, table->attributes, table->attribute_count,
                                            sizeof *table->attributes, by_name)
                                  : NULL;
}

void table_fini(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->entries[i].name);
    for (size_t i = 0; i < table->attribute_count; i++) {
        free(table->attributes[i].name);
        free(table->attributes[i].text);
    }
    for (size_t i = 0; i < table->block_count; i++)
        if (table->blocks[i].mapped)
            munmap(table->blocks[i].data, table->blocks[i].size);
        else
            free(table->blocks[i].data);
    free(table->entries);
    free(table->attributes);
    free(table->blocks);
    *table = (struct table){0};
}

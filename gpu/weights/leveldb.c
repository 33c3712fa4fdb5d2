/* SPDX-License-Identifier: MIT */
#include "gpu/weights/leveldb.h"

#include "common/err.h"

#include <inttypes.h>
#include <string.h>

#define MAGIC UINT64_C(0xdb4775248b80fb57)
#define FOOTER_SIZE 48 /* two handles, filled up, and the magic */
#define TRAILER_SIZE 5 /* of a block: how it is compressed, and its checksum */

/* A block's bytes and the key that is being put together while it is read. */
struct block {
    struct wire rest;
    char key[LEVELDB_MAX_KEY_BYTES + 1];
    size_t key_size;
};

/* Four bits at a time: an index is small. */
uint32_t leveldb_masked_crc(const unsigned char *data, size_t size)
{
    uint32_t table[16], crc = UINT32_MAX;
    for (uint32_t i = 0; i < 16; i++) {
        table[i] = i;
        for (int bit = 0; bit < 4; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82f63b78u : 0);
    }
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

bool leveldb_matches(const unsigned char *data, size_t size)
{
    return size >= FOOTER_SIZE && wire_u64(data + size - 8) == MAGIC;
}

static int corrupt(struct err *err, const char *what)
{
    return err_set(err, ERR_CORRUPT, "weights", "the checkpoint's index is damaged: %s", what);
}

/* Reads where a block lies and checks it. */
static int open_block(struct wire *handle, const unsigned char *data, size_t size,
                      struct block *out_block, struct err *err)
{
    uint64_t offset, length;
    if (!wire_varint(handle, &offset) || !wire_varint(handle, &length))
        return corrupt(err, "a block's place is cut off");
    if (offset > size || length > size - offset || size - offset - length < TRAILER_SIZE)
        return corrupt(err, "a block lies outside the file");
    const unsigned char *bytes = data + offset, *trailer = bytes + length;
    if (wire_u32(trailer + 1) != leveldb_masked_crc(bytes, (size_t)length + 1))
        return corrupt(err, "a block's checksum is wrong");
    if (trailer[0] != 0)
        return err_set(err, ERR_UNSUPPORTED, "weights",
                       "the checkpoint's index is compressed, which is not supported");
    /* Behind the entries: the restart points, 4 bytes each, and their number. */
    uint64_t restarts = length < 4 ? UINT64_MAX : (uint64_t)wire_u32(trailer - 4) + 1;
    if (restarts > length / 4)
        return corrupt(err, "a block has no room for its restart points");
    out_block->rest = (struct wire){bytes, trailer - 4 * restarts};
    out_block->key_size = 0;
    return 0;
}

/* 1: an entry; 0: the block's end. A key begins with `shared` bytes of the one before it. */
static int next_entry(struct block *block, struct wire *out_value, struct err *err)
{
    struct wire *rest = &block->rest;
    uint64_t shared, own, length;
    if (rest->at == rest->end)
        return 0;
    if (!wire_varint(rest, &shared) || !wire_varint(rest, &own) || !wire_varint(rest, &length))
        return corrupt(err, "an entry is cut off");
    uint64_t left = (uint64_t)(rest->end - rest->at);
    if (shared > block->key_size || own > left || length > left - own)
        return corrupt(err, "an entry is longer than its block");
    if (own > LEVELDB_MAX_KEY_BYTES - shared)
        return err_set(err, ERR_LIMIT, "weights",
                       "a name in the checkpoint's index is longer than %d bytes",
                       LEVELDB_MAX_KEY_BYTES);
    memcpy(block->key + shared, rest->at, (size_t)own);
    block->key_size = (size_t)(shared + own);
    block->key[block->key_size] = 0;
    rest->at += own;
    *out_value = (struct wire){rest->at, rest->at + length};
    rest->at += length;
    return 1;
}

static int read_block(struct block *block, leveldb_entry *entry, void *context, struct err *err)
{
    struct wire value;
    int rc;
    while ((rc = next_entry(block, &value, err)) > 0)
        if ((rc = entry(context, block->key, block->key_size, value, err)) != 0)
            return rc;
    return rc;
}

int leveldb_each(const unsigned char *data, size_t size, leveldb_entry *entry, void *context,
                 struct err *err)
{
    struct block index, block;
    struct wire handle;
    uint64_t ignored;
    if (!leveldb_matches(data, size))
        return corrupt(err, "its last bytes are missing");
    struct wire footer = {data + size - FOOTER_SIZE, data + size - 8};
    if (!wire_varint(&footer, &ignored) || !wire_varint(&footer, &ignored))
        return corrupt(err, "the place of the first block is cut off");
    int rc = open_block(&footer, data, size, &index, err);
    const unsigned char *last = data;
    while (rc == 0 && (rc = next_entry(&index, &handle, err)) > 0) {
        rc = open_block(&handle, data, size, &block, err);
        /* Blocks follow each other, so that no file makes us read one again and again. */
        if (rc == 0 && block.rest.at < last)
            rc = corrupt(err, "its blocks overlap");
        if (rc == 0) {
            last = block.rest.end;
            rc = read_block(&block, entry, context, err);
        }
    }
    return rc;
}

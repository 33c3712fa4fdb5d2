/* SPDX-License-Identifier: MIT
 *
 * LevelDB's table format, read from memory: sorted keys with values, in blocks with checksums.
 * TensorFlow keeps the index of a checkpoint in it.
 *
 *     if (leveldb_matches(data, size))
 *         rc = leveldb_each(data, size, entry, context, &err);
 *
 * Format: doc/table_format.md of LevelDB. Every block's CRC-32C is checked. Snappy is refused:
 * TensorFlow has not written it since version 1.2. Any thread. */
#ifndef DARKROOM_GPU_WEIGHTS_LEVELDB_H
#define DARKROOM_GPU_WEIGHTS_LEVELDB_H

#include "gpu/weights/wire.h"

struct err;

#define LEVELDB_MAX_KEY_BYTES 1024

/* Called for each key in order; anything but 0 ends the walk and is its result. `key` (with a zero
 * behind it that does not count) and `value` are borrowed until it returns. */
typedef int leveldb_entry(void *context, const char *key, size_t key_size, struct wire value,
                          struct err *err);

/* By the number in the last eight bytes. */
bool leveldb_matches(const unsigned char *data, size_t size);

/* ERR_CORRUPT, ERR_UNSUPPORTED (compressed), ERR_LIMIT (a key's length). */
int leveldb_each(const unsigned char *data, size_t size, leveldb_entry *entry, void *context,
                 struct err *err);

/* CRC-32C (Castagnoli), as LevelDB and TensorFlow store it. */
uint32_t leveldb_masked_crc(const unsigned char *data, size_t size);

#endif

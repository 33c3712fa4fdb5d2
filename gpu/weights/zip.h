/* SPDX-License-Identifier: MIT
 *
 * The directory of a zip file in memory; what lies in it uncompressed can be read in place.
 *
 *     struct zip *zip = NULL;
 *     const struct zip_entry *entry;
 *     rc = zip_open(data, size, &zip, &err);
 *     if ((entry = zip_find(zip, "archive/data.pkl"))) rc = zip_bytes(zip, entry, &bytes, &err);
 *     zip_close(&zip);
 *
 * Format: PKWARE's APPNOTE 6.3, with zip64. Sizes and places come from the central directory, as
 * local headers may leave sizes to a descriptor behind the data. Not read: several disks,
 * encryption, compression; checksums are not computed, as that would touch every page. Immutable
 * once open. */
#ifndef DARKROOM_GPU_WEIGHTS_ZIP_H
#define DARKROOM_GPU_WEIGHTS_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct zip;

#define ZIP_MAX_ENTRIES (1u << 17)

struct zip_entry {
    const char *name; /* borrowed from the file; not ended by a zero */
    size_t name_size;
    uint64_t header; /* where its local header lies */
    uint64_t stored_size, size;
    unsigned method, flags;
};

/* True where the bytes begin as a zip file does. */
bool zip_matches(const void *data, size_t size);

/* `data` is borrowed until zip_close(). *out_zip is owned by the caller. ERR_CORRUPT (cut off, two
 * entries of one name), ERR_UNSUPPORTED (several disks), ERR_LIMIT, ERR_NOMEM. */
int zip_open(const void *data, size_t size, struct zip **out_zip, struct err *err);
void zip_close(struct zip **zip); /* accepts NULL inside; sets it to NULL */

/* In the order of their names. */
size_t zip_count(const struct zip *zip);
const struct zip_entry *zip_at(const struct zip *zip, size_t index);
const struct zip_entry *zip_find(const struct zip *zip, const char *name); /* NULL: absent */

/* The entry->size bytes of an entry, borrowed from the file. ERR_UNSUPPORTED (compressed or
 * encrypted), ERR_CORRUPT (cut off). */
int zip_bytes(const struct zip *zip, const struct zip_entry *entry, const unsigned char **out_bytes,
              struct err *err);

#endif

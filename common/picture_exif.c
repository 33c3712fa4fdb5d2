/* SPDX-License-Identifier: MIT
 *
 * One number out of an EXIF block: CIPA DC-008 (Exif 2.32) 4.6.4, on top of TIFF 6.0. */
#include "common/picture_codec.h"

static const uint16_t tag_orientation = 0x0112, type_short = 3;

struct tiff {
    const uint8_t *data;
    size_t size;
    bool little_endian;
};

/* 0 past the end: no offset or count of interest is 0, so that reads as malformed. */
static uint32_t read_number(const struct tiff *tiff, size_t at, int bytes)
{
    if (at > tiff->size || tiff->size - at < (size_t)bytes)
        return 0;
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | tiff->data[at + (size_t)(tiff->little_endian ? bytes - 1 - i : i)];
    return value;
}

int picture_exif_orientation(const uint8_t *data, size_t size)
{
    struct tiff tiff = {.data = data, .size = size};
    if (size < 8 || data[0] != data[1] || (data[0] != 'I' && data[0] != 'M'))
        return 1;
    tiff.little_endian = data[0] == 'I';
    if (read_number(&tiff, 2, 2) != 42)
        return 1;
    size_t directory = read_number(&tiff, 4, 4);
    uint32_t entries = read_number(&tiff, directory, 2);
    for (uint32_t i = 0; i < entries; i++) {
        size_t entry = directory + 2 + (size_t)12 * i;
        if (entry > size)
            return 1;
        if (read_number(&tiff, entry, 2) != tag_orientation)
            continue;
        uint32_t value = read_number(&tiff, entry + 8, 2);
        bool sound = read_number(&tiff, entry + 2, 2) == type_short &&
                     read_number(&tiff, entry + 4, 4) == 1 && value >= 1 && value <= 8;
        return sound ? (int)value : 1;
    }
    return 1;
}

/* SPDX-License-Identifier: MIT
 *
 * What picture.c asks of each format; nobody else includes this.
 *
 *     rc = picture_png_read_header(data, size, &header, err);   // structure only, no pixel
 *     rc = picture_png_decode(data, size, picture, err);        // picture_init() was called
 *
 * Decoders get a picture that already has the header's size and fill all of it, or fail; they
 * check that the library sees the same size as the header reader. `data` is borrowed throughout.
 * Pure functions, any thread. */
#ifndef DARKROOM_COMMON_PICTURE_CODEC_H
#define DARKROOM_COMMON_PICTURE_CODEC_H

#include "common/picture.h"
#include "common/picture_metadata.h"

struct picture_header {
    int64_t width, height; /* as stored, before the orientation; not checked against any limit */
    int orientation;
};

/* What a file says besides its pixels. */
struct picture_tags {
    const struct picture_metadata *metadata; /* borrowed; NULL: nothing */
    const void *xmp;                         /* borrowed; the packet */
    size_t xmp_size;                         /* 0: none */
};

/* Where in the file its XMP packet lies: borrowed from `data`. ERR_NOT_FOUND without a text where
 * there is none; ERR_CORRUPT where the file ends before that is certain. A compressed one (PNG)
 * counts as none. */
struct picture_xmp {
    const uint8_t *data;
    size_t size;
};

bool picture_png_matches(const uint8_t *data, size_t size);
int picture_png_read_header(const uint8_t *data, size_t size, struct picture_header *out_header,
                            struct err *err);
int picture_png_decode(const uint8_t *data, size_t size, struct picture *picture, struct err *err);
int picture_png_find_xmp(const uint8_t *data, size_t size, struct picture_xmp *out_xmp,
                         struct err *err);
int picture_png_encode(const struct picture *picture, int quality, const struct picture_tags *tags,
                       struct buf *out, struct err *err);

bool picture_jpeg_matches(const uint8_t *data, size_t size);
int picture_jpeg_read_header(const uint8_t *data, size_t size, struct picture_header *out_header,
                             struct err *err);
int picture_jpeg_decode(const uint8_t *data, size_t size, struct picture *picture, struct err *err);
int picture_jpeg_find_xmp(const uint8_t *data, size_t size, struct picture_xmp *out_xmp,
                          struct err *err);
int picture_jpeg_encode(const struct picture *picture, int quality, const struct picture_tags *tags,
                        struct buf *out, struct err *err);

bool picture_webp_matches(const uint8_t *data, size_t size);
int picture_webp_read_header(const uint8_t *data, size_t size, struct picture_header *out_header,
                             struct err *err);
int picture_webp_decode(const uint8_t *data, size_t size, struct picture *picture, struct err *err);
int picture_webp_find_xmp(const uint8_t *data, size_t size, struct picture_xmp *out_xmp,
                          struct err *err);
int picture_webp_encode(const struct picture *picture, int quality, const struct picture_tags *tags,
                        struct buf *out, struct err *err);

/* Without libheif the last two answer ERR_UNSUPPORTED. The picture comes upright. */
bool picture_heif_matches(const uint8_t *data, size_t size);
int picture_heif_read_header(const uint8_t *data, size_t size, struct picture_header *out_header,
                             struct err *err);
int picture_heif_decode(const uint8_t *data, size_t size, struct picture *picture, struct err *err);

/* The orientation in a TIFF block (what follows "Exif\0\0"); 1 where it is absent or malformed. */
int picture_exif_orientation(const uint8_t *tiff, size_t size);

/* RGBA to RGB on white, in place: `pixels` holds count x 4 bytes before, count x 3 after. */
void picture_composite_white(uint8_t *pixels, size_t count);

#endif

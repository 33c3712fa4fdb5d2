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

struct picture_header {
    int64_t width, height; /* as stored, before the orientation; not checked against any limit */
    int orientation;
};

bool picture_png_matches(const uint8_t *data, size_t size);
int picture_png_read_header(const uint8_t *data, size_t size, struct picture_header *out_header,
                            struct err *err);
int picture_png_decode(const uint8_t *data, size_t size, struct picture *picture, struct err *err);

bool picture_jpeg_matches(const uint8_t *data, size_t size);
int picture_jpeg_read_header(const uint8_t *data, size_t size, struct picture_header *out_header,
                             struct err *err);
int picture_jpeg_decode(const uint8_t *data, size_t size, struct picture *picture, struct err *err);

bool picture_webp_matches(const uint8_t *data, size_t size);
int picture_webp_read_header(const uint8_t *data, size_t size, struct picture_header *out_header,
                             struct err *err);
int picture_webp_decode(const uint8_t *data, size_t size, struct picture *picture, struct err *err);

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

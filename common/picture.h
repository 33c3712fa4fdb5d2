/* SPDX-License-Identifier: MIT
 *
 * Pictures from strangers: PNG, JPEG, WebP and HEIC in, 8-bit RGB inside, PNG, JPEG or WebP out.
 *
 *     struct picture_info info;
 *     struct picture photo = {0}, square = {0};
 *     rc = picture_probe(data, size, &limits, &info, &err);           // header only
 *     rc = picture_check_crop(info.width, info.height, &crop, &err);
 *     rc = picture_decode(data, size, &limits, &photo, &err);
 *     rc = picture_crop(&photo, &crop, &err);
 *     rc = picture_resize(&photo, 256, 256, PICTURE_ANTIALIAS, &square, &err);
 *     rc = picture_encode(&square, PICTURE_PNG, 0, NULL, &out, &err);
 *     picture_fini(&photo);
 *     picture_fini(&square);
 *
 * The format is recognised by content, never by a name or an announced type. Limits are checked
 * against the header before a pixel is allocated. Every error about the picture has the field
 * "input", every error about the crop has "crop", and the text tells the limit.
 * All functions are pure: any thread, no shared state. */
#ifndef DARKROOM_COMMON_PICTURE_H
#define DARKROOM_COMMON_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct picture_metadata;

/* [height][width][3], R G B, no padding. All zero: empty. */
struct picture {
    uint8_t *pixels; /* owned */
    int width, height;
};

enum picture_format { PICTURE_PNG, PICTURE_JPEG, PICTURE_WEBP, PICTURE_HEIC };

struct picture_limits {
    size_t max_bytes;   /* of the file */
    int64_t max_pixels; /* width x height */
    int max_side;       /* greatest width or height */
};

struct picture_info {
    enum picture_format format;
    int width, height; /* as a viewer shows it: after the EXIF orientation */
    int orientation;   /* 1 to 8 (EXIF tag 0x0112); 1 where absent or malformed, and of a HEIC */
};

/* Each equal to its original in every bit. */
enum picture_filter {
    PICTURE_ANTIALIAS, /* bilinear, sees every pixel when shrinking: PIL's resize(.., BILINEAR) */
    PICTURE_BILINEAR   /* of the four nearest pixels: OpenCV's resize(.., INTER_LINEAR) */
};

/* In pixels of the picture after its EXIF orientation. */
struct picture_rect {
    int x, y, width, height;
};

/* A few greatest values that no manifest may exceed. */
#define PICTURE_MAX_SIDE 32768
#define PICTURE_MAX_PIXELS ((int64_t)200 * 1000 * 1000)

void picture_fini(struct picture *picture); /* frees and empties; harmless twice */

/* Pixels of the given size, not initialised; `picture` must be empty. ERR_NOMEM. */
int picture_init(struct picture *picture, int width, int height, struct err *err);

/* "image/png" and so on; static storage. */
const char *picture_content_type(enum picture_format format);

/* "png" and so on, also the usual extension; static storage. */
const char *picture_format_name(enum picture_format format);
/* One of those that picture_encode() writes, "jpg" being "jpeg"; false for any other name. */
bool picture_format_from_name(const char *name, enum picture_format *out_format);

/* Reads the header and walks the file's structure, so that a file that was cut off is refused
 * here in nearly all cases. No pixel is decoded or allocated. `data` is borrowed.
 * ERR_UNSUPPORTED (no picture, or no kind that we take), ERR_CORRUPT (cut off, contradictory),
 * ERR_LIMIT (bytes, pixels or side). */
int picture_probe(const void *data, size_t size, const struct picture_limits *limits,
                  struct picture_info *out_info, struct err *err);

/* Probes, decodes, composites alpha on white and applies the orientation. Colour profiles and
 * gamma are ignored, as PIL does. *out_picture is owned by the caller and must be empty before.
 * Codes as above, ERR_NOMEM. */
int picture_decode(const void *data, size_t size, const struct picture_limits *limits,
                   struct picture *out_picture, struct err *err);

/* ERR_INVALID with the field "crop" unless the rectangle is non-empty and lies inside. */
int picture_check_crop(int width, int height, const struct picture_rect *crop, struct err *err);

/* Keeps only the rectangle; checks it as above. The memory is reused, and nothing changes on
 * failure. */
int picture_crop(struct picture *picture, const struct picture_rect *crop, struct err *err);

/* The aspect ratio is not kept. *out_picture is owned by the caller and must be empty
 * before; it must not be `picture`. ERR_NOMEM. */
int picture_resize(const struct picture *picture, int width, int height, enum picture_filter filter,
                   struct picture *out_picture, struct err *err);

/* Applies an EXIF orientation (1 to 8) in place. ERR_NOMEM. */
int picture_orient(struct picture *picture, int orientation, struct err *err);

/* Appends the file, which is no HEIC, to `out`. `metadata` (picture_metadata.h) is borrowed; NULL:
 * the file says nothing but its pixels. Quality is 1 to 100, and nothing to a PNG, which loses
 * nothing. ERR_LIMIT past the buffer's maximum or the format's side, ERR_NOMEM. On failure what was
 * appended is taken back. */
int picture_encode(const struct picture *picture, enum picture_format format, int quality,
                   const struct picture_metadata *metadata, struct buf *out, struct err *err);

#endif

/* SPDX-License-Identifier: MIT */
#include "common/picture.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/picture_codec.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct codec {
    const char *name, *content_type;
    bool (*matches)(const uint8_t *, size_t);
    int (*read_header)(const uint8_t *, size_t, struct picture_header *, struct err *);
    int (*decode)(const uint8_t *, size_t, struct picture *, struct err *);
    int (*find_xmp)(const uint8_t *, size_t, struct picture_xmp *, struct err *);
    int (*encode)(const struct picture *, int, const struct picture_tags *, struct buf *,
                  struct err *);
} codecs[] = {
    [PICTURE_PNG] = {"png", "image/png", picture_png_matches, picture_png_read_header,
                     picture_png_decode, picture_png_find_xmp, picture_png_encode},
    [PICTURE_JPEG] = {"jpeg", "image/jpeg", picture_jpeg_matches, picture_jpeg_read_header,
                      picture_jpeg_decode, picture_jpeg_find_xmp, picture_jpeg_encode},
    [PICTURE_WEBP] = {"webp", "image/webp", picture_webp_matches, picture_webp_read_header,
                      picture_webp_decode, picture_webp_find_xmp, picture_webp_encode},
    /* Read only: of these there are no results. */
    [PICTURE_HEIC] = {"heic", "image/heic", picture_heif_matches, picture_heif_read_header,
                      picture_heif_decode, NULL, NULL},
};
static const int codec_count = sizeof codecs / sizeof codecs[0];

void picture_fini(struct picture *picture)
{
    free(picture->pixels);
    *picture = (struct picture){0};
}

int picture_init(struct picture *picture, int width, int height, struct err *err)
{
    assert(width > 0 && height > 0 && !picture->pixels);
    size_t pixels = (size_t)width * (size_t)height;
    /* A fourth byte each leaves room to decode RGBA in place. */
    uint8_t *memory = malloc(pixels * 4);
    if (!memory)
        return err_set(err, ERR_NOMEM, "input", "no memory for a picture of %d x %d pixels", width,
                       height);
    *picture = (struct picture){.pixels = memory, .width = width, .height = height};
    return 0;
}

const char *picture_content_type(enum picture_format format)
{
    return codecs[format].content_type;
}

const char *picture_format_name(enum picture_format format)
{
    return codecs[format].name;
}

bool picture_format_from_name(const char *name, enum picture_format *out_format)
{
    if (!strcmp(name, "jpg"))
        name = "jpeg";
    for (int i = 0; i < codec_count; i++)
        if (codecs[i].encode && !strcmp(name, codecs[i].name)) {
            *out_format = (enum picture_format)i;
            return true;
        }
    return false;
}

/* Why these bytes are none of our formats. */
static int refuse_format(const uint8_t *data, size_t size, struct err *err)
{
    static const char want[] = "send a JPEG, PNG, WebP or HEIC";
    if (size == 0)
        return err_set(err, ERR_CORRUPT, "input", "the picture has 0 bytes: %s", want);
    if (size >= 12 && memcmp(data + 4, "ftyp", 4) == 0)
        return err_set(err, ERR_UNSUPPORTED, "input", "AVIF and video are not taken: %s", want);
    if (size >= 6 && memcmp(data, "GIF8", 4) == 0)
        return err_set(err, ERR_UNSUPPORTED, "input", "GIF is not taken: %s", want);
    return err_set(err, ERR_UNSUPPORTED, "input", "not a picture that we know: %s", want);
}

static int check_limits(const struct picture_header *header, const struct picture_limits *limits,
                        struct err *err)
{
    if (header->width < 1 || header->height < 1)
        return err_set(err, ERR_CORRUPT, "input",
                       "the picture's header says %" PRId64 " x %" PRId64 " pixels", header->width,
                       header->height);
    int max_side = limits->max_side < PICTURE_MAX_SIDE ? limits->max_side : PICTURE_MAX_SIDE;
    if (header->width > max_side || header->height > max_side)
        return err_set(err, ERR_LIMIT, "input",
                       "the picture is %" PRId64 " x %" PRId64
                       " pixels; a side may have %d at most",
                       header->width, header->height, max_side);
    int64_t max_pixels =
        limits->max_pixels < PICTURE_MAX_PIXELS ? limits->max_pixels : PICTURE_MAX_PIXELS;
    int64_t pixels = header->width * header->height;
    if (pixels > max_pixels)
        return err_set(
            err, ERR_LIMIT, "input",
            "the picture has %.1f megapixels (%" PRId64 " x %" PRId64 "); %.1f are allowed",
            (double)pixels / 1e6, header->width, header->height, (double)max_pixels / 1e6);
    return 0;
}

static const struct codec *find_codec(const uint8_t *data, size_t size)
{
    for (int i = 0; i < codec_count; i++)
        if (codecs[i].matches(data, size))
            return &codecs[i];
    return NULL;
}

static int read_header(const uint8_t *data, size_t size, const struct picture_limits *limits,
                       const struct codec **out_codec, struct picture_header *out_header,
                       struct err *err)
{
    if (size > limits->max_bytes)
        return err_set(err, ERR_LIMIT, "input", "the picture has %zu bytes; %zu are allowed", size,
                       limits->max_bytes);
    const struct codec *codec = find_codec(data, size);
    if (!codec)
        return refuse_format(data, size, err);
    struct picture_header header = {.orientation = 1};
    int rc = codec->read_header(data, size, &header, err);
    if (rc == 0)
        rc = check_limits(&header, limits, err);
    if (rc < 0)
        return rc;
    *out_codec = codec;
    *out_header = header;
    return 0;
}

int picture_probe(const void *data, size_t size, const struct picture_limits *limits,
                  struct picture_info *out_info, struct err *err)
{
    const struct codec *codec;
    struct picture_header header;
    int rc = read_header(data, size, limits, &codec, &header, err);
    if (rc < 0)
        return rc;
    bool turned = header.orientation >= 5;
    *out_info = (struct picture_info){
        .format = (enum picture_format)(codec - codecs),
        .width = (int)(turned ? header.height : header.width),
        .height = (int)(turned ? header.width : header.height),
        .orientation = header.orientation,
    };
    return 0;
}

int picture_decode(const void *data, size_t size, const struct picture_limits *limits,
                   struct picture *out_picture, struct err *err)
{
    const struct codec *codec;
    struct picture_header header;
    struct picture picture = {0};
    int rc = read_header(data, size, limits, &codec, &header, err);
    if (rc == 0)
        rc = picture_init(&picture, (int)header.width, (int)header.height, err);
    if (rc == 0)
        rc = codec->decode(data, size, &picture, err);
    if (rc == 0)
        rc = picture_orient(&picture, header.orientation, err);
    if (rc < 0) {
        picture_fini(&picture);
        return rc;
    }
    *out_picture = picture;
    return 0;
}

int picture_encode(const struct picture *picture, enum picture_format format, int quality,
                   const struct picture_metadata *metadata, struct buf *out, struct err *err)
{
    struct buf xmp;
    size_t before = out->size;
    assert(codecs[format].encode);
    buf_init(&xmp, 2 * PICTURE_XMP_MAX);
    int rc = metadata ? picture_metadata_format_xmp(metadata, &xmp, err) : 0;
    const struct picture_tags tags = {metadata, xmp.data, xmp.size};
    if (rc == 0)
        rc = codecs[format].encode(picture, quality, &tags, out, err);
    if (rc < 0)
        buf_truncate(out, before);
    buf_fini(&xmp);
    return rc;
}

int picture_metadata_read(const void *data, size_t size, struct picture_metadata *out_metadata,
                          struct err *err)
{
    struct picture_xmp xmp = {0};
    const struct codec *codec = find_codec(data, size);
    if (!codec)
        return refuse_format(data, size, err);
    int rc = codec->find_xmp ? codec->find_xmp(data, size, &xmp, err) : ERR_NOT_FOUND;
    if (rc == ERR_NOT_FOUND)
        return picture_metadata_parse_xmp(NULL, 0, out_metadata, err);
    return rc < 0 ? rc : picture_metadata_parse_xmp(xmp.data, xmp.size, out_metadata, err);
}

void picture_composite_white(uint8_t *pixels, size_t count)
{
    const uint8_t *from = pixels;
    for (size_t i = 0; i < count; i++, from += 4, pixels += 3) {
        unsigned alpha = from[3], white = 255 * (255 - alpha) + 127;
        uint8_t rgb[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)((from[c] * alpha + white) / 255);
        memcpy(pixels, rgb, 3);
    }
}

int picture_check_crop(int width, int height, const struct picture_rect *crop, struct err *err)
{
    bool inside = crop->x >= 0 && crop->y >= 0 && crop->width > 0 && crop->height > 0 &&
                  crop->width <= width && crop->height <= height &&
                  crop->x <= width - crop->width && crop->y <= height - crop->height;
    if (inside)
        return 0;
    return err_set(err, ERR_INVALID, "crop",
                   "the crop %d,%d,%d,%d (x,y,width,height) does not lie inside the picture of "
                   "%d x %d pixels",
                   crop->x, crop->y, crop->width, crop->height, width, height);
}

int picture_crop(struct picture *picture, const struct picture_rect *crop, struct err *err)
{
    int rc = picture_check_crop(picture->width, picture->height, crop, err);
    if (rc < 0)
        return rc;
    size_t stride = (size_t)picture->width * 3, row_bytes = (size_t)crop->width * 3;
    const uint8_t *from = picture->pixels + (size_t)crop->y * stride + (size_t)crop->x * 3;
    /* Rows only move towards the front, so a row is read before anything overwrites it. */
    for (int y = 0; y < crop->height; y++)
        memmove(picture->pixels + (size_t)y * row_bytes, from + (size_t)y * stride, row_bytes);
    picture->width = crop->width;
    picture->height = crop->height;
    return 0;
}

/* Where the pixel (x, y) of the turned picture comes from: first + x * dx + y * dy, in pixels. */
struct walk {
    ptrdiff_t first, dx, dy;
};

static struct walk walk_for(int orientation, ptrdiff_t width, ptrdiff_t height)
{
    ptrdiff_t right = width - 1, bottom = (height - 1) * width;
    switch (orientation) {
    case 2: return (struct walk){right, -1, width};           /* mirrored */
    case 3: return (struct walk){bottom + right, -1, -width}; /* upside down */
    case 4: return (struct walk){bottom, 1, -width};          /* flipped */
    case 5: return (struct walk){0, width, 1};                /* transposed */
    case 6: return (struct walk){bottom, -width, 1};          /* needs a turn to the right */
    case 7: return (struct walk){bottom + right, -width, -1}; /* transposed the other way */
    case 8: return (struct walk){right, width, -1};           /* needs a turn to the left */
    default: return (struct walk){0, 1, width};
    }
}

static void copy_turned(const struct picture *from, struct walk walk, struct picture *to)
{
    /* Tiles, since columns of a large picture would otherwise miss the cache at every pixel. */
    enum { TILE = 32 };
    for (int top = 0; top < to->height; top += TILE)
        for (int left = 0; left < to->width; left += TILE)
            for (int y = top; y < to->height && y < top + TILE; y++) {
                const uint8_t *source =
                    from->pixels + 3 * (walk.first + y * walk.dy + left * walk.dx);
                uint8_t *target = to->pixels + 3 * ((size_t)y * (size_t)to->width + (size_t)left);
                int count = to->width - left < TILE ? to->width - left : TILE;
                for (int x = 0; x < count; x++, source += 3 * walk.dx, target += 3)
                    memcpy(target, source, 3);
            }
}

int picture_orient(struct picture *picture, int orientation, struct err *err)
{
    assert(orientation >= 1 && orientation <= 8);
    if (orientation == 1)
        return 0;
    bool turned = orientation >= 5;
    struct picture copy = {0};
    int rc = picture_init(&copy, turned ? picture->height : picture->width,
                          turned ? picture->width : picture->height, err);
    if (rc < 0)
        return rc;
    copy_turned(picture, walk_for(orientation, picture->width, picture->height), &copy);
    picture_fini(picture);
    *picture = copy;
    return 0;
}

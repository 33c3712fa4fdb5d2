/* SPDX-License-Identifier: MIT
 *
 * The home of libwebp. Container: RFC 9649. */
#include "common/picture_codec.h"

#include "common/buf.h"
#include "common/err.h"

#include <string.h>
#include <webp/decode.h>
#include <webp/encode.h>

enum { RIFF_HEADER = 12, CHUNK_HEADER = 8 };

bool picture_webp_matches(const uint8_t *data, size_t size)
{
    return size >= RIFF_HEADER && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0;
}

static uint32_t read_u32(const uint8_t *data)
{
    return (uint32_t)data[3] << 24 | (uint32_t)data[2] << 16 | (uint32_t)data[1] << 8 | data[0];
}

/* The first chunk of that type: EXIF and XMP stand behind the pixels. `size` is at least
 * RIFF_HEADER. */
static bool find_chunk(const uint8_t *data, size_t size, const char *type, const uint8_t **out_body,
                       size_t *out_length)
{
    for (size_t at = RIFF_HEADER; size - at >= CHUNK_HEADER;) {
        size_t length = read_u32(data + at + 4), room = size - at - CHUNK_HEADER;
        if (length > room)
            return false;
        if (memcmp(data + at, type, 4) == 0) {
            *out_body = data + at + CHUNK_HEADER;
            *out_length = length;
            return true;
        }
        size_t padded = length + (length & 1);
        if (padded > room)
            return false;
        at += CHUNK_HEADER + padded;
    }
    return false;
}

/* Some writers put JPEG's prefix into the chunk. */
static int find_orientation(const uint8_t *data, size_t size)
{
    const uint8_t *body;
    size_t length;
    if (!find_chunk(data, size, "EXIF", &body, &length))
        return 1;
    size_t prefix = length > 6 && memcmp(body, "Exif\0", 6) == 0 ? 6 : 0;
    return picture_exif_orientation(body + prefix, length - prefix);
}

int picture_webp_find_xmp(const uint8_t *data, size_t size, struct picture_xmp *out_xmp,
                          struct err *err)
{
    size_t riff_size = read_u32(data + 4);
    if (riff_size > size - 8)
        return err_set(err, ERR_CORRUPT, "input", "the WebP is cut off after %zu bytes", size);
    if (riff_size + 8 < RIFF_HEADER ||
        !find_chunk(data, riff_size + 8, "XMP ", &out_xmp->data, &out_xmp->size))
        return ERR_NOT_FOUND;
    return 0;
}

int picture_webp_read_header(const uint8_t *data, size_t size, struct picture_header *out_header,
                             struct err *err)
{
    WebPBitstreamFeatures features;
    size_t riff_size = read_u32(data + 4);
    if (riff_size > size - 8)
        return err_set(err, ERR_CORRUPT, "input", "the WebP is cut off after %zu bytes", size);
    if (WebPGetFeatures(data, size, &features) != VP8_STATUS_OK)
        return err_set(err, ERR_CORRUPT, "input", "the WebP's header is damaged");
    if (features.has_animation)
        return err_set(err, ERR_UNSUPPORTED, "input",
                       "an animated WebP is not taken: send a still");
    *out_header = (struct picture_header){
        .width = features.width,
        .height = features.height,
        .orientation = riff_size + 8 > RIFF_HEADER ? find_orientation(data, riff_size + 8) : 1,
    };
    return 0;
}

int picture_webp_decode(const uint8_t *data, size_t size, struct picture *picture, struct err *err)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return err_set(err, ERR_INTERNAL, NULL, "libwebp is of another version than its header");
    VP8StatusCode status = WebPGetFeatures(data, size, &config.input);
    if (status != VP8_STATUS_OK || config.input.width != picture->width ||
        config.input.height != picture->height)
        return err_set(err, ERR_CORRUPT, "input", "the WebP's header contradicts itself");
    size_t channels = config.input.has_alpha ? 4 : 3;
    size_t pixels = (size_t)picture->width * (size_t)picture->height;
    config.output.colorspace = config.input.has_alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = picture->pixels;
    config.output.u.RGBA.stride = picture->width * (int)channels;
    config.output.u.RGBA.size = pixels * channels;
    status = WebPDecode(data, size, &config);
    WebPFreeDecBuffer(&config.output);
    if (status == VP8_STATUS_OUT_OF_MEMORY)
        return err_set(err, ERR_NOMEM, "input", "no memory to decode a WebP");
    if (status != VP8_STATUS_OK)
        return err_set(err, ERR_CORRUPT, "input", "the WebP is damaged or cut off");
    if (channels == 4)
        picture_composite_white(picture->pixels, pixels);
    return 0;
}

static void put_u24(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 3; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static int append_chunk(struct buf *out, const char *type, const void *body, size_t length)
{
    uint8_t header[CHUNK_HEADER];
    memcpy(header, type, 4);
    put_u24(header + 4, (uint32_t)length);
    header[7] = (uint8_t)(length >> 24);
    int rc = buf_append(out, header, sizeof header);
    if (rc == 0)
        rc = buf_append(out, body, length);
    return rc == 0 && (length & 1) ? buf_append(out, "", 1) : rc;
}

/* The simple file that libwebp wrote, made an extended one: RFC 9649, 2.7. */
static int append_extended(const struct picture *picture, const uint8_t *data, size_t size,
                           const struct picture_tags *tags, struct buf *out)
{
    enum { XMP_FLAG = 4 };
    uint8_t features[10] = {XMP_FLAG}, riff[RIFF_HEADER];
    size_t before = out->size;
    put_u24(features + 4, (uint32_t)picture->width - 1);
    put_u24(features + 7, (uint32_t)picture->height - 1);
    memcpy(riff, data, sizeof riff);
    int rc = buf_append(out, riff, sizeof riff);
    if (rc == 0)
        rc = append_chunk(out, "VP8X", features, sizeof features);
    if (rc == 0)
        rc = buf_append(out, data + RIFF_HEADER, size - RIFF_HEADER);
    if (rc == 0)
        rc = append_chunk(out, "XMP ", tags->xmp, tags->xmp_size);
    if (rc < 0)
        return rc;
    size_t length = out->size - before - 8;
    put_u24(out->data + before + 4, (uint32_t)length);
    out->data[before + 7] = (uint8_t)(length >> 24);
    return 0;
}

int picture_webp_encode(const struct picture *picture, int quality, const struct picture_tags *tags,
                        struct buf *out, struct err *err)
{
    uint8_t *data = NULL;
    if (picture->width > WEBP_MAX_DIMENSION || picture->height > WEBP_MAX_DIMENSION)
        return err_set(err, ERR_LIMIT, NULL, "a WebP's side has %d pixels at most",
                       WEBP_MAX_DIMENSION);
    size_t size = WebPEncodeRGB(picture->pixels, picture->width, picture->height,
                                picture->width * 3, (float)quality, &data);
    int rc = ERR_NOMEM;
    if (size)
        rc = tags->xmp_size ? append_extended(picture, data, size, tags, out)
                            : buf_append(out, data, size);
    WebPFree(data);
    if (rc == ERR_LIMIT)
        return err_set(err, rc, NULL, "the WebP is larger than %zu bytes", out->max_size);
    if (rc < 0)
        return err_set(err, rc, NULL, "no memory to encode a WebP");
    return 0;
}

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

/* The EXIF chunk stands behind the pixels. Some writers put JPEG's prefix into it. */
static int find_orientation(const uint8_t *data, size_t size)
{
    for (size_t at = RIFF_HEADER; size - at >= CHUNK_HEADER;) {
        size_t length = read_u32(data + at + 4), room = size - at - CHUNK_HEADER;
        const uint8_t *body = data + at + CHUNK_HEADER;
        if (length > room)
            return 1;
        if (memcmp(data + at, "EXIF", 4) == 0) {
            size_t prefix = length > 6 && memcmp(body, "Exif\0", 6) == 0 ? 6 : 0;
            return picture_exif_orientation(body + prefix, length - prefix);
        }
        size_t padded = length + (length & 1);
        if (padded > room)
            return 1;
        at += CHUNK_HEADER + padded;
    }
    return 1;
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

int picture_encode_webp(const struct picture *picture, int quality, struct buf *out,
                        struct err *err)
{
    uint8_t *data = NULL;
    if (picture->width > WEBP_MAX_DIMENSION || picture->height > WEBP_MAX_DIMENSION)
        return err_set(err, ERR_LIMIT, NULL, "a WebP's side has %d pixels at most",
                       WEBP_MAX_DIMENSION);
    size_t size = WebPEncodeRGB(picture->pixels, picture->width, picture->height,
                                picture->width * 3, (float)quality, &data);
    int rc = size ? buf_append(out, data, size) : ERR_NOMEM;
    WebPFree(data);
    if (rc == ERR_LIMIT)
        return err_set(err, rc, NULL, "the WebP is larger than %zu bytes", out->max_size);
    if (rc < 0)
        return err_set(err, rc, NULL, "no memory to encode a WebP");
    return 0;
}

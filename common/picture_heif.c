/* SPDX-License-Identifier: MIT
 *
 * The home of libheif: the pictures of telephones. Container: ISO/IEC 23008-12.
 *
 * Which turn a HEIC needs is said by its own boxes (irot, imir, clap), which libheif obeys; the
 * orientation in its EXIF says the same a second time and is ignored, as the standard wants. */
#include "common/picture_codec.h"
#include "common/picture_heif_boxes.h"

#include "common/err.h"

#include <libheif/heif.h>
#include <string.h>

static int fail(struct heif_error error, struct err *err)
{
    if (error.code == heif_error_Memory_allocation_error)
        return err_set(err, ERR_NOMEM, "input", "no memory to decode a HEIC");
    if (error.code == heif_error_Unsupported_feature ||
        error.code == heif_error_Unsupported_filetype)
        return err_set(err, ERR_UNSUPPORTED, "input",
                       "this kind of HEIC is not taken: send a JPEG, PNG or WebP");
    return err_set(err, ERR_CORRUPT, "input", "the HEIC is damaged or cut off");
}

/* Both are owned by the caller. */
static int open_primary(const uint8_t *data, size_t size, struct heif_context **out_context,
                        struct heif_image_handle **out_handle, struct err *err)
{
    int rc = picture_heif_check_boxes(data, size, err);
    if (rc < 0)
        return rc;
    struct heif_context *context = heif_context_alloc();
    if (!context)
        return err_set(err, ERR_NOMEM, "input", "no memory to decode a HEIC");
    heif_context_set_maximum_image_size_limit(context, PICTURE_MAX_SIDE);
    heif_context_set_max_decoding_threads(context, 0); /* callers have threads of their own */
    struct heif_image_handle *handle = NULL;
    struct heif_error error = heif_context_read_from_memory_without_copy(context, data, size, NULL);
    if (error.code == heif_error_Ok)
        error = heif_context_get_primary_image_handle(context, &handle);
    if (error.code != heif_error_Ok) {
        heif_context_free(context);
        return fail(error, err);
    }
    *out_context = context;
    *out_handle = handle;
    return 0;
}

int picture_heif_read_header(const uint8_t *data, size_t size, struct picture_header *out_header,
                             struct err *err)
{
    struct heif_context *context;
    struct heif_image_handle *handle;
    int rc = open_primary(data, size, &context, &handle, err);
    if (rc < 0)
        return rc;
    *out_header = (struct picture_header){.width = heif_image_handle_get_width(handle),
                                          .height = heif_image_handle_get_height(handle),
                                          .orientation = 1};
    heif_image_handle_release(handle);
    heif_context_free(context);
    return 0;
}

static int decode_handle(const struct heif_image_handle *handle, enum heif_chroma chroma,
                         struct heif_image **out_image, struct err *err)
{
    struct heif_decoding_options *options = heif_decoding_options_alloc();
    if (!options)
        return err_set(err, ERR_NOMEM, "input", "no memory to decode a HEIC");
    options->convert_hdr_to_8bit = 1;
    options->strict_decoding = 1;
    struct heif_error error =
        heif_decode_image(handle, out_image, heif_colorspace_RGB, chroma, options);
    heif_decoding_options_free(options);
    return error.code == heif_error_Ok ? 0 : fail(error, err);
}

static int copy_pixels(const struct heif_image *image, size_t channels, struct picture *picture,
                       struct err *err)
{
    int stride = 0;
    const uint8_t *from = heif_image_get_plane_readonly(image, heif_channel_interleaved, &stride);
    size_t row_bytes = (size_t)picture->width * channels;
    if (!from || stride < 0 || (size_t)stride < row_bytes ||
        heif_image_get_width(image, heif_channel_interleaved) != picture->width ||
        heif_image_get_height(image, heif_channel_interleaved) != picture->height)
        return err_set(err, ERR_CORRUPT, "input", "the HEIC's header contradicts itself");
    for (int y = 0; y < picture->height; y++)
        memcpy(picture->pixels + (size_t)y * row_bytes, from + (size_t)y * (size_t)stride,
               row_bytes);
    if (channels == 4)
        picture_composite_white(picture->pixels, (size_t)picture->width * (size_t)picture->height);
    return 0;
}

int picture_heif_decode(const uint8_t *data, size_t size, struct picture *picture, struct err *err)
{
    struct heif_context *context;
    struct heif_image_handle *handle;
    struct heif_image *image = NULL;
    int rc = open_primary(data, size, &context, &handle, err);
    if (rc < 0)
        return rc;
    bool alpha = heif_image_handle_has_alpha_channel(handle);
    rc = decode_handle(handle, alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB,
                       &image, err);
    if (rc == 0)
        rc = copy_pixels(image, alpha ? 4 : 3, picture, err);
    heif_image_release(image);
    heif_image_handle_release(handle);
    heif_context_free(context);
    return rc;
}

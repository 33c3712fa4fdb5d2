/* SPDX-License-Identifier: MIT
 *
 * The home of libpng. Format: PNG specification, third edition (W3C), which has eXIf in 11.3.4.5.
 */
#include "common/picture_codec.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h> /* Z_RLE */

static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

/* One filter and runs only: on drawings and photographs of 256 x 256 that is both smaller and
 * faster than zlib's searching levels up to 3 with any choice of filters (docs/decisions/0002). */
enum { IDAT_BYTES = 65536 };

bool picture_png_matches(const uint8_t *data, size_t size)
{
    return size >= sizeof signature && memcmp(data, signature, sizeof signature) == 0;
}

static uint32_t read_u32(const uint8_t *data)
{
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

struct chunk {
    const uint8_t *type, *body;
    uint32_t length;
};

/* The chunk at *at, and *at behind it. */
static int next_chunk(const uint8_t *data, size_t size, size_t *at, struct chunk *out,
                      struct err *err)
{
    /* Length, type and checksum. */
    if (size - *at < 12 || read_u32(data + *at) > size - *at - 12)
        return err_set(err, ERR_CORRUPT, "input", "the PNG is cut off after %zu bytes", size);
    *out = (struct chunk){data + *at + 4, data + *at + 8, read_u32(data + *at)};
    *at += 12 + (size_t)out->length;
    return 0;
}

int picture_png_read_header(const uint8_t *data, size_t size, struct picture_header *out_header,
                            struct err *err)
{
    struct picture_header header = {.orientation = 1};
    struct chunk chunk = {0};
    bool has_pixels = false;
    for (size_t at = sizeof signature;;) {
        bool first = at == sizeof signature;
        int rc = next_chunk(data, size, &at, &chunk, err);
        if (rc < 0)
            return rc;
        if (first) {
            if (memcmp(chunk.type, "IHDR", 4) || chunk.length != 13)
                return err_set(err, ERR_CORRUPT, "input", "the PNG does not begin with its header");
            header.width = read_u32(chunk.body);
            header.height = read_u32(chunk.body + 4);
        }
        if (memcmp(chunk.type, "IEND", 4) == 0)
            break;
        if (memcmp(chunk.type, "IDAT", 4) == 0)
            has_pixels = true;
        else if (memcmp(chunk.type, "eXIf", 4) == 0 && header.orientation == 1)
            header.orientation = picture_exif_orientation(chunk.body, chunk.length);
    }
    if (!has_pixels)
        return err_set(err, ERR_CORRUPT, "input", "the PNG holds no pixels");
    *out_header = header;
    return 0;
}

static const char xmp_keyword[] = "XML:com.adobe.xmp";

/* An iTXt chunk: keyword, 0, compressed?, method, language, 0, translated keyword, 0, text. */
static bool read_xmp(const struct chunk *chunk, struct picture_xmp *out_xmp)
{
    const uint8_t *at = chunk->body, *end = at + chunk->length;
    if (memcmp(chunk->type, "iTXt", 4) || chunk->length < sizeof xmp_keyword + 2 ||
        memcmp(at, xmp_keyword, sizeof xmp_keyword))
        return false;
    at += sizeof xmp_keyword;
    if (at[0] != 0) /* compressed: not unpacked, as a bomb may be inside */
        return false;
    at += 2;
    for (int text = 0; text < 2; text++) {
        at = memchr(at, 0, (size_t)(end - at));
        if (!at)
            return false;
        at++;
    }
    *out_xmp = (struct picture_xmp){at, (size_t)(end - at)};
    return true;
}

int picture_png_find_xmp(const uint8_t *data, size_t size, struct picture_xmp *out_xmp,
                         struct err *err)
{
    struct chunk chunk = {0};
    for (size_t at = sizeof signature;;) {
        int rc = next_chunk(data, size, &at, &chunk, err);
        if (rc < 0)
            return rc;
        if (read_xmp(&chunk, out_xmp))
            return 0;
        if (memcmp(chunk.type, "IEND", 4) == 0)
            return ERR_NOT_FOUND;
    }
}

/* libpng leaves by longjmp, after which locals are undefined: whatever must survive is in here. */
struct reader {
    const uint8_t *data;
    size_t size, at;
    struct picture *picture;
    png_bytep *rows; /* owned */
    png_structp png;
    png_infop info;
    struct err *err;
    int code;
    bool out_of_memory;
};

static void fail(png_structp png, png_const_charp text)
{
    struct reader *reader = png_get_error_ptr(png);
    if (reader->out_of_memory)
        reader->code = err_set(reader->err, ERR_NOMEM, "input", "no memory to decode a PNG");
    else
        reader->code = err_set(reader->err, ERR_CORRUPT, "input", "the PNG is damaged: %s", text);
    png_longjmp(png, 1);
}

/* libpng tells a lack of memory only in words, and zlib's as bad data; but the one is worth a
 * retry and the other is not. */
static png_voidp allocate(png_structp png, png_alloc_size_t size)
{
    struct reader *reader = png_get_mem_ptr(png);
    void *memory = malloc(size);
    reader->out_of_memory |= !memory;
    return memory;
}

static void release(png_structp png, png_voidp memory)
{
    free(memory);
}

static void ignore_warning(png_structp png, png_const_charp text)
{
}

static void read_bytes(png_structp png, png_bytep out, size_t count)
{
    struct reader *reader = png_get_io_ptr(png);
    if (count > reader->size - reader->at)
        png_error(png, "cut off");
    memcpy(out, reader->data + reader->at, count);
    reader->at += count;
}

/* Everything becomes 8-bit RGB or RGBA. */
static void choose_transforms(png_structp png)
{
    png_set_expand(png); /* palettes, fewer than 8 bits, tRNS */
    png_set_scale_16(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
}

static int read_guarded(struct reader *reader)
{
    if (setjmp(png_jmpbuf(reader->png)))
        return reader->code;
    png_structp png = reader->png;
    struct picture *picture = reader->picture;
    /* Text, profiles and the rest of the ancillary chunks, compressed ones among them, are skipped
     * unread: they are where decompression bombs hide. */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_user_limits(png, PICTURE_MAX_SIDE, PICTURE_MAX_SIDE);
    png_set_read_fn(png, reader, read_bytes);
    png_read_info(png, reader->info);
    choose_transforms(png);
    png_read_update_info(png, reader->info);
    size_t stride = png_get_rowbytes(png, reader->info);
    size_t channels = png_get_channels(png, reader->info);
    if (png_get_image_width(png, reader->info) != (png_uint_32)picture->width ||
        png_get_image_height(png, reader->info) != (png_uint_32)picture->height ||
        (channels != 3 && channels != 4) || stride != (size_t)picture->width * channels)
        png_error(png, "contradictory header");
    for (int y = 0; y < picture->height; y++)
        reader->rows[y] = picture->pixels + (size_t)y * stride;
    png_read_image(png, reader->rows);
    png_read_end(png, NULL);
    if (channels == 4)
        picture_composite_white(picture->pixels, (size_t)picture->width * (size_t)picture->height);
    return 0;
}

int picture_png_decode(const uint8_t *data, size_t size, struct picture *picture, struct err *err)
{
    struct reader reader = {.data = data, .size = size, .picture = picture, .err = err};
    int rc = ERR_NOMEM;
    reader.rows = malloc((size_t)picture->height * sizeof *reader.rows);
    reader.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &reader, fail, ignore_warning,
                                          &reader, allocate, release);
    reader.info = reader.png ? png_create_info_struct(reader.png) : NULL;
    if (reader.rows && reader.info)
        rc = read_guarded(&reader);
    else
        err_set(err, rc, "input", "no memory to decode a PNG");
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    free(reader.rows);
    return rc;
}

struct writer {
    const struct picture *picture;
    const struct picture_tags *tags;
    struct buf *out;
    png_structp png;
    png_infop info;
    int code;
};

static void fail_writing(png_structp png, png_const_charp text)
{
    struct writer *writer = png_get_error_ptr(png);
    if (writer->code == 0)
        writer->code = ERR_NOMEM; /* all that is left to go wrong inside libpng here */
    png_longjmp(png, 1);
}

static void write_bytes(png_structp png, png_bytep data, size_t size)
{
    struct writer *writer = png_get_io_ptr(png);
    writer->code = buf_append(writer->out, data, size);
    if (writer->code < 0)
        png_error(png, "");
}

static void flush_nothing(png_structp png)
{
}

/* The keywords "Software" and "Creation Time" are the specification's (11.3.3.2). */
static void set_texts(struct writer *writer)
{
    const struct picture_metadata *metadata = writer->tags->metadata;
    char tool[PICTURE_VERSION_SIZE + 16], created[CLOCK_ISO_SIZE] = "", seed[BUF_INT_SIZE + 1] = "";
    snprintf(tool, sizeof tool, "Darkroom %s", metadata->version);
    if (metadata->created_ms)
        clock_iso(metadata->created_ms, created);
    if (metadata->has_seed)
        seed[buf_int_text(metadata->seed, seed)] = 0;
    const struct {
        const char *keyword, *value;
    } rows[] = {
        {"Software", tool},
        {"Creation Time", created},
        {"Darkroom Model", metadata->model},
        {"Darkroom Weights", metadata->weights_sha256},
        {"Darkroom Seed", seed},
        {"Darkroom Parameters", metadata->params ? metadata->params : ""},
        {xmp_keyword, writer->tags->xmp},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool is_xmp = rows[i].keyword == xmp_keyword;
        /* libpng copies both, and its struct has no const. */
        png_text said = {0};
        said.compression = is_xmp ? PNG_ITXT_COMPRESSION_NONE : PNG_TEXT_COMPRESSION_NONE;
        said.key = (png_charp)rows[i].keyword;
        said.text = (png_charp)rows[i].value;
        said.text_length = is_xmp ? 0 : strlen(rows[i].value);
        said.itxt_length = is_xmp ? writer->tags->xmp_size : 0;
        if (rows[i].value[0])
            png_set_text(writer->png, writer->info, &said, 1);
    }
}

static int write_guarded(struct writer *writer)
{
    if (setjmp(png_jmpbuf(writer->png)))
        return writer->code;
    png_structp png = writer->png;
    const struct picture *picture = writer->picture;
    png_set_write_fn(png, writer, write_bytes, flush_nothing);
    png_set_compression_level(png, 1);
    png_set_compression_strategy(png, Z_RLE);
    png_set_compression_buffer_size(png, IDAT_BYTES);
    png_set_filter(png, 0, PNG_FILTER_PAETH);
    png_set_IHDR(png, writer->info, (png_uint_32)picture->width, (png_uint_32)picture->height, 8,
                 PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_sRGB(png, writer->info, PNG_sRGB_INTENT_PERCEPTUAL);
    if (writer->tags->metadata)
        set_texts(writer);
    png_write_info(png, writer->info);
    for (int y = 0; y < picture->height; y++)
        png_write_row(png, picture->pixels + (size_t)y * (size_t)picture->width * 3);
    png_write_end(png, NULL);
    return 0;
}

int picture_png_encode(const struct picture *picture, int quality, const struct picture_tags *tags,
                       struct buf *out, struct err *err)
{
    struct writer writer = {.picture = picture, .tags = tags, .out = out};
    size_t before = out->size;
    int rc = ERR_NOMEM;
    writer.png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, &writer, fail_writing, ignore_warning);
    writer.info = writer.png ? png_create_info_struct(writer.png) : NULL;
    if (writer.info)
        rc = write_guarded(&writer);
    png_destroy_write_struct(&writer.png, &writer.info);
    if (rc == ERR_LIMIT)
        return err_set(err, rc, NULL, "the PNG is larger than %zu bytes", out->max_size - before);
    if (rc < 0)
        return err_set(err, rc, NULL, "no memory to encode a PNG");
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * The home of libjpeg(-turbo). Format: ITU-T T.81, with JFIF's and Adobe's application markers. */
#include "common/picture_codec.h"

#include "common/buf.h"
#include "common/err.h"

#include <assert.h>
#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs it */
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* A progressive file may hold any number of scans, each over the whole picture; encoders use 10 or
 * so, the most thorough optimiser some dozens. */
enum { MAX_SCANS = 64, OUTPUT_CHUNK = 16384 };

enum marker {
    MARKER_SOF0 = 0xc0,
    MARKER_SOF1 = 0xc1,
    MARKER_SOF2 = 0xc2,
    MARKER_DHT = 0xc4,
    MARKER_JPG = 0xc8,
    MARKER_SOF9 = 0xc9,
    MARKER_SOF10 = 0xca,
    MARKER_DAC = 0xcc,
    MARKER_SOF15 = 0xcf,
    MARKER_RST0 = 0xd0,
    MARKER_SOI = 0xd8,
    MARKER_EOI = 0xd9,
    MARKER_SOS = 0xda,
    MARKER_APP1 = 0xe1,
    MARKER_TEM = 0x01
};

bool picture_jpeg_matches(const uint8_t *data, size_t size)
{
    return size >= 3 && data[0] == 0xff && data[1] == MARKER_SOI && data[2] == 0xff;
}

static int cut_off(size_t size, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "input", "the JPEG is cut off after %zu bytes", size);
}

static int read_frame(int marker, const uint8_t *body, size_t length, struct picture_header *header,
                      struct err *err)
{
    bool known = marker == MARKER_SOF0 || marker == MARKER_SOF1 || marker == MARKER_SOF2 ||
                 marker == MARKER_SOF9 || marker == MARKER_SOF10;
    if (length < 6)
        return err_set(err, ERR_CORRUPT, "input", "the JPEG's frame header is too short");
    if (!known || body[0] != 8)
        return err_set(err, ERR_UNSUPPORTED, "input",
                       "a JPEG of this kind (process %d, %d bits) is not taken", marker & 15,
                       body[0]);
    header->height = body[1] << 8 | body[2];
    header->width = body[3] << 8 | body[4];
    return 0;
}

static bool is_frame(int marker)
{
    return marker >= MARKER_SOF0 && marker <= MARKER_SOF15 && marker != MARKER_DHT &&
           marker != MARKER_JPG && marker != MARKER_DAC;
}

/* Inside a scan 0xff is always stuffed, so this pair can only be the end marker. It is looked for
 * from behind, where it stands in a whole file. */
static bool has_end_marker(const uint8_t *scan, size_t size)
{
    for (size_t i = size; i >= 2; i--)
        if (scan[i - 1] == MARKER_EOI && scan[i - 2] == 0xff)
            return true;
    return false;
}

struct segment {
    int marker;
    const uint8_t *body;
    size_t length;
};

/* The next marker segment from *at on, and *at behind it. */
static int next_segment(const uint8_t *data, size_t size, size_t *at, struct segment *out,
                        struct err *err)
{
    for (;;) {
        /* Bytes between segments are skipped, as libjpeg does. */
        while (*at < size && data[*at] != 0xff)
            (*at)++;
        while (*at < size && data[*at] == 0xff)
            (*at)++;
        if (*at >= size)
            return cut_off(size, err);
        int marker = data[(*at)++];
        if (marker == 0 || marker == MARKER_TEM || (marker >= MARKER_RST0 && marker < MARKER_SOI))
            continue;
        if (marker == MARKER_SOI || marker == MARKER_EOI)
            return err_set(err, ERR_CORRUPT, "input", "the JPEG holds no pixels");
        if (size - *at < 2)
            return cut_off(size, err);
        size_t length = (size_t)(data[*at] << 8 | data[*at + 1]);
        if (length < 2)
            return err_set(err, ERR_CORRUPT, "input", "the JPEG has a segment without length");
        if (length > size - *at)
            return cut_off(size, err);
        *out = (struct segment){marker, data + *at + 2, length - 2};
        *at += length;
        return 0;
    }
}

static bool begins_with(const struct segment *segment, int marker, const char *head, size_t size)
{
    return segment->marker == marker && segment->length > size &&
           !memcmp(segment->body, head, size);
}

/* Walks the marker segments up to the first scan. */
int picture_jpeg_read_header(const uint8_t *data, size_t size, struct picture_header *out_header,
                             struct err *err)
{
    struct picture_header header = {.orientation = 1};
    struct segment segment;
    for (size_t at = 2;;) {
        int rc = next_segment(data, size, &at, &segment, err);
        if (rc < 0)
            return rc;
        if (segment.marker == MARKER_SOS) {
            if (!has_end_marker(data + at, size - at))
                return cut_off(size, err);
            break;
        }
        if (begins_with(&segment, MARKER_APP1, "Exif\0", 6) && header.orientation == 1)
            header.orientation = picture_exif_orientation(segment.body + 6, segment.length - 6);
        if (is_frame(segment.marker))
            rc = read_frame(segment.marker, segment.body, segment.length, &header, err);
        if (rc < 0)
            return rc;
    }
    if (header.width == 0)
        return err_set(err, ERR_CORRUPT, "input", "the JPEG's header gives no size");
    *out_header = header;
    return 0;
}

/* Adobe XMP Specification Part 3, 1.1.3; what is longer than a segment holds is not read. */
static const char xmp_head[] = "http://ns.adobe.com/xap/1.0/";

int picture_jpeg_find_xmp(const uint8_t *data, size_t size, struct picture_xmp *out_xmp,
                          struct err *err)
{
    struct segment segment;
    for (size_t at = 2;;) {
        int rc = next_segment(data, size, &at, &segment, err);
        if (rc < 0)
            return rc;
        if (segment.marker == MARKER_SOS)
            return ERR_NOT_FOUND;
        if (begins_with(&segment, MARKER_APP1, xmp_head, sizeof xmp_head)) {
            *out_xmp = (struct picture_xmp){segment.body + sizeof xmp_head,
                                            segment.length - sizeof xmp_head};
            return 0;
        }
    }
}

/* libjpeg leaves by longjmp, after which locals are undefined: whatever must survive is in these
 * two. `manager` comes first so that cinfo->err points at the whole. */
struct guard {
    struct jpeg_error_mgr manager;
    jmp_buf escape;
    struct err *err;
    int code;
};

struct reader {
    struct guard guard;
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    const uint8_t *data;
    size_t size;
    struct picture *picture;
    uint8_t *row; /* owned; one line of CMYK */
};

static int code_for(int message)
{
    switch (message) {
    case JERR_OUT_OF_MEMORY: return ERR_NOMEM;
    case JERR_CONVERSION_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED: return ERR_UNSUPPORTED;
    default: return ERR_CORRUPT;
    }
}

static void give_up(struct guard *guard, int code, const char *text)
{
    guard->code = err_set(guard->err, code, "input", "%s", text);
    longjmp(guard->escape, 1);
}

static void leave(j_common_ptr jpeg)
{
    struct guard *guard = (struct guard *)jpeg->err;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    guard->code = err_set(guard->err, code_for(jpeg->err->msg_code), "input",
                          "the JPEG is damaged: %.150s", text);
    longjmp(guard->escape, 1);
}

/* Trace messages and oddities pass; where libjpeg would go on with invented pixels we stop. */
static void judge_message(j_common_ptr jpeg, int level)
{
    if (level >= 0)
        return;
    switch (jpeg->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC: leave(jpeg); break;
    default: break;
    }
}

static void stay_silent(j_common_ptr jpeg)
{
}

static void guard_init(struct guard *guard, struct err *err)
{
    jpeg_std_error(&guard->manager);
    guard->manager.error_exit = leave;
    guard->manager.emit_message = judge_message;
    guard->manager.output_message = stay_silent;
    guard->err = err;
}

static_assert(MAX_SCANS == 64, "a text below tells the limit");

static void count_scans(j_common_ptr jpeg)
{
    struct guard *guard = (struct guard *)jpeg->err;
    if (((j_decompress_ptr)jpeg)->input_scan_number <= MAX_SCANS)
        return;
    give_up(guard, ERR_LIMIT, "the JPEG has more than 64 scans");
}

/* Adobe's programs store CMYK inverted, and say so with their marker. */
static void convert_cmyk(const uint8_t *cmyk, int width, bool inverted, uint8_t *rgb)
{
    uint8_t flip = inverted ? 0 : 255;
    for (int x = 0; x < width; x++, cmyk += 4, rgb += 3)
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)(((cmyk[c] ^ flip) * (cmyk[3] ^ flip) + 127) / 255);
}

static int read_guarded(struct reader *reader)
{
    j_decompress_ptr jpeg = &reader->jpeg;
    struct picture *picture = reader->picture;
    if (setjmp(reader->guard.escape))
        return reader->guard.code;
    jpeg_create_decompress(jpeg);
    reader->progress.progress_monitor = count_scans;
    jpeg->progress = &reader->progress;
    jpeg_mem_src(jpeg, reader->data, reader->size);
    jpeg_read_header(jpeg, TRUE);
    if (jpeg->image_width != (JDIMENSION)picture->width ||
        jpeg->image_height != (JDIMENSION)picture->height)
        give_up(&reader->guard, ERR_CORRUPT, "the JPEG's header contradicts itself");
    bool cmyk = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    jpeg->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(jpeg);
    if (cmyk)
        reader->row = malloc((size_t)picture->width * 4);
    if (cmyk && !reader->row)
        give_up(&reader->guard, ERR_NOMEM, "no memory to decode a JPEG");
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *target =
            picture->pixels + (size_t)jpeg->output_scanline * (size_t)picture->width * 3;
        JSAMPROW row = cmyk ? reader->row : target;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (cmyk)
            convert_cmyk(reader->row, picture->width, jpeg->saw_Adobe_marker, target);
    }
    jpeg_finish_decompress(jpeg);
    return 0;
}

int picture_jpeg_decode(const uint8_t *data, size_t size, struct picture *picture, struct err *err)
{
    struct reader reader = {.data = data, .size = size, .picture = picture};
    guard_init(&reader.guard, err);
    reader.jpeg.err = &reader.guard.manager;
    int rc = read_guarded(&reader);
    jpeg_destroy_decompress(&reader.jpeg);
    free(reader.row);
    return rc;
}

struct writer {
    struct guard guard;
    struct jpeg_destination_mgr destination;
    struct jpeg_compress_struct jpeg;
    const struct picture *picture;
    const struct picture_tags *tags;
    struct buf *out;
    uint8_t chunk[OUTPUT_CHUNK];
};

static void reset_chunk(j_compress_ptr jpeg)
{
    struct writer *writer = jpeg->client_data;
    writer->destination.next_output_byte = writer->chunk;
    writer->destination.free_in_buffer = sizeof writer->chunk;
}

static void append_chunk(struct writer *writer, size_t size)
{
    int rc = buf_append(writer->out, writer->chunk, size);
    if (rc == 0)
        return;
    writer->guard.code = err_set(writer->guard.err, rc, NULL, "the JPEG is larger than %zu bytes",
                                 writer->out->max_size);
    longjmp(writer->guard.escape, 1);
}

static boolean write_chunk(j_compress_ptr jpeg)
{
    append_chunk(jpeg->client_data, OUTPUT_CHUNK);
    reset_chunk(jpeg);
    return TRUE;
}

static void write_rest(j_compress_ptr jpeg)
{
    struct writer *writer = jpeg->client_data;
    append_chunk(writer, sizeof writer->chunk - writer->destination.free_in_buffer);
}

static_assert(PICTURE_XMP_MAX + sizeof xmp_head <= 65533, "a segment holds a packet");

static void write_xmp(j_compress_ptr jpeg, const struct picture_tags *tags)
{
    const uint8_t *packet = tags->xmp;
    jpeg_write_m_header(jpeg, MARKER_APP1, (unsigned)(sizeof xmp_head + tags->xmp_size));
    for (size_t i = 0; i < sizeof xmp_head; i++)
        jpeg_write_m_byte(jpeg, xmp_head[i]);
    for (size_t i = 0; i < tags->xmp_size; i++)
        jpeg_write_m_byte(jpeg, packet[i]);
}

static int write_guarded(struct writer *writer, int quality)
{
    j_compress_ptr jpeg = &writer->jpeg;
    const struct picture *picture = writer->picture;
    if (setjmp(writer->guard.escape))
        return writer->guard.code;
    jpeg_create_compress(jpeg);
    jpeg->client_data = writer;
    jpeg->dest = &writer->destination;
    jpeg->image_width = (JDIMENSION)picture->width;
    jpeg->image_height = (JDIMENSION)picture->height;
    jpeg->input_components = 3;
    jpeg->in_color_space = JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg_start_compress(jpeg, TRUE);
    if (writer->tags->xmp_size)
        write_xmp(jpeg, writer->tags);
    for (int y = 0; y < picture->height; y++) {
        JSAMPROW row = picture->pixels + (size_t)y * (size_t)picture->width * 3;
        jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
    return 0;
}

int picture_jpeg_encode(const struct picture *picture, int quality, const struct picture_tags *tags,
                        struct buf *out, struct err *err)
{
    struct writer writer = {.picture = picture,
                            .tags = tags,
                            .out = out,
                            .destination = {.init_destination = reset_chunk,
                                            .empty_output_buffer = write_chunk,
                                            .term_destination = write_rest}};
    guard_init(&writer.guard, err);
    writer.jpeg.err = &writer.guard.manager;
    int rc = write_guarded(&writer, quality);
    jpeg_destroy_compress(&writer.jpeg);
    return rc;
}

/* SPDX-License-Identifier: MIT */
#include "common/picture_heif_boxes.h"

#include "common/err.h"
#include "common/picture_codec.h"
#include "common/picture_hevc.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_ITEMS = 2048, /* a phone's picture of 48 megapixels has some 200 tiles */
    MAX_PROPERTIES = 1024,
    MAX_BOXES = 4096, /* side by side */
    SLACK_SIDE = 64,  /* frames are as large as their blocks, which are at most this */
};
/* ITU-T H.265, table 7-1. */
enum { NAL_VCL_LAST = 31, NAL_VPS = 32, NAL_SPS = 33, NAL_PPS = 34 };

/* ---- reading --------------------------------------------------------------------------------- */

/* Past the end it gives 0 and remembers. */
struct reader {
    const uint8_t *data;
    size_t size, at;
    bool bad;
};

static uint64_t get(struct reader *reader, size_t bytes)
{
    uint64_t value = 0;
    if (reader->size - reader->at < bytes) {
        reader->at = reader->size;
        reader->bad = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | reader->data[reader->at++];
    return value;
}

static struct reader get_part(struct reader *reader, uint64_t size)
{
    struct reader part = {0};
    if (size > reader->size - reader->at) {
        reader->bad = part.bad = true;
        reader->at = reader->size;
        return part;
    }
    if (size == 0) /* and there may be nothing to point into */
        return part;
    part.data = reader->data + reader->at;
    part.size = (size_t)size;
    reader->at += part.size;
    return part;
}

/* Four characters as one number, to switch over. */
#define KIND(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

/* The next box in `reader`. False at its end, or where the rest is no box: then reader->bad. */
static bool get_box(struct reader *reader, uint32_t *out_kind, struct reader *out_body)
{
    if (reader->at == reader->size)
        return false;
    size_t start = reader->at;
    uint64_t size = get(reader, 4);
    *out_kind = (uint32_t)get(reader, 4);
    if (size == 1)
        size = get(reader, 8);
    else if (size == 0) /* up to the end */
        size = reader->size - start;
    size_t head = reader->at - start;
    if (size < head)
        reader->bad = true;
    if (!reader->bad)
        *out_body = get_part(reader, size - head);
    return !reader->bad;
}

/* Version and flags of a "full" box. */
static unsigned get_version(struct reader *box, unsigned *out_flags)
{
    unsigned version = (unsigned)get(box, 1);
    *out_flags = (unsigned)get(box, 3);
    return version;
}

/* A still picture in HEVC names one of these brands first or among those that it is compatible
 * with; sequences and AVIF have others. */
bool picture_heif_matches(const uint8_t *data, size_t size)
{
    struct reader file = {.data = data, .size = size}, ftyp;
    uint32_t kind;
    if (!get_box(&file, &kind, &ftyp) || kind != KIND('f', 't', 'y', 'p'))
        return false;
    for (bool first = true; ftyp.at + 4 <= ftyp.size; first = false) {
        switch ((uint32_t)get(&ftyp, 4)) {
        case KIND('h', 'e', 'i', 'c'):
        case KIND('h', 'e', 'i', 'x'):
        case KIND('h', 'e', 'i', 'm'):
        case KIND('h', 'e', 'i', 's'): return true;
        default: break;
        }
        if (first)
            get(&ftyp, 4); /* the version of the first brand */
    }
    return false;
}

/* ---- what a file holds ----------------------------------------------------------------------- */

struct item {
    uint32_t id, kind;
    bool located, sized;
    uint64_t offset, length;
    unsigned method;          /* 0: in the file, 1: in `idat` */
    uint32_t width, height;   /* of its ispe */
    struct reader parameters; /* its hvcC; size 0: none */
};

struct property {
    uint32_t kind;
    struct reader body;
};

struct heif {
    struct reader file, idat;
    uint32_t primary;
    size_t item_count, property_count;
    struct item items[MAX_ITEMS];
    struct property properties[MAX_PROPERTIES];
    uint64_t coded; /* pixels, of everything */
};

static struct item *find_item(struct heif *heif, uint32_t id)
{
    for (size_t i = 0; i < heif->item_count; i++)
        if (heif->items[i].id == id)
            return &heif->items[i];
    return NULL;
}

static int corrupt(struct err *err, const char *what)
{
    return err_set(err, ERR_CORRUPT, "input", "the HEIC is damaged or cut off (%s)", what);
}

/* ---- boxes ----------------------------------------------------------------------------------- */

static int read_infe(struct heif *heif, struct reader box, struct err *err)
{
    unsigned flags, version = get_version(&box, &flags);
    if (version < 2 || version > 3)
        return err_set(err, ERR_UNSUPPORTED, "input", "a HEIC of this age is not taken");
    struct item item = {.id = (uint32_t)get(&box, version == 2 ? 2 : 4)};
    get(&box, 2); /* protection */
    item.kind = (uint32_t)get(&box, 4);
    if (box.bad || find_item(heif, item.id))
        return corrupt(err, "infe");
    if (heif->item_count == MAX_ITEMS)
        return err_set(err, ERR_LIMIT, "input", "the HEIC has more than %d parts", MAX_ITEMS);
    switch (item.kind) {
    case KIND('h', 'v', 'c', '1'):
    case KIND('g', 'r', 'i', 'd'):
    case KIND('E', 'x', 'i', 'f'):
    case KIND('m', 'i', 'm', 'e'):
    case KIND('u', 'r', 'i', ' '):
    case KIND('t', 'm', 'a', 'p'): break;
    default: /* coded by something whose sizes nobody has looked at */
        return err_set(err, ERR_UNSUPPORTED, "input",
                       "this kind of HEIC is not taken: send a JPEG, PNG or WebP");
    }
    heif->items[heif->item_count++] = item;
    return 0;
}

static int read_iinf(struct heif *heif, struct reader box, struct err *err)
{
    unsigned flags;
    uint32_t kind;
    struct reader body;
    get(&box, get_version(&box, &flags) == 0 ? 2 : 4); /* how many; we see that */
    while (get_box(&box, &kind, &body)) {
        int rc = kind == KIND('i', 'n', 'f', 'e') ? read_infe(heif, body, err) : 0;
        if (rc < 0)
            return rc;
    }
    return box.bad ? corrupt(err, "iinf") : 0;
}

struct iloc_sizes {
    size_t id, offset, length, base, index;
};

static bool plausible(size_t size)
{
    return size == 0 || size == 4 || size == 8;
}

/* One part in one piece: nothing that phones write is in more. */
static int read_location(struct heif *heif, struct reader *box, unsigned version,
                         const struct iloc_sizes *sizes, struct err *err)
{
    struct item *item = find_item(heif, (uint32_t)get(box, sizes->id));
    unsigned method = version > 0 ? (unsigned)get(box, 2) & 15 : 0;
    get(box, 2); /* which file; there is but this one */
    uint64_t base = get(box, sizes->base);
    size_t extents = (size_t)get(box, 2);
    bool first = true;
    for (size_t i = 0; i < extents && !box->bad; i++, first = false) {
        get(box, sizes->index);
        uint64_t offset = get(box, sizes->offset), length = get(box, sizes->length);
        if (!item)
            continue;
        bool one = first && extents == 1 && !item->located;
        if (!one && item->kind != KIND('E', 'x', 'i', 'f') &&
            item->kind != KIND('m', 'i', 'm', 'e'))
            return err_set(err, ERR_UNSUPPORTED, "input", "a HEIC in pieces is not taken");
        if (base > UINT32_MAX || offset > UINT32_MAX || length > UINT32_MAX)
            return corrupt(err, "iloc");
        item->located = true;
        item->method = method;
        item->offset = base + offset;
        item->length = length;
    }
    return box->bad ? corrupt(err, "iloc") : 0;
}

static int read_iloc(struct heif *heif, struct reader box, struct err *err)
{
    unsigned flags, version = get_version(&box, &flags), nibbles = (unsigned)get(&box, 2);
    struct iloc_sizes sizes = {.id = version < 2 ? 2 : 4,
                               .offset = nibbles >> 12,
                               .length = nibbles >> 8 & 15,
                               .base = nibbles >> 4 & 15,
                               .index = version > 0 ? nibbles & 15 : 0};
    if (version > 2 || !plausible(sizes.offset) || !plausible(sizes.length) ||
        !plausible(sizes.base) || !plausible(sizes.index))
        return corrupt(err, "iloc");
    size_t count = (size_t)get(&box, version < 2 ? 2 : 4);
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = read_location(heif, &box, version, &sizes, err);
    return rc;
}

static int associate(struct heif *heif, struct item *item, size_t index, struct err *err)
{
    if (index == 0) /* none */
        return 0;
    if (index > heif->property_count)
        return corrupt(err, "ipma");
    const struct property *property = &heif->properties[index - 1];
    struct reader body = property->body;
    unsigned flags;
    if (property->kind == KIND('i', 's', 'p', 'e')) {
        get_version(&body, &flags);
        uint32_t width = (uint32_t)get(&body, 4), height = (uint32_t)get(&body, 4);
        if (body.bad || item->sized)
            return corrupt(err, "ispe");
        item->sized = true;
        item->width = width;
        item->height = height;
    } else if (property->kind == KIND('h', 'v', 'c', 'C')) {
        if (item->parameters.size > 0 || body.size == 0)
            return corrupt(err, "hvcC");
        item->parameters = body;
    }
    return 0;
}

static int read_ipma(struct heif *heif, struct reader box, struct err *err)
{
    unsigned flags, version = get_version(&box, &flags);
    size_t count = (size_t)get(&box, 4);
    for (size_t i = 0; i < count && !box.bad; i++) {
        struct item *item = find_item(heif, (uint32_t)get(&box, version == 0 ? 2 : 4));
        size_t properties = (size_t)get(&box, 1);
        for (size_t p = 0; p < properties && !box.bad; p++) {
            size_t index = flags & 1 ? get(&box, 2) & 0x7fff : get(&box, 1) & 0x7f;
            int rc = item ? associate(heif, item, index, err) : 0;
            if (rc < 0)
                return rc;
        }
    }
    return box.bad ? corrupt(err, "ipma") : 0;
}

static int read_ipco(struct heif *heif, struct reader box, struct err *err)
{
    uint32_t kind;
    struct reader body;
    while (get_box(&box, &kind, &body)) {
        if (heif->property_count == MAX_PROPERTIES)
            return err_set(err, ERR_LIMIT, "input", "the HEIC has more than %d properties",
                           MAX_PROPERTIES);
        heif->properties[heif->property_count++] = (struct property){kind, body};
    }
    return box.bad ? corrupt(err, "ipco") : 0;
}

/* The one child of a kind. False where there is none or more than one. */
static bool find_box(struct reader parent, uint32_t wanted, struct reader *out)
{
    uint32_t kind;
    struct reader body;
    int found = 0;
    for (int i = 0; i < MAX_BOXES && get_box(&parent, &kind, &body); i++)
        if (kind == wanted) {
            *out = body;
            found++;
        }
    return found == 1 && !parent.bad;
}

static int read_properties(struct heif *heif, struct reader iprp, struct err *err)
{
    uint32_t kind;
    struct reader body;
    if (!find_box(iprp, KIND('i', 'p', 'c', 'o'), &body))
        return corrupt(err, "ipco");
    int rc = read_ipco(heif, body, err);
    while (rc == 0 && get_box(&iprp, &kind, &body))
        if (kind == KIND('i', 'p', 'm', 'a'))
            rc = read_ipma(heif, body, err);
    return rc;
}

static int read_meta(struct heif *heif, struct reader meta, struct err *err)
{
    unsigned flags;
    struct reader pitm, iinf, iloc, iprp;
    get_version(&meta, &flags);
    if (!find_box(meta, KIND('p', 'i', 't', 'm'), &pitm) ||
        !find_box(meta, KIND('i', 'i', 'n', 'f'), &iinf) ||
        !find_box(meta, KIND('i', 'l', 'o', 'c'), &iloc) ||
        !find_box(meta, KIND('i', 'p', 'r', 'p'), &iprp))
        return corrupt(err, "meta");
    find_box(meta, KIND('i', 'd', 'a', 't'), &heif->idat);
    heif->primary = (uint32_t)get(&pitm, get_version(&pitm, &flags) == 0 ? 2 : 4);
    if (pitm.bad)
        return corrupt(err, "pitm");
    int rc = read_iinf(heif, iinf, err);
    if (rc == 0)
        rc = read_iloc(heif, iloc, err);
    return rc == 0 ? read_properties(heif, iprp, err) : rc;
}

/* ---- what would be decoded ------------------------------------------------------------------- */

/* A frame may be larger than the picture by its last block, not more. */
static int check_frame(struct heif *heif, const struct item *item, struct reader nal,
                       struct err *err)
{
    uint32_t width = 0, height = 0;
    if (picture_hevc_frame_size(nal.data, nal.size, &width, &height) < 0)
        return corrupt(err, "SPS");
    if (width == 0 || height == 0 || width > item->width + SLACK_SIDE ||
        height > item->height + SLACK_SIDE)
        return corrupt(err, "a frame is larger than it should be");
    heif->coded += (uint64_t)width * height;
    return 0;
}

static int check_parameters(struct heif *heif, const struct item *item, size_t *out_length_size,
                            struct err *err)
{
    struct reader box = item->parameters;
    bool found = false;
    get_part(&box, 21);
    *out_length_size = (get(&box, 1) & 3) + 1;
    size_t arrays = (size_t)get(&box, 1);
    for (size_t i = 0; i < arrays && !box.bad; i++) {
        get(&box, 1);
        size_t units = (size_t)get(&box, 2);
        for (size_t u = 0; u < units && !box.bad; u++) {
            struct reader nal = get_part(&box, get(&box, 2));
            if (nal.size < 2 || nal.data[0] >> 1 != NAL_SPS)
                continue;
            int rc = check_frame(heif, item, nal, err);
            if (rc < 0)
                return rc;
            found = true;
        }
    }
    return box.bad || !found ? corrupt(err, "hvcC") : 0;
}

static int find_payload(const struct heif *heif, const struct item *item, struct reader *out,
                        struct err *err)
{
    struct reader whole = item->method == 1 ? heif->idat : heif->file;
    if (!item->located || item->method > 1 || item->offset > whole.size)
        return corrupt(err, "iloc");
    whole.at = (size_t)item->offset;
    *out = get_part(&whole, item->length ? item->length : whole.size - whole.at);
    return whole.bad || out->size == 0 ? corrupt(err, "iloc") : 0;
}

/* One frame, and no parameters that take back what hvcC said. */
static int check_coded(struct heif *heif, const struct item *item, struct err *err)
{
    struct reader payload;
    size_t length_size = 4;
    unsigned frames = 0;
    int rc = check_parameters(heif, item, &length_size, err);
    if (rc == 0)
        rc = find_payload(heif, item, &payload, err);
    while (rc == 0 && payload.at < payload.size) {
        struct reader nal = get_part(&payload, get(&payload, length_size));
        if (payload.bad || nal.size < 3)
            return corrupt(err, "mdat");
        unsigned kind = nal.data[0] >> 1 & 63;
        if (kind >= NAL_VPS && kind <= NAL_PPS)
            return err_set(err, ERR_UNSUPPORTED, "input",
                           "a HEIC with parameters beside its pixels is not taken");
        frames += kind <= NAL_VCL_LAST && nal.data[2] >> 7; /* first_slice_segment_in_pic_flag */
    }
    return rc == 0 && frames != 1 ? corrupt(err, "not one frame") : rc;
}

/* ImageGrid, 23008-12 6.6.2.3.2: it must be as large as its ispe says. */
static int check_grid(const struct heif *heif, const struct item *item, struct err *err)
{
    struct reader grid;
    int rc = find_payload(heif, item, &grid, err);
    if (rc < 0)
        return rc;
    get(&grid, 1);
    size_t field = get(&grid, 1) & 1 ? 4 : 2;
    get(&grid, 2); /* rows and columns */
    uint64_t width = get(&grid, field), height = get(&grid, field);
    if (grid.bad || width != item->width || height != item->height)
        return corrupt(err, "grid");
    return 0;
}

static int check_item(struct heif *heif, const struct item *item, struct err *err)
{
    bool coded = item->kind == KIND('h', 'v', 'c', '1');
    if (!coded && item->kind != KIND('g', 'r', 'i', 'd'))
        return 0;
    if (!item->sized || item->width == 0 || item->height == 0)
        return corrupt(err, "ispe");
    if (item->width > PICTURE_MAX_SIDE || item->height > PICTURE_MAX_SIDE)
        return err_set(err, ERR_LIMIT, "input",
                       "a part of the HEIC is %u x %u pixels; a side may have %d at most",
                       item->width, item->height, PICTURE_MAX_SIDE);
    return coded ? check_coded(heif, item, err) : check_grid(heif, item, err);
}

/* Beside the picture itself come its thumbnail, alpha and depth: never more than four of it. */
static int check_items(struct heif *heif, struct err *err)
{
    const struct item *primary = find_item(heif, heif->primary);
    int rc = 0;
    if (!primary || !primary->sized)
        return corrupt(err, "pitm");
    uint64_t most = 4 * (uint64_t)primary->width * primary->height + (UINT64_C(1) << 20);
    for (size_t i = 0; i < heif->item_count && rc == 0; i++) {
        rc = check_item(heif, &heif->items[i], err);
        if (rc == 0 && heif->coded > most)
            rc = err_set(err, ERR_LIMIT, "input", "the HEIC holds far more than its picture");
    }
    return rc;
}

int picture_heif_check_boxes(const uint8_t *data, size_t size, struct err *err)
{
    struct reader meta;
    struct heif *heif = calloc(1, sizeof *heif);
    if (!heif)
        return err_set(err, ERR_NOMEM, "input", "no memory to look at a HEIC");
    heif->file = (struct reader){.data = data, .size = size};
    int rc = find_box(heif->file, KIND('m', 'e', 't', 'a'), &meta) ? 0 : corrupt(err, "no meta");
    if (rc == 0)
        rc = read_meta(heif, meta, err);
    if (rc == 0)
        rc = check_items(heif, err);
    free(heif);
    return rc;
}

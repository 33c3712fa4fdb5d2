/* SPDX-License-Identifier: MIT
 *
 * What a picture of ours says about itself: which model made it, of which weights, with which
 * parameters, when, and that it is no photograph.
 *
 *     struct picture_metadata metadata = {.source = PICTURE_SOURCE_TRAINED};
 *     snprintf(metadata.model, sizeof metadata.model, "%s", manifest->name);
 *     rc = picture_metadata_set_params(&metadata, params, &err);
 *     rc = picture_encode(&picture, PICTURE_PNG, 0, &metadata, &out, &err);   // picture.h
 *     picture_metadata_fini(&metadata);
 *
 *     rc = picture_metadata_read(data, size, &metadata, &err);    // of any file, maybe hostile
 *
 * It lies in an XMP packet, the same in PNG, JPEG and WebP, and in PNG's text chunks besides, for
 * programs that show only those; only the packet is read back. Nothing else of a file is ever
 * carried on: encoders write what is in this struct and no more.
 * Plain values; any thread. */
#ifndef DARKROOM_COMMON_PICTURE_METADATA_H
#define DARKROOM_COMMON_PICTURE_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct json_t;

#define PICTURE_MODEL_SIZE 49    /* as a model may be called, with its terminator */
#define PICTURE_HASH_SIZE 65     /* lower-case hex */
#define PICTURE_VERSION_SIZE 33  /* [0-9A-Za-z.+-] */
#define PICTURE_PARAMS_MAX 32768 /* the parameters' text, which is ASCII only */
#define PICTURE_XMP_MAX 65000    /* one segment of a JPEG, without its head */

/* IPTC's digital source type (http://cv.iptc.org/newscodes/digitalsourcetype/). */
enum picture_source {
    PICTURE_SOURCE_UNKNOWN,   /* only ever read */
    PICTURE_SOURCE_TRAINED,   /* trainedAlgorithmicMedia: every pixel is a network's */
    PICTURE_SOURCE_COMPOSITE, /* compositeWithTrainedAlgorithmicMedia: parts of the original stay */
    PICTURE_SOURCE_ENHANCED,  /* algorithmicallyEnhanced: the original, corrected */
    PICTURE_SOURCE_COUNT
};

struct picture_metadata {
    char model[PICTURE_MODEL_SIZE];         /* "": weights that no manifest names */
    char weights_sha256[PICTURE_HASH_SIZE]; /* "": not known */
    char version[PICTURE_VERSION_SIZE];     /* Darkroom's */
    char backend[PICTURE_VERSION_SIZE];     /* "cpu-f32"; "": not known */
    enum picture_source source;
    int64_t created_ms; /* since 1970 UTC; 0: not said */
    bool has_seed;
    int64_t seed;
    char *params; /* owned: text of a JSON object, ASCII, members by name; NULL: withheld */
};

void picture_metadata_fini(struct picture_metadata *metadata); /* harmless twice */

/* Keeps `params` (a JSON object, borrowed) in its one spelling. ERR_LIMIT, ERR_NOMEM. */
int picture_metadata_set_params(struct picture_metadata *metadata, const struct json_t *params,
                                struct err *err);
/* The seed among `params`: an integer of that name. */
void picture_metadata_set_seed(struct picture_metadata *metadata, const struct json_t *params);

/* "trainedAlgorithmicMedia"; static storage; "" for the unknown. UNKNOWN for a name that is none.
 */
const char *picture_source_name(enum picture_source source);
enum picture_source picture_source_from_name(const char *name);

/* *out_metadata is owned by the caller (picture_metadata_fini). ERR_NOT_FOUND: a picture that does
 * not say that it is ours. ERR_UNSUPPORTED: no picture. ERR_CORRUPT, ERR_LIMIT: it says so, but
 * what it says is cut off or nonsense. The field is "input". What is read is a claim of whoever
 * wrote the file, no proof. */
int picture_metadata_read(const void *data, size_t size, struct picture_metadata *out_metadata,
                          struct err *err);

/* The same as an object for programs: {"model", "weights_sha256", "version", "backend",
 * "digital_source_type", "created_at", "seed", "params"}, what is not known left out. Owned by the
 * caller; NULL when memory ran out. */
struct json_t *picture_metadata_json(const struct picture_metadata *metadata);

/* Appends the XMP packet (ISO 16684-1). ERR_LIMIT past PICTURE_XMP_MAX, ERR_NOMEM. */
int picture_metadata_format_xmp(const struct picture_metadata *metadata, struct buf *out,
                                struct err *err);
/* Reads one; as picture_metadata_read(). */
int picture_metadata_parse_xmp(const void *data, size_t size, struct picture_metadata *out_metadata,
                               struct err *err);

#endif

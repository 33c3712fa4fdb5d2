/* SPDX-License-Identifier: MIT
 *
 * Models are data: models/<name>.json says what a model takes, gives and needs.
 *
 *     struct manifest_set models = {0};
 *     rc = manifest_set_load("models", &models, &err);
 *     const struct manifest *model = manifest_set_find(&models, "portrait-drawing");
 *     json_t *params = NULL;
 *     rc = manifest_check_params(model, params_of_the_request, &params, &err);  // defaults filled
 *     rc = picture_probe(data, size, &model->limits, &info, &err);
 *     manifest_set_fini(&models);
 *
 * A manifest is checked strictly when it is loaded: unknown members, missing limits and defaults
 * that break their own schema are refused. Written once at start, then read-only: any thread may
 * read it, and nobody takes or drops references to `params` and `view`.
 *
 *     {"name": "portrait-drawing", "title": "…", "description": "…",
 *      "architecture": "ugatit", "variant": "pytorch",
 *      "weights": {"file": "portrait-drawing.safetensors", "sha256": "…"},     manifest_weights.h
 *      "input": {"kind": "image", "max_bytes": 20971520, "max_megapixels": 50, "max_side": 16384,
 *                "size": 256, "aspect": [1, 1], "resize": "antialias"},
 *      "params": {"type": "object", "properties": {}},                            see params.h
 *      "output": {"kind": "image", "content_type": "image/png", "rounding": "round"},
 *      "batch": {"max": 8}, "cost_ms": 400, "max_attempts": 3, "timeout_ms": 60000,
 *      "self_test": {"grid": "…", "small": "…", "tolerance": 0.02},
 *      "license": "…", "training": "…",
 *      "translations": {"nl": {"title": "…"}}}                            see manifest_texts.h
 *
 * weights.sha256, input.max_side, input.aspect, input.resize, output.rounding, self_test and
 * translations may be left out. */
#ifndef DARKROOM_COMMON_MANIFEST_H
#define DARKROOM_COMMON_MANIFEST_H

#include "common/json.h"
#include "common/picture.h"
#include "common/picture_metadata.h"

#define MANIFEST_MAX_NAME 48 /* as long as the queue lets a model be called */
#define MANIFEST_GRID 8      /* rows and columns of self_test */

struct manifest {
    char name[MANIFEST_MAX_NAME + 1]; /* [a-z0-9-]{1,48}, equal to the file's name */
    /* The texts are borrowed from `document`. */
    const char *title;
    const char *architecture;        /* "ugatit" */
    const char *variant;             /* "pytorch" */
    const char *weights_sha256;      /* 64 hex digits; NULL where the manifest gives none */
    const char *weights_part;        /* "genB2A"; NULL: the generator that the file is for */
    const char *output_content_type; /* "image/png" */
    const char *weights_url;         /* where the file may be fetched; NULL: nowhere */
    char *weights_path;              /* owned: the manifest's folder and the file in it; NULL: only
                                        the URL is named */
    bool no_smoothing;               /* U-GAT-IT that TensorFlow trained without it */
    bool has_input;                  /* false: a job brings only parameters */
    struct picture_limits limits;    /* what the input may be at most */
    int size;                        /* the square side that the network takes; 0: no input */
    const char *resize;              /* "antialias" or "bilinear"; NULL: as the original does */
    const char *rounding;            /* "round" or "truncate"; NULL: as the original does */
    int aspect_width, aspect_height; /* of what people are asked to choose; 1, 1: a square */
    int batch_max;                   /* the most jobs in one run */
    int max_attempts;
    int64_t cost_ms;             /* of one job on a usual worker, for estimates */
    int64_t timeout_ms;          /* for one attempt */
    int64_t deadline_ms;         /* after it is due, a job that has not ended fails; 0: never */
    int64_t past_due_ms;         /* see struct queue_model; 0: the default */
    enum picture_source source;  /* what results say that they are */
    bool withhold_params;        /* results do not name the parameters */
    bool keep_crop;              /* the picture as the network saw it stays with its result */
    bool no_winograd;            /* on a CPU: convolutions slower, in a quarter of the memory */
    bool heat_map;               /* results come with a picture of where the network looked */
    const char *self_test;       /* base64: what the network makes of a known input (self_test.h);
                                    NULL: nobody has recorded it */
    const char *self_test_small; /* the same at SELF_TEST_SMALL_SIZE; NULL: not recorded */
    double self_test_tolerance;  /* by how much it may be missed */
    int64_t input_s, result_s;   /* kept after the job's end; 0: not at all, the default */
    int64_t backoff_ms, backoff_max_ms; /* between attempts: the first wait, and the longest */
    json_t *params;   /* JSON Schema of the parameters; borrowed from `document` */
    json_t *document; /* owned */
    json_t *view;     /* owned: the public part, an item of GET /v1/models */
};

/* Sorted by name. */
struct manifest_set {
    struct manifest *items; /* owned */
    size_t count;
};

/* True for [a-z0-9-]{1,48}. */
bool manifest_name_is_valid(const char *name);

/* Reads one file, whose name must be <name>.json. *out_manifest is owned by the caller
 * (manifest_fini). Errors name the file and the member. */
int manifest_load(const char *path, struct manifest *out_manifest, struct err *err);

/* The same from memory; `folder` is where weights are looked for. */
int manifest_parse(const void *data, size_t size, const char *folder, struct manifest *out_manifest,
                   struct err *err);
void manifest_fini(struct manifest *manifest);

/* The weights' own sha256, compared with the manifest's where it gives one; reads the whole file.
 * ERR_NOT_FOUND, ERR_IO, ERR_CHECKSUM with the field "weights.sha256". */
int manifest_check_weights(const struct manifest *manifest, char out_sha256[PICTURE_HASH_SIZE],
                           struct err *err);
/* The sha256 of a file of weights that no manifest names; of a TensorFlow checkpoint, named by its
 * prefix or its index, that of its files one after the other in the order of their names. */
int manifest_hash_weights(const char *path, char out_sha256[PICTURE_HASH_SIZE], struct err *err);

/* Every *.json of a folder; one bad manifest fails the whole set. An empty folder is no error. */
int manifest_set_load(const char *folder, struct manifest_set *out_set, struct err *err);
void manifest_set_fini(struct manifest_set *set);

/* NULL if there is none. Borrowed from the set. */
const struct manifest *manifest_set_find(const struct manifest_set *set, const char *name);

/* Checks a request's parameters (NULL: none given) against the schema and fills in defaults.
 * *out_params is owned by the caller. ERR_INVALID or ERR_LIMIT with the field "params.<name>". */
int manifest_check_params(const struct manifest *manifest, const json_t *params,
                          json_t **out_params, struct err *err);

#endif

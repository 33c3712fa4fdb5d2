/* SPDX-License-Identifier: MIT
 *
 * Every architecture that the engine knows: the one place where a network's name leads to code.
 *
 *     struct architecture_found found;
 *     const struct architecture *a;
 *     rc = architectures_recognise(weights, NULL, &a, &found, &part, &err);  // a->name, found.kind
 *     if (a->view)
 *         rc = a->view(part, &found, &view, &err);              // names as build() wants them
 *     rc = a->build(view ? view : part, &found, size, &network, &err);
 *     struct pixels_format format = a->format(found.variant);
 *
 * A new network is a file in gpu/models and a row in architectures.c. Immutable; any thread. */
#ifndef DARKROOM_GPU_MODELS_ARCHITECTURES_H
#define DARKROOM_GPU_MODELS_ARCHITECTURES_H

#include "gpu/model.h"

struct err;
struct network;
struct tensor;
struct weights;

/* What the tensors say. */
struct architecture_found {
    const char *kind;    /* "light", "full", "x4" …; static storage */
    const char *variant; /* "pytorch" or "tensorflow"; static storage */
    int channels;        /* of the first layer */
    int blocks;          /* residual blocks, where their number is free */
    int size;            /* side of the only picture that fits; 0: any */
    /* Not from the tensors, for view(): U-GAT-IT of TensorFlow with rho as it was trained. */
    bool no_smoothing;
};

/* A view that changes tensors says how many trained values it was made of, as this attribute. */
#define ARCHITECTURE_PARAMETERS "parameters"

struct architecture {
    const char *name; /* as in a manifest */
    enum model_input input;
    int default_size; /* side of the picture where nobody asks for another; 0: it has no choice */
    int scale;        /* of the output's side to the input's */
    /* Where its own files keep the generator when it is not at the top: prefixes of names, in the
     * order in which they are tried, NULL behind the last. NULL: always at the top. */
    const char *const *parts;
    /* ERR_NOT_FOUND without a text: these are not this architecture's tensors. ERR_CORRUPT names
     * the tensor that contradicts the others. */
    int (*recognise)(const struct weights *weights, struct architecture_found *out_found,
                     struct err *err);
    /* The generator alone, under the names and in the layout that build() reads: a view of
     * `weights` (gpu/weights/table.h), owned by the caller. NULL: they are so already. */
    int (*view)(const struct weights *weights, const struct architecture_found *found,
                struct weights **out_view, struct err *err);
    /* `weights`: the view, where there is one; `size`: side of the input. The network borrows from
     * `weights`. ERR_CORRUPT names the tensor and both shapes; ERR_INVALID for a size that does not
     * fit. */
    int (*build)(const struct weights *weights, const struct architecture_found *found, int size,
                 struct network *out_network, struct err *err);
    /* Between pictures and tensors, as the original of this variant does it. */
    struct pixels_format (*format)(const char *variant);
};

/* For a recognise(): the first layer's kernel has rank 4 and, as dim[axis], 1 to `most` channels.
 * ERR_CORRUPT with both shapes, `wanted` being "Cx3x7x7" or so. */
int architecture_check_first(const char *name, const struct tensor *tensor, int axis, int64_t most,
                             const char *wanted, struct err *err);

/* NULL where there is none of this name. */
const struct architecture *architectures_find(const char *name);

/* "ugatit, cgan": for messages. */
const char *architectures_names(void);

/* Finds the generator in a file: below `part` ("genB2A", "generator_A"), or, where that is NULL, at
 * the top or below the first of an architecture's parts that is there. *out_part: the tensors that
 * recognise() knew, owned by the caller, not to outlive `weights`. ERR_NOT_FOUND where there is no
 * such part, ERR_UNSUPPORTED where the tensors are of no architecture that is known here; else as
 * its recognise(). */
int architectures_recognise(const struct weights *weights, const char *part,
                            const struct architecture **out, struct architecture_found *out_found,
                            struct weights **out_part, struct err *err);

#endif

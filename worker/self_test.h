/* SPDX-License-Identifier: MIT
 *
 * Whether a loaded model draws what it should, before it gets a job.
 *
 *     rc = self_test_run_small(model, &options, manifest, &report, &err);   // in some tens of ms
 *     rc = self_test_run(model, &options, manifest, batch, &report, &err);  // at the model's size
 *     rc = self_test_measure(model, batch, &grid, &err); self_test_write(&grid, text);
 *
 * The network runs twice on a picture made here: alone, and in all places of a batch (or alone
 * again). Both runs are equal to the bit, as model.h promises, or the device is broken. Then every
 * value must be finite, and the means over a grid of 8 x 8 parts of each plane are compared with
 * those of the manifest, which a kind of machine or a precision moves by little and a wrong network
 * by much: what misses them is the model's fault, unless the device fails model_check_device() as
 * well. A manifest without a grid says nothing of what its model should draw, so only the device is
 * judged. The first run also pays for whatever a first run pays for.
 *
 * The small test asks the same of the same weights and kernels with a picture of 64 x 64: what is
 * wrong with a device or a model shows there as well, sixteen times cheaper. It does not run the
 * plan that jobs use. So a worker says by it that it is ready, and nothing of a job enters the
 * network before the other one.
 *
 * Pure functions but for the model; any thread. */
#ifndef DARKROOM_WORKER_SELF_TEST_H
#define DARKROOM_WORKER_SELF_TEST_H

#include "common/manifest.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct model;
struct model_options;

#define SELF_TEST_PLANES 3
#define SELF_TEST_CELLS (MANIFEST_GRID * MANIFEST_GRID)
#define SELF_TEST_TOLERANCE 0.02 /* of values from -1 to 1: a hundredth of the range */
#define SELF_TEST_TEXT 520       /* of a grid, with its zero */
#define SELF_TEST_SMALL_SIZE 64  /* pixels: the side of the small test's picture */

/* Means of the output, plane by plane, row by row. */
struct self_test_grid {
    int planes; /* 1 or 3 */
    float means[SELF_TEST_PLANES * SELF_TEST_CELLS];
};

struct self_test_report {
    bool compared; /* false: the manifest has no grid */
    bool finite;   /* false, and not compared: a layer gave NaN or infinity */
    double worst;  /* the greatest difference from it */
    int64_t us;    /* both runs */
};

/* Runs the model and checks it against itself. ERR_DEVICE (two runs differ), ERR_SELF_TEST (not
 * finite, twice), ERR_NOMEM, or as model_run(). */
int self_test_measure(struct model *model, int batch, struct self_test_grid *out_grid,
                      struct err *err);

/* The same with a small picture. ERR_UNSUPPORTED where the network takes no other size, or where
 * that would not be much smaller than its own. */
int self_test_measure_small(struct model *model, struct self_test_grid *out_grid, struct err *err);

/* All of it; `manifest` may be NULL. ERR_SELF_TEST and ERR_DEVICE name the model, the device and
 * what is worst. */
int self_test_run(struct model *model, const struct model_options *options,
                  const struct manifest *manifest, int batch, struct self_test_report *out_report,
                  struct err *err);

/* ERR_UNSUPPORTED also where the manifest has a grid for the model's size and none for this. */
int self_test_run_small(struct model *model, const struct model_options *options,
                        const struct manifest *manifest, struct self_test_report *out_report,
                        struct err *err);

/* As it stands in a manifest: base64 of 16-bit integers, little endian, in 4096ths. */
void self_test_write(const struct self_test_grid *grid, char out_text[SELF_TEST_TEXT]);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Between 8-bit RGB pictures (HWC) and the networks' floats (CHW), as each network's original
 * does it.
 *
 *     struct pixels_format format = pixels_format_default();   // or model_info(model)->format
 *     pixels_to_tensor(rgb, 256, 256, &format, chw);
 *     pixels_from_tensor(chw, 256, 256, &format, rgb);
 *
 * Pure functions; any thread. All pointers are borrowed. */
#ifndef DARKROOM_GPU_PIXELS_H
#define DARKROOM_GPU_PIXELS_H

#include "common/picture.h"

#include <stdbool.h>

/* How a value between two bytes becomes one. */
enum pixels_rounding {
    PIXELS_ROUND,   /* to the nearest, halves to even: PyTorch's tests write floats through cv2 */
    PIXELS_TRUNCATE /* towards zero: numpy's and TensorFlow's astype(uint8) */
};

/* A byte v stands for the value x where v = x * scale + shift, on either side of a network. */
struct pixels_format {
    enum picture_filter resize; /* how a picture gets the network's size */
    bool bgr;                   /* the network's planes are blue, green, red */
    float in_scale, in_shift;
    float out_scale, out_shift;
    enum pixels_rounding rounding;
};

/* RGB in [-1,1] on both sides, antialiased and rounded: what most generators have. */
struct pixels_format pixels_format_default(void);

/* `rgb` [H][W][3] to `out_chw` [3][H][W]. */
void pixels_to_tensor(const unsigned char *rgb, int width, int height,
                      const struct pixels_format *format, float *out_chw);

/* The inverse; what lies outside 0 to 255 saturates, NaN gives 0. */
void pixels_from_tensor(const float *chw, int width, int height, const struct pixels_format *format,
                        unsigned char *out_rgb);

#endif

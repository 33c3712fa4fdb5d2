/* SPDX-License-Identifier: MIT
 *
 * Between 8-bit RGB pictures (HWC) and the networks' floats (CHW in [-1,1]).
 *
 *     pixels_to_tensor(rgb, 256, 256, chw);
 *     pixels_from_tensor(chw, 256, 256, PIXELS_ROUND, rgb);
 *
 * Pure functions; any thread. All pointers are borrowed. */
#ifndef DARKROOM_GPU_PIXELS_H
#define DARKROOM_GPU_PIXELS_H

/* How a float becomes a byte. */
enum pixels_rounding {
    PIXELS_ROUND,   /* (x*0.5+0.5)*255, half to even: PyTorch's test writes floats through cv2 */
    PIXELS_TRUNCATE /* trunc((x+1)/2*255): TensorFlow's astype(uint8) */
};

/* `rgb` [H][W][3] to `out_chw` [3][H][W]: v/127.5 - 1, as ToTensor and Normalize(0.5, 0.5). */
void pixels_to_tensor(const unsigned char *rgb, int width, int height, float *out_chw);

/* The inverse; values outside [-1,1] saturate, NaN gives 0. */
void pixels_from_tensor(const float *chw, int width, int height, enum pixels_rounding rounding,
                        unsigned char *out_rgb);

#endif

/* SPDX-License-Identifier: MIT */
#include "gpu/pixels.h"

#include <math.h>
#include <stddef.h>

void pixels_to_tensor(const unsigned char *rgb, int width, int height, float *out_chw)
{
    size_t plane = (size_t)width * (size_t)height;
    /* v/255 and then (v - 0.5)/0.5, in this order and in float, as torchvision does it. */
    float table[256];
    for (int v = 0; v < 256; v++)
        table[v] = ((float)v / 255.0f - 0.5f) / 0.5f;
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < 3; c++)
            out_chw[c * plane + i] = table[rgb[i * 3 + c]];
}

static unsigned char to_byte(float x, enum pixels_rounding rounding)
{
    float v = rounding == PIXELS_ROUND ? (x * 0.5f + 0.5f) * 255.0f : (x + 1.0f) / 2.0f * 255.0f;
    if (!(v > 0.0f))
        return 0;
    if (v >= 255.0f)
        return 255;
    return (unsigned char)(rounding == PIXELS_ROUND ? lrintf(v) : (long)v);
}

void pixels_from_tensor(const float *chw, int width, int height, enum pixels_rounding rounding,
                        unsigned char *out_rgb)
{
    size_t plane = (size_t)width * (size_t)height;
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < 3; c++)
            out_rgb[i * 3 + c] = to_byte(chw[c * plane + i], rounding);
}

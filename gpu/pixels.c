/* SPDX-License-Identifier: MIT */
#include "gpu/pixels.h"

#include <math.h>
#include <stddef.h>

struct pixels_format pixels_format_default(void)
{
    return (struct pixels_format){
        .resize = PICTURE_ANTIALIAS,
        .in_scale = 127.5f,
        .in_shift = 127.5f,
        .out_scale = 127.5f,
        .out_shift = 127.5f,
        .rounding = PIXELS_ROUND,
    };
}

/* Where the network has the colour that a picture has at `c`. */
static size_t plane_of(const struct pixels_format *format, size_t c)
{
    return format->bgr ? 2 - c : c;
}

void pixels_to_tensor(const unsigned char *rgb, int width, int height,
                      const struct pixels_format *format, float *out_chw)
{
    const size_t values = (size_t)width * (size_t)height;
    float table[256];
    for (int v = 0; v < 256; v++)
        table[v] = ((float)v - format->in_shift) / format->in_scale;
    for (size_t c = 0; c < 3; c++) {
        float *plane = out_chw + plane_of(format, c) * values;
        for (size_t i = 0; i < values; i++)
            plane[i] = table[rgb[i * 3 + c]];
    }
}

static unsigned char to_byte(float x, const struct pixels_format *format)
{
    float v = x * format->out_scale + format->out_shift;
    if (!(v > 0.0f))
        return 0;
    if (v >= 255.0f)
        return 255;
    return (unsigned char)(format->rounding == PIXELS_ROUND ? lrintf(v) : (long)v);
}

void pixels_from_tensor(const float *chw, int width, int height, const struct pixels_format *format,
                        unsigned char *out_rgb)
{
    const size_t values = (size_t)width * (size_t)height;
    for (size_t c = 0; c < 3; c++) {
        const float *plane = chw + plane_of(format, c) * values;
        for (size_t i = 0; i < values; i++)
            out_rgb[i * 3 + c] = to_byte(plane[i], format);
    }
}

/* SPDX-License-Identifier: MIT
 *
 * The passes over memory of a norm, for layers.py: rows of `c` bfloat16 channels, `n` rows per
 * picture. A norm is y = slope * x + offset per channel, then perhaps a ReLU; slope and offset
 * depend on the sums of x and x².
 *
 * Compiled by layers.py with  cc -O3 -march=native -fopenmp -shared -fPIC;  C is at most MAX_C.
 */
#include <stdint.h>
#include <string.h>

enum { MAX_C = 256, BLOCK = 128 };

static inline float widen(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static inline uint16_t narrow(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* sum[c] = sum of x, square[c] = sum of x² */
void norm_sums(const uint16_t *restrict x, long n, int c, float *restrict sum,
               float *restrict square)
{
    double s[MAX_C] = {0}, q[MAX_C] = {0};
#pragma omp parallel for schedule(static) reduction(+ : s, q)
    for (long block = 0; block < n; block += BLOCK) {
        float a[MAX_C] = {0}, b[MAX_C] = {0};
        long end = block + BLOCK < n ? block + BLOCK : n;
        for (long i = block; i < end; i++)
            for (int k = 0; k < c; k++) {
                float v = widen(x[i * c + k]);
                a[k] += v;
                b[k] += v * v;
            }
        for (int k = 0; k < c; k++) {
            s[k] += a[k];
            q[k] += b[k];
        }
    }
    for (int k = 0; k < c; k++) {
        sum[k] = (float)s[k];
        square[k] = (float)q[k];
    }
}

void norm_apply_relu(const uint16_t *restrict x, long n, int c, const float *restrict slope,
                     const float *restrict offset, uint16_t *restrict y)
{
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++)
        for (int k = 0; k < c; k++) {
            float v = slope[k] * widen(x[i * c + k]) + offset[k];
            y[i * c + k] = narrow(v > 0 ? v : 0);
        }
}

void norm_apply(const uint16_t *restrict x, long n, int c, const float *restrict slope,
                const float *restrict offset, float *restrict y)
{
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++)
        for (int k = 0; k < c; k++)
            y[i * c + k] = slope[k] * widen(x[i * c + k]) + offset[k];
}

/* The gradients of the sums: total[c] = sum of g, product[c] = sum of g * x, where the ReLU let g
 * through. */
#define GRADIENT_SUMS(NAME, TYPE, READ, MASK)                                                      \
    void NAME(const TYPE *restrict g, const uint16_t *restrict x, long n, int c,                   \
              const float *restrict slope, const float *restrict offset, float *restrict total,    \
              float *restrict product)                                                             \
    {                                                                                              \
        double s[MAX_C] = {0}, q[MAX_C] = {0};                                                     \
        _Pragma("omp parallel for schedule(static) reduction(+ : s, q)") for (long block = 0;      \
                                                                              block < n;           \
                                                                              block += BLOCK)      \
        {                                                                                          \
            float a[MAX_C] = {0}, b[MAX_C] = {0};                                                  \
            long end = block + BLOCK < n ? block + BLOCK : n;                                      \
            for (long i = block; i < end; i++)                                                     \
                for (int k = 0; k < c; k++) {                                                      \
                    float v = widen(x[i * c + k]), d = READ(g[i * c + k]);                         \
                    d = MASK(slope[k] * v + offset[k]) ? d : 0;                                    \
                    a[k] += d;                                                                     \
                    b[k] += d * v;                                                                 \
                }                                                                                  \
            for (int k = 0; k < c; k++) {                                                          \
                s[k] += a[k];                                                                      \
                q[k] += b[k];                                                                      \
            }                                                                                      \
        }                                                                                          \
        for (int k = 0; k < c; k++) {                                                              \
            total[k] = (float)s[k];                                                                \
            product[k] = (float)q[k];                                                              \
        }                                                                                          \
    }

/* gx = slope * g + constant + linear * x, where the ReLU let g through. */
#define GRADIENT_APPLY(NAME, TYPE, READ, MASK)                                                     \
    void NAME(const TYPE *restrict g, const uint16_t *restrict x, long n, int c,                   \
              const float *restrict slope, const float *restrict offset,                           \
              const float *restrict constant, const float *restrict linear, uint16_t *restrict gx) \
    {                                                                                              \
        _Pragma("omp parallel for schedule(static)") for (long i = 0; i < n; i++) for (int k = 0;  \
                                                                                       k < c; k++) \
        {                                                                                          \
            float v = widen(x[i * c + k]), d = READ(g[i * c + k]);                                 \
            d = MASK(slope[k] * v + offset[k]) ? d : 0;                                            \
            gx[i * c + k] = narrow(slope[k] * d + constant[k] + linear[k] * v);                    \
        }                                                                                          \
    }

#define POSITIVE(v) ((v) > 0)
#define ALWAYS(v) 1
#define SINGLE(v) (v)

GRADIENT_SUMS(norm_gradient_sums_relu, uint16_t, widen, POSITIVE)
GRADIENT_SUMS(norm_gradient_sums, float, SINGLE, ALWAYS)
GRADIENT_APPLY(norm_gradient_apply_relu, uint16_t, widen, POSITIVE)
GRADIENT_APPLY(norm_gradient_apply, float, SINGLE, ALWAYS)

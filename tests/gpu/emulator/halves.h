// SPDX-License-Identifier: MIT
//
// Half precision by its bits: IEEE 754 binary16 and bfloat16, rounded to nearest even.
#ifndef DARKROOM_EMULATOR_HALVES_H
#define DARKROOM_EMULATOR_HALVES_H

#include <cstdint>
#include <cstring>

namespace emulator
{

inline uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

inline float f16_to_float(uint16_t half)
{
    // As a float it is 2^112 too small, subnormal or not.
    const uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;
    uint32_t bits = float_bits(bits_float(magnitude) * 0x1p112f);
    if ((half & 0x7c00) == 0x7c00)
        bits = magnitude | 0x7f800000;
    return bits_float(bits | (uint32_t)(half & 0x8000) << 16);
}

inline uint16_t f16_from_float(float value)
{
    const uint32_t bits = float_bits(value), magnitude = bits & 0x7fffffff;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (magnitude > 0x7f800000)
        return sign | 0x7fff;
    if (magnitude >= 0x477ff000) // 65520 and more round up to infinity
        return sign | 0x7c00;
    if (magnitude < 0x38800000) // below 2^-14: adding 0.5 rounds at 2^-24, a subnormal's last place
        return sign | (uint16_t)(float_bits(bits_float(magnitude) + 0.5f) - 0x3f000000);
    const uint32_t odd = magnitude >> 13 & 1;
    return sign | (uint16_t)((magnitude - 0x38000000 + 0xfff + odd) >> 13);
}

inline float bf16_to_float(uint16_t half)
{
    return bits_float((uint32_t)half << 16);
}

inline uint16_t bf16_from_float(float value)
{
    const uint32_t bits = float_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return 0x7fff;
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

} // namespace emulator

#endif

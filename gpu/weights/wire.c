/* SPDX-License-Identifier: MIT */
#include "gpu/weights/wire.h"

#include "common/err.h"

uint32_t wire_u32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

uint64_t wire_u64(const unsigned char *bytes)
{
    return (uint64_t)wire_u32(bytes) | (uint64_t)wire_u32(bytes + 4) << 32;
}

bool wire_varint(struct wire *wire, uint64_t *out_value)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (wire->at == wire->end)
            return false;
        const unsigned char byte = *wire->at++;
        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out_value = value;
            return true;
        }
    }
    return false;
}

/* Hands out the next `size` bytes. */
static bool take(struct wire *wire, uint64_t size, struct wire *out)
{
    if (size > (uint64_t)(wire->end - wire->at))
        return false;
    *out = (struct wire){wire->at, wire->at + size};
    wire->at += size;
    return true;
}

int wire_next(struct wire *wire, struct wire_field *out_field)
{
    struct wire_field field = {0};
    uint64_t key, size;
    if (wire->at == wire->end)
        return 0;
    if (!wire_varint(wire, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX)
        return ERR_CORRUPT;
    field.number = (uint32_t)(key >> 3);
    bool good = false;
    switch (key & 7) {
    case WIRE_VARINT: good = wire_varint(wire, &field.value); break;
    case WIRE_FIXED64:
        if ((good = take(wire, 8, &field.bytes)))
            field.value = wire_u64(field.bytes.at);
        break;
    case WIRE_FIXED32:
        if ((good = take(wire, 4, &field.bytes)))
            field.value = wire_u32(field.bytes.at);
        break;
    case WIRE_BYTES: good = wire_varint(wire, &size) && take(wire, size, &field.bytes); break;
    default: break;
    }
    if (!good)
        return ERR_CORRUPT;
    field.type = (enum wire_type)(key & 7);
    *out_field = field;
    return 1;
}

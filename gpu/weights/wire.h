/* SPDX-License-Identifier: MIT
 *
 * Reading binary records with a bound: little-endian numbers, variable-length integers, and the
 * fields of Protocol Buffers messages.
 *
 *     struct wire message = {value, value + size};
 *     struct wire_field field;
 *     while ((rc = wire_next(&message, &field)) > 0)
 *         if (field.number == 3 && field.type == WIRE_VARINT) shard = field.value;
 *     if (rc < 0) ...                                     // cut off, or no message at all
 *
 * Reads never pass `end`. Format: developers.google.com/protocol-buffers/docs/encoding. Any
 * thread. */
#ifndef DARKROOM_GPU_WEIGHTS_WIRE_H
#define DARKROOM_GPU_WEIGHTS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire {
    const unsigned char *at, *end; /* borrowed */
};

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;    /* of a number */
    struct wire bytes; /* of WIRE_BYTES: a text or a message inside */
};

uint32_t wire_u32(const unsigned char *bytes);
uint64_t wire_u64(const unsigned char *bytes);

/* False at the end, or where it is longer than 64 bits. */
bool wire_varint(struct wire *wire, uint64_t *out_value);

/* 1: a field; 0: the message's end; ERR_CORRUPT without a text. Groups are refused. */
int wire_next(struct wire *wire, struct wire_field *out_field);

#endif

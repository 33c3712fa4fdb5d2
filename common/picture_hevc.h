/* SPDX-License-Identifier: MIT
 *
 * One thing about an HEVC bitstream: how large its frames are (ITU-T H.265, 7.3.2.2).
 *
 *     rc = picture_hevc_frame_size(nal, size, &width, &height);
 *
 * Pure: any thread. */
#ifndef DARKROOM_COMMON_PICTURE_HEVC_H
#define DARKROOM_COMMON_PICTURE_HEVC_H

#include <stddef.h>
#include <stdint.h>

/* `nal` is a sequence parameter set as it stands in the stream, its header of two bytes included;
 * borrowed. The size is in luma samples, before any cropping. ERR_CORRUPT. */
int picture_hevc_frame_size(const uint8_t *nal, size_t size, uint32_t *out_width,
                            uint32_t *out_height);

#endif

/* SPDX-License-Identifier: MIT
 *
 * What a HEIC file would make its decoder do, known before the decoder sees it.
 *
 *     rc = picture_heif_check_boxes(data, size, &err);
 *
 * A decoder believes the bitstream, whatever size the file's own boxes state: a file that says
 * 64 x 64 may hold a frame of 65,535 x 65,535. So all that libheif might decode is found here (the
 * picture, its tiles, alpha, thumbnails), the size is read from each one's HEVC parameter sets, and
 * the file is refused where it is more than its boxes admit. Only still pictures coded as HEVC,
 * alone or as a grid, pass; what is cut off does not.
 *
 * ISO/IEC 14496-12 (boxes, iloc, iinf), 23008-12 (HEIF: ipma, ispe, grid), 14496-15 (hvcC),
 * ITU-T H.265 7.3.2.2 (sequence parameter set). For picture_heif.c alone. Pure: any thread. */
#ifndef DARKROOM_COMMON_PICTURE_HEIF_BOXES_H
#define DARKROOM_COMMON_PICTURE_HEIF_BOXES_H

#include <stddef.h>
#include <stdint.h>

struct err;

/* `data` is borrowed. ERR_UNSUPPORTED (another kind of picture), ERR_CORRUPT (cut off,
 * contradictory), ERR_LIMIT (too much to decode), ERR_NOMEM. */
int picture_heif_check_boxes(const uint8_t *data, size_t size, struct err *err);

#endif

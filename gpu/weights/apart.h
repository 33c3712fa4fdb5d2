/* SPDX-License-Identifier: MIT
 *
 * A reader that runs in a process of its own, for a format whose library cannot be trusted with
 * hostile files: what crashes or never ends there is an error here.
 *
 *     rc = apart_read(read_file, source, table, err);     // as read_file(source, table, err)
 *
 * The child is a fork without descriptors, with limits of processor time and memory, that ends with
 * its parent. Its answer lies in a file in memory, which is checked as a weights file is. Any
 * thread, as long as no other one is inside what the reader calls. Internal to gpu/weights. */
#ifndef DARKROOM_GPU_WEIGHTS_APART_H
#define DARKROOM_GPU_WEIGHTS_APART_H

#include "gpu/weights/table.h"

/* Seconds of processor, and one more for so many bytes of the file (gzip gives 100 MB/s or more).
 */
#define APART_MIN_CPU_S 2
#define APART_BYTES_PER_CPU_S (16u << 20)
#define APART_MAX_BYTES (UINT64_C(4) << 30) /* of memory, more than its parent has */

typedef int apart_reader(const struct weights_source *source, struct table *table, struct err *err);

/* As `read` would have filled `table` and `err`. ERR_CORRUPT where it crashed or took too long. */
int apart_read(apart_reader *read, const struct weights_source *source, struct table *table,
               struct err *err);

#endif

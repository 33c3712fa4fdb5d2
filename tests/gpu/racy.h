/* SPDX-License-Identifier: MIT
 *
 * A kernel with and without the barrier that it needs, so that a test of races can fail. */
#ifndef DARKROOM_TESTS_RACY_H
#define DARKROOM_TESTS_RACY_H

#ifdef __cplusplus
extern "C" {
#endif

/* cudaSuccess, or what failed. */
int racy_run(int with_barrier);

#ifdef __cplusplus
}
#endif

#endif

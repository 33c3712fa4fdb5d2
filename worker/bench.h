/* SPDX-License-Identifier: MIT
 *
 * `darkroom-worker bench MODEL`: how fast a model starts and runs here, and how far that is from
 * what the machine could do. Needs no Redis and no picture.
 *
 *     return bench_command(argc - 1, argv + 1, &err);    // argv[0] is the name for --help
 *
 * Main thread. */
#ifndef DARKROOM_WORKER_BENCH_H
#define DARKROOM_WORKER_BENCH_H

struct err;

/* ERR_INVALID (options), and what choice_find(), model_open(), model_prepare() and model_run()
 * give. */
int bench_command(int argc, char **argv, struct err *err);

#endif

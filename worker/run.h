/* SPDX-License-Identifier: MIT
 *
 * `darkroom-worker run MODEL --input IN --output OUT.png`: one picture through one model, with no
 * Redis and no network.
 *
 *     return run_command(argc - 1, argv + 1, &err);    // argv[0] is the name for --help
 *
 * Main thread. */
#ifndef DARKROOM_WORKER_RUN_H
#define DARKROOM_WORKER_RUN_H

struct err;

/* ERR_INVALID (options), ERR_NOT_FOUND (model, input), and what picture_decode(), model_open()
 * and model_run() give. */
int run_command(int argc, char **argv, struct err *err);

#endif

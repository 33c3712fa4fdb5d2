/* SPDX-License-Identifier: MIT
 *
 * `darkroom-worker weights FILE`: what is in a file of weights, whatever its format, and which
 * network it is; and the same file as safetensors.
 *
 *     return inspect_command(argc - 1, argv + 1, &err);    // argv[0] is the name for --help
 *
 * Main thread. */
#ifndef DARKROOM_WORKER_INSPECT_H
#define DARKROOM_WORKER_INSPECT_H

struct err;

/* ERR_INVALID (options), what weights_open() and convert_to_safetensors() give, and ERR_CORRUPT
 * where the tensors are of a known network and contradict it: then the list was printed. Tensors of
 * no known network are no error. */
int inspect_command(int argc, char **argv, struct err *err);

#endif

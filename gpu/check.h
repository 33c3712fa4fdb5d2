/* SPDX-License-Identifier: MIT
 *
 * Whether a device computes at all what it should: a small network made here, once on the device
 * and once by ref/, which is plain C.
 *
 *     rc = check_device(&backend_cpu, &options, &err);
 *
 * For the moment at which a model did not pass its own test: is it the model or the device? It has
 * what the networks have (convolutions of either stride, norms, a shortcut, tanh), takes tens of
 * milliseconds and needs no file. Any thread; keeps nothing between calls. */
#ifndef DARKROOM_GPU_CHECK_H
#define DARKROOM_GPU_CHECK_H

struct backend;
struct backend_options;
struct err;

/* 0: it is well. ERR_DEVICE, with the worst value; else what the backend gives. */
int check_device(const struct backend *backend, const struct backend_options *options,
                 struct err *err);

#endif

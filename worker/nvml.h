/* SPDX-License-Identifier: MIT
 *
 * How busy, full, warm and hungry the GPUs of this machine are, as NVIDIA's driver tells.
 *
 *     struct nvml *nvml = nvml_open();            // NULL: no driver here
 *     for (unsigned i = 0; i < nvml_count(nvml); i++)
 *         nvml_read(nvml, i, &reading);
 *     nvml_close(&nvml);
 *
 * The library (libnvidia-ml.so.1) comes with the driver and is looked for at run time, so a program
 * neither needs it nor its header: what is called here is declared by us after NVIDIA's "NVML API
 * Reference". All GPUs that the driver shows, not only the one that is computed on. A driver that
 * is in trouble may keep a caller waiting: not for a thread that anybody waits for. One thread. */
#ifndef DARKROOM_WORKER_NVML_H
#define DARKROOM_WORKER_NVML_H

struct nvml;

#define NVML_UUID_SIZE 96

/* What a GPU does not tell is below 0. */
struct nvml_reading {
    char uuid[NVML_UUID_SIZE];
    double utilization; /* part of the last second or so in which a kernel ran, 0 to 1 */
    double memory_used_bytes, memory_bytes;
    double power_watts;
    double energy_joules; /* since the driver was loaded; Volta and later */
    double temperature_celsius;
};

/* NULL where there is no library, one that lacks what we need, or no driver behind it. */
struct nvml *nvml_open(void);
void nvml_close(struct nvml **nvml); /* harmless on NULL */

/* GPUs; 0 for NULL. */
unsigned nvml_count(const struct nvml *nvml);

/* ERR_NOT_FOUND: that GPU is gone, or its driver says nothing. */
int nvml_read(const struct nvml *nvml, unsigned index, struct nvml_reading *out_reading);

#endif

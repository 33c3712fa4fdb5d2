/* SPDX-License-Identifier: MIT */
#include "worker/nvml.h"

#include "common/err.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libnvidia-ml.so.1"
#define MAX_GPUS 64
#define SUCCESS 0    /* NVML_SUCCESS */
#define SENSOR_GPU 0 /* NVML_TEMPERATURE_GPU */

/* As the library has them: nvmlDevice_t, nvmlUtilization_t (per cent), nvmlMemory_t (bytes). */
struct nvmlDevice;
struct utilization {
    unsigned gpu, memory;
};
struct memory {
    unsigned long long total, free, used;
};

struct nvml {
    void *library; /* owned */
    bool begun;    /* nvmlInit has to be taken back */
    unsigned count;
    int (*init)(void);
    int (*shutdown)(void);
    int (*count_gpus)(unsigned *count);
    int (*handle)(unsigned index, struct nvmlDevice **device);
    int (*uuid)(struct nvmlDevice *device, char *uuid, unsigned size);
    int (*utilization)(struct nvmlDevice *device, struct utilization *out);
    int (*memory)(struct nvmlDevice *device, struct memory *out);
    int (*power)(struct nvmlDevice *device, unsigned *out_milliwatts);
    int (*energy)(struct nvmlDevice *device, unsigned long long *out_millijoules);
    int (*temperature)(struct nvmlDevice *device, int sensor, unsigned *out_celsius);
};

/* Into a pointer to a function, which C cannot assign an object's pointer to; POSIX has them the
 * same size. */
static bool find(const struct nvml *nvml, const char *name, void *out_function)
{
    void *found = dlsym(nvml->library, name);
    memcpy(out_function, &found, sizeof found);
    return found != NULL;
}

/* All but energy are as old as the drivers that our kernels need. */
static bool find_all(struct nvml *nvml)
{
    find(nvml, "nvmlDeviceGetTotalEnergyConsumption", &nvml->energy);
    return find(nvml, "nvmlInit_v2", &nvml->init) && find(nvml, "nvmlShutdown", &nvml->shutdown) &&
           find(nvml, "nvmlDeviceGetCount_v2", &nvml->count_gpus) &&
           find(nvml, "nvmlDeviceGetHandleByIndex_v2", &nvml->handle) &&
           find(nvml, "nvmlDeviceGetUUID", &nvml->uuid) &&
           find(nvml, "nvmlDeviceGetUtilizationRates", &nvml->utilization) &&
           find(nvml, "nvmlDeviceGetMemoryInfo", &nvml->memory) &&
           find(nvml, "nvmlDeviceGetPowerUsage", &nvml->power) &&
           find(nvml, "nvmlDeviceGetTemperature", &nvml->temperature);
}

struct nvml *nvml_open(void)
{
    struct nvml *nvml = calloc(1, sizeof *nvml);
    if (!nvml)
        return NULL;
    nvml->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    nvml->begun = nvml->library && find_all(nvml) && nvml->init() == SUCCESS;
    if (!nvml->begun || nvml->count_gpus(&nvml->count) != SUCCESS)
        nvml_close(&nvml);
    else if (nvml->count > MAX_GPUS)
        nvml->count = MAX_GPUS;
    return nvml;
}

void nvml_close(struct nvml **nvml)
{
    if (!*nvml)
        return;
    if ((*nvml)->begun)
        (*nvml)->shutdown();
    if ((*nvml)->library)
        dlclose((*nvml)->library);
    free(*nvml);
    *nvml = NULL;
}

unsigned nvml_count(const struct nvml *nvml)
{
    return nvml ? nvml->count : 0;
}

int nvml_read(const struct nvml *nvml, unsigned index, struct nvml_reading *out_reading)
{
    struct nvmlDevice *device = NULL;
    struct utilization busy;
    struct memory memory;
    unsigned milliwatts, celsius;
    unsigned long long millijoules;
    struct nvml_reading reading = {"", -1, -1, -1, -1, -1, -1};
    if (nvml->handle(index, &device) != SUCCESS ||
        nvml->uuid(device, reading.uuid, sizeof reading.uuid) != SUCCESS)
        return ERR_NOT_FOUND;
    if (nvml->utilization(device, &busy) == SUCCESS)
        reading.utilization = busy.gpu / 100.0;
    if (nvml->memory(device, &memory) == SUCCESS) {
        reading.memory_used_bytes = (double)memory.used;
        reading.memory_bytes = (double)memory.total;
    }
    if (nvml->power(device, &milliwatts) == SUCCESS)
        reading.power_watts = milliwatts / 1e3;
    if (nvml->energy && nvml->energy(device, &millijoules) == SUCCESS)
        reading.energy_joules = (double)millijoules / 1e3;
    if (nvml->temperature(device, SENSOR_GPU, &celsius) == SUCCESS)
        reading.temperature_celsius = celsius;
    *out_reading = reading;
    return 0;
}

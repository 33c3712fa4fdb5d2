/* SPDX-License-Identifier: MIT
 *
 * Stands in for libnvidia-ml.so.1: two GPUs, the second an old one that tells neither power nor
 * energy. With DARKROOM_STUB_NVML=broken no driver answers. Its signatures are NVML's own, written
 * once more, so that a slip in worker/nvml.c is none here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int nvmlReturn_t;
typedef struct gpu *nvmlDevice_t;
typedef struct {
    unsigned int gpu, memory;
} nvmlUtilization_t;
typedef struct {
    unsigned long long total, free, used;
} nvmlMemory_t;

enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9 };

static struct gpu {
    const char *uuid;
    int old;
} gpus[] = {{"GPU-11111111-2222-3333-4444-555555555555", 0},
            {"GPU-66666666-7777-8888-9999-000000000000", 1}};

nvmlReturn_t nvmlInit_v2(void);
nvmlReturn_t nvmlShutdown(void);
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count);
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device);
nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length);
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization);
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory);
nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *power);
nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *energy);
nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned int *temperature);

nvmlReturn_t nvmlInit_v2(void)
{
    const char *mood = getenv("DARKROOM_STUB_NVML");
    return mood && !strcmp(mood, "broken") ? DRIVER_NOT_LOADED : OK;
}

nvmlReturn_t nvmlShutdown(void)
{
    return OK;
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count)
{
    *count = 2;
    return OK;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
    if (index >= 2)
        return INVALID_ARGUMENT;
    *device = &gpus[index];
    return OK;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length)
{
    snprintf(uuid, length, "%s", device->uuid);
    return OK;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    *utilization = (nvmlUtilization_t){.gpu = device->old ? 0 : 93, .memory = 41};
    return OK;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    (void)device;
    *memory = (nvmlMemory_t){.total = 85899345920, .free = 64424509440, .used = 21474836480};
    return OK;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *power)
{
    *power = 312500;
    return device->old ? NOT_SUPPORTED : OK;
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *energy)
{
    static unsigned long long used = 5000000000; /* more than 32 bits hold */
    if (device->old)
        return NOT_SUPPORTED;
    *energy = used += 1500;
    return OK;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned int *temperature)
{
    (void)device;
    *temperature = 61;
    return sensor == 0 ? OK : INVALID_ARGUMENT;
}

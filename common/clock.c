/* SPDX-License-Identifier: MIT */
#include "common/clock.h"

#include <string.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_ms(void)
{
    return clock_us() / 1000;
}

int64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

static void put_digits(char *out, int digits, int value)
{
    while (digits-- > 0) {
        out[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

void clock_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    memcpy(out, "0000-00-00T00:00:00.000Z", CLOCK_ISO_SIZE);
    put_digits(out, 4, utc.tm_year + 1900);
    put_digits(out + 5, 2, utc.tm_mon + 1);
    put_digits(out + 8, 2, utc.tm_mday);
    put_digits(out + 11, 2, utc.tm_hour);
    put_digits(out + 14, 2, utc.tm_min);
    put_digits(out + 17, 2, utc.tm_sec);
    put_digits(out + 20, 3, (int)(wall_ms % 1000));
}

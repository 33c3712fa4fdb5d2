/* SPDX-License-Identifier: MIT */
#include "common/clock.h"

#include "common/err.h"

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

int64_t clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

int64_t clock_wall_ms(void)
{
    return clock_wall_us() / 1000;
}

static void put_digits(char *out, int digits, int value)
{
    while (digits-- > 0) {
        out[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

static void write_second(time_t second, char out[CLOCK_ISO_SIZE])
{
    struct tm utc;
    gmtime_r(&second, &utc);
    memcpy(out, "0000-00-00T00:00:00.000Z", CLOCK_ISO_SIZE);
    put_digits(out, 4, utc.tm_year + 1900);
    put_digits(out + 5, 2, utc.tm_mon + 1);
    put_digits(out + 8, 2, utc.tm_mday);
    put_digits(out + 11, 2, utc.tm_hour);
    put_digits(out + 14, 2, utc.tm_min);
    put_digits(out + 17, 2, utc.tm_sec);
}

void clock_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE])
{
    /* Most are of the same second as the one before, and gmtime_r() takes a lock. */
    static _Thread_local struct {
        time_t second;
        char text[CLOCK_ISO_SIZE]; /* "" at first */
    } last;
    time_t second = (time_t)(wall_ms / 1000);
    if (second != last.second || !last.text[0]) {
        write_second(second, last.text);
        last.second = second;
    }
    memcpy(out, last.text, CLOCK_ISO_SIZE);
    put_digits(out + 20, 3, (int)(wall_ms % 1000));
}

/* `digits` digits within [min, max]; -1 for anything else. */
static int read_digits(const char *text, int digits, int min, int max)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + text[i] - '0';
    }
    return value < min || value > max ? -1 : value;
}

int clock_parse_iso(const char *text, int64_t *out_wall_ms)
{
    static const char form[] = "0000-00-00T00:00:00";
    int fraction = 0, unit = 100;
    if (strnlen(text, sizeof form) < sizeof form)
        return ERR_INVALID;
    for (size_t i = 0; form[i]; i++)
        if (form[i] != '0' && form[i] != text[i])
            return ERR_INVALID;
    struct tm utc = {.tm_year = read_digits(text, 4, 1970, 9999) - 1900,
                     .tm_mon = read_digits(text + 5, 2, 1, 12) - 1,
                     .tm_mday = read_digits(text + 8, 2, 1, 31),
                     .tm_hour = read_digits(text + 11, 2, 0, 23),
                     .tm_min = read_digits(text + 14, 2, 0, 59),
                     .tm_sec = read_digits(text + 17, 2, 0, 60)};
    if (utc.tm_year < 0 || utc.tm_mon < 0 || utc.tm_mday < 0 || utc.tm_hour < 0 || utc.tm_min < 0 ||
        utc.tm_sec < 0)
        return ERR_INVALID;
    text += sizeof form - 1;
    if (*text == '.') {
        for (text++; *text >= '0' && *text <= '9' && unit > 0; text++, unit /= 10)
            fraction += (*text - '0') * unit;
        if (unit == 100)
            return ERR_INVALID;
    }
    if (strcmp(text, "Z") != 0)
        return ERR_INVALID;
    *out_wall_ms = (int64_t)timegm(&utc) * 1000 + fraction;
    return 0;
}

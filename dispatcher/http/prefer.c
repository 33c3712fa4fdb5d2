/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/prefer.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define BLANK " \t"
#define MAX_DIGITS 9

/* Behind the preference: its comma, or the end. Commas inside quotes are no ends. */
static const char *skip(const char *text)
{
    for (bool quoted = false; *text && (quoted || *text != ','); text++) {
        if (*text == '"')
            quoted = !quoted;
        else if (*text == '\\' && quoted && text[1])
            text++;
    }
    return text;
}

/* Digits, in quotes or bare, and nothing but a parameter or the next preference behind them. */
static int64_t read_seconds(const char *text, int64_t most)
{
    int64_t seconds = 0;
    bool quoted = *text == '"';
    text += quoted;
    size_t digits = strspn(text, "0123456789");
    const char *end = text + digits;
    if (digits == 0 || (quoted && *end++ != '"'))
        return 0;
    end += strspn(end, BLANK);
    if (*end && !strchr(",;", *end))
        return 0;
    if (digits > MAX_DIGITS)
        return most;
    for (size_t i = 0; i < digits; i++)
        seconds = seconds * 10 + (text[i] - '0');
    return seconds < most ? seconds : most;
}

int64_t prefer_wait(const char *list, int64_t most)
{
    for (; list && *list; list = skip(list)) {
        list += strspn(list, BLANK ",");
        if (strncasecmp(list, "wait", 4) != 0)
            continue;
        const char *value = list + 4 + strspn(list + 4, BLANK);
        if (*value == '=')
            return read_seconds(value + 1 + strspn(value + 1, BLANK), most);
        if (*value == 0 || strchr(",;", *value))
            return 0; /* the first one counts, and it says nothing */
    }
    return 0;
}

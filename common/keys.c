/* SPDX-License-Identifier: MIT */
#include "common/keys.h"

#include <string.h>

bool key_text_valid(const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    return strncmp(text, "dk_", 3) == 0 && strlen(text) == KEY_TEXT_SIZE - 1 &&
           strspn(text + 3, digits) == KEY_TEXT_SIZE - 4;
}

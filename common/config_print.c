/* SPDX-License-Identifier: MIT
 *
 * What an option table says of itself. */
#include "common/buf.h"
#include "common/config.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void config_environment_name(const struct config_option *option, char out[CONFIG_NAME_MAX + 16])
{
    int n = snprintf(out, CONFIG_NAME_MAX + 16, "DARKROOM_%s", option->name);
    for (int i = 0; i < n; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

void config_print_help(const struct config_spec *spec, const char *program)
{
    printf("usage: %s %s\n\n", program, spec->usage);
    for (size_t i = 0; i < spec->option_count; i++) {
        const struct config_option *option = &spec->options[i];
        char name[CONFIG_NAME_MAX + 8];
        if (option->short_name)
            snprintf(name, sizeof name, "%s, -%c", option->name, option->short_name);
        else
            snprintf(name, sizeof name, "%s", option->name);
        printf("  --%-22s %s", name, option->help ? option->help : "");
        if (option->default_value && *option->default_value)
            printf(" [%s%s%s]", option->default_value, option->unit ? " " : "",
                   option->unit ? option->unit : "");
        putchar('\n');
    }
    printf("  --%-22s %s\n", "config", "file with lines 'name = value'");
    printf("  --%-22s %s\n", "check-config", "read all sources, then exit");
    printf("  --%-22s %s\n", "dump-config", "print what is in force as a file, then exit");
    printf("  --%-22s %s\n", "version", "print the version, then exit");
}

/* A secret of the environment has a file that this process alone can open. */
static void print_text(const struct config_option *option, const char *text)
{
    static const char in_memory[] = "/proc/self/fd/";
    if (text && option->traits & CONFIG_SECRET && !strncmp(text, in_memory, sizeof in_memory - 1))
        printf("# %s: from the environment\n", option->name);
    else
        printf("%s%s = %s\n", text ? "" : "# ", option->name, text ? text : "");
}

void config_print_settings(const struct config_spec *spec, const void *settings)
{
    for (size_t i = 0; i < spec->option_count; i++) {
        const struct config_option *option = &spec->options[i];
        const void *value = (const char *)settings + option->offset;
        printf("# %s%s%s%s\n", option->help ? option->help : "", option->unit ? " (" : "",
               option->unit ? option->unit : "", option->unit ? ")" : "");
        switch (option->type) {
        case CONFIG_TEXT: print_text(option, *(char *const *)value); break;
        case CONFIG_INT: printf("%s = %" PRId64 "\n", option->name, *(const int64_t *)value); break;
        case CONFIG_BOOL:
            printf("%s = %s\n", option->name, *(const bool *)value ? "true" : "false");
            break;
        case CONFIG_LIST: {
            const struct config_list *list = value;
            for (size_t k = 0; k < list->count; k++)
                printf("%s = %s\n", option->name, list->items[k]);
            break;
        }
        }
    }
}

static const char *or_nothing(const char *text)
{
    return text ? text : "";
}

void config_print_reference(const struct config_spec *spec)
{
    static const char *const types[] = {[CONFIG_TEXT] = "text",
                                        [CONFIG_INT] = "int",
                                        [CONFIG_BOOL] = "bool",
                                        [CONFIG_LIST] = "list"};
    for (size_t i = 0; i < spec->option_count; i++) {
        const struct config_option *option = &spec->options[i];
        char short_name[2] = {option->short_name, 0};
        printf("%s\t%s\t%s\t%" PRId64 "\t%" PRId64 "\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", option->name,
               short_name, types[option->type], option->min, option->max, or_nothing(option->unit),
               or_nothing(option->default_value), option->traits & CONFIG_RELOADS ? "reloads" : "",
               option->traits & CONFIG_SECRET ? "secret" : "", or_nothing(option->installed),
               or_nothing(option->variable), or_nothing(option->help));
    }
}

/* SPDX-License-Identifier: MIT
 *
 * Build helper: turns text files into one C source.
 *
 *     embed PREFIX FILE... > out.c
 *
 * Each FILE becomes `const char PREFIX_<name>[]`, zero-terminated, where <name> is the file's own
 * name with '_' for what an identifier cannot hold: embed text en.json → text_en_json. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int embed(const char *prefix, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return -1;
    }
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    char name[128];
    snprintf(name, sizeof name, "%s_%s", prefix, base);
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c))
            *c = '_';
    /* Numbers rather than a string literal, whose length C limits to 4095 characters. */
    printf("extern const char %s[];\nconst char %s[] = {\n", name, name);
    int c;
    for (unsigned column = 1; (c = getc(file)) != EOF; column++)
        printf("%d,%s", c < 128 ? c : c - 256, column % 20 ? "" : "\n");
    puts("0};");
    int failed = ferror(file);
    fclose(file);
    return failed ? -1 : 0;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s PREFIX FILE...\n", argv[0]);
        return EXIT_FAILURE;
    }
    puts("/* Made by common/embed.c. */");
    for (int i = 2; i < argc; i++)
        if (embed(argv[1], argv[i]) < 0)
            return EXIT_FAILURE;
    return fflush(stdout) || ferror(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

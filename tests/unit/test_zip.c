/* SPDX-License-Identifier: MIT */
#include "gpu/weights/zip.h"

#include "common/err.h"
#include "tests/unit/check.h"

struct made {
    unsigned char bytes[1024];
    size_t size;
};

struct options {
    const char *second; /* name of the second entry; "top/b" where NULL */
    unsigned flags, method;
    bool zip64; /* sizes, places and the end record in their 64-bit forms */
};

static void put(struct made *m, int width, uint64_t value)
{
    for (int i = 0; i < width; i++, value >>= 8)
        m->bytes[m->size++] = (unsigned char)value;
}

static void put_text(struct made *m, const char *text)
{
    for (; *text; text++)
        put(m, 1, (unsigned char)*text);
}

/* Sizes stay 0, as where a descriptor follows; the extra field is padding, as torch writes it. */
static void put_local(struct made *m, const char *name, const char *text, const struct options *o)
{
    put_text(m, "PK\3\4");
    put(m, 2, 20);
    put(m, 2, o->flags);
    put(m, 2, o->method);
    put(m, 4, 0); /* time and date */
    put(m, 4, 0); /* checksum */
    put(m, 8, 0); /* sizes */
    put(m, 2, strlen(name));
    put(m, 2, 6);
    put_text(m, name);
    put_text(m, "FB\2");
    put(m, 1, 0);
    put_text(m, "ZZ");
    put_text(m, text);
}

static void put_entry(struct made *m, const char *name, uint64_t size, uint64_t at,
                      const struct options *o)
{
    put_text(m, "PK\1\2");
    put(m, 4, 0);
    put(m, 2, o->flags);
    put(m, 2, o->method);
    put(m, 8, 0);
    put(m, 4, o->zip64 ? UINT32_MAX : size);
    put(m, 4, o->zip64 ? UINT32_MAX : size);
    put(m, 2, strlen(name));
    put(m, 2, o->zip64 ? 28 : 0);
    put(m, 10, 0); /* comment, disk, attributes */
    put(m, 4, o->zip64 ? UINT32_MAX : at);
    put_text(m, name);
    if (o->zip64) {
        put(m, 2, 1);
        put(m, 2, 24);
        put(m, 8, size);
        put(m, 8, size);
        put(m, 8, at);
    }
}

static void put_end(struct made *m, uint64_t directory, const struct options *o)
{
    uint64_t end = m->size, size = end - directory;
    if (o->zip64) {
        put_text(m, "PK\6\6");
        put(m, 8, 44);
        put(m, 4, 0);
        put(m, 8, 0); /* disks */
        put(m, 8, 2);
        put(m, 8, 2);
        put(m, 8, size);
        put(m, 8, directory);
        put_text(m, "PK\6\7");
        put(m, 4, 0);
        put(m, 8, end);
        put(m, 4, 1);
    }
    put_text(m, "PK\5\6");
    put(m, 4, 0);
    put(m, 2, o->zip64 ? UINT16_MAX : 2);
    put(m, 2, o->zip64 ? UINT16_MAX : 2);
    put(m, 4, o->zip64 ? UINT32_MAX : size);
    put(m, 4, o->zip64 ? UINT32_MAX : directory);
    put(m, 2, 0);
}

static struct made make(struct options o)
{
    struct made m = {.size = 0};
    const char *second = o.second ? o.second : "top/b";
    put_local(&m, "top/data.pkl", "first", &o);
    uint64_t at = m.size;
    put_local(&m, second, "second", &o);
    uint64_t directory = m.size;
    put_entry(&m, "top/data.pkl", 5, 0, &o);
    put_entry(&m, second, 6, at, &o);
    put_end(&m, directory, &o);
    return m;
}

static void check_contents(struct options o)
{
    struct made m = make(o);
    struct zip *zip = NULL;
    const unsigned char *bytes = NULL;
    CHECK(zip_matches(m.bytes, m.size));
    CHECK_INT(zip_open(m.bytes, m.size, &zip, NULL), 0);
    CHECK_INT(zip_count(zip), 2);
    const struct zip_entry *entry = zip_find(zip, "top/b");
    CHECK(entry == zip_at(zip, 0));
    CHECK_INT(entry->size, 6);
    CHECK_INT(zip_bytes(zip, entry, &bytes, NULL), 0);
    CHECK(memcmp(bytes, "second", 6) == 0);
    CHECK(!zip_find(zip, "top"));
    zip_close(&zip);
    zip_close(&zip);
}

static void entries_are_found_behind_the_padding_of_their_headers(void)
{
    check_contents((struct options){.flags = 8});
}

static void places_and_sizes_may_have_64_bits(void)
{
    check_contents((struct options){.zip64 = true});
}

static void compressed_and_encrypted_entries_are_named(void)
{
    static const struct {
        struct options options;
        const char *part;
    } cases[] = {{{.method = 8}, "compressed (method 8)"}, {{.flags = 1}, "encrypted"}};
    for (size_t i = 0; i < 2; i++) {
        struct made m = make(cases[i].options);
        struct zip *zip = NULL;
        struct err err = {0};
        const unsigned char *bytes = NULL;
        CHECK_INT(zip_open(m.bytes, m.size, &zip, &err), 0);
        CHECK_INT(zip_bytes(zip, zip_at(zip, 0), &bytes, &err), ERR_UNSUPPORTED);
        CHECK_HAS(err.text, cases[i].part);
        CHECK(!bytes);
        zip_close(&zip);
    }
}

static void two_entries_of_one_name_are_refused(void)
{
    struct made m = make((struct options){.second = "top/data.pkl"});
    struct zip *zip = NULL;
    struct err err = {0};
    CHECK_INT(zip_open(m.bytes, m.size, &zip, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "same name");
}

/* What still opens must stay inside its bytes, which a sanitizer watches. */
static void every_prefix_and_every_changed_byte_stays_inside_the_file(void)
{
    for (int form = 0; form < 2; form++) {
        struct made m = make((struct options){.zip64 = form});
        for (size_t cut = 0; cut < 2 * m.size; cut++) {
            size_t size = cut < m.size ? cut : m.size;
            unsigned char *bytes = malloc(size ? size : 1);
            struct zip *zip = NULL;
            struct err err = {0};
            memcpy(bytes, m.bytes, size);
            if (cut >= m.size)
                bytes[cut - m.size] ^= 0xff;
            int rc = zip_open(bytes, size, &zip, &err);
            CHECK(rc == 0 || err.text[0]);
            CHECK(rc < 0 || cut >= m.size);
            for (size_t i = 0; rc == 0 && i < zip_count(zip); i++) {
                const unsigned char *entry = NULL;
                if (zip_bytes(zip, zip_at(zip, i), &entry, NULL) == 0)
                    CHECK(entry >= bytes && entry + zip_at(zip, i)->size <= bytes + size);
            }
            zip_close(&zip);
            free(bytes);
        }
    }
}

int main(void)
{
    RUN(entries_are_found_behind_the_padding_of_their_headers);
    RUN(places_and_sizes_may_have_64_bits);
    RUN(compressed_and_encrypted_entries_are_named);
    RUN(two_entries_of_one_name_are_refused);
    RUN(every_prefix_and_every_changed_byte_stays_inside_the_file);
    return check_report();
}

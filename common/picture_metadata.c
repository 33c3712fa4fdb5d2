/* SPDX-License-Identifier: MIT
 *
 * XMP: ISO 16684-1, with IPTC's extension schema (IPTC Photo Metadata Standard 2025.1). */
#include "common/picture_metadata.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SOURCES "http://cv.iptc.org/newscodes/digitalsourcetype/"
/* A name, not an address: nothing is ever fetched from it. */
#define NAMESPACE "http://ns.darkroom.example/provenance/1.0/"

void picture_metadata_fini(struct picture_metadata *metadata)
{
    free(metadata->params);
    *metadata = (struct picture_metadata){0};
}

static const char *const source_names[PICTURE_SOURCE_COUNT] = {
    [PICTURE_SOURCE_UNKNOWN] = "",
    [PICTURE_SOURCE_TRAINED] = "trainedAlgorithmicMedia",
    [PICTURE_SOURCE_COMPOSITE] = "compositeWithTrainedAlgorithmicMedia",
    [PICTURE_SOURCE_ENHANCED] = "algorithmicallyEnhanced",
};

const char *picture_source_name(enum picture_source source)
{
    return source_names[source];
}

enum picture_source picture_source_from_name(const char *name)
{
    for (int i = PICTURE_SOURCE_UNKNOWN + 1; i < PICTURE_SOURCE_COUNT; i++)
        if (!strcmp(source_names[i], name))
            return (enum picture_source)i;
    return PICTURE_SOURCE_UNKNOWN;
}

int picture_metadata_set_params(struct picture_metadata *metadata, const json_t *params,
                                struct err *err)
{
    char *text = json_dumps(params, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
    if (!text)
        return err_set(err, ERR_NOMEM, "params", "no memory for the parameters");
    if (strlen(text) > PICTURE_PARAMS_MAX) {
        free(text);
        return err_set(err, ERR_LIMIT, "params", "the parameters have more than %d bytes",
                       PICTURE_PARAMS_MAX);
    }
    free(metadata->params);
    metadata->params = text;
    return 0;
}

void picture_metadata_set_seed(struct picture_metadata *metadata, const json_t *params)
{
    const json_t *seed = json_object_get(params, "seed");
    metadata->has_seed = json_is_integer(seed);
    metadata->seed = metadata->has_seed ? json_integer_value(seed) : 0;
}

/* <name>text</name>, where there is a text; it is ASCII without control characters. */
static int append_property(struct buf *out, const char *name, const char *text)
{
    if (!text || !*text)
        return 0;
    int rc = buf_join(out, "<", name, ">", NULL);
    for (const char *at = text; rc == 0 && *at;) {
        size_t plain = strcspn(at, "&<>");
        rc = buf_append(out, at, plain);
        at += plain;
        if (rc == 0 && *at) {
            rc = buf_append_text(out, *at == '&' ? "&amp;" : *at == '<' ? "&lt;" : "&gt;");
            at++;
        }
    }
    return rc == 0 ? buf_join(out, "</", name, ">\n", NULL) : rc;
}

static int append_properties(const struct picture_metadata *metadata, struct buf *out)
{
    char tool[PICTURE_VERSION_SIZE + 16], created[CLOCK_ISO_SIZE] = "", seed[BUF_INT_SIZE + 1] = "";
    char source[128] = "";
    snprintf(tool, sizeof tool, "Darkroom %s", metadata->version);
    if (metadata->created_ms)
        clock_iso(metadata->created_ms, created);
    if (metadata->has_seed)
        snprintf(seed, sizeof seed, "%lld", (long long)metadata->seed);
    if (metadata->source != PICTURE_SOURCE_UNKNOWN)
        snprintf(source, sizeof source, SOURCES "%s", picture_source_name(metadata->source));
    const struct {
        const char *name, *text;
    } rows[] = {
        {"xmp:CreatorTool", tool},
        {"xmp:CreateDate", created},
        {"Iptc4xmpExt:DigitalSourceType", source},
        {"Iptc4xmpExt:AISystemUsed", metadata->model},
        {"Iptc4xmpExt:AISystemVersionUsed", metadata->weights_sha256},
        {"darkroom:Version", metadata->version},
        {"darkroom:Backend", metadata->backend},
        {"darkroom:Model", metadata->model},
        {"darkroom:Weights", metadata->weights_sha256},
        {"darkroom:Seed", seed},
        {"darkroom:Parameters", metadata->params},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof rows / sizeof rows[0]; i++)
        rc = append_property(out, rows[i].name, rows[i].text);
    return rc;
}

int picture_metadata_format_xmp(const struct picture_metadata *metadata, struct buf *out,
                                struct err *err)
{
    static const char head[] =
        "<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n"
        "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n"
        "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n"
        "<rdf:Description rdf:about=\"\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\"\n"
        " xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\"\n"
        " xmlns:darkroom=\"" NAMESPACE "\">\n";
    static const char tail[] =
        "</rdf:Description>\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"r\"?>";
    size_t before = out->size;
    int rc = buf_append_text(out, head);
    if (rc == 0)
        rc = append_properties(metadata, out);
    if (rc == 0)
        rc = buf_append_text(out, tail);
    if (rc == 0 && out->size - before > PICTURE_XMP_MAX)
        rc = ERR_LIMIT;
    if (rc == 0)
        return 0;
    buf_truncate(out, before);
    return err_set(err, rc, "params", "the picture's metadata do not fit into %d bytes",
                   PICTURE_XMP_MAX);
}

/* A packet, or a property's value inside it. */
struct span {
    const char *at;
    size_t size;
};

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
        at++;
    return at;
}

/* What follows a property's name: `="value"` or `>value<`, since other programs may have written
 * the packet anew with attributes in the place of elements. */
static bool read_value(const char *at, const char *end, struct span *out_value)
{
    const char *close;
    at = skip_space(at, end);
    if (at < end && *at == '>') {
        at++;
        close = memchr(at, '<', (size_t)(end - at));
    } else {
        if (at == end || *at != '=')
            return false;
        at = skip_space(at + 1, end);
        if (at == end || (*at != '"' && *at != '\''))
            return false;
        char quote = *at++;
        close = memchr(at, quote, (size_t)(end - at));
    }
    if (!close)
        return false;
    *out_value = (struct span){at, (size_t)(close - at)};
    return true;
}

static bool find_property(struct span packet, const char *name, struct span *out_value)
{
    const char *end = packet.at + packet.size;
    size_t length = strlen(name);
    for (const char *at = packet.at; (at = memmem(at, (size_t)(end - at), name, length)) != NULL;
         at += length) {
        bool begins = at > packet.at && strchr("< \t\r\n", at[-1]) && at[-1];
        if (begins && read_value(at + length, end, out_value))
            return true;
    }
    return false;
}

/* One of XML's own entities, or a character of ASCII by its number; 0 for anything else. `at` is
 * behind the ampersand. */
static char entity(const char *at, size_t size)
{
    static const struct {
        const char *name;
        char value;
    } names[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (size == strlen(names[i].name) && !memcmp(at, names[i].name, size))
            return names[i].value;
    if (size < 2 || size > 6 || at[0] != '#')
        return 0;
    bool hex = at[1] == 'x';
    long value = 0;
    for (size_t i = hex ? 2 : 1; i < size; i++) {
        const char *digits = "0123456789abcdef", *digit;
        char lower = at[i] >= 'A' && at[i] <= 'F' ? (char)(at[i] + 32) : at[i];
        if (!(digit = memchr(digits, lower, hex ? 16 : 10)))
            return 0;
        value = value * (hex ? 16 : 10) + (digit - digits);
    }
    return value >= 0x20 && value < 0x7f ? (char)value : 0;
}

/* The text of a value in `out`, which has room for size bytes. False where it does not fit or is
 * none. A property that is not there is an empty text. */
static bool read_text(struct span packet, const char *name, char *out, size_t size)
{
    struct span value;
    size_t length = 0;
    out[0] = 0;
    if (!find_property(packet, name, &value))
        return true;
    for (size_t i = 0; i < value.size; i++) {
        char byte = value.at[i];
        if (byte == '&') {
            const char *body = value.at + i + 1;
            const char *end = memchr(body, ';', value.size - i - 1);
            if (!end || !(byte = entity(body, (size_t)(end - body))))
                return false;
            i = (size_t)(end - value.at);
        }
        if (byte == 0 || length + 1 >= size)
            return false;
        out[length++] = byte;
    }
    out[length] = 0;
    return true;
}

static bool consists_of(const char *text, const char *letters)
{
    return strspn(text, letters) == strlen(text);
}

#define DIGITS "0123456789"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool read_names(struct span packet, struct picture_metadata *out)
{
    return read_text(packet, "darkroom:Version", out->version, sizeof out->version) &&
           out->version[0] && consists_of(out->version, DIGITS LOWER UPPER ".+-") &&
           read_text(packet, "darkroom:Backend", out->backend, sizeof out->backend) &&
           consists_of(out->backend, DIGITS LOWER UPPER ".+-") &&
           read_text(packet, "darkroom:Model", out->model, sizeof out->model) &&
           consists_of(out->model, DIGITS LOWER "._-") &&
           read_text(packet, "darkroom:Weights", out->weights_sha256, sizeof out->weights_sha256) &&
           (strlen(out->weights_sha256) == 64 || !out->weights_sha256[0]) &&
           consists_of(out->weights_sha256, DIGITS "abcdef");
}

static bool read_numbers(struct span packet, struct picture_metadata *out)
{
    char source[128], created[64], seed[BUF_INT_SIZE + 1], *end;
    if (!read_text(packet, "darkroom:Seed", seed, sizeof seed) || !consists_of(seed, "-" DIGITS))
        return false;
    if (seed[0]) {
        errno = 0;
        out->seed = strtoll(seed, &end, 10);
        out->has_seed = *end == 0 && end > seed && errno == 0;
        if (!out->has_seed)
            return false;
    }
    /* These two belong to everybody: what is no date or no term that we know is left out. */
    if (read_text(packet, "xmp:CreateDate", created, sizeof created) && created[0] &&
        clock_parse_iso(created, &out->created_ms) < 0)
        out->created_ms = 0;
    if (read_text(packet, "Iptc4xmpExt:DigitalSourceType", source, sizeof source) &&
        !strncmp(source, SOURCES, strlen(SOURCES)))
        out->source = picture_source_from_name(source + strlen(SOURCES));
    return true;
}

static int read_params(struct span packet, struct picture_metadata *out, struct err *err)
{
    static const struct json_limits limits = {.max_bytes = PICTURE_PARAMS_MAX, .max_depth = 8};
    struct span value;
    json_t *params = NULL;
    struct err inner = {0};
    if (!find_property(packet, "darkroom:Parameters", &value))
        return 0;
    char *text = malloc(PICTURE_PARAMS_MAX + 1);
    if (!text)
        return err_set(err, ERR_NOMEM, "input", "no memory for a picture's parameters");
    int rc = read_text(packet, "darkroom:Parameters", text, PICTURE_PARAMS_MAX + 1)
                 ? json_parse(text, strlen(text), limits, &params, &inner)
                 : ERR_CORRUPT;
    if (rc == 0 && json_is_object(params))
        rc = picture_metadata_set_params(out, params, &inner);
    else if (rc != ERR_NOMEM)
        rc = ERR_CORRUPT;
    if (rc < 0)
        err_set(err, rc, "input", "the picture's parameters are no JSON object that we can read");
    json_decref(params);
    free(text);
    return rc;
}

int picture_metadata_parse_xmp(const void *data, size_t size, struct picture_metadata *out_metadata,
                               struct err *err)
{
    struct span packet = {data, size};
    struct picture_metadata metadata = {0};
    if (size > PICTURE_XMP_MAX)
        return err_set(err, ERR_LIMIT, "input",
                       "the picture's XMP packet has %zu bytes; %d are read", size,
                       PICTURE_XMP_MAX);
    if (size == 0 || !memmem(data, size, NAMESPACE, strlen(NAMESPACE)))
        return err_set(err, ERR_NOT_FOUND, "input",
                       "the picture does not say that Darkroom made it");
    int rc = 0;
    if (!read_names(packet, &metadata) || !read_numbers(packet, &metadata))
        rc = err_set(err, ERR_CORRUPT, "input", "the picture's Darkroom properties are damaged");
    if (rc == 0)
        rc = read_params(packet, &metadata, err);
    if (rc < 0) {
        picture_metadata_fini(&metadata);
        return rc;
    }
    *out_metadata = metadata;
    return 0;
}

static void set_text(json_t *object, const char *name, const char *text)
{
    if (text && *text)
        json_object_set_new(object, name, json_string(text));
}

json_t *picture_metadata_json(const struct picture_metadata *metadata)
{
    char created[CLOCK_ISO_SIZE] = "";
    json_t *object = json_object();
    if (!object)
        return NULL;
    if (metadata->created_ms)
        clock_iso(metadata->created_ms, created);
    set_text(object, "model", metadata->model);
    set_text(object, "weights_sha256", metadata->weights_sha256);
    set_text(object, "version", metadata->version);
    set_text(object, "backend", metadata->backend);
    set_text(object, "digital_source_type", picture_source_name(metadata->source));
    set_text(object, "created_at", created);
    if (metadata->has_seed)
        json_object_set_new(object, "seed", json_integer(metadata->seed));
    if (metadata->params)
        json_object_set_new(object, "params", json_loads(metadata->params, 0, NULL));
    return object;
}

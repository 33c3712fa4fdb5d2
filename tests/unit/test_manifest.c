/* SPDX-License-Identifier: MIT */
#include "common/manifest.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/manifest_texts.h"
#include "tests/unit/check.h"

#include <sys/stat.h>
#include <unistd.h>

static const char *const sound =
    "{\"name\":\"a-model\",\"title\":\"T\",\"description\":\"D\",\"architecture\":\"ugatit\","
    "\"variant\":\"pytorch\",\"weights\":{\"file\":\"sub/a.safetensors\"},"
    "\"input\":{\"kind\":\"image\",\"max_bytes\":5000,\"max_megapixels\":1.5,\"size\":64},"
    "\"params\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":0,"
    "\"maximum\":3,\"default\":1}}},"
    "\"output\":{\"kind\":\"image\",\"content_type\":\"image/png\"},\"batch\":{\"max\":2},"
    "\"cost_ms\":10,\"max_attempts\":3,\"timeout_ms\":1000,\"license\":\"L\",\"training\":\"R\"}";

static void a_sound_manifest_is_read(void)
{
    struct manifest manifest;
    struct err err = {0};
    CHECK_INT(manifest_parse(sound, strlen(sound), "models", &manifest, &err), 0);
    CHECK_TEXT(manifest.name, "a-model");
    CHECK_TEXT(manifest.weights_path, "models/sub/a.safetensors");
    CHECK(manifest.weights_sha256 == NULL);
    CHECK_INT(manifest.limits.max_bytes, 5000);
    CHECK_INT(manifest.limits.max_pixels, 1500000);
    CHECK_INT(manifest.limits.max_side, 16384);
    CHECK(manifest.has_input);
    CHECK_INT(manifest.size, 64);
    CHECK_INT(manifest.batch_max, 2);
    CHECK_INT(manifest.timeout_ms, 1000);
    CHECK_INT(manifest.backoff_ms, 1000);
    CHECK_INT(manifest.backoff_max_ms, 300000);
    manifest_fini(&manifest);
    manifest_fini(&manifest);
}

static void every_prefix_is_refused(void)
{
    for (size_t size = 0; size < strlen(sound); size++) {
        struct manifest manifest;
        CHECK(manifest_parse(sound, size, "models", &manifest, NULL) < 0);
    }
}

static void results_say_their_parameters_unless_the_manifest_withholds_them(void)
{
    static const struct {
        const char *provenance;
        bool withheld;
        enum picture_source source;
    } rows[] = {
        {NULL, false, PICTURE_SOURCE_TRAINED},
        {"{}", false, PICTURE_SOURCE_TRAINED},
        {"{\"params\":true}", false, PICTURE_SOURCE_TRAINED},
        {"{\"params\":false}", true, PICTURE_SOURCE_TRAINED},
        {"{\"source\":\"algorithmicallyEnhanced\"}", false, PICTURE_SOURCE_ENHANCED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct manifest manifest;
        json_t *document = json_loads(sound, 0, NULL);
        if (rows[i].provenance)
            json_object_set_new(document, "provenance", json_loads(rows[i].provenance, 0, NULL));
        char *text = json_dumps(document, 0);
        CHECK_INT(manifest_parse(text, strlen(text), "models", &manifest, NULL), 0);
        CHECK_INT(manifest.withhold_params, rows[i].withheld);
        CHECK_INT(manifest.source, rows[i].source);
        manifest_fini(&manifest);
        free(text);
        json_decref(document);
    }
}

static void the_public_view_tells_nothing_about_the_machine(void)
{
    struct manifest manifest;
    CHECK_INT(manifest_parse(sound, strlen(sound), "models", &manifest, NULL), 0);
    CHECK(json_object_get(manifest.view, "weights") == NULL);
    CHECK(json_object_get(manifest.view, "timeout_ms") == NULL);
    CHECK_TEXT(json_string_value(json_object_get(manifest.view, "title")), "T");
    CHECK(json_is_object(json_object_get(manifest.view, "params")));
    manifest_fini(&manifest);
}

/* Replaces or removes (value NULL) one member and says what the parser thinks of it. */
static void check_bad(const char *object, const char *member, const char *value, const char *field)
{
    json_t *document = json_loads(sound, 0, NULL);
    json_t *target = object ? json_object_get(document, object) : document;
    if (value)
        json_object_set_new(target, member, json_loads(value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(target, member);
    char *text = json_dumps(document, 0);
    struct manifest manifest;
    struct err err = {0};
    CHECK(manifest_parse(text, strlen(text), "models", &manifest, &err) < 0);
    printf("# %s\n", err.text);
    CHECK_TEXT(err.field, field);
    free(text);
    json_decref(document);
}

static void every_member_is_demanded_and_checked(void)
{
    static const char *const required[] = {"name",       "title",   "description", "architecture",
                                           "variant",    "weights", "input",       "params",
                                           "output",     "batch",   "cost_ms",     "max_attempts",
                                           "timeout_ms", "license", "training"};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        check_bad(NULL, required[i], NULL, required[i]);
        check_bad(NULL, required[i], "[]", required[i]);
    }
    check_bad(NULL, "surprise", "1", "surprise");
    check_bad("input", "colour", "1", "input.colour");
    check_bad("input", "kind", "\"sound\"", "input.kind");
    check_bad("input", "max_bytes", "0", "input.max_bytes");
    check_bad("input", "max_megapixels", "201", "input.max_megapixels");
    check_bad("input", "max_side", "40000", "input.max_side");
    check_bad("input", "size", "8", "input.size");
    check_bad("output", "content_type", "\"text/html\"", "output.content_type");
    check_bad("output", "kind", "\"\"", "output.kind");
    check_bad("batch", "max", "0", "batch.max");
    check_bad("params", "properties", "{\"p\":{\"type\":\"integer\"}}", "params.p");
    check_bad(NULL, "max_attempts", "0", "max_attempts");
    check_bad(NULL, "retry", "3", "retry");
    check_bad(NULL, "retry", "{\"backoff_ms\":0}", "retry.backoff_ms");
    check_bad(NULL, "retry", "{\"backoff\":1}", "retry.backoff");
    check_bad(NULL, "deadline_ms", "999", "deadline_ms");
    check_bad(NULL, "past_due_ms", "\"1\"", "past_due_ms");
    check_bad(NULL, "retention", "[]", "retention");
    check_bad(NULL, "retention", "{\"input_s\":-1}", "retention.input_s");
    check_bad(NULL, "retention", "{\"result_s\":0}", "retention.result_s");
    check_bad(NULL, "retention", "{\"crop\":1}", "retention.crop");
    check_bad("output", "heat_map", "1", "output.heat_map");
    check_bad(NULL, "cpu", "1", "cpu");
    check_bad(NULL, "cpu", "{\"winograd\":1}", "cpu.winograd");
    check_bad(NULL, "cpu", "{\"threads\":1}", "cpu.threads");
    check_bad(NULL, "title", "\"a\\nb\"", "title");
    check_bad("input", "aspect", "[1]", "input.aspect");
    check_bad("input", "aspect", "[0, 1]", "input.aspect");
    check_bad("input", "aspect", "[1, 65]", "input.aspect");
    check_bad("input", "aspect", "\"1:1\"", "input.aspect");
    check_bad("input", "resize", "\"lanczos\"", "input.resize");
    check_bad("input", "resize", "1", "input.resize");
    check_bad("output", "rounding", "\"up\"", "output.rounding");
    check_bad(NULL, "provenance", "[]", "provenance");
    check_bad(NULL, "provenance", "{\"params\":0}", "provenance.params");
    check_bad(NULL, "provenance", "{\"seed\":true}", "provenance.seed");
    check_bad(NULL, "provenance", "{\"source\":\"digitalCapture\"}", "provenance.source");
}

/* `sound`, with a choice among its parameters and the given translations. */
static char *translated(const char *translations)
{
    json_t *document = json_loads(sound, 0, NULL);
    json_t *properties = json_object_get(json_object_get(document, "params"), "properties");
    json_object_set_new(properties, "paper",
                        json_loads("{\"type\":\"string\",\"title\":\"Paper\",\"enum\":[\"white\","
                                   "\"a.b\"]}",
                                   0, NULL));
    json_object_set_new(document, "translations", json_loads(translations, JSON_DECODE_ANY, NULL));
    char *text = json_dumps(document, 0);
    json_decref(document);
    return text;
}

static const char *text_at(const json_t *view, const char *param, const char *member)
{
    const json_t *properties = json_object_get(json_object_get(view, "params"), "properties");
    return json_string_value(json_object_get(json_object_get(properties, param), member));
}

static void texts_are_shown_in_a_language_and_what_is_missing_as_it_is(void)
{
    struct manifest manifest;
    struct err err = {0};
    json_t *view = NULL;
    char *text =
        translated("{\"nl\":{\"title\":\"Kop\",\"params\":{\"paper\":{\"title\":\"Papier\","
                   "\"choices\":{\"white\":\"wit\"}}}},"
                   "\"en\":{\"params\":{\"paper\":{\"choices\":{\"white\":\"White\","
                   "\"a.b\":\"Other\"}}}}}");
    CHECK_INT(manifest_parse(text, strlen(text), "models", &manifest, &err), 0);
    free(text);
    CHECK(json_is_object(json_object_get(manifest.view, "translations")));
    CHECK_INT(manifest_texts_view(&manifest, "nl", &view, &err), 0);
    CHECK(json_object_get(view, "translations") == NULL);
    CHECK_TEXT(json_string_value(json_object_get(view, "title")), "Kop");
    CHECK_TEXT(json_string_value(json_object_get(view, "description")), "D");
    CHECK_TEXT(text_at(view, "paper", "title"), "Papier");
    CHECK(text_at(view, "n", "title") == NULL);
    json_decref(view);
    CHECK_INT(manifest_texts_view(&manifest, "zh", &view, &err), 0);
    CHECK_TEXT(json_string_value(json_object_get(view, "title")), "T");
    CHECK_TEXT(text_at(view, "paper", "title"), "Paper");
    const json_t *paper =
        json_object_get(json_object_get(json_object_get(view, "params"), "properties"), "paper");
    CHECK_TEXT(json_string_value(json_object_get(json_object_get(paper, "labels"), "a.b")),
               "Other");
    json_decref(view);
    /* The schema that requests are checked against has not got them. */
    CHECK(json_object_get(json_object_get(json_object_get(manifest.params, "properties"), "paper"),
                          "labels") == NULL);
    manifest_fini(&manifest);
}

static void check_bad_texts(const char *translations, const char *field)
{
    char *text = translated(translations);
    struct manifest manifest;
    struct err err = {0};
    CHECK(manifest_parse(text, strlen(text), "models", &manifest, &err) < 0);
    printf("# %s\n", err.text);
    CHECK_TEXT(err.field, field);
    free(text);
}

static void translations_are_checked_as_strictly(void)
{
    check_bad_texts("[]", "translations");
    check_bad_texts("{\"NL\":{}}", "translations");
    check_bad_texts("{\"dutch\":{}}", "translations");
    check_bad_texts("{\"n\":{}}", "translations");
    check_bad_texts("{\"nl\":3}", "translations.nl");
    check_bad_texts("{\"nl\":{\"licence\":\"x\"}}", "translations.nl.licence");
    check_bad_texts("{\"nl\":{\"title\":\"a\\nb\"}}", "translations.nl.title");
    check_bad_texts("{\"nl\":{\"params\":{\"ink\":{}}}}", "translations.nl.params");
    check_bad_texts("{\"nl\":{\"params\":{\"n\":{\"title\":\"N\"},\"ink\":{}}}}",
                    "translations.nl.params");
    check_bad_texts("{\"nl\":{\"params\":{\"n\":{\"default\":1}}}}",
                    "translations.nl.params.n.default");
    check_bad_texts("{\"nl\":{\"params\":{\"n\":{\"choices\":{\"1\":\"one\"}}}}}",
                    "translations.nl.params.n.choices");
    check_bad_texts("{\"nl\":{\"params\":{\"paper\":{\"choices\":{\"white\":1}}}}}",
                    "translations.nl.params.paper.choices");
    check_bad_texts(
        "{\"aa\":{},\"ab\":{},\"ac\":{},\"ad\":{},\"ae\":{},\"af\":{},\"ag\":{},\"ah\":{},"
        "\"ai\":{},\"aj\":{},\"ak\":{},\"al\":{},\"am\":{},\"an\":{},\"ao\":{},\"ap\":{},"
        "\"aq\":{}}",
        "translations");
}

static void the_aspect_of_a_picture_is_a_square_or_what_the_manifest_says(void)
{
    struct manifest manifest;
    json_t *document = json_loads(sound, 0, NULL);
    CHECK_INT(manifest_parse(sound, strlen(sound), "models", &manifest, NULL), 0);
    CHECK_INT(manifest.aspect_width, 1);
    CHECK_INT(manifest.aspect_height, 1);
    manifest_fini(&manifest);
    json_object_set_new(json_object_get(document, "input"), "aspect", json_pack("[i, i]", 3, 4));
    char *text = json_dumps(document, 0);
    CHECK_INT(manifest_parse(text, strlen(text), "models", &manifest, NULL), 0);
    CHECK_INT(manifest.aspect_width, 3);
    CHECK_INT(manifest.aspect_height, 4);
    manifest_fini(&manifest);
    free(text);
    json_decref(document);
}

static void a_manifest_may_choose_the_resize_and_the_rounding(void)
{
    struct manifest manifest;
    json_t *document = json_loads(sound, 0, NULL);
    CHECK_INT(manifest_parse(sound, strlen(sound), "models", &manifest, NULL), 0);
    CHECK(!manifest.resize);
    CHECK(!manifest.rounding);
    manifest_fini(&manifest);
    json_object_set_new(json_object_get(document, "input"), "resize", json_string("bilinear"));
    json_object_set_new(json_object_get(document, "output"), "rounding", json_string("truncate"));
    char *text = json_dumps(document, 0);
    CHECK_INT(manifest_parse(text, strlen(text), "models", &manifest, NULL), 0);
    CHECK_TEXT(manifest.resize, "bilinear");
    CHECK_TEXT(manifest.rounding, "truncate");
    manifest_fini(&manifest);
    free(text);
    json_decref(document);
}

static void a_model_may_take_no_input_at_all(void)
{
    json_t *document = json_loads(sound, 0, NULL);
    json_object_set_new(document, "input", json_pack("{s:s}", "kind", "none"));
    char *text = json_dumps(document, 0);
    struct manifest manifest;
    CHECK_INT(manifest_parse(text, strlen(text), "models", &manifest, NULL), 0);
    CHECK(!manifest.has_input);
    CHECK_INT(manifest.size, 0);
    manifest_fini(&manifest);
    free(text);
    json_decref(document);
    check_bad(NULL, "input", "{\"kind\":\"none\",\"size\":64}", "input.size");
    check_bad(NULL, "input", "{}", "input.kind");
}

static void a_name_is_lower_case_digits_and_dashes(void)
{
    check_bad(NULL, "name", "\"A\"", "name");
    check_bad(NULL, "name", "\"\"", "name");
    check_bad(NULL, "name", "\"a/b\"", "name");
    check_bad(NULL, "name", "\"..\"", "name");
    char longest[MANIFEST_MAX_NAME + 2];
    memset(longest, 'x', sizeof longest);
    longest[MANIFEST_MAX_NAME] = 0;
    CHECK(manifest_name_is_valid(longest));
    longest[MANIFEST_MAX_NAME] = 'x';
    longest[MANIFEST_MAX_NAME + 1] = 0;
    CHECK(!manifest_name_is_valid(longest));
}

static void weights_stay_below_the_manifest(void)
{
    static const char *const files[] = {
        "\"/etc/passwd\"", "\"../a\"", "\"a/../../b\"", "\"a//b\"",   "\"\"",   "\"a/\"",
        "\".hidden\"",     "\"a/.b\"", "\"a b\"",       "\"a\\\\b\"", "\"~/a\""};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        check_bad("weights", "file", files[i], "weights.file");
    check_bad("weights", "sha256", "\"abc\"", "weights.sha256");
    check_bad("weights", "url", "\"https://weights.example/w\"", "weights.sha256");
    check_bad("weights", "part", "7", "weights.part");
    check_bad("weights", "smoothing", "\"off\"", "weights.smoothing");
}

static void weights_may_be_named_by_a_url_with_their_digest(void)
{
    static const char *const bad[] = {"ftp://weights.example/a",
                                      "https://",
                                      "https:///a",
                                      "https://me:word@weights.example/a",
                                      "https://weights.example/a b",
                                      "https://weights.example/a\\nb"};
    static const char *const urls[] = {"https://weights.example/a?b=c", "http://[::1]:8000/a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char value[80];
        snprintf(value, sizeof value, "\"%s\"", bad[i]);
        check_bad("weights", "url", value, "weights.url");
    }
    for (int i = 0; i < 2; i++) {
        struct manifest manifest;
        char digest[65] = "";
        json_t *document = json_loads(sound, 0, NULL);
        memset(digest, 'a', 64);
        json_object_set_new(
            document, "weights",
            json_pack("{ss ss ss*}", "sha256", digest, "url", urls[i], "file", i ? "a" : NULL));
        char *text = json_dumps(document, 0);
        CHECK_INT(manifest_parse(text, strlen(text), "models", &manifest, NULL), 0);
        CHECK_TEXT(manifest.weights_url, urls[i]);
        CHECK((manifest.weights_path != NULL) == (i == 1));
        manifest_fini(&manifest);
        free(text);
        json_decref(document);
    }
}

static void a_self_test_that_is_no_grid_of_the_models_planes_is_refused(void)
{
    static const struct {
        size_t length; /* of the base64 */
        const char *tolerance, *field;
    } rows[] = {
        {508, "1", "self_test.grid"},         {172, "1", "self_test.grid"}, /* one plane */
        {0, "1", "self_test.grid"},           {512, "1, \"small\": \"A\"", "self_test.small"},
        {512, "0", "self_test.tolerance"},    {512, "2", "self_test.tolerance"},
        {512, "null", "self_test.tolerance"}, {512, "1, \"more\": 1", "self_test.more"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char grid[600] = "", value[800];
        memset(grid, 'A', rows[i].length);
        snprintf(value, sizeof value, "{\"grid\": \"%s\", \"tolerance\": %s}", grid,
                 rows[i].tolerance);
        check_bad(NULL, "self_test", value, rows[i].field);
    }
    check_bad(NULL, "self_test", "{}", "self_test.grid");
    check_bad(NULL, "self_test", "{\"grid\": \"?\", \"tolerance\": 0.1}", "self_test.grid");
}

static void a_part_of_the_weights_and_their_smoothing_are_choices(void)
{
    struct manifest manifest;
    json_t *document = json_loads(sound, 0, NULL);
    for (int chosen = 0; chosen < 2; chosen++) {
        if (chosen)
            json_object_set_new(document, "weights",
                                json_pack("{ssss,sb}", "file", "UGATIT.model-1000001", "part",
                                          "generator_A", "smoothing", 0));
        char *text = json_dumps(document, 0);
        CHECK_INT(manifest_parse(text, strlen(text), "models", &manifest, NULL), 0);
        if (chosen)
            CHECK_TEXT(manifest.weights_part, "generator_A");
        else
            CHECK(manifest.weights_part == NULL);
        CHECK_INT(manifest.no_smoothing, chosen);
        manifest_fini(&manifest);
        free(text);
    }
    json_decref(document);
}

static char folder[] = "/tmp/darkroom-manifest-XXXXXX";

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fputs(text, file);
    fclose(file);
}

static void remove_file(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

static void write_named(const char *name)
{
    json_t *document = json_loads(sound, 0, NULL);
    json_object_set_new(document, "name", json_string(name));
    char *text = json_dumps(document, 0), file[128];
    snprintf(file, sizeof file, "%s.json", name);
    write_file(file, text);
    free(text);
    json_decref(document);
}

static void a_folder_is_loaded_sorted_and_found_by_name(void)
{
    struct manifest_set set = {0};
    struct err err = {0};
    CHECK(mkdtemp(folder) != NULL);
    CHECK_INT(manifest_set_load(folder, &set, &err), 0);
    CHECK_INT(set.count, 0);
    manifest_set_fini(&set);
    write_named("zebra");
    write_named("ant");
    write_file("README.md", "no manifest");
    CHECK_INT(manifest_set_load(folder, &set, &err), 0);
    CHECK_INT(set.count, 2);
    CHECK_TEXT(set.items[0].name, "ant");
    CHECK(manifest_set_find(&set, "zebra") == &set.items[1]);
    CHECK(manifest_set_find(&set, "cat") == NULL);
    manifest_set_fini(&set);
}

static void one_bad_manifest_fails_the_set_and_is_named(void)
{
    struct manifest_set set = {0};
    struct manifest manifest;
    struct err err = {0};
    char path[256];
    write_file("middle.json", "{\"name\": 3}");
    CHECK(manifest_set_load(folder, &set, &err) < 0);
    CHECK_HAS(err.text, "middle.json");
    CHECK(set.items == NULL);
    write_file("middle.json", sound);
    err = (struct err){0};
    snprintf(path, sizeof path, "%s/middle.json", folder);
    CHECK_INT(manifest_load(path, &manifest, &err), ERR_INVALID);
    CHECK_TEXT(err.field, "name");
    CHECK_HAS(err.text, "a-model");
    remove_file("middle.json");
    err = (struct err){0};
    CHECK_INT(manifest_load(path, &manifest, &err), ERR_NOT_FOUND);
    CHECK_INT(manifest_load("models/README.md", &manifest, NULL), ERR_INVALID);
    CHECK(manifest_set_load("/nonexistent", &set, NULL) < 0);
}

static void a_checkpoint_s_digest_is_that_of_its_files_together(void)
{
    char sha256[PICTURE_HASH_SIZE], again[PICTURE_HASH_SIZE], path[128];
    write_file("m-1.index", "c");
    write_file("m-1.data-00000-of-00002", "a");
    write_file("m-1.data-00001-of-00002", "b");
    write_file("m-10.index", "of another step");
    snprintf(path, sizeof path, "%s/m-1", folder);
    CHECK_INT(manifest_hash_weights(path, sha256, NULL), 0);
    CHECK_TEXT(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    snprintf(path, sizeof path, "%s/m-1.index", folder);
    CHECK_INT(manifest_hash_weights(path, again, NULL), 0);
    CHECK_TEXT(again, sha256);
    write_file("m-1.data-00001-of-00002", "d");
    CHECK_INT(manifest_hash_weights(path, again, NULL), 0);
    CHECK(strcmp(again, sha256) != 0);
    snprintf(path, sizeof path, "%s/m-2", folder);
    CHECK_INT(manifest_hash_weights(path, again, NULL), ERR_NOT_FOUND);
    remove_file("m-1.index");
    remove_file("m-1.data-00000-of-00002");
    remove_file("m-1.data-00001-of-00002");
    remove_file("m-10.index");
}

static void weights_are_compared_with_their_digest(void)
{
    struct manifest manifest;
    struct err err = {0};
    char sha256[PICTURE_HASH_SIZE];
    json_t *document = json_loads(sound, 0, NULL);
    json_object_set_new(
        document, "weights",
        json_pack("{ssss}", "file", "w.bin", "sha256",
                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    char *text = json_dumps(document, 0);
    CHECK_INT(manifest_parse(text, strlen(text), folder, &manifest, NULL), 0);
    CHECK_INT(manifest_check_weights(&manifest, sha256, NULL), ERR_NOT_FOUND);
    write_file("w.bin", "abc");
    CHECK_INT(manifest_check_weights(&manifest, sha256, NULL), 0);
    CHECK_TEXT(sha256, manifest.weights_sha256);
    write_file("w.bin", "abd");
    CHECK_INT(manifest_check_weights(&manifest, sha256, &err), ERR_CHECKSUM);
    CHECK_TEXT(err.field, "weights.sha256");
    manifest_fini(&manifest);
    free(text);
    json_decref(document);
    remove_file("w.bin");
    remove_file("ant.json");
    remove_file("zebra.json");
    remove_file("README.md");
    rmdir(folder);
}

static void parameters_are_checked_and_filled_in(void)
{
    struct manifest manifest;
    struct err err = {0};
    json_t *params = NULL, *given = json_loads("{\"n\":4}", 0, NULL);
    CHECK_INT(manifest_parse(sound, strlen(sound), "models", &manifest, NULL), 0);
    CHECK_INT(manifest_check_params(&manifest, NULL, &params, &err), 0);
    CHECK_INT(json_integer_value(json_object_get(params, "n")), 1);
    json_decref(params);
    CHECK_INT(manifest_check_params(&manifest, given, &params, &err), ERR_INVALID);
    CHECK_TEXT(err.field, "params.n");
    json_decref(given);
    manifest_fini(&manifest);
}

static void manifests_are_sound(const char *path, const char *among)
{
    struct manifest_set set = {0};
    struct err err = {0};
    int rc = manifest_set_load(path, &set, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    CHECK_INT(rc, 0);
    CHECK(manifest_set_find(&set, among) != NULL);
    static const char *const languages[] = {"nl", "ru", "zh"};
    for (size_t i = 0; i < set.count; i++)
        for (size_t l = 0; l < sizeof languages / sizeof languages[0]; l++) {
            const json_t *translations = json_object_get(set.items[i].view, "translations");
            bool has = json_object_get(translations, languages[l]) != NULL;
            if (!has)
                printf("# %s has no translations.%s\n", set.items[i].name, languages[l]);
            CHECK(has);
        }
    manifest_set_fini(&set);
}

static void the_shipped_manifests_are_sound(void)
{
    char guests[512];
    snprintf(guests, sizeof guests, "%s/guests", getenv("DARKROOM_MODELS"));
    manifests_are_sound(getenv("DARKROOM_MODELS"), "portrait-drawing");
    manifests_are_sound(guests, "enlarge");
}

int main(void)
{
    RUN(a_sound_manifest_is_read);
    RUN(every_prefix_is_refused);
    RUN(results_say_their_parameters_unless_the_manifest_withholds_them);
    RUN(the_public_view_tells_nothing_about_the_machine);
    RUN(every_member_is_demanded_and_checked);
    RUN(texts_are_shown_in_a_language_and_what_is_missing_as_it_is);
    RUN(translations_are_checked_as_strictly);
    RUN(the_aspect_of_a_picture_is_a_square_or_what_the_manifest_says);
    RUN(a_manifest_may_choose_the_resize_and_the_rounding);
    RUN(a_model_may_take_no_input_at_all);
    RUN(a_name_is_lower_case_digits_and_dashes);
    RUN(weights_stay_below_the_manifest);
    RUN(weights_may_be_named_by_a_url_with_their_digest);
    RUN(a_self_test_that_is_no_grid_of_the_models_planes_is_refused);
    RUN(a_part_of_the_weights_and_their_smoothing_are_choices);
    RUN(a_folder_is_loaded_sorted_and_found_by_name);
    RUN(one_bad_manifest_fails_the_set_and_is_named);
    RUN(a_checkpoint_s_digest_is_that_of_its_files_together);
    RUN(weights_are_compared_with_their_digest);
    RUN(parameters_are_checked_and_filled_in);
    RUN(the_shipped_manifests_are_sound);
    return check_report();
}

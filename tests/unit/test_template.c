/* SPDX-License-Identifier: MIT */
#include "common/template.h"

#include "common/buf.h"
#include "common/err.h"
#include "tests/unit/check.h"

static struct err failure;

static const char *find_partial(void *context, const char *name)
{
    static const char *const partials[][2] = {
        {"greeting", "Hello {{name}}!"},
        {"lines", "one\ntwo\n"},
        {"itself", "{{#go}}{{>itself}}{{/go}}"},
        {"broken", "\n{{#open}}"},
    };
    for (size_t i = 0; i < sizeof partials / sizeof partials[0]; i++)
        if (strcmp(partials[i][0], name) == 0)
            return partials[i][1];
    return context;
}

/* The result lives until the next call. */
static int render_as(bool html, const char *text, const char *data, const char **out)
{
    static struct buf buf;
    json_t *object = json_loads(data, JSON_DECODE_ANY, NULL);
    json_t *texts = json_pack("{s:{s:s, s:s, s:s, s:s, s:s}}", "page", "title", "Fish & {{food}}",
                              "note_html", "<b>{{food}}</b> & more", "again", "{{t.page.again}}",
                              "both", "{{t.page.title}}, {{#food}}yes{{/food}}", "bad", "{{oops");
    struct template_options options = {.html = html, .partials = find_partial, .texts = texts};
    CHECK(object && texts);
    buf_fini(&buf);
    buf_init(&buf, 4096);
    failure = (struct err){0};
    CHECK_INT(buf_append_text(&buf, "^"), 0);
    int rc = template_render("page.html", text, object, &options, &buf, &failure);
    *out = buf_text(&buf) + 1;
    if (rc < 0) {
        CHECK_TEXT(buf_text(&buf), "^");
        CHECK(failure.text[0] != 0);
    }
    json_decref(object);
    json_decref(texts);
    return rc;
}

static const char *plain(const char *text, const char *data)
{
    const char *out;
    int rc = render_as(false, text, data, &out);
    return rc == 0 ? out : failure.text;
}

static const char *html(const char *text, const char *data)
{
    const char *out;
    int rc = render_as(true, text, data, &out);
    return rc == 0 ? out : failure.text;
}

static void values_stand_where_their_names_were(void)
{
    CHECK_TEXT(plain("", "{}"), "");
    CHECK_TEXT(plain("a {{ name }} b", "{\"name\":\"x\"}"), "a x b");
    CHECK_TEXT(plain("{{n}} {{r}} {{y}} {{z}}|", "{\"n\":-7,\"r\":0.5,\"y\":true,\"z\":null}"),
               "-7 0.5 true |");
    CHECK_TEXT(plain("{{a.b.c}}{{a.x}}{{a.b.c.d}}{{q}}", "{\"a\":{\"b\":{\"c\":\"deep\"}}}"),
               "deep");
    CHECK_TEXT(plain("{{.}}", "\"itself\""), "itself");
    CHECK_TEXT(plain("a { b } {{name}}} }}", "{\"name\":\"x\"}"), "a { b } x} }}");
}

static void html_is_escaped_and_plain_text_is_not(void)
{
    const char *data = "{\"x\":\"<a href='y'>\\\"&amp;\"}";
    CHECK_TEXT(plain("<p>{{x}}", data), "<p><a href='y'>\"&amp;");
    CHECK_TEXT(html("<p>{{x}}", data), "<p>&lt;a href=&#39;y&#39;&gt;&quot;&amp;amp;");
}

static void data_is_never_a_template(void)
{
    CHECK_TEXT(html("{{x}}", "{\"x\":\"{{y}}{{>greeting}}\",\"y\":1}"), "{{y}}{{&gt;greeting}}");
    CHECK_TEXT(plain("{{t.page.title}}", "{\"food\":\"{{t.page.title}}\"}"),
               "Fish & {{t.page.title}}");
}

static void sections_follow_their_values(void)
{
    const char *yes[] = {"{\"s\":true}", "{\"s\":{}}", "{\"s\":0}", "{\"s\":\"x\"}", "{\"s\":[1]}"};
    const char *no[] = {"{\"s\":false}", "{\"s\":null}", "{\"s\":[]}", "{\"s\":\"\"}", "{}"};
    for (int i = 0; i < 5; i++) {
        CHECK_TEXT(plain("{{#s}}yes{{/s}}{{^s}}no{{/s}}", yes[i]), "yes");
        CHECK_TEXT(plain("{{#s}}yes{{/s}}{{^s}}no{{/s}}", no[i]), "no");
    }
    CHECK_TEXT(plain("{{#l}}<{{.}}{{x}}>{{/l}}", "{\"l\":[1,2,\"z\"],\"x\":\"!\"}"),
               "<1!><2!><z!>");
    CHECK_TEXT(plain("{{#l}}{{x}}{{/l}}", "{\"l\":[{\"x\":1},{}],\"x\":\"up\"}"), "1up");
    CHECK_TEXT(plain("{{#a}}{{#b}}{{c}}{{/b}}{{/a}}", "{\"a\":{\"b\":{\"c\":\"in\"}}}"), "in");
    CHECK_TEXT(plain("{{#a}}1{{#a}}2{{/a}}3{{/a}}", "{\"a\":true}"), "123");
    CHECK_TEXT(plain("{{#a}}{{^b}}x{{/b}}{{/a}}", "{\"a\":true}"), "x");
}

static void a_tag_alone_on_its_line_takes_the_line_along(void)
{
    CHECK_TEXT(plain("a\n  {{#s}}\nb\n{{/s}}  \nc\n", "{\"s\":true}"), "a\nb\nc\n");
    CHECK_TEXT(plain("a\r\n{{#s}}\r\nb\r\n{{/s}}\r\nc", "{\"s\":true}"), "a\r\nb\r\nc");
    CHECK_TEXT(plain("a\n{{! nobody\nreads this }}\nb", "{}"), "a\nb");
    CHECK_TEXT(plain("a {{! here }}\nb", "{}"), "a \nb");
    CHECK_TEXT(plain("{{>lines}}\nend", "{}"), "one\ntwo\nend");
    CHECK_TEXT(plain("{{#s}}\n{{/s}}", "{\"s\":true}"), "");
    CHECK_TEXT(plain("{{name}}\n", "{}"), "\n");
}

static void partials_see_the_same_data(void)
{
    CHECK_TEXT(html("{{>greeting}}", "{\"name\":\"<me>\"}"), "Hello &lt;me&gt;!");
    CHECK_TEXT(plain("{{#l}}{{>greeting}} {{/l}}", "{\"l\":[{\"name\":\"A\"},{\"name\":\"B\"}]}"),
               "Hello A! Hello B! ");
}

static void texts_are_filled_from_the_data(void)
{
    CHECK_TEXT(plain("{{t.page.title}}", "{\"food\":\"chips\"}"), "Fish & chips");
    CHECK_TEXT(html("{{t.page.title}}", "{\"food\":\"<chips>\"}"), "Fish &amp; &lt;chips&gt;");
    CHECK_TEXT(html("{{t.page.note_html}}", "{\"food\":\"<i>\"}"), "<b>&lt;i&gt;</b> & more");
    CHECK_TEXT(html("{{#l}}{{t.page.both}} {{/l}}", "{\"l\":[{\"food\":\"a\"},{\"food\":\"b\"}]}"),
               "Fish &amp; a, yes Fish &amp; b, yes ");
    CHECK_TEXT(plain("{{t.page.title}}", "{\"t\":{\"page\":{\"title\":\"forged\"}},\"food\":1}"),
               "Fish & 1");
}

static void faults_name_the_template_and_the_line(void)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"a\n\n{{#x}}b", "page.html:3: nothing closes x"},
        {"{{#x}}\n{{/y}}", "page.html:2: this closes another section: y"},
        {"{{/x}}", "page.html:1: nothing opened x"},
        {"{{x", "page.html:1: a tag is not closed"},
        {"{{}}", "page.html:1: a tag without a proper name"},
        {"{{{x}}}", "page.html:1: a tag without a proper name"},
        {"{{&x}}", "page.html:1: a tag without a proper name"},
        {"{{=<% %>=}}", "page.html:1: a tag without a proper name"},
        {"{{x y}}", "page.html:1: a tag without a proper name"},
        {"{{o}}", "page.html:1: a list or an object is no text: o"},
        {"{{>none}}", "page.html:1: there is no partial none"},
        {"{{>broken}}", "broken:2: nothing closes open"},
        {"\n{{t.page.none}}", "page.html:2: there is no text t.page.none"},
        {"{{t.page}}", "page.html:1: there is no text t.page"},
        {"{{t.page.bad}}", "t.page.bad:1: a tag is not closed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_TEXT(plain(rows[i].text, "{\"x\":true,\"o\":{}}"), rows[i].says);
}

static void depth_and_size_are_bounded(void)
{
    for (int depth = TEMPLATE_MAX_DEPTH; depth <= TEMPLATE_MAX_DEPTH + 1; depth++) {
        struct buf text;
        buf_init(&text, 4000);
        for (int i = 0; i < 2 * depth; i++)
            CHECK_INT(buf_append_text(&text, i < depth ? "{{#x}}" : "{{/x}}"), 0);
        CHECK_TEXT(plain(buf_text(&text), "{\"x\":true}"),
                   depth > TEMPLATE_MAX_DEPTH ? "page.html:1: nested too deeply" : "");
        buf_fini(&text);
    }
    CHECK_TEXT(plain("{{>itself}}", "{\"go\":true}"), "itself:1: nested too deeply");
    CHECK_HAS(plain("{{t.page.again}}", "{}"), "nested too deeply");

    json_t *list = json_array();
    char *data;
    for (int i = 0; i < 100; i++)
        json_array_append_new(list, json_integer(i));
    json_t *object = json_pack("{s:o}", "l", list);
    data = json_dumps(object, 0);
    json_decref(object);
    CHECK_HAS(plain("{{#l}}{{#l}}0123456789{{/l}}{{/l}}", data), "does not fit");
    CHECK_HAS(plain("{{#l}}{{#l}}{{#l}}{{x}}{{/l}}{{/l}}{{/l}}", data), "too many tags");
    free(data);
}

static void every_prefix_of_a_template_renders_or_is_refused(void)
{
    static const char whole[] = "<p>{{name}} {{#l}}\n {{>greeting}} {{t.page.title}}{{/l}}\n"
                                "{{! note }}{{^none}}{{a.b}}{{/none}} {{.}}";
    char text[sizeof whole];
    const char *out;
    for (size_t size = 0; size < sizeof whole; size++) {
        memcpy(text, whole, size);
        text[size] = 0;
        int rc = render_as(true, text, "{\"name\":\"x\",\"l\":[{\"name\":\"y\"}]}", &out);
        CHECK(rc == 0 || rc == ERR_INVALID || rc == ERR_NOT_FOUND);
    }
}

static void checking_looks_into_branches_that_data_would_skip(void)
{
    json_t *texts = json_pack("{s:s}", "title", "x");
    struct template_options options = {.html = true, .partials = find_partial, .texts = texts};
    CHECK_INT(template_check("a", "{{#x}}{{t.title}}{{>greeting}}{{o}}{{/x}}", &options, NULL), 0);
    CHECK_INT(template_check("a", "{{#x}}{{t.other}}{{/x}}", &options, NULL), ERR_NOT_FOUND);
    CHECK_INT(template_check("a", "{{^x}}{{>none}}{{/x}}", &options, NULL), ERR_NOT_FOUND);
    CHECK_INT(template_check("a", "{{#x}}{{y{{/x}}", &options, NULL), ERR_INVALID);
    json_decref(texts);
}

int main(void)
{
    RUN(values_stand_where_their_names_were);
    RUN(html_is_escaped_and_plain_text_is_not);
    RUN(data_is_never_a_template);
    RUN(sections_follow_their_values);
    RUN(a_tag_alone_on_its_line_takes_the_line_along);
    RUN(partials_see_the_same_data);
    RUN(texts_are_filled_from_the_data);
    RUN(faults_name_the_template_and_the_line);
    RUN(depth_and_size_are_bounded);
    RUN(every_prefix_of_a_template_renders_or_is_refused);
    RUN(checking_looks_into_branches_that_data_would_skip);
    return check_report();
}

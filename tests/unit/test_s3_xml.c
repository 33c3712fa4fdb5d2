/* SPDX-License-Identifier: MIT */
#include "common/s3_xml.h"

#include "common/err.h"
#include "tests/unit/check.h"

#define ENTRY(key, modified)                                                                       \
    "<Contents><Key>" key "</Key><LastModified>" modified "</LastModified>"                        \
    "<ETag>&quot;x&quot;</ETag><Size>12</Size></Contents>"
#define DATE "2013-05-24T00:00:00.000Z"

static struct store_entry entries[3];
static char cursor[STORE_CURSOR_SIZE];
static size_t count;

static int list(const char *xml)
{
    count = 0;
    snprintf(cursor, STORE_CURSOR_SIZE, "before");
    return s3_xml_list(xml, strlen(xml), cursor, entries, 3, &count);
}

static void a_page_gives_its_entries_and_where_to_go_on(void)
{
    CHECK_INT(list("<?xml?><ListBucketResult xmlns=\"x\"><IsTruncated>true</IsTruncated>"
                   "<NextContinuationToken>a&amp;b=</NextContinuationToken>" ENTRY("inputs/1", DATE)
                       ENTRY("inputs/2", DATE) "</ListBucketResult>"),
              0);
    CHECK_INT(count, 2);
    CHECK_TEXT(entries[1].key, "inputs/2");
    CHECK_INT(entries[1].bytes, 12);
    CHECK_INT(entries[1].modified_ms, 1369353600000);
    CHECK_TEXT(cursor, "a&b=");
}

static void the_last_page_ends_the_walk(void)
{
    CHECK_INT(list("<r><IsTruncated>false</IsTruncated></r>"), 0);
    CHECK_INT(count, 0);
    CHECK_TEXT(cursor, "");
}

static void foreign_keys_and_entries_without_a_date_are_left_out(void)
{
    CHECK_INT(list("<r><IsTruncated>false</IsTruncated>" ENTRY("../x", DATE) ENTRY("a b", DATE)
                       ENTRY("old", "yesterday") ENTRY("ours", DATE) "</r>"),
              0);
    CHECK_INT(count, 1);
    CHECK_TEXT(entries[0].key, "ours");
}

static void more_entries_than_asked_for_do_no_harm(void)
{
    CHECK_INT(list("<r><IsTruncated>false</IsTruncated>" ENTRY("a", DATE) ENTRY("b", DATE)
                       ENTRY("c", DATE) ENTRY("d", DATE) "</r>"),
              0);
    CHECK_INT(count, 3);
}

static void anything_else_is_corrupt_and_keeps_the_cursor(void)
{
    static const char *const bad[] = {
        "", "<html>no</html>", "<r><IsTruncated>true</IsTruncated></r>",
        "<r><IsTruncated>true</IsTruncated><NextContinuationToken></NextContinuationToken></r>",
        "<IsTruncated>false"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_INT(list(bad[i]), ERR_CORRUPT);
        CHECK_TEXT(cursor, "before");
    }
}

static void every_prefix_is_read_within_its_bounds(void)
{
    static const char xml[] = "<r><IsTruncated>true</IsTruncated><NextContinuationToken>&amp;"
                              "</NextContinuationToken>" ENTRY("a", DATE) "</r>";
    for (size_t size = 0; size < sizeof xml; size++) {
        char *exact = malloc(size + 1);
        memcpy(exact, xml, size);
        int rc = s3_xml_list(exact, size, cursor, entries, 3, &count);
        free(exact);
        CHECK(rc == 0 || rc == ERR_CORRUPT);
    }
}

static void an_error_names_its_code(void)
{
    static const char xml[] = "<Error><Code>AccessDenied</Code><Message>no &lt;you&gt;</Message>";
    char code[32], message[32], tiny[4];
    CHECK(s3_xml_text(xml, strlen(xml), "Code", code, sizeof code));
    CHECK_TEXT(code, "AccessDenied");
    CHECK(s3_xml_text(xml, strlen(xml), "Message", message, sizeof message));
    CHECK_TEXT(message, "no <you>");
    CHECK(!s3_xml_text(xml, strlen(xml), "Code", tiny, sizeof tiny));
    CHECK(!s3_xml_text(xml, strlen(xml), "Resource", code, sizeof code));
}

int main(void)
{
    RUN(a_page_gives_its_entries_and_where_to_go_on);
    RUN(the_last_page_ends_the_walk);
    RUN(foreign_keys_and_entries_without_a_date_are_left_out);
    RUN(more_entries_than_asked_for_do_no_harm);
    RUN(anything_else_is_corrupt_and_keeps_the_cursor);
    RUN(every_prefix_is_read_within_its_bounds);
    RUN(an_error_names_its_code);
    return check_report();
}

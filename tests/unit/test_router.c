/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/router.h"

#include "common/err.h"
#include "dispatcher/http/uri.h"
#include "tests/unit/check.h"

static const struct route routes[] = {
    {1u << METHOD_GET, "/", "home"},
    {1u << METHOD_POST, "/v1/jobs", "submit"},
    {1u << METHOD_GET, "/v1/jobs/{}", "job"},
    {1u << METHOD_DELETE, "/v1/jobs/{}", "erase"},
    {1u << METHOD_POST, "/v1/jobs/{}/cancel", "cancel"},
    {1u << METHOD_GET, "/assets/{*}", "asset"},
};

static struct router_match match;

static int find(enum method method, const char *path)
{
    return router_find(routes, sizeof routes / sizeof routes[0], method, path, &match);
}

static const char *capture(void)
{
    static char text[64];
    return router_capture(&match, 0, text, sizeof text) ? text : "(too long)";
}

static void paths_find_their_route_and_captures(void)
{
    CHECK_INT(find(METHOD_GET, "/"), 0);
    CHECK_TEXT(match.route->name, "home");
    CHECK_INT(find(METHOD_HEAD, "/v1/jobs/17"), 0);
    CHECK_TEXT(match.route->name, "job");
    CHECK_TEXT(capture(), "17");
    CHECK_INT(find(METHOD_DELETE, "/v1/jobs/17"), 0);
    CHECK_TEXT(match.route->name, "erase");
    CHECK_INT(find(METHOD_GET, "/assets/a/b.js"), 0);
    CHECK_TEXT(capture(), "a/b.js");
}

static void what_is_not_in_the_table_is_not_found(void)
{
    static const char *const paths[] = {"",
                                        "/v1",
                                        "/v1/jobs/",
                                        "//",
                                        "/v1/jobs/1/",
                                        "/v1/jobs/1/cancel/x",
                                        "/assets",
                                        "/v1/jobs//cancel",
                                        "/assets/"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        CHECK_INT(find(METHOD_GET, paths[i]), ERR_NOT_FOUND);
}

static void a_wrong_method_learns_which_are_allowed(void)
{
    char allow[64];
    CHECK_INT(find(METHOD_PUT, "/v1/jobs/17"), ERR_UNSUPPORTED);
    router_allow_text(match.allowed, allow);
    CHECK_TEXT(allow, "GET, HEAD, DELETE");
    CHECK_INT(find(METHOD_OTHER, "/v1/jobs"), ERR_UNSUPPORTED);
    router_allow_text(match.allowed, allow);
    CHECK_TEXT(allow, "POST");
}

static void a_capture_that_does_not_fit_is_refused(void)
{
    char text[4];
    CHECK_INT(find(METHOD_GET, "/v1/jobs/1234"), 0);
    CHECK(!router_capture(&match, 0, text, sizeof text));
}

static int split(const char *target, char **path, const char **query)
{
    free(*path);
    *path = NULL;
    return http_uri_split(target, path, query);
}

static void targets_are_decoded_strictly(void)
{
    char *path = NULL;
    const char *query = NULL;
    CHECK_INT(split("/a%20b?x=1", &path, &query), 0);
    CHECK_TEXT(path, "/a b");
    CHECK_TEXT(query, "x=1");
    CHECK_INT(split("/a?", &path, &query), 0);
    CHECK_TEXT(query, "");
    CHECK_INT(split("/a", &path, &query), 0);
    CHECK(query == NULL);
    static const char *const bad[] = {"",     "a",     "*",       "http://x/", "/%",   "/%4",
                                      "/%zz", "/%00x", "/%0d%0a", "/..%2f..",  "/\x01"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_INT(split(bad[i], &path, &query), ERR_INVALID);
    static char longest[HTTP_URI_MAX + 3] = "/";
    memset(longest + 1, 'a', HTTP_URI_MAX);
    CHECK_INT(split(longest, &path, &query), ERR_LIMIT);
}

static void arguments_are_found_by_their_whole_name(void)
{
    char value[16];
    CHECK_INT(http_uri_argument("xtoken=a&token=b%2Bc+d&token=z", "token", value, sizeof value), 0);
    CHECK_TEXT(value, "b+c d");
    CHECK_INT(http_uri_argument("token=", "token", value, sizeof value), 0);
    CHECK_TEXT(value, "");
    CHECK_INT(http_uri_argument("token", "token", value, sizeof value), ERR_NOT_FOUND);
    CHECK_INT(http_uri_argument(NULL, "token", value, sizeof value), ERR_NOT_FOUND);
    CHECK_INT(http_uri_argument("token=%0a", "token", value, sizeof value), ERR_INVALID);
    CHECK_INT(http_uri_argument("token=%", "token", value, sizeof value), ERR_INVALID);
    CHECK_INT(http_uri_argument("token=1234567890123456", "token", value, sizeof value), ERR_LIMIT);
}

int main(void)
{
    RUN(paths_find_their_route_and_captures);
    RUN(what_is_not_in_the_table_is_not_found);
    RUN(a_wrong_method_learns_which_are_allowed);
    RUN(a_capture_that_does_not_fit_is_refused);
    RUN(targets_are_decoded_strictly);
    RUN(arguments_are_found_by_their_whole_name);
    return check_report();
}

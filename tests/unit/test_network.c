/* SPDX-License-Identifier: MIT */
#include "common/network.h"

#include "common/err.h"
#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

static bool is_public(const char *text)
{
    unsigned char address[NETWORK_ADDRESS_SIZE];
    CHECK(network_read_address(text, strlen(text), address));
    return network_is_public(address);
}

static void every_block_that_is_set_aside_is_internal_from_its_first_to_its_last_address(void)
{
    /* first, last, and their neighbours outside; "" where the neighbour is special as well */
    static const char *const blocks[][4] = {
        {"0.0.0.0", "0.255.255.255", "", "1.0.0.0"},
        {"10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
        {"100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},
        {"127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},
        {"168.63.129.16", "168.63.129.16", "168.63.129.15", "168.63.129.17"},
        {"169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"},
        {"172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
        {"192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"},
        {"192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
        {"192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"},
        {"192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"},
        {"198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"},
        {"198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"},
        {"203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"},
        {"224.0.0.0", "239.255.255.255", "223.255.255.255", ""},
        {"240.0.0.0", "255.255.255.255", "", ""},
        {"2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
         "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"},
        {"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
         "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
        {"2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"},
        {"3ffe::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
         "3ffd:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},
        {"4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
        {"::", "::fffe:ffff:ffff", "", ""},
        {"::1:0:0:0", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "2000::"},
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        CHECK(!is_public(blocks[i][0]));
        CHECK(!is_public(blocks[i][1]));
        CHECK(!*blocks[i][2] || is_public(blocks[i][2]));
        CHECK(!*blocks[i][3] || is_public(blocks[i][3]));
    }
}

static void what_attackers_write_for_internal_is_internal(void)
{
    static const char *const internal[] = {
        "127.0.0.1",
        "::1",
        "::",
        "0.0.0.0",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::127.0.0.1",        /* compatible */
        "64:ff9b::127.0.0.1", /* NAT64 */
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::8.8.8.8", /* NAT64 of local use */
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1", /* 6to4 */
        "2001:0:7f00:1::",   /* Teredo */
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "fc00::1",
        "fdff::1",
        "ff02::1",
        "ff0e::1",
        "::ffff:10.0.0.1",
        "::ffff:192.168.1.1",
        "::ffff:0.0.0.0",
        "::ffff:255.255.255.255",
        "::ffff:0:127.0.0.1", /* translated */
        "100::1",
        "5f00::1",
        "200::1",
        "400::1",
        "8000::1",
    };
    for (size_t i = 0; i < sizeof internal / sizeof *internal; i++)
        CHECK(!is_public(internal[i]));
}

static void servers_on_the_internet_are_public(void)
{
    static const char *const open[] = {
        "1.1.1.1",         "8.8.8.8",      "93.184.215.14",        "151.101.1.69",
        "223.255.255.255", "100.63.0.1",   "2606:4700:4700::1111", "2a00:1450:4001:81b::200e",
        "2400:cb00::1",    "2c0f:fb50::1", "::ffff:8.8.8.8",       "64:ff9b::8.8.8.8",
    };
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        CHECK(is_public(open[i]));
}

/* A second opinion, written the other way round: by octets instead of masks. */
static bool special_octets(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return a == 0 || a == 10 || a == 127 || a >= 224 || (a == 100 && b >= 64 && b < 128) ||
           (a == 169 && b == 254) || (a == 172 && b >= 16 && b < 32) || (a == 192 && b == 168) ||
           (a == 192 && b == 0 && (c == 0 || c == 2)) || (a == 192 && b == 88 && c == 99) ||
           (a == 198 && (b == 18 || b == 19)) || (a == 198 && b == 51 && c == 100) ||
           (a == 203 && b == 0 && c == 113) || (a == 168 && b == 63 && c == 129 && d == 16);
}

static void every_24_bit_prefix_of_ipv4_is_judged_as_the_registry_says(void)
{
    unsigned char address[NETWORK_ADDRESS_SIZE] = {[10] = 0xff, [11] = 0xff};
    for (unsigned prefix = 0; prefix < 1u << 24; prefix++) {
        address[12] = (unsigned char)(prefix >> 16);
        address[13] = (unsigned char)(prefix >> 8);
        address[14] = (unsigned char)prefix;
        address[15] = (unsigned char)(prefix * 7 + 16);
        if (network_is_public(address) ==
            special_octets(address[12], address[13], address[14], address[15]))
            CHECK_INT(prefix, -1);
    }
}

static void a_socket_that_is_not_of_the_internet_is_not_public(void)
{
    unsigned char address[NETWORK_ADDRESS_SIZE];
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    network_of_peer((struct sockaddr *)&local, address);
    CHECK(!network_is_public(address));
    network_of_peer(NULL, address);
    CHECK(!network_is_public(address));
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x08080808)};
    network_of_peer((struct sockaddr *)&v4, address);
    CHECK(network_is_v4(address) && network_is_public(address));
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    CHECK_INT(inet_pton(AF_INET6, "::ffff:127.0.0.1", &v6.sin6_addr), 1);
    network_of_peer((struct sockaddr *)&v6, address);
    CHECK(network_is_v4(address) && !network_is_public(address));
}

static void a_set_contains_what_was_listed_and_its_mapped_form(void)
{
    struct network_set set;
    unsigned char address[NETWORK_ADDRESS_SIZE];
    CHECK_INT(network_set_parse("127.0.0.1/32, fd00::/8,10.1.0.0/15", "x", &set, NULL), 0);
    CHECK_INT(set.count, 3);
    const struct {
        const char *text;
        bool inside;
    } cases[] = {{"127.0.0.1", true}, {"::ffff:127.0.0.1", true}, {"127.0.0.2", false},
                 {"fd12::1", true},   {"fc12::1", false},         {"10.1.255.255", true},
                 {"10.0.0.0", true},  {"10.2.0.0", false},        {"::1", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(network_read_address(cases[i].text, strlen(cases[i].text), address));
        CHECK_INT(network_set_contains(&set, address), cases[i].inside);
    }
    CHECK_INT(network_set_parse(NULL, "x", &set, NULL), 0);
    CHECK_INT(set.count, 0);
}

static void a_list_that_is_none_is_refused_by_its_option(void)
{
    static const char *const bad[] = {"localhost",  "1.2.3",    "1.2.3.4/33",
                                      "::/129",     "1.2.3.4/", "1.2.3.4/-1",
                                      "1.2.3.4/8x", "0x7f.1",   "2130706433"};
    struct network_set set;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = {0};
        CHECK_INT(network_set_parse(bad[i], "webhook-allow", &set, &err), ERR_INVALID);
        CHECK_TEXT(err.field, "webhook-allow");
    }
}

int main(void)
{
    RUN(every_block_that_is_set_aside_is_internal_from_its_first_to_its_last_address);
    RUN(what_attackers_write_for_internal_is_internal);
    RUN(servers_on_the_internet_are_public);
    RUN(every_24_bit_prefix_of_ipv4_is_judged_as_the_registry_says);
    RUN(a_socket_that_is_not_of_the_internet_is_not_public);
    RUN(a_set_contains_what_was_listed_and_its_mapped_form);
    RUN(a_list_that_is_none_is_refused_by_its_option);
    return check_report();
}

/* Which addresses are of the public internet. References: RFC 6890 and the IANA registries of
 * special-purpose addresses. */
#include "fetch/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

typedef struct range4 {
    uint32_t base;
    int bits;
} range4;

static const range4 special4[] = {
    {0x00000000, 8},  /* this network */
    {0x0a000000, 8},  /* private */
    {0x64400000, 10}, /* shared, behind a carrier */
    {0x7f000000, 8},  /* loopback */
    {0xa9fe0000, 16}, /* link-local, where clouds keep their secrets */
    {0xac100000, 12}, /* private */
    {0xc0000000, 24}, /* protocol assignments */
    {0xc0000200, 24}, /* documentation */
    {0xc0586300, 24}, /* 6to4 relays */
    {0xc0a80000, 16}, /* private */
    {0xc6120000, 15}, /* benchmarks */
    {0xc6336400, 24}, /* documentation */
    {0xcb007100, 24}, /* documentation */
    {0xe0000000, 3},  /* multicast, reserved, broadcast */
};

static bool is_public4(uint32_t a)
{
    for (size_t i = 0; i < sizeof special4 / sizeof special4[0]; i++)
        if (a >> (32 - special4[i].bits) == special4[i].base >> (32 - special4[i].bits))
            return false;
    return true;
}

static uint32_t inner4(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Global unicast is 2000::/3; of it, tunnels and documentation are left out. IPv4 that is mapped,
 * compatible or translated (64:ff9b::/96, 2002::/16) is judged as IPv4. */
static bool is_public6(const unsigned char a[16])
{
    static const unsigned char zero[10] = {0}, nat64[12] = {0, 0x64, 0xff, 0x9b};
    if (memcmp(a, zero, 10) == 0 && a[10] == 0xff && a[11] == 0xff)
        return is_public4(inner4(a + 12));
    if (memcmp(a, nat64, 12) == 0) return is_public4(inner4(a + 12));
    if (a[0] == 0x20 && a[1] == 0x02) return is_public4(inner4(a + 2));
    if ((a[0] & 0xe0) != 0x20) return false;
    if (a[0] == 0x20 && a[1] == 0x01 && a[2] < 2) return false; /* 2001::/23 */
    if (a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x0d && a[3] == 0xb8) return false;
    return !(a[0] == 0x3f && a[1] == 0xff);
}

bool hg_address_is_public(int family, const void *address)
{
    unsigned char a[16] = {0};

    if (family == AF_INET) {
        memcpy(a, address, 4);
        return is_public4(inner4(a));
    }
    if (family != AF_INET6) return false;
    memcpy(a, address, 16);
    return is_public6(a);
}

/* TensorBoard's records, read back by a reader of its own: bit by bit checksums, messages field by
 * field. */
#include "base/file.h"
#include "fixture.h"
#include "train/events.h"
#include <math.h>
#include <string.h>

static uint32_t crc_by_bits(const unsigned char *p, size_t n)
{
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n * 8; i++) {
        uint32_t bit = ((uint32_t)p[i / 8] >> (i % 8)) & 1u;
        c = (c >> 1) ^ ((c ^ bit) & 1u ? 0x82f63b78u : 0);
    }
    c = ~c;
    return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

TEST(the_checksum_is_castagnolis)
{
    hg_events v;
    hg_err e = {0};
    CHECK_OK(hg_events_open(&v, test_path(""), 1.5, 0, &e), e);
    /* RFC 3720, B.4 has 0xe3069283 for these nine digits. */
    const uint32_t plain = 0xe3069283u;
    CHECK_EQ(hg_events_crc(&v, "123456789", 9), ((plain >> 15) | (plain << 17)) + 0xa282ead8u);
    CHECK_EQ(hg_events_crc(&v, "123456789", 9), crc_by_bits((const unsigned char *)"123456789", 9));
    hg_events_close(&v);
}

/* The next record of b, its checksums held against crc_by_bits. */
static hg_bytes next_record(const hg_buf *b, size_t *at)
{
    const unsigned char *p = (const unsigned char *)b->p + *at;
    uint64_t n;
    uint32_t crc;
    CHECK(*at + 16 <= b->n);
    memcpy(&n, p, 8);
    memcpy(&crc, p + 8, 4);
    CHECK_EQ(crc, crc_by_bits(p, 8));
    CHECK(n < 1000 && *at + 16 + n <= b->n);
    memcpy(&crc, p + 12 + n, 4);
    CHECK_EQ(crc, crc_by_bits(p + 12, n));
    *at += 16 + n;
    return (hg_bytes){(const char *)p + 12, n};
}

TEST(a_resumed_run_tells_the_reader_to_forget_later_steps)
{
    hg_events v;
    hg_err e = {0};
    hg_buf b = {0};
    size_t at = 0;
    static const unsigned char head[] = {0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x10, 0, 0x1a, 13},
                               start[] = {0x09, 0,    0, 0,    0, 0, 0, 0xf8,
                                          0x3f, 0x10, 8, 0x3a, 2, 8, 1};
    const hg_scalar two[] = {{"loss", 2.5f}, {"lr", NAN}};
    CHECK_OK(hg_events_open(&v, test_path(""), 1.5, 7, &e), e);
    CHECK_OK(hg_events_put(&v, 2, 300, two, 2, &e), e);
    CHECK_OK(hg_events_put(&v, 2, 301, two + 1, 1, &e), e); /* nothing finite, no record */
    CHECK_OK(hg_file_read(&b, v.path, 4096, &e), e);
    hg_bytes r = next_record(&b, &at);
    CHECK_EQ(r.n, sizeof head + 13);
    CHECK_EQ(memcmp(r.p, head, sizeof head), 0);
    CHECK_EQ(memcmp(r.p + sizeof head, "brain.Event:2", 13), 0);
    r = next_record(&b, &at);
    CHECK_EQ(r.n, sizeof start);
    CHECK_EQ(memcmp(r.p, start, sizeof start), 0);
    r = next_record(&b, &at);
    /* step 300 as a varint; summary { value { tag "loss", 2.5 } } */
    static const unsigned char event[] = {0x10, 0xac, 2,   0x2a, 13,   0x0a, 11, 0x0a, 4,
                                          'l',  'o',  's', 's',  0x15, 0,    0,  0x20, 0x40};
    CHECK_EQ(r.n, 9 + sizeof event);
    CHECK_EQ(memcmp(r.p + 9, event, sizeof event), 0);
    CHECK_EQ(at, b.n);
    hg_events_close(&v);
    hg_buf_free(&b);
}

/* Our own code for the well-known patterns, against PCRE2 on the same pattern: the same words on
 * random text that goes for the edges. */
#include "tiny.h"
#include "token/words.h"

#include "base/rng.h"
#include <string.h>
#include <utf8proc.h>

static hg_err e;

static const char *const patterns[] = {
    HG_PATTERN_GPT2,
    HG_PATTERN_CL100K(HG_SHORT_I, "\\p{N}{1,3}"),
    HG_PATTERN_CL100K(HG_SHORT_AA, "\\p{N}{1,3}"),
    HG_PATTERN_CL100K(HG_SHORT_TIKTOKEN, "\\p{N}{1,3}"),
    HG_PATTERN_CL100K(HG_SHORT_I, "\\p{N}"),
    HG_PATTERN_CL100K(HG_SHORT_AA, "\\p{N}"),
    HG_PATTERN_QWEN35,
    HG_PATTERN_O200K(HG_SHORT_I "?", "\\p{N}{1,3}"),
    HG_PATTERN_O200K(HG_SHORT_AA "?", "\\p{N}{1,3}"),
    HG_PATTERN_O200K(HG_SHORT_TIKTOKEN "?", "\\p{N}{1,3}"),
    HG_PATTERN_O200K("", "\\p{N}"),
};
enum { N_PATTERNS = sizeof patterns / sizeof patterns[0], MAX_TEXT = 512 };

static void put_cp(char *out, size_t *n, uint32_t cp)
{
    *n += (size_t)utf8proc_encode_char((utf8proc_int32_t)cp, (utf8proc_uint8_t *)out + *n);
}

/* A random text of pieces that decide where words end. */
static size_t random_text(hg_rng *r, char *out)
{
    static const char *const odd[] = {"'s",
                                      "'S",
                                      "'\xC5\xBF",
                                      "'ll",
                                      "'Ll",
                                      "'RE",
                                      "'ve",
                                      "'x",
                                      "'",
                                      "\r\n",
                                      "\n\n",
                                      "\t",
                                      "/",
                                      "//",
                                      "_",
                                      "!?",
                                      "...",
                                      "\xC2\xA0",
                                      "\xE2\x80\xA8",
                                      "\xE3\x80\x80",
                                      "\xC2\x85",
                                      "\xCC\x81",
                                      "\xC2\xBD",
                                      "\xE2\x85\xA7",
                                      "\xC7\x85",
                                      "\xCA\xB0",
                                      "\xF0\x9F\x98\x80",
                                      "\xE0\xA4\xBF"};
    static const uint32_t from[] = {0xC0,  0x410,   0x4E00, 0x627, 0x904,
                                    0x300, 0x1F600, 0x660,  0x1C5, 0};
    size_t n = 0;
    for (uint64_t k = 1 + hg_rng_below(r, 24); k > 0 && n < MAX_TEXT - 64; k--) {
        uint64_t kind = hg_rng_below(r, 12);
        uint64_t times = 1 + hg_rng_below(r, 4);
        for (; times > 0; times--) {
            if (kind < 2) {
                out[n++] = (char)('a' + hg_rng_below(r, 26));
            } else if (kind == 2) {
                out[n++] = (char)('A' + hg_rng_below(r, 26));
            } else if (kind < 5) {
                out[n++] = ' ';
            } else if (kind == 5) {
                out[n++] = (char)('0' + hg_rng_below(r, 10));
            } else if (kind == 6) {
                out[n++] = (char)hg_rng_below(r, 128);
            } else if (kind < 9) {
                const char *s = odd[hg_rng_below(r, sizeof odd / sizeof odd[0])];
                memcpy(out + n, s, strlen(s));
                n += strlen(s);
            } else {
                uint64_t which = hg_rng_below(r, sizeof from / sizeof from[0]);
                uint32_t cp = from[which] + (uint32_t)hg_rng_below(r, which == 9 ? 0xD800 : 40);
                put_cp(out, &n, cp);
            }
        }
    }
    return n;
}

static hg_status note(void *ctx, const char *p, size_t n, size_t room, hg_err *err)
{
    CHECK(room >= n);
    hg_buf *b = ctx;
    (void)err;
    hg_buf_put(b, p, n);
    hg_buf_putc(b, '\x1F');
    return HG_OK;
}

/* Characters that only the younger of the two Unicode tables knows are left out. */
static bool is_known_to_both(const char *p, size_t n, const hg_splitter *assigned,
                             hg_split_scratch *sc)
{
    hg_buf b = {0};
    CHECK_OK(hg_splitter_run(assigned, sc, p, n, true, note, &b, &e), e);
    bool same = true;
    uint32_t cp = 0;
    for (size_t i = 0, len; i < n; i += len) {
        len = hg_token_utf8(p + i, n - i, &cp);
        if (utf8proc_category((utf8proc_int32_t)cp) != UTF8PROC_CATEGORY_CN) continue;
        same = false; /* unassigned: the tables may differ */
    }
    if (b.n > 0) same = false;
    hg_buf_free(&b);
    return same;
}

TEST_SECONDS(the_known_patterns_split_as_their_regular_expressions_do, 120)
{
    static const hg_split unassigned = {.pattern = "\\p{Cn}", .keep = HG_KEEP_MATCHES};
    hg_splitter *fast[N_PATTERNS], *slow[N_PATTERNS], *cn;
    hg_split_scratch *sc = hg_split_scratch_new();
    hg_buf a = {0}, b = {0};
    hg_rng r;
    size_t n_texts = 0;
    CHECK_OK(hg_splitter_new(&cn, &unassigned, 1, true, &e), e);
    for (size_t i = 0; i < N_PATTERNS; i++) {
        const hg_split s = {.pattern = patterns[i]};
        CHECK(hg_words_find(patterns[i]) != NULL);
        CHECK_OK(hg_splitter_new(&fast[i], &s, 1, false, &e), e);
        CHECK_OK(hg_splitter_new(&slow[i], &s, 1, true, &e), e);
    }
    hg_rng_init(&r, 3, 0);
    for (int round = 0; round < 20000; round++) {
        char text[MAX_TEXT];
        size_t n = random_text(&r, text), i = (size_t)round % N_PATTERNS;
        if (!is_known_to_both(text, n, cn, sc)) continue;
        n_texts++;
        hg_buf_clear(&a);
        hg_buf_clear(&b);
        CHECK_OK(hg_splitter_run(fast[i], sc, text, n, true, note, &a, &e), e);
        CHECK_OK(hg_splitter_run(slow[i], sc, text, n, true, note, &b, &e), e);
        if (a.n != b.n || memcmp(a.p, b.p, a.n) != 0)
            test_fail(__FILE__, __LINE__, "pattern %zu: %.*s, not %.*s", i, (int)a.n, a.p, (int)b.n,
                      b.p);
    }
    CHECK(n_texts > 10000);
    for (size_t i = 0; i < N_PATTERNS; i++) {
        hg_splitter_free(fast[i]);
        hg_splitter_free(slow[i]);
    }
    hg_splitter_free(cn);
    hg_split_scratch_free(sc);
    hg_buf_free(&a);
    hg_buf_free(&b);
}

TEST(a_pattern_of_ones_own_has_no_code)
{
    CHECK(hg_words_find("\\p{L}+") == NULL);
}

/* Tokenizers that are not byte-level BPE, and the steps before merging that only they have. */
#include "tiny.h"

#include <string.h>

static hg_err e;

static hg_tokenizer *parse(const char *json)
{
    hg_tokenizer *t = NULL;
    CHECK_OK(hg_tokenizer_parse(&t, (hg_bytes){json, strlen(json)}, &e), e);
    return t;
}

#define META "\xE2\x96\x81"
/* 0 to 3: <unk>, the sign, a, b; then what merges make; c is the byte 0x63. */
#define TEXT_BPE(normal, pre, fallback)                                                         \
    "{\"added_tokens\": [{\"id\": 0, \"content\": \"<unk>\", \"special\": true}], "             \
    "\"normalizer\": " normal ", \"pre_tokenizer\": " pre ", \"decoder\": {\"type\": "          \
    "\"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": {\"String\": \"" META    \
    "\"}, \"content\": \" \"}, {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}, {\"type\": " \
    "\"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}]}, \"model\": {\"type\": "       \
    "\"BPE\", \"unk_token\": \"<unk>\", \"fuse_unk\": true, \"byte_fallback\": " fallback       \
    ", \"vocab\": {\"<unk>\": 0, \"" META "\": 1, \"a\": 2, \"b\": 3, \"" META "a\": 4, "       \
    "\"ab\": 5, \" \": 6}, \"merges\": [\"" META " a\", \"a b\"]}}"
#define LLAMA                                                                                 \
    "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \"" META \
    "\"}, {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"" META "\"}]}"

TEST(merges_of_characters_begin_with_the_sign_for_a_space)
{
    hg_tokenizer *t = parse(TEXT_BPE(LLAMA, "null", "false"));
    CHECK_STR(tiny_ids(t, "ab a", 4, false), "4 3 4");
    CHECK_STR(tiny_ids(t, "", 0, false), "");
    CHECK_STR(tiny_ids(t, " ", 1, false), "1 1");
    CHECK(hg_tokenizer_drops_space(t));
    hg_bytes p = hg_tokenizer_piece(t, 4, false);
    CHECK(p.n == 2 && memcmp(p.p, " a", 2) == 0);
    hg_tokenizer_free(t);
}

TEST(characters_without_a_token_are_one_unknown_token)
{
    hg_tokenizer *t = parse(TEXT_BPE(LLAMA, "null", "false"));
    CHECK_STR(tiny_ids(t,
                       "axyz\xC3\xA9"
                       "b",
                       7, false),
              "4 0 3");
    /* A byte that belongs to no character is read as U+FFFD, which has none either. */
    CHECK_STR(tiny_ids(t,
                       "a\xFF"
                       "b",
                       3, false),
              "4 0 3");
    hg_tokenizer_free(t);
}

static hg_tokenizer *with_bytes(void)
{
    hg_buf b = {0};
    const char *json = TEXT_BPE(LLAMA, "null", "true"), *at = strstr(json, "\" \": 6");
    hg_buf_put(&b, json, (size_t)(at - json));
    for (int i = 0; i < 256; i++) hg_buf_printf(&b, "\"<0x%02X>\": %d, ", i, 7 + i);
    hg_buf_puts(&b, at);
    hg_tokenizer *t = parse(b.p);
    hg_buf_free(&b);
    return t;
}

TEST(or_the_bytes_that_they_are_made_of)
{
    hg_tokenizer *t = with_bytes();
    CHECK_STR(tiny_ids(t, "ac\xC3\xA9", 4, false), "4 106 202 176");
    hg_bytes p = hg_tokenizer_piece(t, 202, false);
    CHECK(p.n == 1 && (unsigned char)p.p[0] == 0xC3);
    /* Their names, typed by people, are text. */
    CHECK(strstr(tiny_ids(t, "<0x41>", 6, false), " 72") == NULL);
    hg_tokenizer_free(t);
}

TEST(metaspace_puts_its_sign_first_always_or_never)
{
    static const struct {
        const char *scheme, *ids;
    } rows[] = {{"first", "4 3 4"}, {"always", "4 3 4"}, {"never", "5 4"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hg_buf b = {0};
        const char *json = TEXT_BPE("null", "@", "false"), *at = strchr(json, '@');
        hg_buf_put(&b, json, (size_t)(at - json));
        hg_buf_printf(&b,
                      "{\"type\": \"Metaspace\", \"replacement\": \"" META
                      "\", \"prepend_scheme\": \"%s\", \"split\": true}",
                      rows[i].scheme);
        hg_buf_puts(&b, at + 1);
        hg_tokenizer *t = parse(b.p);
        CHECK_STR(tiny_ids(t, "ab a", 4, false), rows[i].ids);
        hg_tokenizer_free(t);
        hg_buf_free(&b);
    }
}

/* How "aXXbX" is cut at X by each behaviour: pieces between bars. */
static hg_status bar(void *ctx, const char *p, size_t n, size_t room, hg_err *err)
{
    (void)err;
    CHECK(room >= n);
    hg_buf_put(ctx, p, n);
    hg_buf_putc(ctx, '|');
    return HG_OK;
}

TEST(every_behaviour_of_a_split_cuts_in_its_way)
{
    static const struct {
        hg_split_keep keep;
        bool invert;
        const char *want;
    } rows[] = {
        {HG_KEEP_ALL, false, "a|X|X|b|X|"},        {HG_KEEP_GAPS, false, "a|b|"},
        {HG_KEEP_MATCHES, false, "X|X|X|"},        {HG_KEEP_WITH_PREVIOUS, false, "aX|X|bX|"},
        {HG_KEEP_WITH_NEXT, false, "a|X|Xb|X|"},   {HG_KEEP_RUNS, false, "a|XX|b|X|"},
        {HG_KEEP_WITH_PREVIOUS, true, "a|X|Xb|X|"}};
    hg_split_scratch *sc = hg_split_scratch_new();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const hg_split s = {.pattern = "X", .keep = rows[i].keep, .invert = rows[i].invert};
        hg_splitter *sp = NULL;
        hg_buf b = {0};
        CHECK_OK(hg_splitter_new(&sp, &s, 1, false, &e), e);
        CHECK_OK(hg_splitter_run(sp, sc, "aXXbX", 5, true, bar, &b, &e), e);
        CHECK_STR(b.p, rows[i].want);
        hg_buf_free(&b);
        hg_splitter_free(sp);
    }
    hg_split_scratch_free(sc);
}

TEST(an_empty_match_cuts)
{
    const hg_split s = {.pattern = "(?=(\\d{3})+(?!\\d))"};
    hg_split_scratch *sc = hg_split_scratch_new();
    hg_splitter *sp = NULL;
    hg_buf b = {0};
    CHECK_OK(hg_splitter_new(&sp, &s, 1, false, &e), e);
    CHECK_OK(hg_splitter_run(sp, sc, "1234567", 7, true, bar, &b, &e), e);
    CHECK_STR(b.p, "1|234|567|");
    hg_buf_free(&b);
    hg_splitter_free(sp);
    hg_split_scratch_free(sc);
}

/* "a" -1, "ab" -1.5, "b" -1, unknown: the lowest score less ten. */
#define UNIGRAM                                                                                \
    "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFKC\"}, "       \
    "{\"type\": \"Lowercase\"}, {\"type\": \"Strip\", \"strip_left\": true, \"strip_right\": " \
    "true}, {\"type\": \"Replace\", \"pattern\": {\"Regex\": \"x+\"}, \"content\": \"b\"}]}, " \
    "\"pre_tokenizer\": null, \"decoder\": null, \"model\": {\"type\": \"Unigram\", "          \
    "\"unk_id\": 0, \"vocab\": [[\"<unk>\", 0], [\"a\", -1], [\"b\", -1], [\"ab\", -1.5], "    \
    "[\"abab\", -4]]}}"

TEST(unigram_takes_the_way_of_the_highest_sum)
{
    hg_tokenizer *t = parse(UNIGRAM);
    CHECK_STR(tiny_ids(t, "ab", 2, false), "3");     /* -1.5 against -2 */
    CHECK_STR(tiny_ids(t, "abab", 4, false), "3 3"); /* -3 against -4 */
    CHECK_STR(tiny_ids(t, "ba?!ab", 6, false), "2 1 0 3");
    hg_tokenizer_free(t);
}

TEST(normalisers_come_one_after_the_other)
{
    hg_tokenizer *t = parse(UNIGRAM);
    CHECK_STR(tiny_ids(t, " AB\xEF\xBD\x81xXx ", 9, false), "3 3"); /* a full-width a; x to b */
    hg_tokenizer_free(t);
}

static hg_status parse_spm(const char *file, size_t n)
{
    hg_tokenizer *t = NULL;
    hg_status s = hg_tokenizer_parse_spm(&t, (hg_bytes){file, n}, &e);
    CHECK((s == HG_OK) == (t != NULL));
    hg_tokenizer_free(t);
    return s;
}

TEST(what_is_no_sentencepiece_model_is_refused_in_a_sentence)
{
    CHECK_EQ(parse_spm("", 0), HG_E_FORMAT);
    CHECK_STR(e.msg, "no SentencePiece model: it has no pieces");
    CHECK_EQ(parse_spm("\x0A\x7F", 2), HG_E_FORMAT);
    CHECK_STR(e.msg, "no SentencePiece model: it is cut off or no protobuf");
    CHECK_EQ(parse_spm("\x0A\x00", 2), HG_E_FORMAT);
    CHECK_STR(e.msg, "piece 0 has no text");
    CHECK_EQ(parse_spm("\x0A\x03\x0A\x01z\x12\x02\x18\x03", 9), HG_E_UNSUPPORTED);
    CHECK_STR(e.msg, "a SentencePiece model of kind 3; Higgins reads unigram (1) and BPE (2)");
    CHECK_EQ(parse_spm("\x0A\x03\x0A\x01z", 5), HG_OK);
}

static hg_status parse_ranks(const char *file)
{
    hg_tokenizer *t = NULL;
    hg_status s = hg_tokenizer_parse_ranks(&t, (hg_bytes){file, strlen(file)}, "x.tiktoken", &e);
    CHECK((s == HG_OK) == (t != NULL));
    hg_tokenizer_free(t);
    return s;
}

TEST(what_is_no_rank_file_is_refused_in_a_sentence)
{
    CHECK_EQ(parse_ranks(""), HG_E_FORMAT);
    CHECK_STR(e.msg, "a rank file without ranks");
    CHECK_EQ(parse_ranks("YQ== 0\nYg==\n"), HG_E_FORMAT);
    CHECK_STR(e.msg, "line 2 is not a token in base64, a space and its rank");
    CHECK_EQ(parse_ranks("YQ== 0\nY?== 1\n"), HG_E_FORMAT);
    CHECK_EQ(parse_ranks("YQ== 9999999\n"), HG_E_LIMIT);
    CHECK_STR(e.msg, "line 1: rank 9999999; at most 1048575 allowed");
    CHECK_EQ(parse_ranks("YQ== 0\nYg== 0\n"), HG_E_FORMAT);
    CHECK_STR(e.msg, "line 2: rank 0 is there twice");
    CHECK_EQ(parse_ranks("YQ== 0\n"), HG_E_UNSUPPORTED);
    CHECK_HAS(e.msg, "a rank file with 1 ranks says not how text is split");
}

TEST(merges_txt_is_read_line_by_line)
{
    hg_tokenizer *t = NULL;
    hg_bytes vocab = {"{\"a\": 0}", 8};
    CHECK_EQ(hg_tokenizer_parse_pair(&t, vocab, (hg_bytes){"#version: 0.2\na b c\n", 20}, &e),
             HG_E_FORMAT);
    CHECK_STR(e.msg, "merges: line 2 is not two tokens with a space between");
    CHECK(t == NULL);
}

TEST(a_broken_charsmap_is_refused)
{
    static const char json[] =
        "{\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAA\"}, "
        "\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", -1]]}}";
    hg_tokenizer *t = NULL;
    CHECK_EQ(hg_tokenizer_parse(&t, (hg_bytes){json, sizeof json - 1}, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "normalizer: its charsmap of 3 bytes is cut off or no charsmap");
}

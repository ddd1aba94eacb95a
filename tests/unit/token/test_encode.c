#include "tiny.h"

#include "base/clock.h"
#include "base/rng.h"
#include <string.h>

static hg_err e;

/* ids of the letters: a is 64 (its place in GPT-2's alphabet). */
TEST(bytes_have_gpt2s_order)
{
    for (unsigned i = 0; i < 256; i++) CHECK_EQ(hg_token_rank(hg_token_byte(i)), i);
    CHECK_EQ(hg_token_rank('!'), 0);
    CHECK_EQ(hg_token_rank('a'), 64);
    CHECK_EQ(hg_token_rank(' '), 188 + 32);
    CHECK_EQ(hg_token_rank(0xAD), 255);
}

TEST(the_pair_learned_first_is_merged_first)
{
    /* "abc": b c was learned before a b, so a stays alone. */
    hg_tokenizer *t = tiny("\"bc\": 256, \"ab\": 257", "\"b c\", \"a b\"", NULL, "");
    CHECK_STR(tiny_ids(t, "abc", 3, false), "64 256");
    CHECK_STR(tiny_ids(t, "ab", 2, false), "257");
    hg_tokenizer_free(t);
}

TEST(equal_pairs_are_merged_from_the_left)
{
    hg_tokenizer *t = tiny("\"aa\": 256", "\"a a\"", NULL, "");
    CHECK_STR(tiny_ids(t, "aaaaa", 5, false), "256 256 64");
    hg_tokenizer_free(t);
}

TEST(a_token_that_no_merge_reaches_is_not_used)
{
    hg_tokenizer *t = tiny("\"ab\": 256, \"abc\": 257", "\"a b\"", NULL, "");
    CHECK_STR(tiny_ids(t, "abc", 3, false), "256 66");
    hg_tokenizer_free(t);
}

TEST(ignore_merges_takes_a_word_that_is_a_token)
{
    hg_bytes json = tiny_json("\"ab\": 256, \"abc\": 257", "\"a b\"", NULL, "");
    hg_buf b = {0};
    const char *at = strstr(json.p, "\"type\": \"BPE\"");
    hg_buf_put(&b, json.p, (size_t)(at - json.p));
    hg_buf_puts(&b, "\"ignore_merges\": true, ");
    hg_buf_puts(&b, at);
    hg_tokenizer *t = NULL;
    CHECK_OK(hg_tokenizer_parse(&t, (hg_bytes){b.p, b.n}, &e), e);
    CHECK_STR(tiny_ids(t, "abc", 3, false), "257");
    CHECK_STR(tiny_ids(t, "abcd", 4, false), "256 66 67");
    hg_tokenizer_free(t);
    hg_buf_free(&b);
}

TEST(merges_do_not_cross_words)
{
    hg_tokenizer *t =
        tiny("\"a\\u0120\": 256, \"\\u0120b\": 257", "\"a \\u0120\", \"\\u0120 b\"", NULL, "");
    CHECK_STR(tiny_ids(t, "a b", 3, false), "64 257");
    hg_tokenizer_free(t);
}

TEST(broken_utf8_is_encoded_byte_by_byte_and_comes_back)
{
    static const char text[] = "a\xFF\xC3\xA9\xC3z\xE2\x82\xF0\x9F\x98\x80\xED\xA0\x80";
    hg_tokenizer *t = tiny("", "", NULL, "");
    hg_ids ids = {0};
    CHECK_OK(hg_tokenizer_encode(t, (hg_bytes){text, sizeof text - 1}, false, &ids, &e), e);
    CHECK_EQ(ids.n, sizeof text - 1);
    for (size_t i = 0; i < ids.n; i++) {
        hg_bytes p = hg_tokenizer_piece(t, ids.id[i], false);
        CHECK(p.n == 1 && p.p[0] == text[i]);
    }
    hg_ids_free(&ids);
    hg_tokenizer_free(t);
}

TEST(a_byte_without_a_token_is_a_question_mark)
{
    hg_bytes json = tiny_json("\"?b\": 256", "\"? b\"", NULL, "");
    hg_buf b = {0};
    hg_tokenizer *t = NULL;
    const char *at = strstr(json.p, ", \"\xC4\x83\": "); /* byte 3 as it is written */
    CHECK(at != NULL);
    hg_buf_put(&b, json.p, (size_t)(at - json.p));
    hg_buf_puts(&b, strchr(at + 2, ','));
    CHECK_OK(hg_tokenizer_parse(&t, (hg_bytes){b.p, b.n}, &e), e);
    CHECK_STR(tiny_ids(t, "a\003", 2, false), "64 30");
    CHECK_STR(tiny_ids(t, "a?\002b", 4, false), "64 30 190 65");
    hg_tokenizer_free(t);
    at = strstr(json.p, ", \"a\": ");
    hg_buf_clear(&b);
    hg_buf_put(&b, json.p, (size_t)(at - json.p));
    hg_buf_puts(&b, strchr(at + 2, ','));
    CHECK_EQ(hg_tokenizer_parse(&t, (hg_bytes){b.p, b.n}, &e), HG_E_UNSUPPORTED);
    CHECK_STR(e.msg, "tokenizer: byte 0x61 has no token; in byte-level BPE every byte has one");
    hg_buf_free(&b);
}

#define SPECIAL                                                                        \
    "\"added_tokens\": [{\"id\": 256, \"content\": \"<|end|>\", \"special\": true}, "  \
    "{\"id\": 257, \"content\": \"<|end|>!\", \"special\": true}, "                    \
    "{\"id\": 258, \"content\": \"wort\", \"special\": false, \"normalized\": false, " \
    "\"single_word\": true, \"lstrip\": true, \"rstrip\": true}],"

TEST(special_tokens_are_text_unless_asked_for)
{
    hg_tokenizer *t = tiny("", "", NULL, SPECIAL);
    CHECK_STR(tiny_ids(t, "a<|end|>b", 9, true), "64 256 65");
    CHECK(strchr(tiny_ids(t, "<|end|>", 7, false), ' ') != NULL);
    CHECK_EQ(hg_tokenizer_special(t, "<|end|>"), 256);
    CHECK_EQ(hg_tokenizer_special(t, "wort"), -1);
    CHECK_EQ(hg_tokenizer_piece(t, 256, false).n, 0);
    CHECK_EQ(hg_tokenizer_piece(t, 256, true).n, 7);
    CHECK_EQ(hg_tokenizer_piece(t, 999, true).n, 0);
    CHECK_EQ(hg_tokenizer_piece(t, -1, true).n, 0);
    hg_tokenizer_free(t);
}

TEST(the_longest_added_token_wins)
{
    hg_tokenizer *t = tiny("", "", NULL, SPECIAL);
    CHECK_STR(tiny_ids(t, "<|end|>!", 8, true), "257");
    CHECK_STR(tiny_ids(t, "<|end|><|end", 12, true), "256 27 91 68 77 67");
    hg_tokenizer_free(t);
}

TEST(an_added_word_stands_alone_and_takes_the_space_around)
{
    hg_tokenizer *t = tiny("", "", NULL, SPECIAL);
    CHECK_STR(tiny_ids(t, "a  wort \n b", 11, false), "64 258 65");
    CHECK_STR(tiny_ids(t, "wort", 4, false), "258");
    CHECK_STR(tiny_ids(t, "worte", 5, false), "86 78 81 83 68");
    CHECK_STR(tiny_ids(t, "\xC3\xA4wort", 6, false), "127 97 86 78 81 83");
    hg_tokenizer_free(t);
}

TEST(no_merge_makes_a_special_token_of_what_people_write)
{
    hg_tokenizer *t = tiny("\"ab\": 256", "\"a b\"", NULL,
                           "\"added_tokens\": [{\"id\": 256, \"content\": \"ab\", \"special\": "
                           "true}],");
    CHECK_STR(tiny_ids(t, "ab", 2, false), "64 65");
    CHECK_STR(tiny_ids(t, "ab", 2, true), "256");
    hg_tokenizer_free(t);
}

TEST(stages_cut_one_after_the_other)
{
    hg_tokenizer *t =
        tiny("\"12\": 256, \"34\": 257, \"1234\": 258", "\"1 2\", \"3 4\", \"12 34\"",
             "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": "
             "{\"Regex\": \"\\\\p{N}{1,2}\"}, \"behavior\": \"Isolated\"}, {\"type\": "
             "\"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]}",
             "");
    CHECK_STR(tiny_ids(t, "1234", 4, false), "256 257");
    hg_tokenizer_free(t);
}

TEST(a_prefix_space_and_a_normaliser_change_the_text_before_it_is_cut)
{
    hg_tokenizer *t = tiny("", "", "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}",
                           "\"normalizer\": {\"type\": \"NFC\"},");
    CHECK_STR(tiny_ids(t, "a", 1, false), "220 64");
    CHECK_STR(tiny_ids(t, " a", 2, false), "220 64");
    CHECK_STR(tiny_ids(t, "e\xCC\x81", 3, false), "220 127 102"); /* one character: C3 A9 */
    hg_tokenizer_free(t);
}

/* Pieces by the short way and by the heap must be the same; a random text checks both. */
TEST(long_words_merge_as_short_ones_do)
{
    hg_tokenizer *t = tiny("\"ab\": 256, \"ba\": 257, \"aba\": 258, \"abab\": 259, \"bb\": 260",
                           "\"a b\", \"b a\", \"ab a\", \"ab ab\", \"b b\"", NULL, "");
    hg_rng r;
    char text[400];
    hg_rng_init(&r, 1, 0);
    for (int round = 0; round < 300; round++) {
        size_t n = 49 + (size_t)hg_rng_below(&r, sizeof text - 49);
        hg_ids ids = {0};
        for (size_t i = 0; i < n; i++) text[i] = hg_rng_below(&r, 3) == 0 ? 'b' : 'a';
        CHECK_OK(hg_tokenizer_encode(t, (hg_bytes){text, n}, false, &ids, &e), e);
        /* The definition: again and again the lowest rank, the leftmost one. */
        static const int32_t merge[][3] = {
            {64, 65, 256}, {65, 64, 257}, {256, 64, 258}, {256, 256, 259}, {65, 65, 260}};
        int32_t want[400];
        for (size_t i = 0; i < n; i++) want[i] = text[i] == 'a' ? 64 : 65;
        for (size_t m = 0; m < 5;) {
            size_t i = 0;
            while (i + 1 < n && (want[i] != merge[m][0] || want[i + 1] != merge[m][1])) i++;
            if (i + 1 >= n) {
                m++;
                continue;
            }
            want[i] = merge[m][2];
            memmove(want + i + 1, want + i + 2, (n - i - 2) * sizeof want[0]);
            n--;
            m = 0;
        }
        CHECK_EQ(ids.n, n);
        for (size_t i = 0; i < n; i++) CHECK_EQ(ids.id[i], want[i]);
        hg_ids_free(&ids);
    }
    hg_tokenizer_free(t);
}

TEST_SECONDS(a_megabyte_of_one_letter_takes_no_time_to_speak_of, 20)
{
    enum { N = 1 << 20 };
    hg_tokenizer *t = tiny("\"aa\": 256, \"aaaa\": 257", "\"a a\", \"aa aa\"", NULL, "");
    char *text = hg_alloc(N, 1);
    hg_ids ids = {0};
    memset(text, 'a', N);
    CHECK_OK(hg_tokenizer_encode(t, (hg_bytes){text, N}, false, &ids, &e), e);
    CHECK_EQ(ids.n, N / 4);
    hg_ids_free(&ids);
    hg_free(text);
    hg_tokenizer_free(t);
}

static hg_status collect_step(void *ctx, const hg_token_step *s, hg_err *err)
{
    hg_buf *b = ctx;
    (void)err;
    if (s->kind == HG_STEP_MERGE)
        hg_buf_printf(b, "%d+%d=%d ", (int)s->left, (int)s->right, (int)s->made);
    else
        hg_buf_printf(b, "%s:%.*s:%zu ", s->kind == HG_STEP_WORD ? "word" : "added", (int)s->text.n,
                      s->text.p, s->n_ids);
    return HG_OK;
}

TEST(a_trace_tells_merges_words_and_added_tokens_in_order)
{
    hg_tokenizer *t = tiny("\"bc\": 259, \"abc\": 260", "\"b c\", \"a bc\"", NULL, SPECIAL);
    hg_buf b = {0};
    CHECK_OK(hg_tokenizer_trace(t, (hg_bytes){"abc<|end|> x", 12}, true, collect_step, &b, &e), e);
    CHECK_STR(b.p, "65+66=259 64+259=260 word:abc:1 added:<|end|>:1 word: x:2 ");
    hg_buf_free(&b);
    hg_tokenizer_free(t);
}

TEST(gguf_names_stand_for_stages_and_back)
{
    bool ignore;
    size_t n;
    const hg_split *s = hg_splits_find("llama-bpe", &n, &ignore);
    CHECK(s != NULL && n == 1 && ignore);
    char name[64];
    CHECK_EQ(hg_splits_name(s, n, true, name, sizeof name), 9);
    CHECK_STR(name, "llama-bpe");
    CHECK(hg_splits_name(s, n, false, name, sizeof name) > 0);
    CHECK_STR(name, "dbrx"); /* the same rule, without ignore_merges */
    s = hg_splits_find("falcon", &n, &ignore);
    CHECK(s != NULL && n == 3 && !ignore);
    CHECK(hg_splits_find("nonsense", &n, &ignore) == NULL);
    CHECK(hg_splits_find("dbrx smaug", &n, &ignore) == NULL);
    const hg_split own = {.pattern = "x+"};
    CHECK_EQ(hg_splits_name(&own, 1, false, name, sizeof name), 0);
}

TEST(every_named_pre_tokeniser_compiles)
{
    static const char *const names[] = {
        "gpt-2",      "llama-bpe",  "dbrx",           "qwen2",        "qwen35",   "gpt-4o",
        "tekken",     "starcoder",  "falcon",         "deepseek-llm", "bloom",    "viking",
        "tiny_aya",   "superbpe",   "deepseek-coder", "deepseek-v3",  "spark2_5", "jais-2",
        "bailingmoe", "seed-coder", "exaone-moe",     "minicpm5",     "laguna",   "ufakzeka",
        "chameleon",  "kimi-k2",    "default"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        hg_splitter *sp = NULL;
        size_t n;
        bool ignore;
        const hg_split *s = hg_splits_find(names[i], &n, &ignore);
        CHECK(s != NULL);
        CHECK_OK(hg_splitter_new(&sp, s, n, true, &e), e);
        hg_splitter_free(sp);
    }
}

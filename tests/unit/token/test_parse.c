#include "tiny.h"

#include "token/train.h"
#include <string.h>

static hg_err e;

static void refuse(hg_bytes json, hg_status want, const char *words)
{
    hg_tokenizer *t = NULL;
    CHECK_EQ(hg_tokenizer_parse(&t, json, &e), want);
    CHECK_HAS(e.msg, words);
    CHECK(t == NULL);
}

static void refuse_text(const char *json, hg_status want, const char *words)
{
    refuse((hg_bytes){json, strlen(json)}, want, words);
}

TEST(what_is_no_tokenizer_is_refused_in_a_sentence)
{
    refuse_text("", HG_E_FORMAT, "not JSON");
    refuse_text("[1]", HG_E_FORMAT, "this is no tokenizer.json: it has no \"model\"");
    refuse_text("{\"model\": {\"vocab\": 3}}", HG_E_FORMAT, "model.vocab: missing");
    refuse_text("{\"model\": {\"vocab\": {\"a\": 0}}}", HG_E_FORMAT, "model.merges: missing");
    refuse_text("{\"model\": {\"type\": \"Unigram\", \"vocab\": {}}}", HG_E_FORMAT,
                "a Unigram model has a list of [\"text\", score]");
    refuse_text("{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\"]]}}", HG_E_FORMAT,
                "token 0 is no [\"text\", score]");
    refuse_text("{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}", HG_E_FORMAT,
                "vocabulary of 0 tokens; 1 to 1048576 allowed");
    refuse_text(
        "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, \"pre_tokenizer\": {\"type\": "
        "\"ByteLevel\"}}",
        HG_E_FORMAT, "vocabulary of 1 tokens; 256 to 1048576 allowed");
}

TEST(other_kinds_are_refused_by_name)
{
    refuse_text("{\"model\": {\"type\": \"WordPiece\", \"vocab\": {}}}", HG_E_UNSUPPORTED,
                "a tokenizer of type WordPiece; Higgins reads BPE and Unigram");
    refuse(tiny_json("", "", NULL, "\"normalizer\": {\"type\": \"Shout\"},"), HG_E_UNSUPPORTED,
           "normalizer Shout; Higgins knows NFC");
    refuse(tiny_json("", "", "{\"type\": \"UnicodeScripts\"}", ""), HG_E_UNSUPPORTED,
           "pre_tokenizer: UnicodeScripts");
    refuse(tiny_json("", "", NULL, "\"decoder\": {\"type\": \"CTC\"},"), HG_E_UNSUPPORTED,
           "decoder: CTC");
    refuse(tiny_json("", "",
                     "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, "
                     "{\"type\": \"Digits\"}]}",
                     ""),
           HG_E_UNSUPPORTED, "stage Digits behind ByteLevel");
    refuse(tiny_json("", "", NULL, "\"post_processor\": {\"type\": \"Magic\"},"), HG_E_UNSUPPORTED,
           "post_processor: Magic");
}

TEST(ids_and_merges_are_checked)
{
    refuse(tiny_json("\"ab\": 64", "", NULL, ""), HG_E_FORMAT, "two tokens have the id 64");
    refuse(tiny_json("\"ab\": -1", "", NULL, ""), HG_E_FORMAT, "whole number from 0");
    refuse(tiny_json("\"ab\": 1048576", "", NULL, ""), HG_E_LIMIT, "at most 1048575 allowed");
    refuse(tiny_json("\"ab\": 1000000", "", NULL, ""), HG_E_FORMAT, "ids up to 1000000");
    refuse(tiny_json("", "\"a b\"", NULL, ""), HG_E_FORMAT,
           "merge 0 (a b) names a token that is not in the vocabulary");
    refuse(tiny_json("", "\"ab\"", NULL, ""), HG_E_FORMAT, "merge 0 is not two tokens");
    refuse(tiny_json("", "3", NULL, ""), HG_E_FORMAT, "merge 0 is neither");
    refuse(tiny_json("", "", NULL, "\"added_tokens\": [{\"id\": 5}],"), HG_E_FORMAT,
           "token 5 has no content");
}

TEST(a_pattern_that_pcre2_refuses_is_named)
{
    refuse(tiny_json("", "",
                     "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", "
                     "\"pattern\": {\"Regex\": \"(a\"}, \"behavior\": \"Isolated\"}, {\"type\": "
                     "\"ByteLevel\", \"add_prefix_space\": false}]}",
                     ""),
           HG_E_UNSUPPORTED, "pattern (a: missing closing parenthesis");
}

TEST(a_pattern_that_never_ends_is_given_up)
{
    hg_tokenizer *t =
        tiny("", "",
             "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": "
             "{\"Regex\": \"(a|aa)+$\"}, \"behavior\": \"Isolated\"}, {\"type\": \"ByteLevel\", "
             "\"add_prefix_space\": false, \"use_regex\": false}]}",
             "");
    hg_ids ids = {0};
    char text[200];
    memset(text, 'a', sizeof text);
    text[199] = 'b';
    CHECK_EQ(hg_tokenizer_encode(t, (hg_bytes){text, sizeof text}, false, &ids, &e), HG_E_LIMIT);
    CHECK_HAS(e.msg, "takes too many steps");
    CHECK_EQ(ids.n, 0);
    hg_ids_free(&ids);
    hg_tokenizer_free(t);
}

TEST(the_post_processor_says_what_stands_around_a_text)
{
    hg_tokenizer *t = tiny(
        "", "", NULL,
        "\"added_tokens\": [{\"id\": 256, \"content\": \"<s>\", \"special\": true}],"
        "\"post_processor\": {\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}, "
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\"}}, "
        "{\"Sequence\": {\"id\": \"A\"}}], \"special_tokens\": {\"<s>\": {\"ids\": [256]}}}]},");
    CHECK_EQ(hg_tokenizer_bos(t), 256);
    CHECK_EQ(hg_tokenizer_eos(t), -1);
    hg_tokenizer_free(t);
}

TEST(what_is_written_reads_back_as_the_same_tokenizer)
{
    hg_tokenizer *a = tiny(
        "\"ab\": 256", "[\"a\", \"b\"]",
        "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": "
        "{\"Regex\": \"[\\\"\\\\\\\\]|\\\\d\"}, \"behavior\": \"Removed\", \"invert\": false}, "
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]}",
        "\"added_tokens\": [{\"id\": 258, \"content\": \"<x>\", \"special\": true, \"lstrip\": "
        "true}], \"normalizer\": {\"type\": \"NFKC\"}, \"post_processor\": {\"type\": "
        "\"RobertaProcessing\", \"sep\": [\"<x>\", 258], \"cls\": [\"a\", 64]},");
    hg_tokenizer *b = NULL;
    hg_buf first = {0}, second = {0};
    CHECK_OK(hg_tokenizer_write(a, &first, &e), e);
    CHECK_OK(hg_tokenizer_parse(&b, (hg_bytes){first.p, first.n}, &e), e);
    CHECK_OK(hg_tokenizer_write(b, &second, &e), e);
    CHECK_STR(first.p, second.p);
    CHECK_EQ(hg_tokenizer_count(b), 259);
    CHECK_EQ(hg_tokenizer_bos(b), 64);
    CHECK_EQ(hg_tokenizer_eos(b), 258);
    CHECK_EQ(hg_tokenizer_piece(b, 257, true).n, 0); /* a hole stays a hole */
    CHECK_STR(tiny_ids(b, "ab1ab", 5, false), "256 256");
    hg_buf_free(&first);
    hg_buf_free(&second);
    hg_tokenizer_free(a);
    hg_tokenizer_free(b);
}

/* ---- training ---- */

static hg_tokenizer *train(const char *text, uint32_t n_vocab, hg_tokenizer_stats *stats)
{
    hg_tokenizer_options o;
    hg_trainer *tr = NULL;
    hg_tokenizer *t = NULL;
    hg_tokenizer_options_init(&o);
    o.n_vocab = n_vocab;
    CHECK_OK(hg_trainer_new(&tr, &o, &e), e);
    CHECK_OK(hg_trainer_add(tr, (hg_bytes){text, strlen(text)}, &e), e);
    CHECK_OK(hg_trainer_finish(tr, &t, stats, NULL, &e), e);
    hg_trainer_free(tr);
    return t;
}

typedef struct one_merge {
    size_t at;
    const char *want;
} one_merge;

static void compare_merge(void *ctx, hg_bytes merge, size_t n)
{
    one_merge *m = ctx;
    (void)n;
    if (m->at-- != 0) return;
    CHECK(merge.n == strlen(m->want) && memcmp(merge.p, m->want, merge.n) == 0);
    m->want = NULL;
}

static void check_merge(const hg_tokenizer *t, size_t i, const char *want)
{
    one_merge m = {i, want};
    CHECK_OK(hg_token_each_merge(t, compare_merge, &m, &e), e);
    CHECK(m.want == NULL);
}

/* Sennrich's example, words once each: low 5 times, lower 2, newest 6, widest 3. Counted by hand:
 * es 9, st 9, we 8 (lower 2, newest 6), lo 7, ow 7; of equals the greater pair goes first. */
TEST(training_follows_the_counts_and_then_the_greater_text)
{
    hg_tokenizer_stats s;
    hg_tokenizer *t = train("low low low low low lower lower newest newest newest newest newest "
                            "newest widest widest widest",
                            266, &s);
    check_merge(t, 0, "s t");  /* 9, and greater than "e s" */
    check_merge(t, 1, "e st"); /* 9 */
    CHECK_EQ(s.n_vocab, 266);
    CHECK_EQ(s.n_merges, 6);
    CHECK_EQ(s.n_words, 16);
    CHECK(s.bytes_per_token > 1);
    hg_tokenizer_free(t);
}

TEST(training_stops_when_no_pair_occurs_twice)
{
    hg_tokenizer_stats s;
    hg_tokenizer *t = train("abcdef", 1000, &s);
    CHECK_EQ(s.n_vocab, 260);
    CHECK_EQ(s.n_merges, 0);
    hg_tokenizer_free(t);
}

TEST(training_on_repeats_of_one_letter_keeps_its_counts_right)
{
    hg_tokenizer_stats s;
    hg_tokenizer *t = train("aaaa aaaa aaa aaaaaaa", 300, &s);
    check_merge(t, 0, "a a");
    check_merge(t, 1, "aa aa"); /* 4, overlaps counted */
    check_merge(t, 2, "aa a");  /* 2, and greater than a space */
    check_merge(t, 3, "\xC4\xA0 aaaa");
    CHECK_EQ(s.n_merges, 4);
    hg_tokenizer_free(t);
}

TEST(training_options_are_checked)
{
    hg_tokenizer_options o;
    hg_trainer *tr = NULL;
    static const char *const twice[] = {"<x>", "<x>"};
    hg_tokenizer_options_init(&o);
    o.n_vocab = 260;
    CHECK_EQ(hg_trainer_new(&tr, &o, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "a vocabulary of 260 tokens; 261 (256 bytes, 4 special tokens, one merge)");
    o.n_vocab = 1000;
    o.special = twice;
    o.n_special = 2;
    CHECK_EQ(hg_trainer_new(&tr, &o, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "special token <x> is there twice");
}

/* ---- chat ---- */

static hg_tokenizer *chat(void)
{
    hg_tokenizer_stats s;
    return train("assistant user system hello hello", 270, &s);
}

TEST(a_conversation_is_chatml_and_only_the_answer_is_learned)
{
    const hg_message m[] = {{"user", {"Hi<|im_end|>", 12}}, {"assistant", {"Yo", 2}}};
    hg_tokenizer *t = chat();
    hg_ids ids = {0};
    hg_mask mask = {0};
    hg_buf all = {0}, learned = {0};
    CHECK_OK(hg_chat_render(t, hg_chat_template_default(), m, 2, true, &ids, &mask, &e), e);
    CHECK_EQ(ids.n, mask.n);
    int ends = 0;
    for (size_t i = 0; i < ids.n; i++) {
        hg_bytes p = hg_tokenizer_piece(t, ids.id[i], true);
        hg_buf_put(&all, p.p, p.n);
        if (mask.weight[i] > 0) hg_buf_put(&learned, p.p, p.n);
        ends += ids.id[i] == hg_chat_end_id(t);
    }
    CHECK_STR(all.p, "<|im_start|>user\nHi<|im_end|><|im_end|>\n"
                     "<|im_start|>assistant\nYo<|im_end|>\n<|im_start|>assistant\n");
    CHECK_STR(learned.p, "Yo<|im_end|>");
    CHECK_EQ(ends, 2);
    hg_buf_free(&all);
    hg_buf_free(&learned);
    hg_ids_free(&ids);
    hg_mask_free(&mask);
    hg_tokenizer_free(t);
}

TEST(a_broken_template_a_bad_role_and_a_tokenizer_without_chat_are_refused)
{
    const hg_message m = {"user\n", {"x", 1}}, fine = {"user", {"x", 1}};
    hg_tokenizer *t = chat(), *plain = tiny("", "", NULL, "");
    hg_ids ids = {0};
    CHECK_EQ(hg_chat_render(t, "a\n {% if %}", &fine, 1, true, &ids, NULL, &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "chat template, line 2, column 8: ");
    CHECK_EQ(hg_chat_render(t, "a\n{{ raise_exception('no ' + messages[0].role) }}", &fine, 1, true,
                            &ids, NULL, &e),
             HG_E_ARG);
    CHECK_HAS(e.msg, "chat template, line 2, column 4: ");
    CHECK_HAS(e.msg, "no user");
    CHECK_EQ(hg_chat_render(t, NULL, &m, 1, true, &ids, NULL, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "a role is one word");
    CHECK_EQ(hg_chat_render(plain, NULL, &m, 1, true, &ids, NULL, &e), HG_E_UNSUPPORTED);
    CHECK_HAS(e.msg, "not made for chat");
    CHECK_EQ(ids.n, 0);
    CHECK_EQ(hg_chat_end_id(plain), -1);
    hg_ids_free(&ids);
    hg_tokenizer_free(t);
    hg_tokenizer_free(plain);
}

/* Token shards, windows, the order of rows, packing of conversations. */
#include "fixture.h"
#include "data/tokens.h"
#include "base/file.h"
#include "train/method.h"
#include "train/packed.h"
#include "train/windows.h"
#include <string.h>

enum { LEN = 32 };

static hg_tokenizer *tokenizer(void)
{
    hg_err e = {0};
    hg_tokenizer *t = NULL;
    CHECK_OK(hg_tokenizer_open(&t, fixture_tokenizer(fixture_corpus()), &e), e);
    return t;
}

/* A shard of `n` documents "aaaa...", "bbbb...": every document has letters of its own. */
static const char *letters_shard(const hg_tokenizer *t, int n)
{
    hg_err e = {0};
    hg_tokens_writer *w = NULL;
    const char *path = test_path("letters.hgt");
    CHECK_OK(hg_tokens_create(&w, path, t, 5, &e), e);
    for (int d = 0; d < n; d++) {
        char text[200];
        size_t len = 40 + (size_t)d % 50;
        for (size_t i = 0; i < len; i++) text[i] = (char)('A' + (d + (int)i * 7) % 26);
        hg_bytes b = {text, len};
        CHECK_OK(hg_tokens_put(w, b, b, &e), e);
    }
    CHECK_OK(hg_tokens_commit(w, &e), e);
    return path;
}

TEST(a_shard_gives_back_what_was_put_in)
{
    hg_err e = {0};
    hg_tokens s;
    hg_ids ids = {0};
    hg_tokenizer *t = tokenizer();
    const char *path = letters_shard(t, 30);
    CHECK_OK(hg_tokens_open(&s, path, &e), e);
    CHECK_EQ(s.n_docs, 30);
    CHECK_EQ(s.id_bytes, 2);
    CHECK_EQ(s.corpus_hash, 5);
    CHECK_EQ(s.vocab_hash, hg_tokens_vocab_hash(t));
    char text[40];
    for (size_t i = 0; i < 40; i++) text[i] = (char)('A' + (int)i * 7 % 26);
    CHECK_OK(hg_tokenizer_encode(t, (hg_bytes){text, 40}, false, &ids, &e), e);
    int32_t got[64];
    CHECK_EQ(hg_tokens_start(&s, 1), ids.n + 1);
    hg_tokens_read(&s, 0, ids.n + 1, got);
    for (size_t i = 0; i < ids.n; i++) CHECK_EQ(got[i], ids.id[i]);
    CHECK_EQ(got[ids.n], hg_tokenizer_special(t, "<|endoftext|>"));
    hg_tokens_close(&s);
    hg_ids_free(&ids);
    hg_tokenizer_free(t);
}

TEST(a_damaged_shard_is_refused_in_one_sentence)
{
    hg_err e = {0};
    hg_tokens s;
    hg_buf b = {0};
    hg_tokenizer *t = tokenizer();
    CHECK_OK(hg_file_read(&b, letters_shard(t, 10), 1 << 20, &e), e);
    unsigned char *p = (unsigned char *)b.p;
    CHECK_EQ(hg_tokens_parse(&s, p, b.n - 1, "x.hgt", &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "it is cut off or damaged");
    CHECK_EQ(hg_tokens_parse(&s, p, 20, "x.hgt", &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "x.hgt: not a token shard of Higgins");
    memset(p + 24, 0xff, 8);
    CHECK_EQ(hg_tokens_parse(&s, p, b.n, "x.hgt", &e), HG_E_FORMAT);
    p[8] = 9;
    CHECK_EQ(hg_tokens_parse(&s, p, b.n, "x.hgt", &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "version 9");
    hg_buf_free(&b);
    hg_tokenizer_free(t);
}

/* Every token of one side is in exactly one window; targets are the next token of the same
 * document. */
static void check_side(const hg_windows *w, bool held_out, uint64_t *n_tokens)
{
    int32_t ids[LEN], targets[LEN];
    uint8_t begins[LEN];
    const hg_stream *s = &w->part[held_out];
    uint64_t rows = held_out ? w->source.n_val_rows : w->source.n_rows, at = 0;
    size_t doc = 0;
    for (uint64_t r = 0; r < rows; r++) {
        w->source.row(&w->source, held_out, r, ids, targets, begins);
        CHECK_EQ(begins[0], 1);
        for (size_t i = 0; i < LEN; i++, at++) {
            if (at >= s->start[s->n]) {
                CHECK_EQ(targets[i], -1);
                continue;
            }
            while (at >= s->start[doc + 1]) doc++;
            int32_t here = 0, next = -1;
            uint64_t in_shard = s->doc[doc] + (at - s->start[doc]);
            hg_tokens_read(w->tokens, in_shard, 1, &here);
            if (at + 1 < s->start[doc + 1]) hg_tokens_read(w->tokens, in_shard + 1, 1, &next);
            CHECK_EQ(ids[i], here);
            CHECK_EQ(targets[i], next);
            CHECK_EQ(begins[i], i == 0 || at == s->start[doc]);
            ++*n_tokens;
        }
    }
}

TEST(windows_hold_every_token_once_and_never_predict_across_documents)
{
    hg_err e = {0};
    hg_tokens s;
    hg_windows w;
    hg_arena mem;
    hg_tokenizer *t = tokenizer();
    hg_arena_init(&mem, 0);
    CHECK_OK(hg_tokens_open(&s, letters_shard(t, 300), &e), e);
    for (int kind = 0; kind < 3; kind++) {
        uint64_t n = 0;
        static const double shares[] = {0, 0.1,
                                        0.0005}; /* none, by document, by the ends of documents */
        CHECK_OK(hg_windows_init(&w, &s, LEN, shares[kind], &mem, &e), e);
        check_side(&w, false, &n);
        check_side(&w, true, &n);
        CHECK_EQ(n, s.n_tokens);
        CHECK_EQ(w.part[1].n > 0, kind > 0);
        if (kind == 1) CHECK_EQ(w.part[0].n + w.part[1].n, 300);
    }
    hg_tokens_close(&s);
    hg_arena_free(&mem);
    hg_tokenizer_free(t);
}

TEST(an_epoch_is_every_row_once_and_each_epoch_has_its_own_order)
{
    enum { N = 97 };
    bool seen[2][N] = {{false}};
    int same = 0;
    for (uint64_t i = 0; i < 2 * N; i++) {
        uint64_t row = hg_source_order(N, 3, i);
        CHECK(row < N && !seen[i / N][row]);
        seen[i / N][row] = true;
        if (i < N) same += row == hg_source_order(N, 3, i + N);
    }
    CHECK(same < N / 2);
    CHECK_EQ(hg_source_order(N, 3, 50), hg_source_order(N, 3, 50));
}

/* ---- conversations ---- */

static hg_status parse(hg_chats *c, const char *text, hg_err *e)
{
    return hg_chats_parse(c, (hg_bytes){text, strlen(text)}, "c.jsonl", e);
}

TEST(the_three_forms_of_conversations_are_read)
{
    hg_err e = {0};
    hg_chats c = {0};
    CHECK_OK(parse(&c,
                   "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": "
                   "\"assistant\", \"content\": \"ho\"}]}\n"
                   "\n"
                   "{\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, {\"from\": "
                   "\"gpt\", \"value\": \"b\"}]}\n"
                   "{\"instruction\": \"add\", \"input\": \"1 2\", \"output\": \"3\"}\n",
                   &e),
             e);
    CHECK_EQ(c.n, 3);
    CHECK_EQ(c.chat[1].line, 3);
    CHECK_STR(c.chat[1].message[0].role, "user");
    CHECK_STR(c.chat[1].message[1].role, "assistant");
    CHECK_STR(c.chat[2].message[0].content.p, "add\n\n1 2");
    CHECK_STR(c.chat[2].message[1].content.p, "3");
    CHECK_OK(parse(&c, " [{\"instruction\": \"x\", \"output\": \"y\"}]", &e), e);
    CHECK_EQ(c.n, 4);
    hg_chats_free(&c);
}

TEST(a_malformed_conversation_is_refused_with_its_line)
{
    static const char *const cases[][2] = {
        {"{\"messages\": [{\"role\": \"user\"}]}",
         "c.jsonl, line 1: turn 1 needs \"role\" and \"content\", both text"},
        {"\n{\"messages\": []}", "c.jsonl, line 2: the conversation is not a list of turns"},
        {"{\"messages\": [{\"role\": \"elf\", \"content\": \"\"}]}",
         "c.jsonl, line 1: turn 1 has the role \"elf\"; system, user or assistant is meant"},
        {"{\"text\": \"x\"}", "c.jsonl, line 1: none of \"messages\", \"conversations\" (ShareGPT) "
                              "and \"instruction\" (Alpaca) is there"},
        {"{\"instruction\": 5}", "c.jsonl, line 1: \"instruction\" and \"output\" must be text "
                                 "(\"input\" and \"system\" too, where given)"},
        {"[1]", "c.jsonl, element 1: not a JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hg_err e = {0};
        hg_chats c = {0};
        CHECK_EQ(parse(&c, cases[i][0], &e), HG_E_FORMAT);
        CHECK_STR(e.msg, cases[i][1]);
        hg_chats_free(&c);
    }
    hg_err e = {0};
    hg_chats c = {0};
    CHECK_EQ(parse(&c, "{\"messages\": \n", &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "c.jsonl, line 1: ");
    hg_chats_free(&c);
}

static size_t count_row(const hg_packed *p, bool held_out, uint64_t row, size_t *n_begins)
{
    int32_t ids[LEN], targets[LEN];
    uint8_t begins[LEN];
    size_t n = 0;
    *n_begins = 0;
    p->source.row(&p->source, held_out, row, ids, targets, begins);
    for (size_t i = 0; i < LEN; i++) {
        *n_begins += begins[i];
        n += targets[i] >= 0;
        if (targets[i] >= 0 && i + 1 < LEN) CHECK_EQ(targets[i], ids[i + 1]);
        if (begins[i] && i > 0) CHECK_EQ(targets[i - 1], -1);
    }
    return n;
}

TEST(conversations_are_packed_whole_and_learnt_from_where_the_assistant_speaks)
{
    hg_err e = {0};
    hg_chats c = {0};
    hg_packed p;
    hg_arena mem;
    hg_tokenizer *t = tokenizer();
    hg_arena_init(&mem, 0);
    CHECK_OK(hg_chats_load(&c, fixture_chats(), &e), e);
    CHECK_OK(hg_packed_init(&p, &c, t, NULL, LEN, 0.1, 1, &mem, NULL, &e), e);
    size_t targets = 0, begins = 0, chats = 0;
    for (int side = 0; side < 2; side++) {
        uint64_t rows = side ? p.source.n_val_rows : p.source.n_rows;
        CHECK(rows > 0);
        for (uint64_t r = 0; r < rows; r++) targets += count_row(&p, side != 0, r, &begins);
        chats += p.side[side].n_chats;
    }
    CHECK_EQ(chats, p.n_chats);
    CHECK_EQ(targets, p.n_targets);
    CHECK_EQ(p.n_chats + p.n_dropped, 30);
    hg_packed_free(&p);
    hg_chats_free(&c);
    hg_arena_free(&mem);
    hg_tokenizer_free(t);
}

/* What val_data names is held out, all of it and nothing else, whatever val_share says. */
TEST(files_that_are_held_out_are_never_learnt_from)
{
    static const char said[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"hens?\"}, "
                               "{\"role\": \"assistant\", \"content\": \"seven hens\"}]}\n";
    char data[4200], held[4200];
    hg_err e = {0};
    hg_chats c = {0};
    hg_packed p;
    hg_recipe r;
    hg_arena mem;
    hg_tokenizer *t = tokenizer();
    hg_arena_init(&mem, 0);
    CHECK_OK(hg_file_write(test_path("held.jsonl"), said, sizeof said - 1, &e), e);
    (void)snprintf(data, sizeof data, "data=%s", fixture_chats());
    (void)snprintf(held, sizeof held, "val_data=%s,%s", test_path("held.jsonl"),
                   test_path("held.jsonl"));
    CHECK_OK(hg_recipe_init(&r, HG_STAGE_TUNE, &e), e);
    CHECK_OK(hg_recipe_set(&r, data, &e), e);
    CHECK_OK(hg_recipe_set(&r, held, &e), e);
    CHECK_OK(hg_method_load(&r, &c, NULL, &e), e);
    CHECK_EQ(c.n, 32);
    CHECK_OK(hg_packed_init(&p, &c, t, NULL, LEN, 0.3, 1, &mem, NULL, &e), e);
    CHECK_EQ(p.side[1].n_chats, 2);
    for (size_t i = 0; i < p.n_chats; i++) CHECK_EQ(p.chat[i].is_held, i >= p.n_chats - 2);
    CHECK(p.side[1].chat[0] >= p.n_chats - 2 && p.side[1].chat[1] >= p.n_chats - 2);
    const uint64_t hash = p.source.hash;
    hg_packed_free(&p);
    for (size_t i = 0; i < c.n; i++) c.chat[i].is_held = i == 0;
    CHECK_OK(hg_packed_init(&p, &c, t, NULL, LEN, 0.3, 1, &mem, NULL, &e), e);
    CHECK(p.source.hash != hash);
    hg_packed_free(&p);
    CHECK_OK(hg_recipe_set(&r, "method=grpo", &e), e);
    CHECK_EQ(hg_method_defaults(&r, &e), HG_E_ARG);
    CHECK_STR(e.msg, "val_data is not for method \"grpo\"");
    hg_chats_free(&c);
    hg_recipe_free(&r);
    hg_arena_free(&mem);
    hg_tokenizer_free(t);
}

TEST(what_teaches_nothing_is_told_with_its_line_and_left_out)
{
    hg_err e = {0};
    hg_chats c = {0};
    hg_packed p;
    hg_arena mem;
    hg_buf lines = {0};
    hg_tokenizer *t = tokenizer();
    hg_arena_init(&mem, 0);
    CHECK_OK(parse(&c,
                   "{\"messages\": [{\"role\": \"user\", \"content\": \"only me\"}]}\n"
                   "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": "
                   "\"assistant\", \"content\": "
                   "\"the fox runs and the hen sleeps and the old moon sings to the river under "
                   "the hill\"}]}\n"
                   "{\"messages\": [{\"role\": \"user\", \"content\": \"the fox runs and the hen "
                   "sleeps and the old moon "
                   "sings to the river under the hill and the barn\"}, {\"role\": \"assistant\", "
                   "\"content\": \"x\"}]}\n",
                   &e),
             e);
    CHECK_OK(hg_packed_init(&p, &c, t, NULL, 24, 0, 1, &mem, fixture_listen(&lines), &e), e);
    CHECK_EQ(p.n_dropped, 2);
    CHECK_EQ(p.n_truncated, 1);
    CHECK_EQ(p.n_chats, 1);
    CHECK_HAS(
        lines.p,
        "c.jsonl, line 1: the assistant says nothing, so there is nothing to learn; left out");
    CHECK_HAS(lines.p, "c.jsonl, line 2: longer than seq_len; its end is cut off");
    CHECK_HAS(lines.p, "c.jsonl, line 3: too long: no answer is left before the cut; left out");
    hg_packed_free(&p);
    hg_chats_free(&c);
    hg_arena_free(&mem);
    hg_buf_free(&lines);
    hg_tokenizer_free(t);
}

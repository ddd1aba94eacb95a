/* Training and encoding against what the reference implementations give: the merges and vocabulary
 * of a small corpus, GPT-2's ids. */
#include "harness/test.h"
#include "token/train.h"
#include "base/file.h"
#include <jansson.h>
#include <string.h>

static hg_err e;

static hg_bytes read_all(const char *name, hg_buf *b)
{
    CHECK_OK(hg_file_read(b, test_data(name), 64 << 20, &e), e);
    return (hg_bytes){b->p, b->n};
}

typedef struct lines {
    const char *p;
    size_t n;
} lines;

static void next_line(void *ctx, hg_bytes merge, size_t n)
{
    lines *l = ctx;
    const char *end = strchr(l->p, '\n');
    CHECK(end != NULL && l->n < n);
    CHECK_EQ(merge.n, end - l->p);
    CHECK(memcmp(merge.p, l->p, merge.n) == 0);
    l->p = end + 1;
    l->n++;
}

TEST(training_gives_the_merges_and_vocabulary_of_the_reference)
{
    static const char *const special[] = {"<|endoftext|>"};
    hg_tokenizer_options o;
    hg_tokenizer_stats stats;
    hg_trainer *tr = NULL;
    hg_tokenizer *t = NULL;
    hg_buf corpus = {0}, merges = {0}, vocab = {0};
    hg_tokenizer_options_init(&o);
    o.n_vocab = 500;
    o.special = special;
    o.n_special = 1;
    hg_bytes text = read_all("tokenizers/bpe-train-reference/corpus.en", &corpus);
    CHECK_OK(hg_trainer_new(&tr, &o, &e), e);
    CHECK_OK(hg_trainer_add(tr, text, &e), e);
    CHECK_OK(hg_trainer_finish(tr, &t, &stats, NULL, &e), e);
    CHECK_EQ(stats.n_vocab, 500);
    CHECK_EQ(stats.n_bytes, text.n);

    const hg_token_parts *p = hg_tokenizer_parts(t);
    hg_bytes want =
        read_all("tokenizers/bpe-train-reference/train-bpe-reference-merges.txt", &merges);
    lines l = {want.p, 0};
    CHECK_OK(hg_token_each_merge(t, next_line, &l, &e), e);
    CHECK_EQ(*l.p, '\0');
    CHECK_EQ(l.n, p->n_merges);

    (void)read_all("tokenizers/bpe-train-reference/train-bpe-reference-vocab.json", &vocab);
    json_t *root = json_loads(vocab.p, 0, NULL), *id;
    const char *token;
    CHECK_EQ(json_object_size(root), 500);
    json_object_foreach(root, token, id)
    {
        hg_bytes have = p->token[json_integer_value(id)];
        CHECK_EQ(have.n, strlen(token));
        CHECK(memcmp(have.p, token, have.n) == 0);
    }
    json_decref(root);
    hg_tokenizer_free(t);
    hg_trainer_free(tr);
    hg_buf_free(&corpus);
    hg_buf_free(&merges);
    hg_buf_free(&vocab);
}

/* ---- GPT-2 ---- */

/* A tokenizer.json around GPT-2's vocab.json and merges.txt. */
static hg_tokenizer *gpt2(void)
{
    hg_buf vocab = {0}, merges = {0}, json = {0};
    hg_tokenizer *t = NULL;
    (void)read_all("tokenizers/bpe-train-reference/gpt2_vocab.json", &vocab);
    (void)read_all("tokenizers/bpe-train-reference/gpt2_merges.txt", &merges);
    hg_buf_puts(&json, "{\"added_tokens\": [{\"id\": 50256, \"content\": \"<|endoftext|>\", "
                       "\"special\": true}], \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
                       "\"add_prefix_space\": false}, \"model\": {\"vocab\": ");
    hg_buf_put(&json, vocab.p, vocab.n);
    hg_buf_puts(&json, ", \"merges\": [");
    const char *between = "";
    for (char *s = merges.p, *end; *s != '\0'; s = end + 1) {
        end = strchr(s, '\n');
        CHECK(end != NULL);
        *end = '\0';
        hg_buf_puts(&json, between);
        json_t *m = json_string(s);
        char *quoted = json_dumps(m, JSON_ENCODE_ANY);
        hg_buf_puts(&json, quoted);
        hg_free(quoted);
        json_decref(m);
        between = ", ";
    }
    hg_buf_puts(&json, "]}}");
    CHECK_OK(hg_tokenizer_parse(&t, (hg_bytes){json.p, json.n}, &e), e);
    hg_buf_free(&vocab);
    hg_buf_free(&merges);
    hg_buf_free(&json);
    return t;
}

static void check_case(const hg_tokenizer *t, const char *text, size_t n, const char *want)
{
    hg_ids ids = {0};
    hg_buf got = {0};
    CHECK_OK(hg_tokenizer_encode(t, (hg_bytes){text, n}, false, &ids, &e), e);
    for (size_t i = 0; i < ids.n; i++) hg_buf_printf(&got, " %d", (int)ids.id[i]);
    hg_buf_puts(&got, "");
    CHECK_STR(got.p != NULL ? got.p : "", want);
    hg_buf_free(&got);
    hg_ids_free(&ids);
}

TEST(encoding_gives_gpt2s_ids)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    hg_buf in = {0}, out = {0};
    (void)read_all("tokenizers/llamacpp-vocab/ggml-vocab-gpt-2.gguf.inp", &in);
    (void)read_all("tokenizers/llamacpp-vocab/ggml-vocab-gpt-2.gguf.out", &out);
    hg_tokenizer *t = gpt2();
    size_t n = 0;
    char *want = out.p;
    for (char *s = in.p, *end; s != NULL; s = end != NULL ? end + strlen(mark) : NULL, n++) {
        end = strstr(s, mark);
        char *line_end = strchr(want, '\n');
        if (line_end == NULL) break;
        *line_end = '\0';
        check_case(t, s, end != NULL ? (size_t)(end - s) : strlen(s), want);
        want = line_end + 1;
    }
    CHECK(n > 40);
    hg_tokenizer_free(t);
    hg_buf_free(&in);
    hg_buf_free(&out);
}

/* Token ids of the vocabularies that llama.cpp publishes, against its own expected ids: every
 * pre-tokeniser that a GGUF file may name, on text that stresses it. */
#include "base/file.h"
#include "harness/test.h"
#include "model/inner.h"

#include <string.h>

static hg_err e;

static hg_tokenizer *open_vocab(const char *name, hg_arena *mem)
{
    hg_buf path = {0};
    hg_map map;
    hg_gguf g;
    hg_store store = {0};
    hg_tokenizer *t = NULL;
    hg_buf_printf(&path, "tokenizers/llamacpp-vocab/ggml-vocab-%s.gguf", name);
    CHECK_OK(hg_map_open(&map, test_data(path.p), &e), e);
    CHECK_OK(hg_gguf_parse(&g, &store, mem, map.p, map.n, name, &e), e);
    CHECK_OK(hg_gguf_tokenizer(&g, &t, &e), e);
    hg_map_close(&map);
    hg_buf_free(&path);
    return t;
}

static void read_case(hg_buf *out, const char *name, const char *end)
{
    hg_buf path = {0};
    hg_buf_printf(&path, "tokenizers/llamacpp-vocab/ggml-vocab-%s.gguf.%s", name, end);
    CHECK_OK(hg_file_read(out, test_data(path.p), 1 << 20, &e), e);
    hg_buf_free(&path);
}

static void check_vocab(const char *name)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    hg_arena mem;
    hg_buf in = {0}, out = {0}, got = {0};
    size_t n = 0;
    hg_arena_init(&mem, 0);
    hg_tokenizer *t = open_vocab(name, &mem);
    read_case(&in, name, "inp");
    read_case(&out, name, "out");
    char *want = out.p;
    for (char *s = in.p, *end; s != NULL; s = end != NULL ? end + strlen(mark) : NULL, n++) {
        hg_ids ids = {0};
        end = strstr(s, mark);
        char *line_end = strchr(want, '\n');
        if (line_end == NULL) break;
        *line_end = '\0';
        hg_bytes text = {s, end != NULL ? (size_t)(end - s) : strlen(s)};
        CHECK_OK(hg_tokenizer_encode(t, text, false, &ids, &e), e);
        hg_buf_clear(&got);
        hg_buf_puts(&got, "");
        for (size_t i = 0; i < ids.n; i++) hg_buf_printf(&got, " %d", (int)ids.id[i]);
        if (strcmp(got.n > 0 ? got.p : "", want) != 0)
            test_fail(__FILE__, __LINE__, "%s, case %zu (%.*s): %s, not %s", name, n, (int)text.n,
                      text.p, got.n > 0 ? got.p : "", want);
        hg_ids_free(&ids);
        want = line_end + 1;
    }
    CHECK(n > 40);
    hg_buf_free(&in);
    hg_buf_free(&out);
    hg_buf_free(&got);
    hg_tokenizer_free(t);
    hg_arena_free(&mem);
}

TEST(gpt_2s_vocabulary_gives_llama_cpps_ids)
{
    check_vocab("gpt-2");
}

TEST(falcons_vocabulary_gives_llama_cpps_ids)
{
    check_vocab("falcon");
}

TEST(starcoders_vocabulary_gives_llama_cpps_ids)
{
    check_vocab("starcoder");
}

TEST(refacts_vocabulary_gives_llama_cpps_ids)
{
    check_vocab("refact");
}

TEST(mpts_vocabulary_gives_llama_cpps_ids)
{
    check_vocab("mpt");
}

TEST(deepseek_coders_vocabulary_gives_llama_cpps_ids)
{
    check_vocab("deepseek-coder");
}

TEST(deepseek_llms_vocabulary_gives_llama_cpps_ids)
{
    check_vocab("deepseek-llm");
}

TEST(llama_2s_vocabulary_gives_llama_cpps_ids)
{
    check_vocab("llama-spm");
}

TEST(phi_3s_vocabulary_gives_llama_cpps_ids)
{
    check_vocab("phi-3");
}

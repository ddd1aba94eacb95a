/* Models as files: what is saved is opened again with the same bits, by either format; what cannot
 * be opened says why in one sentence. */
#include "harness/test.h"
#include "model/inner.h"

#include <stdio.h>
#include <string.h>

static const char *const archs[] = {"llama", "mistral", "qwen2", "qwen3", "gpt2"};
enum { N_ARCHS = 5 };

static hg_model_config config_of(const char *arch)
{
    hg_model_config c = {.n_layers = 2,
                         .d_model = 24,
                         .n_heads = 4,
                         .n_kv_heads = 2,
                         .d_head = 6,
                         .d_ff = 20,
                         .n_vocab = 17,
                         .n_ctx = 32,
                         .bos_id = 1,
                         .eos_id = 2,
                         .pad_id = -1};
    (void)snprintf(c.arch, sizeof c.arch, "%s", arch);
    if (strcmp(arch, "gpt2") == 0) {
        c.n_kv_heads = 4;
        c.tie_embeddings = true;
    }
    return c;
}

/* Every value is another one, biases and norms too. */
static hg_model *model_of(const char *arch)
{
    hg_err e = {0};
    hg_model *m = NULL;
    const hg_model_config c = config_of(arch);
    CHECK_OK(hg_model_new(&m, &c, 7, &e), e);
    for (size_t i = 0; i < m->n_params; i++) {
        float *w = m->param[i]->data;
        for (size_t j = 0; j < hg_tensor_count(m->param[i]); j++)
            w[j] += (float)(i * 1000 + j) / 4096.0f;
    }
    return m;
}

static void check_same_weights(const hg_model *a, const hg_model *b)
{
    CHECK_EQ(a->n_params, b->n_params);
    for (size_t i = 0; i < a->n_params; i++) {
        const hg_tensor *t = a->param[i], *u = b->param[i];
        float x[64], y[64];
        CHECK_STR(t->name, u->name);
        CHECK_EQ(hg_tensor_count(t), hg_tensor_count(u));
        CHECK(hg_tensor_cols(t) <= 64);
        for (size_t r = 0; r < hg_tensor_rows(t); r++) {
            hg_model_row(a, t, r, x);
            hg_model_row(b, u, r, y);
            CHECK(memcmp(x, y, hg_tensor_cols(t) * sizeof *x) == 0);
        }
    }
}

static hg_tensor *logits_of(hg_graph *g, const hg_model *m)
{
    static const int32_t ids[] = {3, 1, 4, 1, 5, 9, 2, 6}, pos[] = {0, 1, 2, 3, 4, 5, 6, 7};
    static const hg_span span = {.row = 0, .n = 8};
    const hg_batch b = {.n = 8, .ids = ids, .pos = pos, .spans = &span, .n_spans = 1, .n_out = 8};
    hg_err e = {0};
    hg_tensor *y = hg_model_logits(g, m, hg_model_forward(g, m, &b));
    CHECK_OK(hg_graph_status(g, &e), e);
    return y;
}

/* The same logits, bit for bit, from two paths opened for inference. */
static void check_same_logits(const char *a, const char *b)
{
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_model *m[2] = {NULL};
    hg_tensor *y[2];
    hg_graph g[2];
    hg_arena mem;
    hg_arena_init(&mem, 0);
    CHECK_OK(hg_runtime_new(&rt, 1, HG_N_ISA, &e), e);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(hg_model_open(&m[i], i == 0 ? a : b, HG_WEIGHTS_AS_STORED, rt, &e), e);
        hg_graph_init(&g[i], rt, &mem, m[i]->compute, false);
        y[i] = logits_of(&g[i], m[i]);
    }
    CHECK_EQ(hg_tensor_count(y[0]), 8 * 17);
    CHECK(memcmp(y[0]->data, y[1]->data, hg_tensor_count(y[0]) * sizeof(float)) == 0);
    hg_arena_free(&mem);
    hg_model_free(m[0]);
    hg_model_free(m[1]);
    hg_runtime_free(rt);
}

TEST(a_saved_model_is_opened_with_the_same_bits)
{
    for (int i = 0; i < N_ARCHS; i++) {
        hg_err e = {0};
        hg_model *m = model_of(archs[i]), *again = NULL, *stored = NULL;
        CHECK_OK(hg_model_save(m, test_path(archs[i]), HG_WEIGHTS_F32, "# card\n", &e), e);
        CHECK_OK(hg_model_open_trainable(&again, test_path(archs[i]), &e), e);
        check_same_weights(m, again);
        CHECK_OK(hg_model_open_stored(&stored, test_path(archs[i]), &e), e);
        check_same_weights(m, stored);
        CHECK_STR(again->c.arch, archs[i]);
        CHECK_EQ(again->c.bos_id, 1);
        CHECK_EQ(again->c.pad_id, -1);
        CHECK(again->c.rope_theta == m->c.rope_theta && again->c.norm_eps == m->c.norm_eps);
        hg_model_free(m);
        hg_model_free(again);
        hg_model_free(stored);
    }
}

TEST(a_model_opened_for_inference_saves_what_its_files_hold)
{
    hg_err e = {0};
    hg_runtime *rt = NULL;
    hg_model *m = model_of("llama"), *packed = NULL, *a = NULL, *b = NULL;
    CHECK_OK(hg_runtime_new(&rt, 1, HG_N_ISA, &e), e);
    CHECK_OK(hg_model_save(m, test_path("a"), HG_WEIGHTS_BF16, NULL, &e), e);
    CHECK_OK(hg_model_open(&packed, test_path("a"), HG_WEIGHTS_AS_STORED, rt, &e), e);
    CHECK_EQ(packed->compute, HG_COMPUTE_BF16);
    CHECK_OK(hg_model_save(packed, test_path("b"), HG_WEIGHTS_AS_STORED, NULL, &e), e);
    CHECK_OK(hg_model_open_stored(&a, test_path("a"), &e), e);
    CHECK_OK(hg_model_open_stored(&b, test_path("b"), &e), e);
    check_same_weights(a, b);
    CHECK_EQ(hg_param_type(b, b->layer[0].attn_norm), HG_BF16);
    hg_model_free(m);
    hg_model_free(packed);
    hg_model_free(a);
    hg_model_free(b);
    hg_runtime_free(rt);
}

TEST(an_exported_gguf_gives_the_same_logits)
{
    for (int i = 0; i < N_ARCHS; i++) {
        hg_err e = {0};
        hg_model *m = model_of(archs[i]), *back = NULL;
        char gguf[512];
        (void)snprintf(gguf, sizeof gguf, "%s", test_path("m.gguf"));
        CHECK_OK(hg_model_save(m, test_path(archs[i]), HG_WEIGHTS_F32, NULL, &e), e);
        CHECK_OK(hg_model_export_gguf(test_path(archs[i]), gguf, HG_WEIGHTS_AS_STORED, NULL, &e),
                 e);
        CHECK_OK(hg_model_open_stored(&back, gguf, &e), e);
        check_same_weights(m, back);
        check_same_logits(test_path(archs[i]), gguf);
        hg_model_free(m);
        hg_model_free(back);
    }
}

TEST(float16_matrices_survive_both_formats)
{
    hg_err e = {0};
    hg_model *m = model_of("llama");
    CHECK_OK(hg_model_save(m, test_path("m"), HG_WEIGHTS_F16, NULL, &e), e);
    CHECK_OK(
        hg_model_export_gguf(test_path("m"), test_path("m.gguf"), HG_WEIGHTS_AS_STORED, NULL, &e),
        e);
    check_same_logits(test_path("m"), test_path("m.gguf"));
    hg_model_free(m);
}

TEST(llama_3s_frequencies_survive_a_gguf)
{
    hg_err e = {0};
    hg_model *m = NULL, *back = NULL;
    hg_model_config c = config_of("llama");
    c.rope_scaling = (hg_rope_scaling){.kind = HG_ROPE_LLAMA3,
                                       .factor = 8.0f,
                                       .low_freq_factor = 1.0f,
                                       .high_freq_factor = 4.0f,
                                       .original_n_ctx = 16};
    CHECK_OK(hg_model_new(&m, &c, 1, &e), e);
    CHECK_OK(hg_model_save(m, test_path("m"), HG_WEIGHTS_F32, NULL, &e), e);
    CHECK_OK(hg_model_export_gguf(test_path("m"), test_path("m.gguf"), HG_WEIGHTS_F32, NULL, &e),
             e);
    CHECK_OK(hg_model_open_stored(&back, test_path("m.gguf"), &e), e);
    const float *ours = m->rope[HG_ROPE_GLOBAL].inv_freq;
    const float *theirs = back->rope[HG_ROPE_GLOBAL].inv_freq;
    CHECK(ours[2] < 0.9f * (float)hg_rope_plain(&m->c, (double)c.rope_theta, 2));
    for (size_t i = 0; i < 3; i++) CHECK_NEAR(theirs[i], ours[i], 1e-6 * (double)ours[i]);
    CHECK_EQ(back->c.rope_scaling.kind, HG_ROPE_FACTORS);
    CHECK_OK(hg_model_save(back, test_path("n"), HG_WEIGHTS_F32, NULL, &e), e);
    hg_model_free(back);
    /* ... and a folder, which says them one by one. */
    CHECK_OK(hg_model_open_stored(&back, test_path("n"), &e), e);
    theirs = back->rope[HG_ROPE_GLOBAL].inv_freq;
    for (size_t i = 0; i < 3; i++) CHECK_NEAR(theirs[i], ours[i], 1e-6 * (double)ours[i]);
    CHECK_NEAR(back->rope[HG_ROPE_GLOBAL].scale, 1, 0);
    hg_model_free(m);
    hg_model_free(back);
}

TEST(llama_3s_own_frequencies_are_known_again)
{
    hg_err e = {0};
    hg_model *m = NULL, *back = NULL;
    hg_model_config c = config_of("llama");
    c.rope_theta = 500000.0f;
    c.rope_scaling = (hg_rope_scaling){.kind = HG_ROPE_LLAMA3,
                                       .factor = 32.0f,
                                       .low_freq_factor = 1.0f,
                                       .high_freq_factor = 4.0f,
                                       .original_n_ctx = 8192};
    CHECK_OK(hg_model_new(&m, &c, 1, &e), e);
    CHECK_OK(hg_model_save(m, test_path("m"), HG_WEIGHTS_F32, NULL, &e), e);
    CHECK_OK(hg_model_export_gguf(test_path("m"), test_path("m.gguf"), HG_WEIGHTS_F32, NULL, &e),
             e);
    CHECK_OK(hg_model_open_stored(&back, test_path("m.gguf"), &e), e);
    CHECK_EQ(back->c.rope_scaling.kind, HG_ROPE_LLAMA3);
    CHECK_NEAR(back->c.rope_scaling.factor, 32, 1e-4);
    hg_model_free(m);
    hg_model_free(back);
}

/* Splits a saved model's file in two shards with an index, as large models come. */
static void split(const char *dir)
{
    hg_err e = {0};
    hg_buf all = {0}, index = {0};
    char from[512], path[600];
    (void)snprintf(from, sizeof from, "%s/model.safetensors", dir);
    CHECK_OK(hg_file_read(&all, from, 1 << 20, &e), e);
    hg_buf_puts(&index, "{\"metadata\": {}, \"weight_map\": {");
    hg_store s;
    hg_store_init(&s);
    CHECK_OK(hg_safetensors_parse(&s, (const unsigned char *)all.p, all.n, "x", &e), e);
    for (int shard = 0; shard < 2; shard++) {
        hg_buf header = {0}, data = {0}, file = {0};
        for (size_t i = (size_t)shard; i < s.n; i += 2) {
            const hg_entry *en = &s.entry[i];
            hg_buf_printf(&index, "%s\"%s\": \"part-%d.safetensors\"", i == 0 ? "" : ", ", en->name,
                          shard);
            hg_buf_printf(&header, "%s\"%s\": {\"dtype\": \"F32\", \"shape\": [%d",
                          header.n == 0 ? "{" : ", ", en->name, (int)en->dim[0]);
            if (en->n_dims == 2) hg_buf_printf(&header, ", %d", (int)en->dim[1]);
            hg_buf_printf(&header, "], \"data_offsets\": [%zu, %zu]}", data.n,
                          data.n + (size_t)en->n_bytes);
            hg_buf_put(&data, en->p, (size_t)en->n_bytes);
        }
        hg_buf_puts(&header, "}");
        for (int i = 0; i < 8; i++) hg_buf_putc(&file, (char)(header.n >> (8 * i) & 255));
        hg_buf_put(&file, header.p, header.n);
        hg_buf_put(&file, data.p, data.n);
        (void)snprintf(path, sizeof path, "%s/part-%d.safetensors", dir, shard);
        CHECK_OK(hg_file_write(path, file.p, file.n, &e), e);
        hg_buf_free(&header);
        hg_buf_free(&data);
        hg_buf_free(&file);
    }
    hg_buf_puts(&index, "}}");
    (void)snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    CHECK_OK(hg_file_write(path, index.p, index.n, &e), e);
    CHECK(remove(from) == 0);
    hg_store_free(&s);
    hg_buf_free(&all);
    hg_buf_free(&index);
}

TEST(shards_are_read_through_their_index)
{
    hg_err e = {0};
    hg_model *m = model_of("llama"), *back = NULL;
    CHECK_OK(hg_model_save(m, test_path("m"), HG_WEIGHTS_F32, NULL, &e), e);
    split(test_path("m"));
    CHECK_OK(hg_model_open_stored(&back, test_path("m"), &e), e);
    check_same_weights(m, back);
    hg_model_free(m);
    hg_model_free(back);
}

TEST(a_shard_outside_the_folder_is_refused)
{
    static const char index[] = "{\"weight_map\": {\"a\": \"../../etc/passwd\"}}";
    hg_err e = {0};
    hg_model *m = model_of("llama"), *back = NULL;
    CHECK_OK(hg_model_save(m, test_path("m"), HG_WEIGHTS_F32, NULL, &e), e);
    CHECK(remove(test_path("m/model.safetensors")) == 0);
    CHECK_OK(hg_file_write(test_path("m/model.safetensors.index.json"), index, strlen(index), &e),
             e);
    CHECK_EQ(hg_model_open_stored(&back, test_path("m"), &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "the place of a is no name of a file beside it");
    CHECK(back == NULL);
    hg_model_free(m);
}

/* ---- what cannot be opened ---- */

/* A llama folder with another config.json. */
static void check_config(const char *json, hg_status want, const char *part)
{
    hg_err e = {0};
    hg_model *m = model_of("llama"), *back = NULL;
    CHECK_OK(hg_model_save(m, test_path("m"), HG_WEIGHTS_F32, NULL, &e), e);
    hg_model_free(m);
    CHECK_OK(hg_file_write(test_path("m/config.json"), json, strlen(json), &e), e);
    CHECK_EQ(hg_model_open_stored(&back, test_path("m"), &e), want);
    CHECK_HAS(e.msg, part);
    CHECK(strchr(e.msg, '\n') == NULL && back == NULL);
}

#define SIZES                                                                     \
    "\"num_hidden_layers\": 2, \"hidden_size\": 24, \"num_attention_heads\": 4, " \
    "\"num_key_value_heads\": 2, \"head_dim\": 6, \"vocab_size\": 17, \"intermediate_size\": "

TEST(a_config_that_cannot_be_computed_says_why)
{
    check_config("[]", HG_E_FORMAT, "it is no JSON object");
    check_config("{\"model_type\": \"mamba\"}", HG_E_UNSUPPORTED,
                 "no architecture \"mamba\"; Higgins knows llama, mistral");
    check_config("{\"model_type\": \"llama\", \"num_hidden_layers\": 100000}", HG_E_LIMIT,
                 "num_hidden_layers of 100000; 512 is the most");
    check_config("{\"model_type\": \"llama\", " SIZES "20, \"hidden_act\": \"tanh\"}",
                 HG_E_UNSUPPORTED, "hidden_act \"tanh\" is not known");
    check_config("{\"model_type\": \"llama\", " SIZES
                 "20, \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}}",
                 HG_E_UNSUPPORTED, "rotary scaling \"dynamic\" is not known");
    check_config("{\"model_type\": \"llama\", " SIZES
                 "20, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": -2}}",
                 HG_E_FORMAT, "factor");
    check_config("{\"model_type\": \"phi3\", " SIZES
                 "20, \"rope_scaling\": {\"type\": \"su\", \"short_factor\": [1, 2], "
                 "\"long_factor\": [1, 2]}}",
                 HG_E_FORMAT, "short_factor has 2 numbers; the 3 rotary frequencies need one each");
    check_config(
        "{\"model_type\": \"llama\", \"quantization_config\": {\"quant_method\": \"awq\"}}",
        HG_E_UNSUPPORTED,
        "quant_method \"awq\" is not known, mxfp4 is; take weights that are not quantised, or "
        "a GGUF");
    check_config("{\"model_type\": \"llama\", " SIZES "20, \"mlp_bias\": true}", HG_E_FORMAT,
                 "tensor model.layers.0.mlp.gate_proj.bias is missing");
    check_config("{\"model_type\": \"gemma3\", \"text_config\": {" SIZES "20}}", HG_E_FORMAT,
                 "model_type");
    check_config("{\"model_type\": \"gemma2\", " SIZES
                 "20, \"sliding_window\": 9, \"layer_types\": [\"full_attention\"]}",
                 HG_E_FORMAT, "layer_types has 1 entries; the 2 layers need one each");
    check_config("{\"model_type\": \"mixtral\", " SIZES
                 "20, \"num_local_experts\": 100000, \"num_experts_per_tok\": 2}",
                 HG_E_LIMIT, "num_local_experts of 100000; 512 is the most");
    check_config("{\"model_type\": \"mixtral\", " SIZES
                 "20, \"num_local_experts\": 4, \"num_experts_per_tok\": 5}",
                 HG_E_ARG, "a token is to use 5 of 4 experts; 1 to 4 can be used");
    check_config("{\"model_type\": \"llama\", " SIZES "21}", HG_E_FORMAT,
                 "tensor model.layers.0.mlp.gate_proj.weight is 20 x 24; the configuration says "
                 "21 x 24");
    check_config("{\"model_type\": \"qwen3\", " SIZES "20}", HG_E_FORMAT,
                 "tensor model.layers.0.self_attn.q_norm.weight is missing");
    check_config("{\"model_type\": \"llama\", \"tie_word_embeddings\": false, "
                 "\"num_hidden_layers\": 1, \"hidden_size\": 24, \"num_attention_heads\": 4, "
                 "\"num_key_value_heads\": 2, \"head_dim\": 6, \"vocab_size\": 17, "
                 "\"intermediate_size\": 20}",
                 HG_E_UNSUPPORTED, "is no part of the llama architecture");
}

static void check_gguf(const void *bytes, size_t n, hg_status want, const char *part)
{
    hg_err e = {0};
    hg_model *m = NULL;
    CHECK_OK(hg_file_write(test_path("x.gguf"), bytes, n, &e), e);
    CHECK_EQ(hg_model_open_stored(&m, test_path("x.gguf"), &e), want);
    CHECK_HAS(e.msg, part);
    CHECK_HAS(e.msg, "x.gguf");
    CHECK(m == NULL);
}

TEST(a_hostile_gguf_says_why)
{
    hg_err e = {0};
    hg_buf b = {0};
    hg_model *m = model_of("llama");
    check_gguf("", 0, HG_E_FORMAT, "does not begin with GGUF");
    check_gguf("GGUF\1\0\0\0", 8, HG_E_UNSUPPORTED, "GGUF version 1; 2 and 3 are read");
    check_gguf("GGUF\0\0\0\3", 8, HG_E_UNSUPPORTED, "(big-endian)");
    check_gguf("GGUF\3\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0", 24, HG_E_LIMIT,
               "72057594037927936 tensors and 0 keys; 131072 and 65536 are the most");
    check_gguf("GGUF\3\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, HG_E_FORMAT,
               "1 tensors and 0 keys in 0 bytes; it is cut off");
    CHECK_OK(hg_model_save(m, test_path("m"), HG_WEIGHTS_F32, NULL, &e), e);
    CHECK_OK(hg_model_export_gguf(test_path("m"), test_path("m.gguf"), HG_WEIGHTS_F32, NULL, &e),
             e);
    CHECK_OK(hg_file_read(&b, test_path("m.gguf"), 1 << 20, &e), e);
    for (size_t n = 24; n < b.n; n += 97) { /* cut anywhere, it is refused */
        hg_model *cut = NULL;
        CHECK_OK(hg_file_write(test_path("x.gguf"), b.p, n, &e), e);
        CHECK_EQ(hg_model_open_stored(&cut, test_path("x.gguf"), &e), HG_E_FORMAT);
    }
    check_gguf(b.p, b.n - 40, HG_E_FORMAT, "the file has");
    hg_buf_free(&b);
    hg_model_free(m);
}

TEST(a_cut_safetensors_file_says_so)
{
    hg_err e = {0};
    hg_buf b = {0};
    hg_model *m = model_of("llama"), *back = NULL;
    CHECK_OK(hg_model_save(m, test_path("m"), HG_WEIGHTS_F32, NULL, &e), e);
    CHECK_OK(hg_file_read(&b, test_path("m/model.safetensors"), 1 << 20, &e), e);
    CHECK_OK(hg_file_write(test_path("m/model.safetensors"), b.p, b.n - 1, &e), e);
    CHECK_EQ(hg_model_open_stored(&back, test_path("m"), &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "its values lie at");
    CHECK_OK(hg_file_write(test_path("m/model.safetensors"), b.p, 100, &e), e);
    CHECK_EQ(hg_model_open_stored(&back, test_path("m"), &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "it is cut off");
    CHECK_OK(hg_file_write(test_path("m/model.safetensors"), b.p, 5, &e), e);
    CHECK_EQ(hg_model_open_stored(&back, test_path("m"), &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "5 bytes; a safetensors file has 8 at the least");
    hg_buf_free(&b);
    hg_model_free(m);
}

TEST(a_path_without_a_model_is_missing)
{
    hg_err e = {0};
    hg_model *m = NULL;
    CHECK_EQ(hg_model_open_stored(&m, test_path("nothing"), &e), HG_E_MISSING);
    CHECK_HAS(e.msg, "no such folder or file");
    CHECK(m == NULL);
}

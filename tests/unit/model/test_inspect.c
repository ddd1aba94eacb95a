/* What is told of a model's files is what is in them, whatever they are; what they say is never
 * obeyed. */
#include <higgins/inspect.h>
#include "gguf_file.h"
#include "harness/test.h"

#include <math.h>
#include <string.h>

static hg_model_info *inspect(const char *path, bool check)
{
    hg_err e = {0};
    hg_model_info *info = NULL;
    CHECK_OK(hg_model_inspect(&info, path, check, NULL, &e), e);
    return info;
}

static const hg_key_info *key_of(const hg_model_info *info, const char *key)
{
    for (size_t i = 0; i < info->n_keys; i++)
        if (strcmp(info->key[i].key, key) == 0) return &info->key[i];
    test_fail(__FILE__, __LINE__, "no key %s", key);
    return NULL;
}

static void small_llama(const char *dir, const char *gguf)
{
    const hg_model_config c = {.arch = "llama",
                               .n_layers = 12,
                               .d_model = 8,
                               .n_heads = 2,
                               .n_kv_heads = 1,
                               .d_ff = 12,
                               .n_vocab = 9,
                               .n_ctx = 32,
                               .bos_id = -1,
                               .eos_id = -1,
                               .pad_id = -1};
    hg_err e = {0};
    hg_model *m = NULL;
    CHECK_OK(hg_model_new(&m, &c, 7, &e), e);
    CHECK_OK(hg_model_save(m, dir, HG_WEIGHTS_F32, NULL, &e), e);
    CHECK_OK(hg_model_export_gguf(dir, gguf, HG_WEIGHTS_BF16, NULL, &e), e);
    hg_model_free(m);
}

TEST(tensors_lie_where_they_are_said_to)
{
    small_llama(test_path("m"), test_path("m.gguf"));
    hg_buf file = {0};
    hg_err e = {0};
    hg_model_info *info = inspect(test_path("m.gguf"), false);
    CHECK_OK(hg_file_read(&file, test_path("m.gguf"), 1 << 20, &e), e);
    CHECK_STR(info->name, "m.gguf");
    CHECK_STR(info->kind, "model");
    CHECK(info->is_known && info->problem == NULL);
    CHECK_STR(info->config.arch, "llama");
    CHECK_EQ(info->file[0].n_bytes, file.n);
    CHECK_EQ(info->file[0].n_tensors, info->n_tensors);
    hg_model *m = NULL;
    CHECK_OK(hg_model_open_stored(&m, test_path("m.gguf"), &e), e);
    for (size_t i = 0; i < info->n_tensors; i++) {
        const hg_tensor_info *t = &info->tensor[i];
        const hg_entry *en = hg_store_find(&m->files->store, t->name);
        CHECK(en != NULL && t->offset + t->n_bytes <= file.n);
        CHECK(memcmp(file.p + t->offset, en->p, (size_t)t->n_bytes) == 0);
    }
    hg_model_free(m);
    hg_model_info_free(info);
    hg_buf_free(&file);
}

TEST(layers_come_in_their_order_and_add_up)
{
    small_llama(test_path("m"), test_path("m.gguf"));
    const char *paths[] = {test_path("m"), test_path("m.gguf")};
    for (size_t k = 0; k < 2; k++) {
        hg_model_info *info = inspect(paths[k], false);
        uint64_t in_layers = 0, in_types = 0, in_groups = 0;
        CHECK_EQ(info->n_layers, 13);
        for (size_t i = 0; i < info->n_layers; i++) {
            const hg_layer_info *l = &info->layer[i];
            uint64_t sum = 0;
            CHECK_EQ(l->layer, (int)i - 1);
            for (int u = 0; u < HG_N_USES; u++) sum += l->use[u];
            CHECK_EQ(sum, l->n_bytes);
            CHECK_EQ(l->n_tensors, i == 0 ? 3 : 9);
            in_layers += l->n_bytes;
        }
        /* q and o are 8 x 8, k and v 4 x 8, gate, up and down 12 x 8; two norms of 8 */
        const size_t size = k == 0 ? 4 : 2;
        CHECK_EQ(info->layer[1].use[HG_USE_ATTENTION], 192 * size);
        CHECK_EQ(info->layer[1].use[HG_USE_FEED_FORWARD], 288 * size);
        CHECK_EQ(info->layer[1].use[HG_USE_NORM], 64);
        for (size_t i = 0; i < info->n_types; i++) in_types += info->type[i].n_bytes;
        for (size_t i = 0; i < info->n_groups; i++) in_groups += info->group[i].n_bytes;
        CHECK(in_layers == info->n_bytes && in_types == info->n_bytes);
        CHECK(in_groups == info->n_bytes);
        CHECK_EQ(info->n_groups, 12);
        CHECK_EQ(info->group[0].n, k == 0 ? 1 : 12);
        CHECK_STR(info->group[0].name, k == 0 ? "lm_head.weight" : "blk.#.attn_k.weight");
        hg_model_info_free(info);
    }
}

TEST(keys_of_every_type_are_told)
{
    gguf_file f;
    gguf_file_init(&f);
    hg_meta_text(&f.meta, "general.architecture", "mamba");
    hg_meta_u32(&f.meta, "a.count", 4000000000U);
    hg_meta_f32(&f.meta, "a.number", 0.25F);
    hg_meta_bool(&f.meta, "a.flag", true);
    hg_meta_array(&f.meta, "a.list", GGUF_I32, 20);
    for (int i = 0; i < 20; i++) hg_meta_put(f.meta.b, (uint32_t)-i, 4);
    hg_meta_array(&f.meta, "a.texts", GGUF_STRING, 2);
    hg_meta_string(f.meta.b, "one", 3);
    hg_meta_string(f.meta.b, "two", 3);
    gguf_file_vector(&f, "blk.0.ssm.weight", (float[]){1, 2}, 2);
    gguf_file_write(&f, test_path("x.gguf"));
    hg_model_info *info = inspect(test_path("x.gguf"), false);
    CHECK_STR(key_of(info, "a.count")->value, "4000000000");
    CHECK(key_of(info, "a.count")->is_number);
    CHECK_STR(key_of(info, "a.number")->value, "0.25");
    CHECK_STR(key_of(info, "a.flag")->value, "true");
    CHECK_STR(key_of(info, "a.list")->value, "[0, -1, -2, -3, -4, -5, -6, -7, ...]");
    CHECK_STR(key_of(info, "a.list")->type, "array of i32");
    CHECK_EQ(key_of(info, "a.list")->n, 20);
    CHECK_STR(key_of(info, "a.texts")->value, "[\"one\", \"two\"]");
    hg_model_info_free(info);
}

TEST(a_model_that_cannot_be_run_is_told_about_and_why)
{
    gguf_file f;
    gguf_file_init(&f);
    hg_meta_text(&f.meta, "general.architecture", "mamba");
    gguf_file_vector(&f, "blk.0.ssm.weight", (float[]){1, 2}, 2);
    gguf_file_write(&f, test_path("x.gguf"));
    hg_model_info *info = inspect(test_path("x.gguf"), false);
    CHECK_STR(info->kind, "model");
    CHECK_STR(info->arch, "mamba");
    CHECK(!info->is_known);
    CHECK_HAS(info->problem, "no architecture \"mamba\"; Higgins knows llama");
    CHECK_EQ(info->n_tensors, 1);
    CHECK_EQ(info->n_params, 2);
    hg_model_info_free(info);
}

TEST(config_json_is_told_member_by_member)
{
    hg_err e = {0};
    small_llama(test_path("m"), test_path("m.gguf"));
    const char *json = "{\"model_type\": \"llama\", \"rope_scaling\": {\"factor\": 8.5}, "
                       "\"architectures\": [\"A\"]}";
    CHECK_OK(hg_file_write(test_path("m/config.json"), json, strlen(json), &e), e);
    CHECK_OK(hg_file_write(test_path("m/chat_template.jinja"), "{{ messages }}", 14, &e), e);
    hg_model_info *info = inspect(test_path("m"), false);
    CHECK_STR(key_of(info, "rope_scaling.factor")->value, "8.5");
    CHECK_STR(key_of(info, "rope_scaling.factor")->file, "config.json");
    CHECK_STR(key_of(info, "architectures")->value, "[\"A\"]");
    CHECK_STR(key_of(info, "format")->file, "model.safetensors");
    CHECK_STR(info->chat_template, "{{ messages }}");
    CHECK(!info->is_known && info->problem != NULL);
    hg_model_info_free(info);
}

TEST(a_single_safetensors_file_is_told_about)
{
    small_llama(test_path("m"), test_path("m.gguf"));
    hg_model_info *info = inspect(test_path("m/model.safetensors"), true);
    CHECK_STR(info->kind, "tensors");
    CHECK_EQ(info->n_tensors, 12 * 9 + 3);
    CHECK_EQ(info->n_bad, 0);
    CHECK(info->problem == NULL && info->tokenizer == NULL);
    hg_model_info_free(info);
}

/* Three parts of a set; the last one's tensor holds `last`. */
static void write_set(float last)
{
    for (uint32_t i = 0; i < 3; i++) {
        gguf_file f;
        char name[40], path[40];
        gguf_file_init(&f);
        if (i == 0) hg_meta_text(&f.meta, "general.architecture", "llama");
        hg_meta_u32(&f.meta, "split.no", i);
        hg_meta_u32(&f.meta, "split.count", 3);
        hg_meta_u32(&f.meta, "split.tensors.count", 3);
        (void)snprintf(name, sizeof name, "blk.%u.attn_norm.weight", i);
        gguf_file_vector(&f, name, (float[]){1, i == 2 ? last : 2, 3}, 3);
        (void)snprintf(path, sizeof path, "s-%05u-of-00003.gguf", i + 1);
        gguf_file_write(&f, test_path(path));
    }
}

TEST(a_set_of_files_is_told_file_by_file)
{
    write_set(4);
    hg_model_info *info = inspect(test_path("s-00001-of-00003.gguf"), true);
    CHECK_EQ(info->n_files, 3);
    CHECK_EQ(info->n_bad, 0);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ(info->tensor[i].file, i);
        CHECK_EQ(info->file[i].n_tensors, 1);
        CHECK_EQ(info->tensor[i].layer, (int)i);
    }
    CHECK_STR(info->file[2].name, "s-00003-of-00003.gguf");
    hg_model_info_free(info);
}

TEST(a_value_that_is_no_number_is_found_in_its_file)
{
    hg_err e = {0};
    write_set(NAN);
    hg_model_info *info = inspect(test_path("s-00001-of-00003.gguf"), true);
    CHECK_EQ(info->n_bad, 1);
    CHECK_EQ(hg_model_info_verdict(info, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "s-00003-of-00003.gguf: tensor blk.2.attn_norm.weight: 1 of its 3 values are "
                     "NaN and 0 infinite, the first is value 1; weights are finite numbers");
    hg_model_info_free(info);
    info = inspect(test_path("s-00001-of-00003.gguf"), false); /* not asked for, not looked for */
    CHECK_OK(hg_model_info_verdict(info, &e), e);
    hg_model_info_free(info);
}

TEST(an_infinite_scale_spoils_its_block)
{
    unsigned char q8[34] = {0x00, 0x7C}; /* float16's infinity, then 32 weights */
    uint64_t dim = 32;
    gguf_file f;
    q8[2 + 5] = 3;
    gguf_file_init(&f);
    gguf_file_tensor(&f, "a", 8, &dim, 1, q8, sizeof q8);
    gguf_file_vector(&f, "b", (float[]){-2, 0, 6}, 3);
    gguf_file_write(&f, test_path("x.gguf"));
    hg_model_info *info = inspect(test_path("x.gguf"), true);
    const hg_values_info *a = &info->tensor[0].values, *b = &info->tensor[1].values;
    CHECK_EQ(a->n_infinite, 1); /* infinity times 3 */
    CHECK_EQ(a->n_nan, 31);     /* infinity times 0 */
    CHECK_EQ(a->first_bad, 0);
    CHECK_NEAR(b->min, -2, 0);
    CHECK_NEAR(b->max, 6, 0);
    CHECK_NEAR(b->mean, 4.0 / 3, 1e-12);
    CHECK_NEAR(b->rms, sqrt(40.0 / 3), 1e-12);
    hg_model_info_free(info);
}

TEST(a_vocabulary_is_sampled_by_kind)
{
    static const char *const tokens[] = {"<s>",
                                         "<0x41>",
                                         ("\xE2\x96\x81"
                                          "abc"),
                                         "d\n",
                                         "<mask>",
                                         "z"};
    static const uint32_t kinds[] = {3, 6, 1, 1, 4, 1};
    gguf_file f;
    gguf_file_init(&f);
    hg_meta_text(&f.meta, "general.architecture", "llama");
    hg_meta_text(&f.meta, "tokenizer.ggml.model", "llama");
    hg_meta_array(&f.meta, "tokenizer.ggml.tokens", GGUF_STRING, 6);
    for (size_t i = 0; i < 6; i++) hg_meta_string(f.meta.b, tokens[i], strlen(tokens[i]));
    hg_meta_array(&f.meta, "tokenizer.ggml.scores", GGUF_F32, 6);
    for (size_t i = 0; i < 6; i++) hg_meta_put(f.meta.b, 0, 4);
    hg_meta_array(&f.meta, "tokenizer.ggml.token_type", GGUF_I32, 6);
    for (size_t i = 0; i < 6; i++) hg_meta_put(f.meta.b, kinds[i], 4);
    gguf_file_write(&f, test_path("x.gguf"));
    hg_model_info *info = inspect(test_path("x.gguf"), false);
    CHECK_STR(info->kind, "vocabulary");
    CHECK_STR(info->tokenizer, "SentencePiece BPE");
    CHECK_EQ(info->n_tokens, 6);
    CHECK_EQ(info->n_byte_tokens, 1);
    CHECK_EQ(info->sample[0].n, 1);
    CHECK_STR(info->sample[0].token[0].text, "<s>");
    CHECK_EQ(info->sample[1].n, 1);
    CHECK_EQ(info->sample[1].token[0].id, 4);
    CHECK_EQ(info->sample[2].n_all, 3);
    CHECK_STR(info->sample[2].token[0].text, "\xC2\xB7"
                                             "abc"); /* the sign is a space */
    CHECK_STR(info->sample[2].token[1].text, "d\xE2\x86\xB5");
    CHECK_STR(info->sample[3].token[0].text, "\xC2\xB7"
                                             "abc");
    CHECK_EQ(info->sample[4].n, 3);
    hg_model_info_free(info);
}

TEST(a_tokenizer_that_cannot_be_used_is_told_about)
{
    gguf_file f;
    gguf_file_init(&f);
    hg_meta_text(&f.meta, "tokenizer.ggml.model", "bert");
    gguf_file_write(&f, test_path("x.gguf"));
    hg_model_info *info = inspect(test_path("x.gguf"), false);
    CHECK(info->tokenizer == NULL);
    CHECK_HAS(info->no_tokenizer, "its tokenizer is of kind \"bert\"");
    hg_model_info_free(info);
}

TEST(what_files_say_is_neither_markup_nor_terminal_commands)
{
    const char *evil = "<script>alert(1)</script>\x1B[31m\xE2\x80\xAE\xFF";
    hg_err e = {0};
    gguf_file f;
    hg_buf page = {0};
    gguf_file_init(&f);
    hg_meta_text(&f.meta, "general.architecture", evil);
    hg_meta_text(&f.meta, evil, evil);
    hg_meta_text(&f.meta, "tokenizer.chat_template", evil);
    hg_meta_array(&f.meta, "a.list", GGUF_STRING, 1);
    hg_meta_string(f.meta.b, evil, strlen(evil));
    gguf_file_vector(&f, evil, (float[]){1}, 1);
    gguf_file_write(&f, test_path("x.gguf"));
    hg_model_info *info = inspect(test_path("x.gguf"), true);
    for (size_t i = 0; i < info->n_keys; i++) {
        CHECK(strpbrk(info->key[i].key, "\x1B\xFF") == NULL);
        CHECK(strpbrk(info->key[i].value, "\x1B\xFF") == NULL);
    }
    CHECK_STR(info->tensor[0].name, "<script>alert(1)</script><1B>[31m<U+202E><FF>");
    CHECK_STR(info->arch, info->tensor[0].name);
    CHECK_OK(hg_model_info_page(info, test_path("x.html"), &e), e);
    CHECK_OK(hg_file_read(&page, test_path("x.html"), 1 << 20, &e), e);
    CHECK(strstr(page.p, "<script") == NULL && strstr(page.p, "\x1B") == NULL);
    CHECK(strstr(page.p, "\xFF") == NULL && strstr(page.p, "http") == NULL);
    CHECK_HAS(page.p, "&lt;script&gt;alert(1)&lt;/script&gt;&lt;1B&gt;[31m");
    hg_model_info_free(info);
    hg_buf_free(&page);
}

TEST(a_page_shows_all_that_was_found)
{
    hg_err e = {0};
    hg_buf page = {0};
    small_llama(test_path("m"), test_path("m.gguf"));
    CHECK_OK(hg_file_write(test_path("m/chat_template.jinja"), "{{ messages }}", 14, &e), e);
    hg_model_info *info = inspect(test_path("m"), true);
    CHECK_OK(hg_model_info_page(info, test_path("m.html"), &e), e);
    CHECK_OK(hg_file_read(&page, test_path("m.html"), 1 << 20, &e), e);
    static const char *const parts[] = {"<h1>m</h1>",
                                        "Where the bytes are",
                                        "by layer",
                                        "model.layers.#.mlp.down_proj.weight",
                                        "model.layers.11.mlp.down_proj.weight",
                                        "hidden_size",
                                        "<span class=\"jv\">{{ messages }}</span>"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) CHECK_HAS(page.p, parts[i]);
    hg_model_info_free(info);
    hg_buf_free(&page);
}

TEST(nothing_to_inspect_is_one_sentence)
{
    hg_err e = {0};
    hg_model_info *info = NULL;
    CHECK_EQ(hg_model_inspect(&info, test_path("none"), false, NULL, &e), HG_E_MISSING);
    CHECK_HAS(e.msg, "none: no such folder or file");
    CHECK_EQ(hg_model_inspect(&info, test_folder(), false, NULL, &e), HG_E_MISSING);
    CHECK_HAS(e.msg, "no config.json, adapter_model.safetensors or tokenizer.json is there");
    CHECK_OK(hg_file_write(test_path("x.gguf"), "hello", 5, &e), e);
    CHECK_EQ(hg_model_inspect(&info, test_path("x.gguf"), false, NULL, &e), HG_E_FORMAT);
    CHECK_HAS(e.msg, "x.gguf: does not begin with GGUF");
    CHECK(info == NULL);
}

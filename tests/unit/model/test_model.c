/* The architecture table, a new model's parameters, the forward pass as a function. */
#include "harness/test.h"
#include "model/inner.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static hg_model *new_model(const char *arch, uint64_t seed)
{
    hg_err e = {0};
    hg_model *m = NULL;
    hg_model_config c = {.n_layers = 3,
                         .d_model = 32,
                         .n_heads = 4,
                         .d_ff = 64,
                         .n_vocab = 50,
                         .n_ctx = 16,
                         .bos_id = -1,
                         .eos_id = 49,
                         .pad_id = 50};
    (void)snprintf(c.arch, sizeof c.arch, "%s", arch);
    CHECK_OK(hg_model_new(&m, &c, seed, &e), e);
    return m;
}

TEST(rows_are_found_by_each_of_their_names)
{
    CHECK_STR(hg_arch_find("qwen3")->hf_class, "Qwen3ForCausalLM");
    CHECK_STR(hg_arch_find_gguf("llama", 5, false)->name, "llama");
    CHECK(hg_arch_find("Llama") == NULL && hg_arch_find_gguf("llam", 4, false) == NULL);
}

/* Every parameter has exactly one place in each format, under a name of its own. */
TEST(names_map_both_ways)
{
    static const char *const archs[] = {"llama", "mistral", "qwen2", "qwen3", "gpt2"};
    for (size_t a = 0; a < 5; a++)
        for (int f = 0; f < 2; f++) {
            hg_err e = {0};
            hg_stored *list = NULL;
            size_t n = 0, n_parts = 0;
            hg_model *m = new_model(archs[a], 1);
            CHECK_OK(hg_stored_list(m, (hg_format)f, &list, &n, &e), e);
            for (size_t i = 0; i < n; i++) {
                n_parts += list[i].n_parts;
                CHECK(strchr(list[i].name, '#') == NULL);
                for (size_t j = 0; j < i; j++) CHECK(strcmp(list[i].name, list[j].name) != 0);
                for (size_t p = 0; p < list[i].n_parts; p++) {
                    hg_tensor *t = list[i].part[p].t;
                    CHECK(t >= m->tensors && t < m->tensors + m->n_params);
                    CHECK(!t->needs_grad || t->is_param);
                    t->needs_grad = false; /* seen */
                }
            }
            CHECK_EQ(n_parts, m->n_params);
            for (size_t i = 0; i < m->n_params; i++) CHECK(!m->param[i]->needs_grad);
            hg_free(list);
            hg_model_free(m);
        }
}

TEST(gpt2_keeps_q_k_and_v_in_one_tensor)
{
    hg_err e = {0};
    hg_stored *list = NULL;
    size_t n = 0;
    hg_model *m = new_model("gpt2", 1);
    CHECK_OK(hg_stored_list(m, HG_FORMAT_SAFETENSORS, &list, &n, &e), e);
    CHECK_STR(list[4].name, "transformer.h.0.attn.c_attn.weight");
    CHECK_EQ(list[4].n_parts, 3);
    CHECK_EQ(list[4].rows, 96);
    CHECK(list[4].is_transposed && list[4].part[1].t == m->layer[0].k);
    hg_free(list);
    hg_model_free(m);
}

TEST(rows_of_rotary_pairs_are_permuted_one_to_one)
{
    const hg_stored st = {.rows = 24, .n_heads = 3, .d_head = 8};
    bool seen[24] = {false};
    for (size_t r = 0; r < 24; r++) {
        size_t from = hg_stored_row(&st, r);
        CHECK(from < 24 && !seen[from]);
        seen[from] = true;
        CHECK_EQ(from / 8, r / 8); /* within its head */
    }
    CHECK_EQ(hg_stored_row(&st, 9), 12); /* the second row of head 1 is the first of its half */
}

TEST(a_new_model_begins_as_the_header_says)
{
    hg_model *m = new_model("gpt2", 3);
    double sum = 0, square = 0, out = 0;
    const float *w = m->embed->data, *o = m->layer[1].mlp.down->data;
    size_t n = hg_tensor_count(m->embed), n_o = hg_tensor_count(m->layer[1].mlp.down);
    for (size_t i = 0; i < n; i++) sum += (double)w[i], square += (double)w[i] * (double)w[i];
    for (size_t i = 0; i < n_o; i++) out += (double)o[i] * (double)o[i];
    CHECK_NEAR(sum / (double)n, 0, 0.002);
    CHECK_NEAR(sqrt(square / (double)n), 0.02, 0.001);
    CHECK_NEAR(sqrt(out / (double)n_o), 0.02 / sqrt(6.0), 0.0005);
    for (size_t i = 0; i < 32; i++) {
        CHECK(((const float *)m->layer[2].mlp_norm->data)[i] == 1.0f);
        CHECK(((const float *)m->layer[2].q_b->data)[i] == 0.0f);
        CHECK(m->layer[2].q_b->grad[i] == 0.0f);
    }
    CHECK_EQ(m->c.n_kv_heads, 4);
    CHECK_EQ(m->c.d_head, 8);
    CHECK_EQ(m->c.eos_id, 49);
    CHECK_EQ(m->c.pad_id, -1); /* beyond the vocabulary */
    hg_model_free(m);
}

TEST(a_seed_gives_one_model)
{
    hg_model *a = new_model("llama", 3), *b = new_model("llama", 3), *c = new_model("llama", 4);
    for (size_t i = 0; i < a->n_params; i++)
        CHECK(memcmp(a->param[i]->data, b->param[i]->data,
                     hg_tensor_count(a->param[i]) * sizeof(float)) == 0);
    CHECK(memcmp(a->embed->data, c->embed->data, 1000) != 0);
    hg_model_free(a);
    hg_model_free(b);
    hg_model_free(c);
}

TEST(parameters_are_counted_before_any_is_made)
{
    hg_err e = {0};
    uint64_t n = 0;
    hg_model *m = new_model("qwen2", 1);
    hg_model_config c = m->c;
    CHECK_OK(hg_model_config_count(&c, &n, &e), e);
    CHECK_EQ(n, hg_model_count(m));
    c.tie_embeddings = true;
    CHECK_OK(hg_model_config_count(&c, &n, &e), e);
    CHECK_EQ(n, hg_model_count(m) - 50 * 32);
    hg_model_free(m);
}

static void check_refused(hg_model_config c, hg_status want, const char *part)
{
    hg_err e = {0};
    hg_model *m = NULL;
    CHECK_EQ(hg_model_new(&m, &c, 1, &e), want);
    CHECK_HAS(e.msg, part);
    CHECK(m == NULL);
}

TEST(impossible_shapes_are_refused)
{
    const hg_model_config ok = {.arch = "llama",
                                .n_layers = 1,
                                .d_model = 12,
                                .n_heads = 4,
                                .d_ff = 8,
                                .n_vocab = 9,
                                .n_ctx = 4};
    hg_model_config c = ok;
    (void)snprintf(c.arch, sizeof c.arch, "mamba");
    check_refused(c, HG_E_UNSUPPORTED, "no architecture \"mamba\"");
    check_refused(ok, HG_E_ARG, "heads of 3 values; rotary positions need an even number");
    c = ok;
    c.n_layers = 0;
    c.d_head = 4;
    check_refused(c, HG_E_ARG, "n_layers of 0");
    c.n_layers = 513;
    check_refused(c, HG_E_LIMIT, "n_layers of 513; 512 is the most");
    c.n_layers = 1;
    c.n_kv_heads = 3;
    check_refused(c, HG_E_ARG, "4 heads cannot share 3 key/value heads");
    c.n_kv_heads = 2;
    c.norm_eps = -1.0f;
    check_refused(c, HG_E_ARG, "both must be above 0");
    c = ok;
    c.d_model = 13;
    check_refused(c, HG_E_ARG, "d_model of 13 cannot be shared by 4 heads");
}

/* ---- the forward pass ---- */

static hg_tensor *forward(hg_graph *g, const hg_model *m, const hg_batch *b)
{
    hg_err e = {0};
    hg_tensor *y = hg_model_logits(g, m, hg_model_forward(g, m, b));
    CHECK_OK(hg_graph_status(g, &e), e);
    return y;
}

typedef struct bench {
    hg_runtime *rt;
    hg_model *m;
    hg_arena mem;
    hg_graph g;
} bench;

static void bench_open(bench *b, const char *arch)
{
    hg_err e = {0};
    CHECK_OK(hg_runtime_new(&b->rt, 2, HG_N_ISA, &e), e);
    b->m = new_model(arch, 5);
    hg_arena_init(&b->mem, 0);
    hg_graph_init(&b->g, b->rt, &b->mem, HG_COMPUTE_F32, false);
}

static void bench_close(bench *b)
{
    hg_arena_free(&b->mem);
    hg_model_free(b->m);
    hg_runtime_free(b->rt);
}

static const int32_t ids[] = {7, 3, 9, 11, 2, 40}, pos[] = {0, 1, 2, 0, 1, 2};

TEST(timelines_of_one_batch_do_not_see_each_other)
{
    const hg_span two[] = {{.row = 0, .n = 3}, {.row = 3, .n = 3}}, one[] = {{.row = 0, .n = 3}};
    bench b;
    bench_open(&b, "llama");
    hg_batch both = {.n = 6, .ids = ids, .pos = pos, .spans = two, .n_spans = 2, .n_out = 6};
    hg_batch last = {.n = 3, .ids = ids + 3, .pos = pos, .spans = one, .n_spans = 1, .n_out = 3};
    const float *x = forward(&b.g, b.m, &both)->data, *y = forward(&b.g, b.m, &last)->data;
    CHECK(memcmp(x + 150, y, 150 * sizeof *x) == 0);
    bench_close(&b);
}

TEST(wanted_rows_are_those_of_the_whole)
{
    const hg_span one[] = {{.row = 0, .n = 6}};
    const int32_t at[] = {0, 1, 2, 3, 4, 5}, rows[] = {5, 2};
    bench b;
    bench_open(&b, "qwen3");
    hg_batch all = {.n = 6, .ids = ids, .pos = at, .spans = one, .n_spans = 1, .n_out = 6};
    hg_batch some = all;
    some.out_rows = rows;
    some.n_out = 2;
    const float *x = forward(&b.g, b.m, &all)->data, *y = forward(&b.g, b.m, &some)->data;
    CHECK(memcmp(x + 250, y, 50 * sizeof *x) == 0);
    CHECK(memcmp(x + 100, y + 50, 50 * sizeof *x) == 0);
    bench_close(&b);
}

/* Attention without a tape sums in another order where rows are few. */
TEST(a_tape_changes_nothing_but_the_last_bits)
{
    const hg_span two[] = {{.row = 0, .n = 3}, {.row = 3, .n = 3}};
    bench b;
    hg_graph taped;
    bench_open(&b, "gpt2");
    hg_graph_init(&taped, b.rt, &b.mem, HG_COMPUTE_F32, true);
    hg_batch both = {.n = 6, .ids = ids, .pos = pos, .spans = two, .n_spans = 2, .n_out = 6};
    const float *x = forward(&b.g, b.m, &both)->data, *y = forward(&taped, b.m, &both)->data;
    CHECK(taped.last != NULL && b.g.last == NULL);
    for (size_t i = 0; i < 300; i++) CHECK_NEAR(x[i], y[i], 1e-7);
    bench_close(&b);
}

typedef struct shown {
    char names[2048];

    int n;
} shown;

static void on_show(void *ctx, const char *name, int layer, hg_tensor *t)
{
    shown *s = ctx;
    size_t n = strlen(s->names);
    (void)snprintf(s->names + n, sizeof s->names - n, "%s:%d ", name, layer);
    if (layer == 1 && strcmp(name, "blk.attn_out") == 0)
        memset(t->data, 0, hg_tensor_count(t) * sizeof(float));
    s->n++;
}

TEST(hooks_see_every_activation_and_may_change_it)
{
    const hg_span two[] = {{.row = 0, .n = 3}, {.row = 3, .n = 3}};
    bench b;
    shown s = {0};
    const hg_hooks hooks = {.show = on_show, .ctx = &s};
    bench_open(&b, "llama");
    hg_batch both = {.n = 6, .ids = ids, .pos = pos, .spans = two, .n_spans = 2, .n_out = 6};
    const float *plain = forward(&b.g, b.m, &both)->data;
    b.g.hooks = &hooks;
    const float *changed = forward(&b.g, b.m, &both)->data;
    CHECK(memcmp(plain, changed, 300 * sizeof *plain) != 0);
    CHECK_EQ(s.n, 3 + 3 * 13);
    CHECK_HAS(s.names, "embed:-1 blk.attn_norm:0 blk.v:0 blk.q:0 blk.k:0 blk.heads:0 "
                       "blk.attn_out:0 blk.attn_resid:0 blk.mlp_norm:0 blk.mlp_up:0 "
                       "blk.mlp_gate:0 blk.mlp_hidden:0 blk.mlp_out:0 blk.out:0 blk.attn_norm:1");
    CHECK_HAS(s.names, "blk.out:2 final_norm:-1 logits:-1");
    /* Without what attention of layer 1 adds, the same as a model whose projection is zero. */
    memset(b.m->layer[1].o->data, 0, hg_tensor_count(b.m->layer[1].o) * sizeof(float));
    b.g.hooks = NULL;
    CHECK(memcmp(forward(&b.g, b.m, &both)->data, changed, 300 * sizeof *plain) == 0);
    bench_close(&b);
}

TEST(a_forward_pass_of_many_layers_needs_the_memory_of_one)
{
    const hg_span one[] = {{.row = 0, .n = 6}};
    const int32_t at[] = {0, 1, 2, 3, 4, 5};
    hg_batch all = {.n = 6, .ids = ids, .pos = at, .spans = one, .n_spans = 1, .n_out = 6};
    bench b;
    bench_open(&b, "llama");
    (void)forward(&b.g, b.m, &all);
    size_t three = b.mem.peak;
    hg_arena_free(&b.mem);
    hg_arena_init(&b.mem, 0);
    hg_graph_init(&b.g, b.rt, &b.mem, HG_COMPUTE_F32, false);
    b.m->c.n_layers = 1;
    (void)forward(&b.g, b.m, &all);
    CHECK_EQ(three, b.mem.peak);
    bench_close(&b);
}

TEST(an_id_beyond_the_vocabulary_fails_the_graph)
{
    static const int32_t bad[] = {50};
    const hg_span one[] = {{.row = 0, .n = 1}};
    hg_err e = {0};
    bench b;
    bench_open(&b, "llama");
    hg_batch x = {.n = 1, .ids = bad, .pos = pos, .spans = one, .n_spans = 1, .n_out = 1};
    CHECK(hg_model_logits(&b.g, b.m, hg_model_forward(&b.g, b.m, &x)) == NULL);
    CHECK_EQ(hg_graph_status(&b.g, &e), HG_E_ARG);
    CHECK_HAS(e.msg, "50");
    bench_close(&b);
}

/* Models that know nothing, held to a form: whatever their logits say, the text is whole and right
 * when the tokens end. */
#include "base/rng.h"
#include "harness/test.h"
#include "infer/sampler.h"
#include "text/json.h"

#include <string.h>

enum { N_TOKENS = 600, END = 0 };
static hg_err e;

/* All bytes, and random strings of what JSON is made of. */
static hg_vocab *vocabulary(hg_bytes *pieces, char (*store)[8])
{
    static const char alphabet[] = "{}[]\",: \n\\truefalsn0123.-eabc\xC3\xA9";
    static const int32_t end = END;
    hg_vocab *v = NULL;
    hg_rng rng;
    hg_rng_init(&rng, 5, 1);
    pieces[END] = (hg_bytes){0};
    for (uint32_t i = 1; i < N_TOKENS; i++) {
        size_t n = 1;
        store[i][0] = (char)(i - 1);
        if (i > 256) {
            n = 2 + (size_t)(hg_rng_unit(&rng) * 6);
            for (size_t k = 0; k < n; k++)
                store[i][k] = alphabet[(size_t)(hg_rng_unit(&rng) * (sizeof alphabet - 1))];
        }
        pieces[i] = (hg_bytes){store[i], n};
    }
    CHECK_OK(hg_vocab_from_pieces(&v, pieces, N_TOKENS, &end, 1, &e), e);
    return v;
}

typedef struct model {
    hg_choices room;
    hg_sampler s;
    hg_bytes pieces[N_TOKENS];
    char store[N_TOKENS][8];
    hg_vocab *v;
    float logits[N_TOKENS];
} model;

/* One answer of a model of noise; it dislikes the end, so that only the limit brings it. */
static void answer(model *m, hg_masks *masks, uint64_t seed, size_t max_tokens, hg_buf *text)
{
    hg_sampling o;
    hg_rng rng;
    int32_t past[512] = {0};
    size_t n = 1;
    hg_constraint *c = NULL;
    hg_rng_init(&rng, seed, 3);
    hg_sampling_init(&o);
    o.seed = seed;
    o.temperature = 1.5f;
    hg_sampler_begin(&m->s, &o, NULL);
    CHECK_OK(hg_constraint_new(&c, masks, &e), e);
    m->s.constraint = c;
    for (size_t left = max_tokens; left > 0 && !c->kind->is_done(c); left--) {
        const hg_past said = {past, n, 1, NULL};
        for (size_t i = 0; i < N_TOKENS; i++) m->logits[i] = (float)(hg_rng_unit(&rng) * 8);
        m->logits[END] = -20.0f;
        CHECK_OK(hg_choices_load(&m->room, m->logits, &e), e);
        CHECK_OK(hg_sampler_cut(&m->s, &m->room, &said, left, &e), e);
        const int32_t id = hg_sampler_draw(&m->s, &m->room);
        if (id == END) break;
        CHECK_OK(c->kind->accept(c, id, &e), e);
        past[n++] = id;
        hg_buf_put(text, m->pieces[id].p, m->pieces[id].n);
    }
    hg_constraint_free(c);
}

static void run(model *m, hg_grammar *g, size_t max_tokens, bool (*good)(const json_t *v))
{
    hg_masks *masks = NULL;
    CHECK_OK(hg_masks_new(&masks, g, m->v, 1 << 24, &e), e);
    for (uint64_t seed = 0; seed < 200; seed++) {
        hg_buf text = {0};
        json_t *v = NULL;
        answer(m, masks, seed, max_tokens, &text);
        CHECK_OK(hg_json_parse(&v, (hg_bytes){text.p, text.n}, 1 << 20, &e), e);
        if (v != NULL) CHECK(good(v));
        json_decref(v);
        hg_buf_free(&text);
    }
    hg_masks_free(masks);
    hg_grammar_free(g);
}

static bool is_object(const json_t *v)
{
    return json_is_object(v);
}

static bool is_order(const json_t *v)
{
    const json_t *items = json_object_get(v, "items"), *item;
    const json_int_t n = json_integer_value(json_object_get(v, "n"));
    size_t i;
    bool good = json_object_size(v) == 2 && json_array_size(items) >= 2 &&
                json_is_integer(json_object_get(v, "n")) && n >= -5 && n <= 250;
    json_array_foreach(items, i, item)
    {
        const char *kind = json_string_value(json_object_get(item, "kind"));
        good = good && kind != NULL && (strcmp(kind, "a") == 0 || strcmp(kind, "bc") == 0);
    }
    return good;
}

TEST(a_model_of_noise_ends_with_valid_json)
{
    static model m;
    hg_kernels kernels;
    hg_grammar *g = NULL;
    static const char order[] =
        "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":-5,"
        "\"maximum\":250},\"items\":{\"type\":\"array\",\"minItems\":2,\"items\":{\"type\":"
        "\"object\",\"properties\":{\"kind\":{\"enum\":[\"a\",\"bc\"]},\"note\":{\"type\":"
        "\"string\"}},\"required\":[\"kind\"]}}},\"required\":[\"n\",\"items\"]}";
    hg_kernels_init(&kernels, hg_isa_detect());
    CHECK_OK(hg_choices_init(&m.room, N_TOKENS, &kernels, &e), e);
    m.v = vocabulary(m.pieces, m.store);
    CHECK_OK(hg_grammar_json(&g, true, &e), e);
    run(&m, g, 40, is_object);
    CHECK_OK(hg_grammar_json(&g, true, &e), e);
    run(&m, g, 3, is_object);
    CHECK_OK(hg_grammar_from_json_schema(&g, (hg_bytes){order, strlen(order)}, &e), e);
    run(&m, g, 80, is_order);
    hg_vocab_free(m.v);
    hg_choices_free(&m.room);
}

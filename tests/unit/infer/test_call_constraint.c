/* Free text with calls in it that are held. */
#include "base/mem.h"
#include "harness/test.h"
#include "infer/constraint.h"
#include "model/model.h"
#include "tiny.h"

#include <string.h>

enum { WORDS = (TINY_VOCAB + 31) / 32 };
static hg_err e;

typedef struct held {
    hg_model *m;
    hg_vocab *v;
    hg_grammar *g;
    hg_masks *masks;
    hg_constraint *c;
} held;

static held open_held(const char *opening)
{
    static const char schema[] = "{\"properties\":{\"a\":{\"enum\":[1,23]}},\"required\":[\"a\"]}";
    held h = {.m = tiny_model(true)};
    CHECK_OK(hg_model_vocab(&h.v, h.m, &e), e);
    CHECK_OK(hg_grammar_from_json_schema(&h.g, (hg_bytes){schema, strlen(schema)}, &e), e);
    CHECK_OK(hg_masks_new(&h.masks, h.g, h.v, 1 << 20, &e), e);
    CHECK_OK(hg_constraint_calls(&h.c, h.masks, h.m, opening, &e), e);
    return h;
}

static void close_held(held *h)
{
    hg_constraint_free(h->c);
    hg_masks_free(h->masks);
    hg_grammar_free(h->g);
    hg_vocab_free(h->v);
    hg_model_free(h->m);
}

/* Tokens are bytes: which may come, of the printable ones and the line's end. */
static const char *may(hg_constraint *c)
{
    static char out[130];
    uint32_t bits[WORDS];
    size_t n = 0;
    CHECK_OK(c->kind->mask(c, 100, bits, &e), e);
    for (int32_t id = 0; id < 127; id++)
        if ((id >= ' ' || id == '\n') && hg_mask_has(bits, id)) out[n++] = (char)id;
    out[n] = '\0';
    return out;
}

static bool is_free(hg_constraint *c)
{
    uint32_t bits[WORDS];
    CHECK_OK(c->kind->mask(c, 100, bits, &e), e);
    for (int32_t id = 0; id < TINY_VOCAB; id++)
        if (!hg_mask_has(bits, id)) return false;
    return true;
}

static void say(hg_constraint *c, const char *text)
{
    for (; *text != '\0'; text++) CHECK_OK(c->kind->accept(c, (unsigned char)*text, &e), e);
}

TEST(what_stands_behind_an_opening_is_held_and_then_all_is_free)
{
    held h = open_held("<call>");
    CHECK(is_free(h.c));
    say(h.c, "words < <cal <call");
    CHECK(is_free(h.c));
    say(h.c, ">");
    CHECK_STR(may(h.c), "\n {");
    say(h.c, "\n");
    CHECK_STR(may(h.c), "{");
    CHECK_EQ(h.c->kind->accept(h.c, 'x', &e), HG_E_STATE);
    say(h.c, "{\"a\":");
    CHECK_STR(may(h.c), "\n 12");
    say(h.c, "23}");
    CHECK(is_free(h.c));
    say(h.c, "\n</call> and <call>");
    CHECK_STR(may(h.c), "\n {");
    close_held(&h);
}

TEST(an_answer_that_begins_with_a_brace_is_a_call_where_nothing_opens_one)
{
    held h = open_held("");
    uint32_t bits[WORDS];
    CHECK(is_free(h.c));
    say(h.c, " {\"a\":1");
    CHECK_STR(may(h.c), "\n }");
    say(h.c, "}");
    CHECK(is_free(h.c));
    h.c->kind->rollback(h.c, 9);
    say(h.c, "No {");
    CHECK(is_free(h.c));
    h.c->kind->rollback(h.c, 4);
    CHECK_OK(h.c->kind->mask(h.c, 2, bits, &e), e);
    close_held(&h);
}

/* At each place the mask, then all taken back at once and one by one: the same masks. */
TEST(tokens_are_taken_back_across_calls)
{
    static const char text[] = "a <call>\n{\"a\":1}b<call>{\"a\": 23} <c";
    enum { N = sizeof text };
    static char before[N][130];
    held h = open_held("<call>");
    for (size_t i = 0; i + 1 < N; i++) {
        strcpy(before[i], may(h.c));
        CHECK_OK(h.c->kind->accept(h.c, (unsigned char)text[i], &e), e);
    }
    for (size_t from = N - 1; from > 0; from -= from > 7 ? 7 : 1) {
        const size_t back = from > 7 ? 7 : 1;
        h.c->kind->rollback(h.c, back);
        CHECK_STR(may(h.c), before[from - back]);
        hg_constraint *copy = h.c->kind->clone(h.c, &e);
        CHECK(copy != NULL);
        for (size_t i = from - back; i < from; i++) {
            CHECK_STR(may(copy), before[i]);
            CHECK_OK(copy->kind->accept(copy, (unsigned char)text[i], &e), e);
        }
        hg_constraint_free(copy);
    }
    close_held(&h);
}

/* Tools and weights in conversations: what is learnt of them, and with what force. */
#include "fixture.h"
#include "train/packed.h"
#include <math.h>
#include <string.h>

/* As Qwen's template writes tools, calls and results. */
static const char TEMPLATE[] =
    "{%- if tools %}{{- '<|im_start|>system\\n# Tools\\n' }}{%- for tool in tools %}{{- tool | "
    "tojson + '\\n' }}{%- endfor %}{{- '<|im_end|>\\n' }}{%- endif %}"
    "{%- for m in messages %}{%- if m.role == 'tool' %}{{- '<|im_start|>user\\n<tool_response>' + "
    "m.content + '</tool_response><|im_end|>\\n' }}{%- else %}{{- '<|im_start|>' + m.role + '\\n' "
    "}}{%- if m.content %}{{- m.content }}{%- endif %}{%- for c in m.tool_calls %}{{- "
    "'<tool_call>\\n{\"name\": \"' + c.function.name + '\", \"arguments\": ' }}{{- "
    "c.function.arguments | tojson }}{{- '}\\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\\n' "
    "}}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' "
    "}}{%- endif %}";

#define TOOLS                                                                                   \
    "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"hen_count\", "             \
    "\"description\": \"counts hens\", \"parameters\": {\"type\": \"object\", \"properties\": " \
    "{\"barn\": {\"type\": \"string\"}}}}}]"
#define CALL                                                                                    \
    "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"c1\", \"type\": " \
    "\"function\", \"function\": {\"name\": \"hen_count\", \"arguments\": \"{\\\"barn\\\": "    \
    "\\\"red\\\"}\"}}]}"
static const char WITH_TOOLS[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"hens?\"}, " CALL
    ", {\"role\": \"tool\", \"tool_call_id\": \"c1\", \"content\": \"<|im_end|>7\"}, {\"role\": "
    "\"assistant\", \"content\": \"seven hens\"}], " TOOLS "}";

static hg_tokenizer *tokenizer(void)
{
    hg_err e = {0};
    hg_tokenizer *t = NULL;
    CHECK_OK(hg_tokenizer_open(&t, fixture_tokenizer(fixture_corpus()), &e), e);
    return t;
}

static hg_status parse(hg_chats *c, const char *text, hg_err *e)
{
    return hg_chats_parse(c, (hg_bytes){text, strlen(text)}, "t.jsonl", e);
}

/* All of the first chat, and with `least` what is learnt with that weight or more. */
static void shown(const char *text, const char *chat_template, float least, hg_buf *all,
                  hg_buf *learnt)
{
    hg_err e = {0};
    hg_chats c = {0};
    hg_chat_look l = {0};
    hg_ids ids = {0};
    hg_mask mask = {0};
    hg_tokenizer *t = tokenizer();
    CHECK_OK(parse(&c, text, &e), e);
    CHECK_OK(hg_chat_look_open(&l, t, chat_template, &e), e);
    CHECK_OK(hg_packed_render(&c.chat[0], false, &l, &ids, &mask, &e), e);
    CHECK_EQ(ids.n, mask.n);
    for (size_t i = 0; i < ids.n; i++) {
        const hg_bytes p = hg_tokenizer_piece(t, ids.id[i], true);
        hg_buf_put(all, p.p, p.n);
        if (mask.weight[i] >= least) hg_buf_put(learnt, p.p, p.n);
    }
    hg_chat_look_close(&l);
    hg_ids_free(&ids);
    hg_mask_free(&mask);
    hg_chats_free(&c);
    hg_tokenizer_free(t);
}

static void check_shown(const char *text, const char *chat_template, float least,
                        const char *learnt)
{
    hg_buf all = {0}, some = {0};
    shown(text, chat_template, least, &all, &some);
    CHECK_STR(some.n > 0 ? some.p : "", learnt);
    hg_buf_free(&all);
    hg_buf_free(&some);
}

/* ---- tools ---- */

TEST(calls_are_learnt_and_tools_and_their_results_are_not)
{
    hg_buf all = {0}, learnt = {0};
    shown(WITH_TOOLS, TEMPLATE, 1, &all, &learnt);
    CHECK_STR(learnt.p, "<tool_call>\n{\"name\": \"hen_count\", \"arguments\": {\"barn\": "
                        "\"red\"}}\n</tool_call><|im_end|>seven hens<|im_end|>");
    CHECK_HAS(all.p, "# Tools\n{\"type\": \"function\", \"function\": {\"name\": \"hen_count\"");
    CHECK_HAS(all.p, "<tool_response><|im_end|>7</tool_response><|im_end|>\n");
    hg_buf_free(&all);
    hg_buf_free(&learnt);
}

TEST(a_template_that_knows_no_tools_has_them_explained_in_words)
{
    hg_buf all = {0}, learnt = {0};
    shown(WITH_TOOLS, NULL, 1, &all, &learnt);
    CHECK_STR(learnt.p, "<tool_call>\n{\"name\": \"hen_count\", \"arguments\": {\"barn\": "
                        "\"red\"}}\n</tool_call><|im_end|>seven hens<|im_end|>");
    CHECK_HAS(all.p, "<|im_start|>system\nYou may call these functions:\n");
    CHECK_HAS(all.p, "<tool_response>\n<|im_end|>7\n</tool_response>");
    hg_buf_free(&all);
    hg_buf_free(&learnt);
}

TEST(content_in_parts_and_developers_are_read_as_text_and_system)
{
    hg_buf all = {0}, learnt = {0};
    shown("{\"messages\": [{\"role\": \"developer\", \"content\": \"be brief\"}, {\"role\": "
          "\"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}, {\"type\": \"text\", "
          "\"text\": \"b\"}]}, {\"role\": \"assistant\", \"content\": \"c\"}]}",
          NULL, 1, &all, &learnt);
    CHECK_STR(all.p, "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nab<|im_end|>\n"
                     "<|im_start|>assistant\nc<|im_end|>\n");
    CHECK_STR(learnt.p, "c<|im_end|>");
    hg_buf_free(&all);
    hg_buf_free(&learnt);
}

TEST(what_is_wrong_with_tools_and_weights_is_told_with_its_line)
{
#define ONE(turn) "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, " turn "]}"
    static const char *const cases[][2] = {
        {ONE("{\"role\": \"assistant\", \"content\": \"a\", \"weight\": 1.5}"),
         "turn 2 has the weight 1.5; 0 to 1 is right"},
        {ONE("{\"role\": \"assistant\", \"content\": \"a\", \"weight\": -1}"),
         "turn 2 has the weight -1; 0 to 1 is right"},
        {ONE("{\"role\": \"assistant\", \"content\": \"a\", \"weight\": \"0\"}"),
         "the weight of turn 2 is a string; a number from 0 to 1 is right"},
        {ONE("{\"role\": \"user\", \"content\": \"a\", \"weight\": 0}"),
         "turn 2 has a weight; only what the assistant says has one"},
        {ONE("{\"role\": \"function\", \"content\": \"a\"}"),
         "turn 2: \"function\" and \"function_call\" are OpenAI's form of old; \"tool\" and "
         "\"tool_calls\" are right"},
        {ONE("{\"role\": \"elf\", \"name\": \"x\", \"content\": \"a\"}"),
         "turn 2: has no known \"role\"; system, user, assistant or tool is meant"},
        {ONE("{\"role\": \"assistant\", \"content\": null, \"name\": \"x\"}"),
         "turn 2: needs \"content\", a text or parts of text"},
        {ONE("{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}"),
         "turn 2: \"content\" has a part that is no text; {\"type\": \"text\", \"text\": ...} is "
         "right"},
        {ONE("{\"role\": \"user\", \"content\": \"a\", \"tool_calls\": [1]}"),
         "turn 2: only the assistant has \"tool_calls\""},
        {ONE("{\"role\": \"assistant\", \"tool_calls\": []}"),
         "turn 2: \"tool_calls\" is not a list of calls"},
        {ONE("{\"role\": \"assistant\", \"tool_calls\": [{\"id\": \"c\"}]}"),
         "turn 2: a call needs \"function\" with a \"name\""},
        {ONE("{\"role\": \"assistant\", \"tool_calls\": [{\"function\": {\"name\": \"f\", "
             "\"arguments\": \"[1]\"}}]}"),
         "turn 2: the \"arguments\" of a call are not a JSON object"},
        {ONE(CALL ", {\"role\": \"tool\", \"tool_call_id\": \"c2\", \"content\": \"7\"}"),
         "turn 3: answers the call \"c2\", which no turn before has made"},
        {"{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{\"function\": {\"name\": "
         "\"fox\", \"arguments\": {}}}]}], " TOOLS "}",
         "turn 1: calls \"fox\", which is none of the \"tools\""},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}], \"tools\": [5]}",
         "\"tools\": tool 0 needs a function with a name of 1 to 64 letters, digits, _ - and ."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hg_buf want = {0};
        hg_err e = {0};
        hg_chats c = {0};
        char text[1024];
        (void)snprintf(text, sizeof text, "\n%s", cases[i][0]);
        hg_buf_printf(&want, "t.jsonl, line 2: %s", cases[i][1]);
        CHECK_EQ(parse(&c, text, &e), HG_E_FORMAT);
        CHECK_STR(e.msg, want.p);
        hg_buf_free(&want);
        hg_chats_free(&c);
    }
}

TEST(preferences_have_neither_tools_nor_weights)
{
    static const char *const cases[][2] = {
        {"{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"b\", \"tools\": []}",
         "t.jsonl, line 1: \"tools\" are learnt from conversations only"},
        {"{\"prompt\": \"q\", \"chosen\": [{\"role\": \"assistant\", \"content\": \"a\", "
         "\"weight\": 1}], \"rejected\": \"b\"}",
         "t.jsonl, line 1: a turn has a weight; only conversations have weights"}};
    for (size_t i = 0; i < 2; i++) {
        hg_err e = {0};
        hg_chats c = {.form = HG_FORM_PAIR};
        CHECK_EQ(parse(&c, cases[i][0], &e), HG_E_FORMAT);
        CHECK_STR(e.msg, cases[i][1]);
        hg_chats_free(&c);
    }
}

/* ---- weights ---- */

#define TALK(first, second)                                                                        \
    "{\"messages\": [{\"role\": \"user\", \"content\": \"one\"}, {\"role\": \"assistant\", "       \
    "\"content\": \"the red fox\"" first                                                           \
    "}, {\"role\": \"user\", \"content\": \"two\"}, {\"role\": \"assistant\", \"content\": \"the " \
    "old hen sings\"" second "}]}\n"
static const char PLAIN[] = TALK("", ""), ONES[] = TALK(", \"weight\": 1", ", \"weight\": 1.0"),
                  SECOND[] = TALK(", \"weight\": 0", ""), FIRST[] = TALK("", ", \"weight\": 0"),
                  HALF[] = TALK(", \"weight\": 0.5", ""),
                  NONE[] = TALK(", \"weight\": 0", ", \"weight\": 0");

TEST(weights_say_which_answers_are_learnt_whatever_the_template)
{
    static const char generation[] =
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% "
        "generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content "
        "}}<|im_end|>{% endif %}\n{% endfor %}";
    static const char *const templates[] = {NULL, TEMPLATE, generation};
    for (size_t i = 0; i < 3; i++) {
        check_shown(PLAIN, templates[i], 1, "the red fox<|im_end|>the old hen sings<|im_end|>");
        check_shown(SECOND, templates[i], 1e-9f, "the old hen sings<|im_end|>");
        check_shown(FIRST, templates[i], 1e-9f, "the red fox<|im_end|>");
        check_shown(HALF, templates[i], 1, "the old hen sings<|im_end|>");
        check_shown(HALF, templates[i], 0.5f, "the red fox<|im_end|>the old hen sings<|im_end|>");
        check_shown(NONE, templates[i], 1e-9f, "");
    }
}

/* A call has the weight of its message, before and behind the text as well. */
TEST(a_call_of_weight_0_is_not_learnt)
{
    hg_buf text = {0};
    static const char call[] = "\"content\": null, ";
    const char *at = strstr(WITH_TOOLS, call);
    hg_buf_printf(&text, "%.*s\"weight\": 0, %s", (int)(at - WITH_TOOLS), WITH_TOOLS, at);
    check_shown(text.p, TEMPLATE, 1e-9f, "seven hens<|im_end|>");
    check_shown(text.p, NULL, 1e-9f, "seven hens<|im_end|>");
    hg_buf_free(&text);
}

typedef struct weighed {
    hg_tokenizer *t;
    hg_runtime *rt;
    hg_model *m;
    hg_recipe r;
    hg_arena mem;
} weighed;

static void weighed_open(weighed *w)
{
    hg_err e = {0};
    *w = (weighed){.t = tokenizer(), .rt = fixture_runtime(2)};
    hg_arena_init(&w->mem, 0);
    CHECK_OK(hg_recipe_init(&w->r, HG_STAGE_TUNE, &e), e);
    const hg_model_config c = {.arch = "llama",
                               .n_layers = 2,
                               .d_model = 32,
                               .n_heads = 2,
                               .n_kv_heads = 2,
                               .d_head = 16,
                               .d_ff = 64,
                               .n_vocab = hg_tokenizer_count(w->t),
                               .n_ctx = 256,
                               .norm_eps = 1e-5f,
                               .rope_theta = 1e4f,
                               .tie_embeddings = true,
                               .bos_id = -1,
                               .eos_id = -1,
                               .pad_id = -1};
    CHECK_OK(hg_model_new(&w->m, &c, 3, &e), e);
}

static void weighed_close(weighed *w)
{
    hg_model_free(w->m);
    hg_recipe_free(&w->r);
    hg_arena_free(&w->mem);
    hg_tokenizer_free(w->t);
    hg_runtime_free(w->rt);
}

enum { N_GRAD = 32 * 32, ROW = 96 };

/* Loss and gradient of the text's conversations as one step; returns the loss. */
static double learn(weighed *w, const char *text, float *grad, hg_step_result *r, uint64_t *hash)
{
    hg_err e = {0};
    hg_chats c = {0};
    hg_packed p;
    hg_learner s;
    CHECK_OK(parse(&c, text, &e), e);
    CHECK_OK(hg_packed_init(&p, &c, w->t, NULL, ROW, 0, 1, &w->mem, NULL, &e), e);
    w->r.batch_size = (int64_t)p.source.n_rows;
    CHECK_OK(hg_learner_init(&s, w->m, w->rt, HG_COMPUTE_F32, &p.source, &w->r, 0, &w->mem, &e), e);
    CHECK_OK(hg_learner_gradients(&s, 0, r, &e), e);
    memcpy(grad, w->m->layer[0].q->grad, N_GRAD * sizeof *grad);
    hg_optim_zero_grad(&s.optim);
    *hash = p.source.hash;
    hg_learner_free(&s);
    hg_packed_free(&p);
    hg_chats_free(&c);
    return r->loss;
}

TEST(weights_of_1_are_no_weights_bit_for_bit)
{
    weighed w;
    float a[N_GRAD], b[N_GRAD];
    hg_step_result ra, rb;
    uint64_t ha, hb;
    weighed_open(&w);
    const double x = learn(&w, PLAIN, a, &ra, &ha), y = learn(&w, ONES, b, &rb, &hb);
    CHECK(memcmp(&x, &y, sizeof x) == 0 && memcmp(a, b, sizeof a) == 0);
    CHECK_EQ(ha, hb);
    CHECK_EQ(ra.n_targets, rb.n_targets);
    weighed_close(&w);
}

/* Of first and second answer alone and of both: sums add up, and weights weigh. */
TEST(fractions_weigh_the_gradient_and_a_weight_of_0_masks_it)
{
    weighed w;
    float first[N_GRAD], second[N_GRAD], both[N_GRAD], half[N_GRAD];
    hg_step_result r1, r2, rb, rh;
    uint64_t h;
    weighed_open(&w);
    const double l1 = learn(&w, FIRST, first, &r1, &h), l2 = learn(&w, SECOND, second, &r2, &h);
    const double lb = learn(&w, PLAIN, both, &rb, &h), lh = learn(&w, HALF, half, &rh, &h);
    const double n1 = (double)r1.n_targets, n2 = (double)r2.n_targets;
    CHECK_EQ(r1.n_targets + r2.n_targets, rb.n_targets);
    CHECK_EQ(rh.n_targets, rb.n_targets);
    CHECK_NEAR(rh.weight, 0.5 * n1 + n2, 1e-12);
    CHECK_NEAR(lb, (n1 * l1 + n2 * l2) / (n1 + n2), 1e-6);
    CHECK_NEAR(lh, (0.5 * n1 * l1 + n2 * l2) / (0.5 * n1 + n2), 1e-6);
    double size = 0;
    for (size_t i = 0; i < N_GRAD; i++) {
        const double a = (double)first[i], b = (double)second[i];
        CHECK_NEAR(both[i], (n1 * a + n2 * b) / (n1 + n2), 1e-7);
        CHECK_NEAR(half[i], (0.5 * n1 * a + n2 * b) / (0.5 * n1 + n2), 1e-7);
        size += fabs(a) + fabs(b);
    }
    CHECK(size > 1e-3 && fabs(l1 - l2) > 1e-3);
    weighed_close(&w);
}

/* The loss that those gradients are of, by central differences through the whole model. */
TEST(the_weighted_gradient_is_that_of_the_weighted_loss)
{
    weighed w;
    float grad[N_GRAD], other[N_GRAD];
    hg_step_result r;
    uint64_t h;
    weighed_open(&w);
    (void)learn(&w, HALF, grad, &r, &h);
    float *q = w.m->layer[0].q->data;
    for (size_t i = 0; i < N_GRAD; i += 97) {
        const float was = q[i], step = 0.02f;
        q[i] = was + step;
        const double up = learn(&w, HALF, other, &r, &h);
        q[i] = was - step;
        const double down = learn(&w, HALF, other, &r, &h);
        q[i] = was;
        CHECK_NEAR(grad[i], (up - down) / (2 * (double)step), 3e-5);
    }
    weighed_close(&w);
}

TEST(a_conversation_of_weight_0_is_told_with_its_line_and_left_out)
{
    hg_err e = {0};
    hg_chats c = {0};
    hg_packed p;
    hg_arena mem;
    hg_buf lines = {0}, text = {0};
    hg_tokenizer *t = tokenizer();
    hg_arena_init(&mem, 0);
    hg_buf_printf(&text, "%s%s", PLAIN, NONE);
    CHECK_OK(parse(&c, text.p, &e), e);
    CHECK_OK(hg_packed_init(&p, &c, t, NULL, ROW, 0, 1, &mem, fixture_listen(&lines), &e), e);
    CHECK_EQ(p.n_dropped, 1);
    CHECK_EQ(p.n_chats, 1);
    CHECK_HAS(lines.p, "t.jsonl, line 2: all that the assistant says has weight 0, so there is "
                       "nothing to learn; left out");
    hg_packed_free(&p);
    hg_chats_free(&c);
    hg_arena_free(&mem);
    hg_buf_free(&lines);
    hg_buf_free(&text);
    hg_tokenizer_free(t);
}

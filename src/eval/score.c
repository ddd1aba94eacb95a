/* What a model makes of a row. Choices are judged by log-likelihood: the context is worked through
 * once, each continuation is scored behind it, and the right one must be strictly likelier than
 * every other (a tie knows nothing, and counts as wrong). Answers are generated greedily. */
#include "eval/eval.h"
#include "text/utf8.h"
#include <math.h>
#include <string.h>
#include <utf8proc.h>

enum { DEFAULT_CTX = 1024, LEAST_CTX = 16, SPARE_TOKENS = 24, MOST_TOKENS = 96 };

/* ---- the scorer ---- */

/* The token that stands before every text, where the tokenizer or the model has one. */
static int32_t start_of(const hg_model *m)
{
    const hg_tokenizer *t = hg_model_tokenizer(m);
    int32_t id = hg_tokenizer_bos(t);
    if (id < 0) id = hg_tokenizer_special(t, "<|endoftext|>");
    if (id < 0) id = hg_model_get_config(m)->bos_id;
    return id;
}

/* Questions go through the chat template when the model has one that Higgins can render. */
static bool can_chat(hg_chat_format **f, const hg_tokenizer *t, const char *chat_template)
{
    const hg_message m = {"user", {"?", 1}};
    const hg_chat_input in = {.m = &m, .n = 1, .open_answer = true};
    hg_ids ids = {0};
    hg_err e;
    bool yes = chat_template != NULL && hg_chat_format_new(f, t, chat_template, &e) == HG_OK &&
               hg_chat_format_ids(*f, &in, &ids, NULL, &e) == HG_OK;
    hg_ids_free(&ids);
    return yes;
}

hg_status hg_scorer_init(hg_scorer *s, const hg_model *m, hg_runtime *rt, uint32_t n_ctx, hg_err *e)
{
    const hg_model_config *c = hg_model_get_config(m);
    *s = (hg_scorer){.t = hg_model_tokenizer(m), .n_vocab = c->n_vocab};
    if (s->t == NULL)
        return hg_fail(e, HG_E_STATE, "the model has no tokenizer: its texts cannot be scored");
    s->n_ctx = n_ctx > 0 ? n_ctx : DEFAULT_CTX;
    if (s->n_ctx > c->n_ctx) s->n_ctx = c->n_ctx;
    if (s->n_ctx < LEAST_CTX)
        return hg_fail(e, HG_E_ARG, "a context of %u tokens; %d at the least", s->n_ctx, LEAST_CTX);
    s->start = start_of(m);
    s->is_chat = can_chat(&s->format, s->t, hg_model_chat_template(m));
    hg_session_options o = {.n_ctx = s->n_ctx};
    return hg_session_new(&s->session, m, rt, &o, e);
}

void hg_scorer_free(hg_scorer *s)
{
    hg_session_free(s->session);
    hg_chat_format_free(s->format);
    hg_ids_free(&s->context);
    hg_ids_free(&s->ids);
    hg_free(s->logprob);
    *s = (hg_scorer){0};
}

/* ---- likelihoods ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Context ids: the start token, then the prompt without spaces at its end, since in these models a
 * space belongs to the word behind it. */
static hg_status encode_context(hg_scorer *s, hg_bytes prompt, hg_err *e)
{
    while (prompt.n > 0 && prompt.p[prompt.n - 1] == ' ') prompt.n--;
    s->context.n = 0;
    if (s->start >= 0) HG_TRY(hg_ids_push(&s->context, s->start, e));
    return hg_tokenizer_encode(s->t, prompt, false, &s->context, e);
}

/* The continuation, behind a space unless the prompt ends its line or there is none. */
static hg_status encode_continuation(hg_scorer *s, hg_bytes prompt, hg_bytes text, hg_err *e)
{
    bool wants_space = prompt.n > 0 && text.n > 0 && !is_space(text.p[0]) &&
                       (prompt.p[prompt.n - 1] == ' ' || !is_space(prompt.p[prompt.n - 1]));
    hg_buf b = {0};
    if (wants_space) hg_buf_putc(&b, ' ');
    hg_buf_put(&b, text.p, text.n);
    hg_status status = hg_buf_status(&b, e);
    s->ids.n = 0;
    if (status == HG_OK)
        status = hg_tokenizer_encode(s->t, (hg_bytes){b.p, b.n}, false, &s->ids, e);
    hg_buf_free(&b);
    return status;
}

/* Makes room for `want` tokens behind the context by leaving out its beginning (not the start
 * token). */
static bool cut_context(hg_scorer *s, size_t want)
{
    size_t keep = s->start >= 0 ? 1 : 0;
    size_t room = want + keep < s->n_ctx ? s->n_ctx - want : keep;
    if (s->context.n <= room) return false;
    size_t drop = s->context.n - room;
    memmove(s->context.id + keep, s->context.id + keep + drop,
            (s->context.n - keep - drop) * sizeof(s->context.id[0]));
    s->context.n = room;
    return true;
}

static hg_status feed_context(hg_scorer *s, hg_err *e)
{
    hg_session_rewind(s->session, 0);
    s->tokens += s->context.n;
    return hg_session_feed(s->session, s->context.id, s->context.n, NULL, e);
}

/* log p(ids | context) in nats; the session holds the context again when it returns. */
static hg_status score_ids(hg_scorer *s, double *nats, hg_verdict *v, hg_err *e)
{
    size_t before = hg_session_length(s->session), n = s->ids.n;
    if (n > s->n_ctx - before) {
        n = s->n_ctx - before;
        v->is_cut = true;
    }
    HG_TRY(hg_grow(&s->logprob, &s->logprob_cap, n, sizeof *s->logprob, e));
    HG_TRY(hg_session_score(s->session, s->ids.id, n, s->logprob, e));
    *nats = 0;
    for (size_t i = 0; i < n; i++) *nats += s->logprob[i];
    s->tokens += n;
    hg_session_rewind(s->session, before);
    return HG_OK;
}

static bool is_best(const double *x, size_t n, size_t gold)
{
    for (size_t i = 0; i < n; i++)
        if (i != gold && !(x[gold] > x[i])) return false;
    return true;
}

/* The longest continuation decides how much context there is room for, for all of them alike. */
static hg_status score_choices(hg_scorer *s, const hg_row *r, hg_verdict *v, hg_err *e)
{
    double nats[HG_MAX_CHOICES], per_byte[HG_MAX_CHOICES];
    size_t longest = 0;
    HG_TRY(encode_context(s, r->prompt, e));
    for (size_t i = 0; i < r->n; i++) {
        HG_TRY(encode_continuation(s, r->prompt, r->text[i], e));
        if (s->ids.n > longest) longest = s->ids.n;
    }
    v->is_cut = cut_context(s, longest);
    HG_TRY(feed_context(s, e));
    for (size_t i = 0; i < r->n; i++) {
        HG_TRY(encode_continuation(s, r->prompt, r->text[i], e));
        HG_TRY(score_ids(s, &nats[i], v, e));
        per_byte[i] = nats[i] / (double)r->text[i].n;
    }
    v->is_right = is_best(nats, r->n, r->gold);
    v->is_right_byte = is_best(per_byte, r->n, r->gold);
    return HG_OK;
}

static hg_status score_frames(hg_scorer *s, const hg_row *r, hg_verdict *v, hg_err *e)
{
    double nats[HG_MAX_CHOICES];
    for (size_t i = 0; i < r->n; i++) {
        HG_TRY(encode_context(s, r->text[i], e));
        HG_TRY(encode_continuation(s, r->text[i], r->continuation, e));
        if (cut_context(s, s->ids.n)) v->is_cut = true;
        HG_TRY(feed_context(s, e));
        HG_TRY(score_ids(s, &nats[i], v, e));
    }
    v->is_right = v->is_right_byte = is_best(nats, r->n, r->gold);
    return HG_OK;
}

/* ---- answers ---- */

static int32_t likeliest(const float *logits, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return (int32_t)best;
}

/* Every token of the continuation must be the one that greedy decoding gives. */
static hg_status score_next(hg_scorer *s, const hg_row *r, hg_verdict *v, hg_err *e)
{
    const float *logits;
    HG_TRY(encode_context(s, r->prompt, e));
    HG_TRY(encode_continuation(s, r->prompt, r->continuation, e));
    v->is_cut = cut_context(s, s->ids.n);
    hg_session_rewind(s->session, 0);
    if (s->context.n == 0)
        return hg_fail(e, HG_E_FORMAT, "an empty context, and the model has no start token");
    HG_TRY(hg_session_feed(s->session, s->context.id, s->context.n, &logits, e));
    s->tokens += s->context.n;
    for (size_t i = 0; i < s->ids.n; i++) {
        int32_t id = likeliest(logits, s->n_vocab);
        hg_bytes piece = hg_tokenizer_piece(s->t, id, true);
        hg_buf_put(&v->said, piece.p, piece.n);
        if (id != s->ids.id[i]) return hg_buf_status(&v->said, e);
        if (hg_session_length(s->session) == s->n_ctx) return HG_OK;
        if (i + 1 < s->ids.n) HG_TRY(hg_session_feed(s->session, &id, 1, &logits, e));
        s->tokens++;
    }
    v->is_right = true;
    return hg_buf_status(&v->said, e);
}

static hg_status encode_prompt(hg_scorer *s, const hg_row *r, hg_err *e)
{
    const hg_message m = {"user", r->prompt};
    if (!r->is_question) return encode_context(s, r->prompt, e);
    if (s->is_chat) {
        const hg_chat_input in = {.m = &m, .n = 1, .open_answer = true};
        s->context.n = 0;
        return hg_chat_format_ids(s->format, &in, &s->context, NULL, e);
    }
    hg_buf b = {0};
    hg_buf_puts(&b, "Question: ");
    hg_buf_put(&b, r->prompt.p, r->prompt.n);
    hg_buf_puts(&b, "\nAnswer:");
    hg_status status = hg_buf_status(&b, e);
    if (status == HG_OK) status = encode_context(s, (hg_bytes){b.p, b.n}, e);
    hg_buf_free(&b);
    return status;
}

/* Greedy, to the end of the first line that says something, a special token, or the limit. */
static hg_status generate(hg_scorer *s, size_t limit, hg_buf *said, hg_err *e)
{
    const float *logits;
    bool has_said = false;
    hg_session_rewind(s->session, 0);
    HG_TRY(hg_session_feed(s->session, s->context.id, s->context.n, &logits, e));
    s->tokens += s->context.n;
    for (size_t i = 0; i < limit; i++) {
        int32_t id = likeliest(logits, s->n_vocab);
        hg_bytes piece = hg_tokenizer_piece(s->t, id, false);
        if (piece.n == 0) break;
        for (size_t k = 0; k < piece.n; k++) {
            if (piece.p[k] == '\n' && has_said) return hg_buf_status(said, e);
            if (!is_space(piece.p[k])) has_said = true;
            hg_buf_putc(said, piece.p[k]);
        }
        if (i + 1 == limit || hg_session_length(s->session) == s->n_ctx) break;
        HG_TRY(hg_session_feed(s->session, &id, 1, &logits, e));
        s->tokens++;
    }
    return hg_buf_status(said, e);
}

static hg_status score_answer(hg_scorer *s, const hg_row *r, hg_verdict *v, hg_err *e)
{
    size_t longest = 0;
    for (size_t i = 0; i < r->n; i++) {
        s->ids.n = 0;
        HG_TRY(hg_tokenizer_encode(s->t, r->text[i], false, &s->ids, e));
        if (s->ids.n > longest) longest = s->ids.n;
    }
    size_t limit = longest + SPARE_TOKENS < MOST_TOKENS ? longest + SPARE_TOKENS : MOST_TOKENS;
    if (limit > s->n_ctx / 2) limit = s->n_ctx / 2;
    HG_TRY(encode_prompt(s, r, e));
    if (s->context.n == 0)
        return hg_fail(e, HG_E_FORMAT, "an empty prompt, and the model has no start token");
    v->is_cut = cut_context(s, limit);
    HG_TRY(generate(s, limit, &v->said, e));
    for (size_t i = 0; i < r->n && !v->is_right; i++)
        HG_TRY(hg_answer_matches((hg_bytes){v->said.p, v->said.n}, r->text[i], &v->is_right, e));
    return HG_OK;
}

hg_status hg_score_row(hg_scorer *s, const hg_row *row, hg_verdict *out, hg_err *e)
{
    *out = (hg_verdict){0};
    switch (row->kind) {
    case HG_ROW_PAIR: /* a choice without a context */
    case HG_ROW_CHOICE:
        return score_choices(s, row, out, e);
    case HG_ROW_FRAME:
        return score_frames(s, row, out, e);
    case HG_ROW_NEXT:
        return score_next(s, row, out, e);
    default:
        return score_answer(s, row, out, e);
    }
}

/* ---- comparing answers ---- */

static bool is_word(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO;
}

static bool is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}

hg_status hg_answer_normal(hg_buf *out, hg_bytes text, hg_err *e)
{
    const char *p = text.p, *end = p + text.n;
    size_t begin = out->n, solid = out->n; /* behind the last letter or digit */
    bool space = false;
    while (p < end) {
        uint32_t c, next = 0;
        p += hg_utf8_step(p, end, &c);
        if (c == HG_UTF8_BAD) c = 0xFFFD;
        if (p < end) (void)hg_utf8_step(p, end, &next);
        /* Before the first word only a sign counts. */
        if (out->n == begin && !is_word(c) && !(c == '-' && is_digit(next))) continue;
        if (hg_utf8_is_space(c)) {
            space = true;
            continue;
        }
        char bytes[4];
        if (space) hg_buf_putc(out, ' ');
        space = false;
        hg_buf_put(out, bytes, hg_utf8_encode((uint32_t)utf8proc_tolower((int32_t)c), bytes));
        if (is_word(c)) solid = out->n;
    }
    HG_TRY(hg_buf_status(out, e));
    out->n = solid;
    return HG_OK;
}

/* What follows the answer must not be more of the same word or number: "18" is not in "18.5". */
static bool is_border(const char *p, const char *end)
{
    uint32_t c, next = 0;
    if (p >= end) return true;
    p += hg_utf8_step(p, end, &c);
    if (c == HG_UTF8_BAD) return true;
    if (p < end) (void)hg_utf8_step(p, end, &next);
    if ((c == '.' || c == ',') && is_digit(next)) return false;
    return !is_word(c);
}

hg_status hg_answer_matches(hg_bytes said, hg_bytes answer, bool *yes, hg_err *e)
{
    hg_buf a = {0}, b = {0};
    *yes = false;
    hg_status s = hg_answer_normal(&a, said, e);
    if (s == HG_OK) s = hg_answer_normal(&b, answer, e);
    if (s == HG_OK && b.n > 0 && a.n >= b.n && memcmp(a.p, b.p, b.n) == 0)
        *yes = is_border(a.p + b.n, a.p + a.n);
    hg_buf_free(&a);
    hg_buf_free(&b);
    return s;
}

/* A task's rows put to a model: texts are generated, labels chosen by their likelihood, and
 * conversations foretold. */
#include "eval/preset.h"
#include <math.h>
#include <string.h>

enum { MOST_CTX = 4096, LEAST_CTX = 16 };

void hg_answers_free(hg_answers *a)
{
    hg_arena_free(&a->mem);
    *a = (hg_answers){.n = 0};
}

static hg_status no_room(const hg_answers *a, hg_err *e)
{
    return hg_fail(e, HG_E_NOMEM, "no room for %zu rows", a->n);
}

static const hg_preset_row *row_of(const hg_answers *a, size_t i)
{
    return &a->data->row[a->row[i]];
}

static hg_status step_done(const hg_answers *a, const hg_subject *who, size_t i, hg_err *e)
{
    const hg_progress p = {
        .stage = who->stage, .unit = "rows", .done = (double)(i + 1), .total = (double)a->n};
    hg_watch_progress(who->w, &p);
    return hg_watch_stopped(who->w) ? hg_fail(e, HG_E_CANCELED, "stopped") : HG_OK;
}

/* ---- texts ---- */
static hg_status count_rows(hg_answers *a, hg_err *e)
{
    const hg_preset kind = a->data->kind;
    if (kind == HG_PRESET_TRANSLATION) {
        a->bleu = HG_NEW(&a->mem, hg_bleu, a->n);
        a->chrf = HG_NEW(&a->mem, hg_chrf, a->n);
    }
    if (kind == HG_PRESET_SUMMARY) a->rouge = HG_NEW(&a->mem, hg_rouge, a->n);
    if (kind == HG_PRESET_QA) a->squad = HG_NEW(&a->mem, hg_squad, a->n);
    if (a->rouge == NULL && a->squad == NULL && (a->bleu == NULL || a->chrf == NULL))
        return no_room(a, e);
    for (size_t i = 0; i < a->n; i++) {
        const hg_preset_row *r = row_of(a, i);
        if (a->bleu != NULL) HG_TRY(hg_bleu_count(&a->bleu[i], a->said[i], r->answer, r->n, e));
        if (a->chrf != NULL) HG_TRY(hg_chrf_count(&a->chrf[i], a->said[i], r->answer, r->n, e));
        if (a->rouge != NULL) HG_TRY(hg_rouge_score(&a->rouge[i], a->said[i], r->answer, r->n, e));
        if (a->squad != NULL) HG_TRY(hg_squad_score(&a->squad[i], a->said[i], r->answer, r->n, e));
    }
    return HG_OK;
}

static hg_status ask_texts(hg_answers *a, hg_subject *who, hg_err *e)
{
    HG_TRY(hg_preset_generate(a, who, e));
    return count_rows(a, e);
}

/* ---- labels ---- */
typedef struct chooser {
    const hg_subject *who;
    hg_session *session;
    hg_ids context, ids; /* context: what the session holds */
    hg_mask mask;
    double *logprob;
    size_t cap;
} chooser;

/* Log-likelihood of the label as the answer to this prompt, with the token that ends it. */
static hg_status score_label(chooser *c, hg_bytes prompt, hg_bytes label, double *nats, hg_err *e)
{
    const hg_message m[] = {{"user", prompt}, {"assistant", label}};
    const hg_chat_input in = {.m = m, .n = 2};
    size_t from = 0, to;
    c->ids.n = c->mask.n = 0;
    HG_TRY(hg_chat_format_ids(c->who->look.format, &in, &c->ids, &c->mask, e));
    while (from < c->ids.n && !(c->mask.weight[from] > 0)) from++;
    for (to = from; to < c->ids.n && c->mask.weight[to] > 0;) to++;
    if (from == 0 || from == to)
        return hg_fail(e, HG_E_STATE, "the chat template shows no answer to choose");
    if (c->context.n != from || memcmp(c->context.id, c->ids.id, from * sizeof *c->ids.id) != 0) {
        hg_session_rewind(c->session, 0);
        HG_TRY(hg_session_feed(c->session, c->ids.id, from, NULL, e));
        c->context.n = 0;
        for (size_t i = 0; i < from; i++) HG_TRY(hg_ids_push(&c->context, c->ids.id[i], e));
    }
    HG_TRY(hg_grow(&c->logprob, &c->cap, to - from, sizeof *c->logprob, e));
    HG_TRY(hg_session_score(c->session, c->ids.id + from, to - from, c->logprob, e));
    hg_session_rewind(c->session, from);
    *nats = 0;
    for (size_t i = 0; i < to - from; i++) *nats += c->logprob[i];
    return HG_OK;
}

/* The prompt of a row, cut so that the longest label and its marks fit behind it. */
static hg_status fit_prompt(chooser *c, hg_answers *a, size_t i, size_t spare, hg_buf *prompt,
                            hg_err *e)
{
    const hg_preset_row *r = row_of(a, i);
    hg_bytes text = hg_preset_text(r);
    bool is_cut;
    const size_t room = c->who->n_ctx > spare ? c->who->n_ctx - spare : 1;
    HG_TRY(hg_preset_prompt_ids(c->who, a->data, r, room, &c->ids, &text, &is_cut, e));
    a->n_cut += is_cut;
    hg_buf_clear(prompt);
    return hg_preset_prompt(a->data, r, text, prompt, e);
}

static hg_status choose(chooser *c, hg_answers *a, size_t i, size_t spare, hg_buf *prompt,
                        hg_err *e)
{
    double best = -INFINITY;
    HG_TRY(fit_prompt(c, a, i, spare, prompt, e));
    for (size_t k = 0; k < a->data->n_labels; k++) {
        double nats = 0;
        HG_TRY(score_label(c, (hg_bytes){prompt->p, prompt->n}, a->data->label[k], &nats, e));
        if (!(nats > best)) continue;
        best = nats;
        a->label[i] = k;
    }
    a->said[i] = a->data->label[a->label[i]];
    return HG_OK;
}

/* Tokens that the longest label takes, and those that end its turn. */
static hg_status longest_label(chooser *c, const hg_answers *a, size_t *out, hg_err *e)
{
    enum { MARKS = 8 };
    *out = 0;
    for (size_t k = 0; k < a->data->n_labels; k++) {
        c->ids.n = 0;
        HG_TRY(hg_tokenizer_encode(hg_model_tokenizer(c->who->m), a->data->label[k], false, &c->ids,
                                   e));
        if (c->ids.n + MARKS > *out) *out = c->ids.n + MARKS;
    }
    return HG_OK;
}

static hg_status open_session(hg_session **out, const hg_subject *who, hg_err *e)
{
    const hg_session_options o = {.n_ctx = who->n_ctx};
    HG_TRY(hg_session_new(out, who->m, who->rt, &o, e));
    return who->use != NULL ? hg_session_set_adapters(*out, who->use, 1, e) : HG_OK;
}

static hg_status ask_labels(hg_answers *a, hg_subject *who, hg_err *e)
{
    chooser c = {.who = who};
    hg_buf prompt = {0};
    size_t spare = 0;
    a->label = HG_NEW(&a->mem, size_t, a->n);
    a->said = HG_NEW(&a->mem, hg_bytes, a->n);
    hg_status s = a->label != NULL && a->said != NULL ? HG_OK : no_room(a, e);
    if (s == HG_OK) s = open_session(&c.session, who, e);
    if (s == HG_OK) s = longest_label(&c, a, &spare, e);
    for (size_t i = 0; s == HG_OK && i < a->n; i++) {
        s = choose(&c, a, i, spare, &prompt, e);
        if (s == HG_OK) s = step_done(a, who, i, e);
    }
    hg_session_free(c.session);
    hg_ids_free(&c.context);
    hg_ids_free(&c.ids);
    hg_mask_free(&c.mask);
    hg_free(c.logprob);
    hg_buf_free(&prompt);
    return s;
}

/* ---- conversations ---- */
static hg_status foretell(chooser *c, hg_answers *a, size_t i, hg_err *e)
{
    c->ids.n = c->mask.n = 0;
    HG_TRY(hg_packed_render(&a->data->chats.chat[a->row[i]], false, &c->who->look, &c->ids,
                            &c->mask, e));
    if (c->ids.n > c->who->n_ctx) {
        c->ids.n = c->who->n_ctx;
        a->n_cut++;
    }
    HG_TRY(hg_grow(&c->logprob, &c->cap, c->ids.n, sizeof *c->logprob, e));
    hg_session_rewind(c->session, 0);
    HG_TRY(hg_session_score(c->session, c->ids.id, c->ids.n, c->logprob, e));
    for (size_t k = 1; k < c->ids.n; k++) {
        if (!(c->mask.weight[k] > 0)) continue;
        a->nats[i] -= c->logprob[k];
        a->tokens[i]++;
    }
    return HG_OK;
}

static hg_status ask_chats(hg_answers *a, hg_subject *who, hg_err *e)
{
    chooser c = {.who = who};
    double sum = 0;
    a->nats = HG_NEW(&a->mem, double, a->n);
    a->tokens = HG_NEW(&a->mem, double, a->n);
    hg_status s = a->nats != NULL && a->tokens != NULL ? HG_OK : no_room(a, e);
    if (s == HG_OK) s = open_session(&c.session, who, e);
    for (size_t i = 0; s == HG_OK && i < a->n; i++) {
        s = foretell(&c, a, i, e);
        sum += a->tokens[i];
        if (s == HG_OK) s = step_done(a, who, i, e);
    }
    hg_session_free(c.session);
    hg_ids_free(&c.ids);
    hg_mask_free(&c.mask);
    hg_free(c.logprob);
    if (s == HG_OK && !(sum > 0))
        return hg_fail(e, HG_E_ARG, "the assistant says nothing in what is held out");
    return s;
}

/* ---- all of it ---- */
static hg_status prepare(hg_subject *who, hg_answers *a, hg_err *e)
{
    const hg_model_config *c = hg_model_get_config(who->m);
    const hg_tokenizer *t = hg_model_tokenizer(who->m);
    if (t == NULL) return hg_fail(e, HG_E_STATE, "the model has no tokenizer");
    if (who->n_ctx == 0) who->n_ctx = MOST_CTX;
    if (who->n_ctx > c->n_ctx) who->n_ctx = c->n_ctx;
    if (who->n_ctx < LEAST_CTX)
        return hg_fail(e, HG_E_ARG, "a context of %u tokens; %d at the least", who->n_ctx,
                       LEAST_CTX);
    who->chat_template = hg_model_chat_template(who->m);
    a->form = "the model's chat template";
    if (who->chat_template != NULL && strcmp(who->chat_template, hg_preset_template()) == 0)
        a->form = "plain text ending in \"Answer:\"";
    if (who->chat_template == NULL && a->data->kind != HG_PRESET_CHAT) {
        who->chat_template = hg_preset_template();
        a->form = "plain text ending in \"Answer:\", for the model has no chat template";
    }
    if (who->chat_template == NULL) a->form = "ChatML, for the model has no chat template";
    return hg_chat_look_open(&who->look, t, who->chat_template, e);
}

static hg_status ask(hg_answers *a, hg_subject *who, hg_err *e)
{
    if (a->data->kind == HG_PRESET_SENTIMENT) return ask_labels(a, who, e);
    return a->data->kind == HG_PRESET_CHAT ? ask_chats(a, who, e) : ask_texts(a, who, e);
}

hg_status hg_preset_ask(hg_answers *out, const hg_preset_data *d, const size_t *row, size_t n,
                        const hg_subject *how, hg_err *e)
{
    hg_subject who = *how;
    hg_joules joules;
    const double start = hg_seconds();
    *out = (hg_answers){.n = n, .data = d, .row = row};
    hg_arena_init(&out->mem, 0);
    hg_joules_start(&joules);
    hg_status s = prepare(&who, out, e);
    if (s == HG_OK) s = ask(out, &who, e);
    out->seconds = hg_seconds() - start;
    out->joules = hg_joules_read(&joules);
    out->joules_source = hg_joules_source(&joules);
    hg_chat_look_close(&who.look);
    if (s != HG_OK) hg_answers_free(out);
    return s;
}

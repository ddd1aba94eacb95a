/* OpenAI's forms of log-probabilities: chats tell an entry for each token, completions tell
 * columns. They gather in a choice's rooms and are written with the next piece of text, or in the
 * end. */
#include "serve/openai/openai.h"

#include <stdio.h>

static void put_token(hg_json_out *o, hg_bytes piece, float logprob)
{
    hg_json_bytes(o, "token", piece);
    hg_json_number(o, "logprob", (double)(logprob > -9999.0f ? logprob : -9999.0f));
    hg_json_begin(o, "bytes", '[');
    for (size_t i = 0; i < piece.n; i++) hg_json_int(o, NULL, (unsigned char)piece.p[i]);
    hg_json_end(o);
}

static hg_buf *next_in(hg_buf *list)
{
    if (list->n > 0) hg_buf_putc(list, ',');
    return list;
}

static void tell_chat_token(hg_answer *a, hg_choice *c, const hg_token_report *t)
{
    const hg_backend *m = a->model;
    hg_json_out o;

    hg_json_out_init(&o, next_in(&c->room[0]), 0);
    hg_json_begin(&o, NULL, '{');
    put_token(&o, m->piece(m->ctx, t->id), t->logprob);
    hg_json_begin(&o, "top_logprobs", '[');
    for (size_t i = 0; i < t->n_top; i++) {
        hg_json_begin(&o, NULL, '{');
        put_token(&o, m->piece(m->ctx, t->top[i].id), t->top[i].logprob);
        hg_json_end(&o);
    }
    hg_json_end(&o);
    hg_json_end(&o);
}

static size_t count_chars(hg_bytes text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) n += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    return n;
}

/* Completions tell columns: tokens, their values, the others', where each begins in the text. */
static void tell_text_token(hg_answer *a, hg_choice *c, const hg_token_report *t)
{
    const hg_backend *m = a->model;
    hg_json_out o;

    hg_json_put_string(next_in(&c->room[0]), m->piece(m->ctx, t->id));
    hg_json_put_number(next_in(&c->room[1]), (double)t->logprob);
    hg_json_out_init(&o, next_in(&c->room[2]), 0);
    hg_json_begin(&o, NULL, '{');
    for (size_t i = 0; i < t->n_top; i++) {
        char key[256];
        const hg_bytes piece = m->piece(m->ctx, t->top[i].id);
        (void)snprintf(key, sizeof key, "%.*s", (int)(piece.n < 255 ? piece.n : 255), piece.p);
        hg_json_number(&o, key, (double)t->top[i].logprob);
    }
    hg_json_end(&o);
    hg_buf_printf(next_in(&c->room[3]), "%zu", c->n_chars);
    c->n_chars += count_chars(t->text);
}

void hg_openai_take_token(hg_answer *a, hg_choice *c, bool is_chat, const hg_token_report *t)
{
    if (is_chat)
        tell_chat_token(a, c, t);
    else
        tell_text_token(a, c, t);
}

static void put_list(hg_json_out *o, const char *key, const hg_buf *list)
{
    hg_json_begin(o, key, '[');
    if (list->n > 0) hg_json_raw(o, NULL, (hg_bytes){list->p, list->n});
    hg_json_end(o);
}

void hg_openai_put_tokens(hg_json_out *o, const char *key, hg_choice *c)
{
    put_list(o, key, &c->room[0]);
    hg_buf_clear(&c->room[0]);
}

void hg_openai_put_logprobs(hg_json_out *o, bool is_chat, hg_choice *c)
{
    static const char *const columns[] = {"tokens", "token_logprobs", "top_logprobs",
                                          "text_offset"};

    if (c->room[0].n == 0) {
        hg_json_null(o, "logprobs");
        return;
    }
    hg_json_begin(o, "logprobs", '{');
    if (is_chat) {
        put_list(o, "content", &c->room[0]);
        hg_json_null(o, "refusal");
    } else {
        for (size_t i = 0; i < 4; i++) put_list(o, columns[i], &c->room[i]);
    }
    hg_json_end(o);
    for (size_t i = 0; i < 4; i++) hg_buf_clear(&c->room[i]);
}

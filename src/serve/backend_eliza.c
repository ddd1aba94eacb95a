/* ELIZA as a backend: something without weights behind the same protocols. Its ids are the bytes of
 * the messages, each message behind a mark that says who speaks. */
#include "serve/models.h"
#include "base/clock.h"

#include <higgins/eliza.h>
#include <stdio.h>
#include <string.h>

enum {
    MARK_USER = 256, /* begins what a user says */
    MARK_OTHER,      /* begins what anybody else says */
    N_VOCAB,
    N_CTX = HG_SERVE_MAX_BODY + HG_SERVE_MAX_MESSAGES + 1 /* more than any request brings */
};

static hg_status push_turn(hg_ids *out, int32_t mark, hg_bytes text, hg_err *e)
{
    HG_TRY(hg_ids_push(out, mark, e));
    for (size_t i = 0; i < text.n; i++) HG_TRY(hg_ids_push(out, (unsigned char)text.p[i], e));
    return HG_OK;
}

static hg_status encode(void *ctx, hg_bytes text, hg_ids *out, hg_err *e)
{
    (void)ctx;
    return push_turn(out, MARK_USER, text, e);
}

static hg_status render(void *ctx, const hg_message *m, size_t n, hg_ids *out, hg_err *e)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++)
        HG_TRY(push_turn(out, strcmp(m[i].role, "user") == 0 ? MARK_USER : MARK_OTHER, m[i].content,
                         e));
    return HG_OK;
}

/* The messages that the ids stand for; ids without a mark before them are a user's. */
static size_t read_turns(const hg_request *r, hg_message *m, char *text)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < r->n_prompt; i++) {
        const int32_t id = r->prompt[i];
        if (id >= MARK_USER || n == 0)
            m[n++] = (hg_message){id == MARK_OTHER ? "other" : "user", {text + at, 0}};
        if (id >= MARK_USER) continue;
        text[at++] = (char)(unsigned char)id;
        m[n - 1].content.n++;
    }
    return n;
}

/* The answer is there at once: it is told before this returns. */
static hg_status submit(void *ctx, const hg_request *r, hg_job *out, hg_err *e)
{
    size_t n_marks = 1;
    hg_err why = {0};
    *out = 0;
    for (size_t i = 0; i < r->n_prompt; i++) n_marks += r->prompt[i] >= MARK_USER;
    hg_message *m = hg_alloc(n_marks, sizeof *m);
    char *text = hg_alloc(r->n_prompt, 1);
    hg_status s = m == NULL || text == NULL
                      ? hg_fail(&why, HG_E_NOMEM, "no room for the conversation")
                      : hg_eliza_answer(ctx, m, read_turns(r, m, text), r, NULL, NULL, &why);
    hg_free(m);
    hg_free(text);
    /* A script that does not end is no fault of the request's length. */
    return s == HG_OK ? s : hg_fail(e, s == HG_E_LIMIT ? HG_E_FORMAT : s, "%s", why.msg);
}

static void cancel(void *ctx, hg_job job)
{
    (void)ctx;
    (void)job;
}

static void free_script(void *ctx)
{
    hg_eliza_script_free(ctx);
}

hg_status hg_server_add_eliza(hg_server *s, const char *id, const char *name, bool is_listed,
                              hg_err *e)
{
    hg_backend b = {.created = hg_unix_time(),
                    .n_ctx = N_CTX,
                    .n_vocab = N_VOCAB,
                    .is_unlisted = !is_listed,
                    .has_template = true,
                    .encode = encode,
                    .render = render,
                    .submit = submit,
                    .cancel = cancel,
                    .free = free_script};
    hg_eliza_script *script;
    if (strlen(id) >= sizeof b.id)
        return hg_fail(e, HG_E_ARG, "a model's name has at most %zu characters", sizeof b.id - 1);
    HG_TRY(hg_eliza_script_open(&script, name, e));
    memcpy(b.id, id, strlen(id) + 1);
    b.ctx = script;
    HG_TRY(hg_server_add_backend(s, &b, e));
    hg_offer *o = hg_models_find(hg_server_models(s), (hg_bytes){id, strlen(id)});
    if (o != NULL)
        o->card.description = "Weizenbaum's program of 1966, which answers by its script alone";
    return HG_OK;
}

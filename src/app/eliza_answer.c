/* ELIZA where a model is expected: a request with messages in, an answer with usage out. A
 * conversation's state is what its messages make of a fresh session; nothing is kept between
 * requests, so that any of them may go on from any place. */
#include "app/eliza_inner.h"

#include <string.h>

/* What ELIZA cannot do for a request, in a sentence. */
static hg_status check(const hg_request *r, hg_err *e)
{
    if (r->constraint != NULL)
        return hg_fail(e, HG_E_ARG,
                       "ELIZA says what its script says and cannot be held to another form");
    if (r->n_top > 0)
        return hg_fail(e, HG_E_ARG,
                       "ELIZA has no probabilities: a rule fits or does not; higgins eliza --trace "
                       "shows which");
    if (r->n_adapters > 0) return hg_fail(e, HG_E_ARG, "ELIZA has no weights to adapt");
    return HG_OK;
}

static uint32_t count_words(hg_bytes text)
{
    uint32_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        const bool is_space = (unsigned char)text.p[i] <= ' ';
        const bool was_space = i == 0 || (unsigned char)text.p[i - 1] <= ' ';
        n += !is_space && was_space;
    }
    return n;
}

/* The session hears what users said; the last reply is ELIZA's, or its opening when nobody spoke.
 */
static hg_status hear(hg_eliza *el, const hg_eliza_script *s, const hg_message *m, size_t n,
                      hg_bytes *reply, hg_usage *u, hg_err *e)
{
    *reply = hg_eliza_opening(s);
    for (size_t i = 0; i < n; i++) {
        u->prompt_tokens += count_words(m[i].content);
        if (strcmp(m[i].role, "user") == 0) HG_TRY(hg_eliza_reply(el, m[i].content, reply, e));
    }
    return HG_OK;
}

/* Cuts the reply at the first stop string, and behind max_tokens words. */
static hg_finish cut(hg_bytes *reply, const hg_request *r)
{
    for (size_t i = 0; i < r->n_stop; i++) {
        const size_t n = strlen(r->stop[i]);
        const char *at = n > 0 ? memmem(reply->p, reply->n, r->stop[i], n) : NULL;
        if (at != NULL) reply->n = (size_t)(at - reply->p);
    }
    size_t end = 0, words = 0;
    while (end < reply->n && r->max_tokens > 0) {
        words += reply->p[end] == ' ';
        if (words == r->max_tokens) {
            reply->n = end;
            return HG_FINISH_LENGTH;
        }
        end++;
    }
    return HG_FINISH_STOP;
}

static bool is_canceled(const hg_request *r)
{
    return r->cancel != NULL && atomic_load(r->cancel);
}

/* Word by word, each with the space before it. */
static hg_finish say(hg_bytes reply, const hg_request *r, hg_usage *u)
{
    const hg_finish finish = cut(&reply, r);
    for (size_t at = 0, n; at < reply.n; at += n) {
        const char *space = memchr(reply.p + at + 1, ' ', reply.n - at - 1);
        n = (space != NULL ? (size_t)(space - reply.p) : reply.n) - at;
        if (is_canceled(r)) return HG_FINISH_CANCELED;
        u->completion_tokens++;
        if (r->on_text != NULL)
            r->on_text(r->ctx, (hg_bytes){reply.p + at, n}, HG_FINISH_NONE, u, "");
    }
    return finish;
}

hg_status hg_eliza_answer(const hg_eliza_script *s, const hg_message *m, size_t n,
                          const hg_request *r, hg_finish *finish, hg_usage *usage, hg_err *e)
{
    hg_eliza *el = NULL;
    hg_bytes reply;
    hg_usage u = {0};
    HG_TRY(check(r, e));
    HG_TRY(hg_eliza_new(&el, s, NULL, e));
    const hg_status st = hear(el, s, m, n, &reply, &u, e);
    if (st == HG_OK) {
        const hg_finish f = say(reply, r, &u);
        if (finish != NULL) *finish = f;
        if (usage != NULL) *usage = u;
        if (r->on_text != NULL) r->on_text(r->ctx, (hg_bytes){"", 0}, f, &u, "");
    }
    hg_eliza_free(el);
    return st;
}

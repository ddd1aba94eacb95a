/* The one path on which every protocol's requests run. The engine's thread calls on_text for each
 * job; here the pieces of all choices of a request meet under one lock, are written by the
 * protocol's teller, and go to the exchange, which never blocks. The stream's head is sent with the
 * first piece, so that what fails before is answered with a status; a long prefill sends it
 * earlier, for proxies and clients give up on silence. The answer lives in the exchange's memory
 * and holds the exchange. */
#include "serve/answer.h"
#include "base/clock.h"
#include "text/json.h"

#include <sodium.h>
#include <string.h>

static const double BEGIN_AFTER_S = 8;

/* ---- with the lock held ---- */
static void flush(hg_answer *a)
{
    if (a->scratch.n > 0) (void)hg_exchange_put(a->x, (hg_bytes){a->scratch.p, a->scratch.n});
    hg_buf_clear(&a->scratch);
}

static void begin(hg_answer *a)
{
    if (a->begun) return;
    a->begun = true;
    if (!hg_exchange_stream(a->x, a->teller->kind)) a->gone = true;
}

static void tell(hg_answer *a, hg_choice *c, hg_bytes text)
{
    begin(a);
    if (!c->told) {
        c->told = true;
        a->teller->begin(a, c, &a->scratch);
    }
    if (text.n > 0) a->teller->piece(a, c, text, &a->scratch);
}

/* Words are told as soon as they are surely no call; calls are read when the answer has ended. */
static void take_words(hg_answer *a, hg_choice *c, hg_bytes text, bool ended)
{
    const hg_call_style style = a->model->call_style;
    const size_t before = c->n_words;
    hg_err e;

    hg_buf_put(&c->text, text.p, text.n);
    const hg_bytes all = {c->text.n > 0 ? c->text.p : "", c->text.n};
    if (!ended)
        c->n_words = hg_calls_words(style, a->must_call, all);
    else if (hg_calls_read(style, a->tools, a->must_call, all, &c->calls, &c->n_words, &e) != HG_OK)
        c->n_words = all.n;
    if (c->n_words < before) c->n_words = before; /* what was told stays told */
    if (a->stream) tell(a, c, (hg_bytes){all.p + before, c->n_words - before});
}

/* For the log, which is written as soon as the exchange has ended. */
static void note(hg_answer *a)
{
    const hg_usage used = hg_answer_usage(a);

    hg_exchange_note(a->x, a->model->id, used.prompt_tokens, used.completion_tokens);
}

static void fail(hg_answer *a, const hg_problem *p)
{
    if (a->failed || a->gone) return;
    a->failed = true;
    note(a);
    if (!a->begun) {
        hg_answer_problem(a->x, a->teller->protocol, p);
    } else {
        a->teller->failure(a, p, &a->scratch);
        flush(a);
        hg_exchange_end(a->x);
    }
}

static void problem_of(hg_problem *p, hg_status s, const char *why)
{
    switch (s) {
    case HG_E_NOMEM: /* what others run takes it; later there may be room */
    case HG_E_STATE:
    case HG_E_CANCELED:
        (void)hg_refuse(p, 503, "server_overloaded", NULL, "%s", why);
        break;
    case HG_E_LIMIT:
        (void)hg_refuse(p, 400, "context_length_exceeded", NULL, "%s", why);
        break;
    case HG_E_ARG:
        (void)hg_refuse(p, 400, NULL, NULL, "%s", why);
        break;
    default:
        (void)hg_refuse(p, 500, NULL, NULL, "%s", why);
        break;
    }
}

/* What an answer that failed is refused for. */
static hg_status status_of(hg_finish finish, const hg_usage *usage)
{
    if (finish != HG_FINISH_ERROR) return HG_E_CANCELED;
    return usage != NULL && usage->status == HG_E_NOMEM ? HG_E_NOMEM : HG_E_IO;
}

/* Nothing of the answer runs any more. */
static void conclude(hg_answer *a)
{
    hg_exchange *x = a->x;

    note(a);
    if (!a->failed && !a->gone && a->stream) {
        a->teller->end(a, &a->scratch);
        flush(a);
        hg_exchange_end(x);
    } else if (!a->failed && !a->gone) {
        a->teller->whole(a, &a->scratch);
        if (a->scratch.failed) {
            hg_problem p;
            (void)hg_refuse(&p, 500, NULL, NULL, "no room for the answer");
            hg_answer_problem(x, a->teller->protocol, &p);
        } else {
            hg_exchange_reply(x, 200, "application/json", (hg_bytes){a->scratch.p, a->scratch.n});
        }
    }
    for (uint32_t i = 0; i < a->n_choices; i++) {
        hg_buf_free(&a->choices[i].text);
        json_decref(a->choices[i].calls);
        for (size_t k = 0; k < 4; k++) hg_buf_free(&a->choices[i].room[k]);
    }
    hg_buf_free(&a->scratch);
    hg_form_release(a->form);
    json_decref(a->tools);
    a->tools = NULL;
}

/* One job, or the submitting, is over. Unlocks; the last one ends the answer. */
static void leave(hg_answer *a)
{
    hg_exchange *x = a->x;
    const hg_backend *model = a->model;
    bool last = --a->n_left == 0;

    if (last) conclude(a);
    (void)pthread_mutex_unlock(&a->lock);
    if (!last) return;
    hg_backend_release(model);
    /* a stays as long as x does: a late on_gone or on_tick still finds its lock. */
    hg_exchange_release(x);
}

/* ---- on the engine's thread ---- */
static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                    const char *error)
{
    hg_choice *c = ctx;
    hg_answer *a = c->answer;
    bool ended = finish != HG_FINISH_NONE;
    bool good = finish != HG_FINISH_ERROR && finish != HG_FINISH_CANCELED;

    (void)pthread_mutex_lock(&a->lock);
    if (!a->failed && !a->gone) {
        if (!good) {
            hg_problem p;
            problem_of(&p, status_of(finish, usage),
                       error != NULL && error[0] != 0 ? error : "the server is shutting down");
            fail(a, &p);
        } else if (a->tools != NULL) {
            take_words(a, c, text, ended);
        } else if (a->stream) {
            if (a->keeps_text) hg_buf_put(&c->text, text.p, text.n);
            tell(a, c, text);
        } else {
            hg_buf_put(&c->text, text.p, text.n);
        }
    }
    if (ended) {
        c->finish = finish;
        if (usage != NULL) c->usage = *usage;
        if (good && a->stream && !a->failed && !a->gone) a->teller->finish(a, c, &a->scratch);
    }
    flush(a);
    if (ended)
        leave(a);
    else
        (void)pthread_mutex_unlock(&a->lock);
}

static void on_token(void *ctx, const hg_token_report *t)
{
    hg_choice *c = ctx;
    hg_answer *a = c->answer;

    (void)pthread_mutex_lock(&a->lock);
    if (!a->failed && !a->gone) a->teller->token(a, c, t);
    (void)pthread_mutex_unlock(&a->lock);
}

/* ---- on other threads ---- */
static void cancel_jobs(hg_answer *a, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) a->model->cancel(a->model->ctx, a->choices[i].job);
}

static void on_gone(void *ctx)
{
    hg_answer *a = ctx;

    (void)pthread_mutex_lock(&a->lock);
    const bool runs = a->n_left > 0;
    a->gone = true;
    uint32_t n = a->n_submitted;
    if (runs) hg_backend_hold(a->model); /* jobs may end meanwhile, and the model with them */
    (void)pthread_mutex_unlock(&a->lock);
    if (!runs) return;
    cancel_jobs(a, n); /* never with the lock: the engine may be in on_text */
    hg_backend_release(a->model);
}

static void on_tick(void *ctx, double age_s)
{
    hg_answer *a = ctx;

    (void)pthread_mutex_lock(&a->lock);
    if (a->stream && age_s > BEGIN_AFTER_S && a->n_left > 0 && !a->failed && !a->gone) {
        begin(a);
        hg_buf_puts(&a->scratch, a->teller->kind == HG_STREAM_EVENTS ? ": working\n\n" : " ");
        flush(a);
    }
    (void)pthread_mutex_unlock(&a->lock);
}

static hg_status submit_one(hg_answer *a, const hg_question *q, hg_choice *c, hg_err *e)
{
    const hg_ids *prompt = &q->prompts[c->index / q->n];
    hg_request r = {.prompt = prompt->id,
                    .n_prompt = prompt->n,
                    .owner = hg_owner_key(hg_exchange_owner(a->x)),
                    .max_tokens = q->max_tokens,
                    .sampling = q->sampling,
                    .stop = q->stop,
                    .n_stop = q->n_stop,
                    .adapters = q->model->use.adapter != NULL ? &q->model->use : NULL,
                    .n_adapters = q->model->use.adapter != NULL,
                    .constraint = q->form != NULL ? hg_form_constraint(q->form) : NULL,
                    .on_text = on_text,
                    .on_token = q->tells_tokens ? on_token : NULL,
                    .n_top = q->n_top,
                    .ctx = c};

    r.sampling.seed += c->index % q->n;
    (void)pthread_mutex_lock(&a->lock);
    a->n_left++;
    (void)pthread_mutex_unlock(&a->lock);
    hg_status s = a->model->submit(a->model->ctx, &r, &c->job, e);
    (void)pthread_mutex_lock(&a->lock);
    if (s != HG_OK)
        a->n_left--; /* not the last: submitting counts as one */
    else
        a->n_submitted++;
    (void)pthread_mutex_unlock(&a->lock);
    return s;
}

static void submit_all(hg_answer *a, const hg_question *q)
{
    hg_err e = {0};
    hg_status s = HG_OK;
    bool stop = false;

    for (uint32_t i = 0; i < a->n_choices && s == HG_OK && !stop; i++) {
        s = submit_one(a, q, &a->choices[i], &e);
        (void)pthread_mutex_lock(&a->lock);
        stop = a->gone || a->failed;
        (void)pthread_mutex_unlock(&a->lock);
    }
    (void)pthread_mutex_lock(&a->lock);
    if (s != HG_OK) {
        hg_problem p;
        problem_of(&p, s, e.msg);
        fail(a, &p);
    }
    stop = a->gone || a->failed;
    uint32_t n = a->n_submitted;
    (void)pthread_mutex_unlock(&a->lock);
    if (stop) cancel_jobs(a, n);
}

static void make_id(char *out, size_t size, const char *prefix)
{
    unsigned char r[12];
    size_t n = strlen(prefix);

    randombytes_buf(r, sizeof r);
    memcpy(out, prefix, n);
    (void)sodium_bin2hex(out + n, size - n, r, sizeof r);
}

void hg_answer_start(hg_exchange *x, const hg_question *q, const hg_teller *t,
                     const char *id_prefix, void *note)
{
    hg_arena *mem = hg_exchange_memory(x);
    hg_answer *a = HG_NEW(mem, hg_answer, 1);
    uint32_t n = q->n * (uint32_t)q->n_prompts;
    hg_choice *choices = HG_NEW(mem, hg_choice, n);

    if (a == NULL || choices == NULL) {
        hg_problem p;
        (void)hg_refuse(&p, 500, NULL, NULL, "no room for the answer");
        hg_answer_problem(x, t->protocol, &p);
        hg_form_release(q->form);
        hg_backend_release(q->model);
        return;
    }
    a->x = x;
    a->form = q->form;
    a->tools = json_incref(q->tools);
    a->must_call = q->must_call;
    a->teller = t;
    a->note = note;
    a->model = q->model;
    a->choices = choices;
    a->n_choices = n;
    a->n_per_prompt = q->n;
    a->stream = q->stream;
    a->keeps_text = q->keeps_text;
    a->created = hg_unix_time();
    a->n_left = 1;
    make_id(a->id, sizeof a->id, id_prefix);
    (void)pthread_mutex_init(&a->lock, NULL);
    for (size_t i = 0; i < q->n_prompts; i++) a->n_prompt_tokens += q->prompts[i].n;
    for (uint32_t i = 0; i < n; i++) {
        choices[i].answer = a;
        choices[i].index = i;
    }
    hg_exchange_hold(x);
    hg_exchange_set_watch(x, &(hg_exchange_watch){on_gone, on_tick, a});
    submit_all(a, q);
    (void)pthread_mutex_lock(&a->lock);
    leave(a);
}

hg_usage hg_answer_usage(const hg_answer *a)
{
    hg_usage sum = {0};

    for (uint32_t i = 0; i < a->n_choices; i++) {
        const hg_usage *u = &a->choices[i].usage;
        sum.completion_tokens += u->completion_tokens;
        if (i % a->n_per_prompt != 0) continue;
        sum.prompt_tokens += u->prompt_tokens;
        sum.cached_tokens += u->cached_tokens;
    }
    return sum;
}

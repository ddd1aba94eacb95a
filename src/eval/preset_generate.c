/* Answers to all rows at once, through the engine: each is what the model would say alone. */
#include "base/clock.h"
#include "eval/preset.h"
#include "text/utf8.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { AT_ONCE = 16, TRIES = 40 };

/* ---- prompts ---- */
static hg_status render(const hg_subject *who, const hg_preset_data *d, const hg_preset_row *row,
                        hg_bytes text, hg_ids *ids, hg_err *e)
{
    hg_buf prompt = {0};
    hg_status s = hg_preset_prompt(d, row, text, &prompt, e);
    const hg_message m = {"user", {prompt.p, prompt.n}};
    const hg_chat_input in = {.m = &m, .n = 1, .open_answer = true};
    ids->n = 0;
    if (s == HG_OK) s = hg_chat_format_ids(who->look.format, &in, ids, NULL, e);
    hg_buf_free(&prompt);
    return s;
}

hg_status hg_preset_prompt_ids(const hg_subject *who, const hg_preset_data *d,
                               const hg_preset_row *row, size_t room, hg_ids *ids, hg_bytes *text,
                               bool *is_cut, hg_err *e)
{
    hg_err why = {0};
    *is_cut = false;
    *text = hg_preset_text(row);
    for (int i = 0; i < TRIES; i++) {
        const hg_status s = render(who, d, row, *text, ids, &why);
        if (s != HG_OK) return hg_fail(e, s, "%s, line %zu: %s", row->file, row->line, why.msg);
        if (ids->n <= room && ids->n > 0) return HG_OK;
        if (text->n == 0 || ids->n == 0) break;
        /* A token's bytes are alike everywhere, more or less: some steps find the length. */
        const size_t over = ids->n - room, bytes = over * text->n / ids->n + 1;
        text->n = bytes < text->n ? text->n - bytes : 0;
        text->n -= hg_utf8_cut(*text);
        *is_cut = true;
    }
    return hg_fail(e, HG_E_LIMIT, "%s, line %zu: its prompt does not fit %zu tokens", row->file,
                   row->line, room);
}

/* ---- answers ---- */
typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    size_t left;
} waiter;

typedef struct answer {
    hg_buf text;
    hg_finish finish;
    char error[160];
    waiter *w;
} answer;

static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *u,
                    const char *error)
{
    answer *a = ctx;
    (void)u;
    hg_buf_put(&a->text, text.p, text.n);
    if (finish == HG_FINISH_NONE) return;
    a->finish = finish;
    (void)snprintf(a->error, sizeof a->error, "%s", error);
    pthread_mutex_lock(&a->w->lock);
    a->w->left--;
    pthread_cond_signal(&a->w->ended);
    pthread_mutex_unlock(&a->w->lock);
}

static hg_sampling greedy(void)
{
    hg_sampling s;
    hg_sampling_init(&s);
    s.repetition_penalty = 1;
    s.top_k = 0;
    s.top_p = 1;
    s.min_p = 0;
    s.temperature = 0;
    return s;
}

/* Without a chat template an answer is a line, unless one of the right ones has several. */
static bool ends_with_line(const hg_answers *a, const hg_subject *who)
{
    if (who->chat_template == NULL || strcmp(who->chat_template, hg_preset_template()) != 0)
        return false;
    for (size_t i = 0; i < a->data->n; i++)
        if (memchr(a->data->row[i].answer[0].p, '\n', a->data->row[i].answer[0].n) != NULL)
            return false;
    return true;
}

static hg_status submit(hg_answers *a, hg_subject *who, hg_engine *en, answer *to, size_t i,
                        hg_ids *ids, hg_err *e)
{
    static const char *const line[] = {"\n"};
    hg_job job;
    bool is_cut;
    hg_bytes text;
    HG_TRY(hg_preset_prompt_ids(who, a->data, &a->data->row[a->row[i]], who->n_ctx - who->limit,
                                ids, &text, &is_cut, e));
    a->n_cut += is_cut;
    const hg_request q = {.prompt = ids->id,
                          .n_prompt = ids->n,
                          .max_tokens = who->limit,
                          .sampling = greedy(),
                          .adapters = who->use,
                          .n_adapters = who->use != NULL ? 1 : 0,
                          .stop = line,
                          .n_stop = ends_with_line(a, who) ? 1 : 0,
                          .on_text = on_text,
                          .ctx = to};
    pthread_mutex_lock(&to->w->lock); /* counted first: it may end before submit is back */
    to->w->left++;
    pthread_mutex_unlock(&to->w->lock);
    const hg_status s = hg_engine_submit(en, &q, &job, e);
    if (s == HG_OK) return s;
    pthread_mutex_lock(&to->w->lock);
    to->w->left--;
    pthread_mutex_unlock(&to->w->lock);
    return s;
}

/* Until all have ended, or the watch says stop; looks up twice a second. */
static hg_status wait_for(waiter *w, size_t n, const hg_subject *who, hg_err *e)
{
    hg_progress p = {.stage = who->stage, .unit = "rows", .total = (double)n};
    bool stopped = false;
    pthread_mutex_lock(&w->lock);
    while (w->left > 0 && !stopped) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 500000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&w->ended, &w->lock, &until);
        p.done = (double)(n - w->left);
        pthread_mutex_unlock(&w->lock);
        hg_watch_progress(who->w, &p);
        stopped = hg_watch_stopped(who->w);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return stopped ? hg_fail(e, HG_E_CANCELED, "stopped") : HG_OK;
}

/* White space around an answer says nothing. */
static hg_status take(hg_answers *a, size_t i, const answer *from, hg_err *e)
{
    hg_bytes t = {from->text.p != NULL ? from->text.p : "", from->text.n};
    if (from->finish == HG_FINISH_ERROR)
        return hg_fail(e, HG_E_STATE, "an answer failed: %s", from->error);
    HG_TRY(hg_buf_status(&from->text, e));
    while (t.n > 0 && strchr(" \t\r\n", t.p[0]) != NULL) t.p++, t.n--;
    while (t.n > 0 && strchr(" \t\r\n", t.p[t.n - 1]) != NULL) t.n--;
    a->said[i] = (hg_bytes){hg_arena_strndup(&a->mem, t.p, t.n), t.n};
    return a->said[i].p != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for an answer");
}

static hg_status run_engine(hg_answers *a, hg_subject *who, answer *to, hg_err *e)
{
    hg_engine *en = NULL;
    hg_engine_options o;
    hg_ids ids = {0};
    waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_condattr_t by;
    hg_engine_options_init(&o);
    o.max_sessions = (uint32_t)(a->n < AT_ONCE ? a->n : AT_ONCE);
    o.max_queue = (uint32_t)a->n;
    o.n_ctx = who->n_ctx;
    o.chat_template = who->chat_template;
    HG_TRY(hg_engine_new(&en, who->m, who->rt, &o, e));
    (void)pthread_condattr_init(&by);
    (void)pthread_condattr_setclock(&by, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w.ended, &by);
    (void)pthread_condattr_destroy(&by);
    hg_status s = HG_OK;
    for (size_t i = 0; s == HG_OK && i < a->n; i++) {
        to[i].w = &w;
        s = submit(a, who, en, &to[i], i, &ids, e);
    }
    if (s == HG_OK) s = wait_for(&w, a->n, who, e);
    hg_engine_free(en); /* ends what still runs: behind it nobody writes into `to` */
    (void)pthread_cond_destroy(&w.ended);
    hg_ids_free(&ids);
    return s;
}

hg_status hg_preset_generate(hg_answers *a, hg_subject *who, hg_err *e)
{
    answer *to = hg_alloc(a->n, sizeof *to);
    a->said = HG_NEW(&a->mem, hg_bytes, a->n);
    hg_status s = to != NULL && a->said != NULL
                      ? HG_OK
                      : hg_fail(e, HG_E_NOMEM, "no room for %zu answers", a->n);
    if (s == HG_OK && who->n_ctx < 2 * who->limit) who->limit = who->n_ctx / 2;
    if (s == HG_OK) s = run_engine(a, who, to, e);
    for (size_t i = 0; s == HG_OK && i < a->n; i++) s = take(a, i, &to[i], e);
    for (size_t i = 0; to != NULL && i < a->n; i++) hg_buf_free(&to[i].text);
    hg_free(to);
    return s;
}

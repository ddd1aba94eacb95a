/* From a prediction's input to an answer that runs, and from what the engine says to its events.
 * Nobody need be connected: it runs for the store. */
#include "base/clock.h"
#include "serve/replicate/input.h"
#include "serve/replicate/predictions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the model reads ---- */

/* A template may name the prompt many times: what it comes to is bounded, too. */
enum { MOST_FILLED = 16 << 20 };

/* {system_prompt} first, so that what people write is never looked through for names. */
static hg_status fill_template(hg_buf *out, const hg_input *in, hg_err *e)
{
    static const hg_bytes system_name = {"{system_prompt}", 15}, prompt_name = {"{prompt}", 8};
    hg_bytes form = in->prompt_template;

    while (form.n > 0) {
        const char *open = memchr(form.p, '{', form.n);
        const size_t n = open != NULL ? (size_t)(open - form.p) : form.n;
        hg_buf_put(out, form.p, n);
        form = (hg_bytes){form.p + n, form.n - n};
        if (form.n == 0) break;
        const bool is_system =
            form.n >= system_name.n && memcmp(form.p, system_name.p, system_name.n) == 0;
        const bool is_prompt =
            form.n >= prompt_name.n && memcmp(form.p, prompt_name.p, prompt_name.n) == 0;
        const hg_bytes value = is_system   ? in->system_prompt
                               : is_prompt ? in->prompt
                                           : (hg_bytes){form.p, 1};
        const size_t used = is_system ? system_name.n : is_prompt ? prompt_name.n : 1;
        hg_buf_put(out, value.p, value.n);
        if (out->n > MOST_FILLED)
            return hg_fail(e, HG_E_LIMIT,
                           "prompt_template with its prompts comes to more than %d bytes",
                           MOST_FILLED);
        form = (hg_bytes){form.p + used, form.n - used};
    }
    return HG_OK;
}

static hg_status read_plain(const hg_backend *m, const hg_input *in, hg_ids *ids, hg_err *e)
{
    hg_buf b = {0};
    hg_status s = HG_OK;

    if (in->prompt_template.n > 0) {
        s = fill_template(&b, in, e);
    } else {
        hg_buf_put(&b, in->system_prompt.p, in->system_prompt.n);
        if (in->system_prompt.n > 0) hg_buf_puts(&b, "\n\n");
        hg_buf_put(&b, in->prompt.p, in->prompt.n);
    }
    if (s == HG_OK) s = hg_buf_status(&b, e);
    if (s == HG_OK) s = m->encode(m->ctx, (hg_bytes){b.n > 0 ? b.p : "", b.n}, ids, e);
    hg_buf_free(&b);
    return s;
}

static hg_status read_talk(const hg_backend *m, const hg_input *in, hg_ids *ids, hg_err *e)
{
    const hg_message talk[] = {{"system", in->system_prompt}, {"user", in->prompt}};
    const size_t skip = in->system_prompt.n == 0;

    return m->render(m->ctx, talk + skip, 2 - skip, ids, e);
}

static hg_status read_prompt(const hg_backend *m, const hg_input *in, hg_ids *ids, hg_err *e)
{
    const bool is_plain = in->prompt_template.n > 0 || !m->has_template;
    HG_TRY((is_plain ? read_plain : read_talk)(m, in, ids, e));
    if (ids->n == 0) return hg_fail(e, HG_E_ARG, "the prompt is empty; give at least one token");
    if (ids->n < m->n_ctx) return HG_OK;
    return hg_fail(
        e, HG_E_LIMIT,
        "the prompt has %zu tokens; the model's context is %u, and the answer needs some "
        "of them",
        ids->n, m->n_ctx);
}

/* ---- what it says ---- */
static void put_metrics(hg_prediction *p, const hg_usage *u)
{
    hg_buf b = {0};
    hg_json_out o;
    const double now = hg_seconds(), ran = now - p->started_s, total = now - p->created_s;

    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_number(&o, "predict_time", ran);
    hg_json_number(&o, "total_time", total);
    if (u != NULL) {
        hg_json_int(&o, "input_token_count", u->prompt_tokens);
        hg_json_int(&o, "output_token_count", u->completion_tokens);
        if (u->decode_s > 0)
            hg_json_number(&o, "tokens_per_second", u->completion_tokens / u->decode_s);
        hg_json_number(&o, "time_to_first_token", u->queue_s + u->prefill_s);
    }
    hg_json_end(&o);
    if (!b.failed) p->metrics = hg_strndup(b.p, b.n);
    hg_buf_free(&b);
}

static void log_line(hg_prediction *p, const char *fmt, double a, double b)
{
    char line[160];
    const int n = snprintf(line, sizeof line, fmt, a, b);

    hg_prediction_add(p, 'l', (hg_bytes){line, n > 0 ? (size_t)n : 0});
}

/* On the engine's thread. */
static void on_text(void *ctx, hg_bytes text, hg_finish finish, const hg_usage *usage,
                    const char *error)
{
    hg_prediction *p = ctx;
    const hg_backend *m = NULL;

    (void)pthread_mutex_lock(&p->lock);
    if (text.n > 0) hg_prediction_say(p, text);
    if (finish != HG_FINISH_NONE) {
        const bool is_canceled = finish == HG_FINISH_CANCELED;
        const bool is_error = finish == HG_FINISH_ERROR;
        const bool is_ours = is_canceled && (p->is_cut_off || !atomic_load(&p->cancel));
        if (usage != NULL && !is_error)
            log_line(p, "%.0f tokens of input, %.0f of output\n", usage->prompt_tokens,
                     usage->completion_tokens);
        put_metrics(p, usage);
        hg_prediction_end(p,
                          is_error || is_ours ? HG_FAILED
                          : is_canceled       ? HG_CANCELED
                                              : HG_SUCCEEDED,
                          is_error  ? error
                          : is_ours ? "the server was ended while the prediction ran"
                                    : NULL);
        m = p->running_on;
        p->running_on = NULL;
    }
    (void)pthread_mutex_unlock(&p->lock);
    hg_predictions_wake(p->all);
    hg_backend_release(m);
    if (finish != HG_FINISH_NONE) hg_prediction_release(p);
}

/* ---- starting ---- */
static void end_now(hg_prediction *p, hg_prediction_status status, const char *why)
{
    (void)pthread_mutex_lock(&p->lock);
    hg_prediction_end(p, status, why);
    (void)pthread_mutex_unlock(&p->lock);
    hg_predictions_wake(p->all);
}

/* The first line of its logs: the engine may have refused it after that was told, or the server may
 * have ended. */
static void choose_seed(hg_prediction *p, uint64_t *seed)
{
    static const char name[] = "Seed: ";
    char line[64];

    (void)pthread_mutex_lock(&p->lock);
    (void)snprintf(line, sizeof line, "%.*s", p->n_events > 0 ? (int)p->event[0].n : 0,
                   p->n_events > 0 ? p->text.p : "");
    if (strncmp(line, name, sizeof name - 1) == 0) {
        *seed = strtoull(line + sizeof name - 1, NULL, 10);
    } else {
        const int n = snprintf(line, sizeof line, "%s%llu\n", name, (unsigned long long)*seed);
        hg_prediction_add(p, 'l', (hg_bytes){line, (size_t)n});
    }
    (void)pthread_mutex_unlock(&p->lock);
}

/* False when it has been canceled before it began. */
static bool begin(hg_prediction *p, const hg_backend *m)
{

    (void)pthread_mutex_lock(&p->lock);
    /* A cancel that came while the engine refused it was only noted. */
    if (p->status == HG_STARTING && atomic_load(&p->cancel))
        hg_prediction_end(p, HG_CANCELED, NULL);
    const bool ok = p->status == HG_STARTING;
    if (ok) {
        p->status = HG_PROCESSING;
        p->started = hg_prediction_now(p);
        p->started_s = hg_seconds();
        p->running_on = m;
        hg_predictions_tell_start(p->all, p);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return ok;
}

static hg_status submit(hg_prediction *p, const hg_backend *m, const hg_input *in, hg_ids *ids,
                        hg_err *e)
{
    const char *stop[HG_MAX_STOP];
    hg_arena mem;
    hg_job job;

    hg_arena_init(&mem, 4096);
    const size_t n_stop = hg_input_stops(in->stop_sequences, stop, &mem);
    hg_request r = {.prompt = ids->id,
                    .n_prompt = ids->n,
                    .owner = hg_owner_key(p->owner),
                    .max_tokens = in->max_tokens,
                    .min_tokens = in->min_tokens,
                    .sampling = in->sampling,
                    .stop = stop,
                    .n_stop = n_stop,
                    .adapters = m->use.adapter != NULL ? &m->use : NULL,
                    .n_adapters = m->use.adapter != NULL,
                    .on_text = on_text,
                    .cancel = &p->cancel,
                    .ctx = p};
    hg_prediction_hold(p); /* the engine's */
    const hg_status s = m->submit(m->ctx, &r, &job, e);
    if (s != HG_OK) hg_prediction_release(p);
    hg_arena_free(&mem);
    return s;
}

/* With the model in memory, whose hold goes to the answer. */
static hg_status run_on(hg_prediction *p, const hg_backend *m, hg_input *in)
{
    hg_ids ids = {0};
    hg_err e = {0};
    hg_status s = read_prompt(m, in, &ids, &e);

    if (s == HG_OK) choose_seed(p, &in->sampling.seed);
    if (s == HG_OK && !begin(p, m)) {
        s = HG_E_CANCELED;
    } else if (s == HG_OK) {
        s = submit(p, m, in, &ids, &e);
        if (s == HG_E_STATE) hg_prediction_take_back(p); /* the engine has no room */
    }
    hg_ids_free(&ids);
    if (s == HG_OK) return HG_OK;
    hg_backend_release(m);
    if (s == HG_E_STATE) return s;
    (void)pthread_mutex_lock(&p->lock);
    p->running_on = NULL;
    (void)pthread_mutex_unlock(&p->lock);
    if (s != HG_E_CANCELED) end_now(p, HG_FAILED, e.msg);
    return HG_OK;
}

/* A model that cannot be had just now may be had later. */
static hg_status fail_or_wait(hg_prediction *p, const hg_problem *why)
{
    if (why->status == 503 && why->code != NULL && strcmp(why->code, "server_overloaded") == 0)
        return HG_E_STATE;
    end_now(p, HG_FAILED, why->msg);
    return HG_OK;
}

hg_status hg_prediction_run(hg_prediction *p)
{
    json_t *input = NULL;
    hg_problem why;
    hg_input in;
    hg_err e = {0};

    if (hg_json_parse(&input, (hg_bytes){p->input, strlen(p->input)}, SIZE_MAX, &e) != HG_OK) {
        end_now(p, HG_FAILED, e.msg);
        return HG_OK;
    }
    hg_status s = HG_OK;
    const hg_backend *m = NULL;
    if (!hg_input_read(&in, input, &why))
        end_now(p, HG_FAILED, why.msg);
    else if ((m = hg_server_take(hg_predictions_server(p->all),
                                 (hg_bytes){p->backend, strlen(p->backend)}, &why)) == NULL)
        s = fail_or_wait(p, &why);
    else
        s = run_on(p, m, &in);
    json_decref(input);
    return s;
}

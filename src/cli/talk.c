/* Opening a model to talk with, and showing what it says. */
#include "talk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static hg_status open_eliza(cli_talk *t, const char *name, const cli_sampling *o,
                            const char *template_path, hg_err *e)
{
    if (o->draft != NULL || template_path != NULL)
        return hg_fail(e, HG_E_ARG, "%s: ELIZA takes no %s", name,
                       o->draft != NULL ? "draft model" : "chat template");
    t->n_ctx = UINT32_MAX;
    return hg_eliza_script_open(&t->eliza, name, e);
}

uint32_t cli_context(cli *c, const hg_model *m, hg_cache_type cache, uint32_t sessions,
                     int64_t asked)
{
    const uint32_t whole = hg_model_get_config(m)->n_ctx;
    if (asked > 0) return (uint32_t)asked;
    const uint32_t fit = hg_context_fit(m, cache, sessions);
    if (fit > 0 && fit < whole)
        hg_watch_log(
            &c->watch, HG_WARN,
            "memory holds %u tokens of the model's context of %u; --context asks for another", fit,
            whole);
    return fit > 0 ? fit : whole;
}

hg_status cli_talk_open(cli_talk *t, cli *c, const char *path, const cli_sampling *o,
                        const char *template_path, hg_err *e)
{
    hg_engine_options eo;
    *t = (cli_talk){0};
    if (hg_eliza_is_name(path)) return open_eliza(t, path, o, template_path, e);
    HG_TRY(cli_read_text(template_path, &t->chat_template, e));
    HG_TRY(cli_runtime(c, &t->rt, e));
    HG_TRY(hg_model_open(&t->model, path, cli_sampling_weights(o), t->rt, e));
    if (o->draft != NULL)
        HG_TRY(hg_model_open(&t->draft, o->draft, cli_sampling_weights(o), t->rt, e));
    hg_engine_options_init(&eo);
    eo.draft = t->draft;
    eo.max_sessions = 1;
    eo.chat_template = t->chat_template;
    (void)hg_cache_type_parse(o->cache_type, &eo.cache);
    if (eo.cache == HG_CACHE_AUTO && cli_sampling_weights(o) == HG_WEIGHTS_F32)
        eo.cache = HG_CACHE_F32;
    t->n_ctx = eo.n_ctx = cli_context(c, t->model, eo.cache, 1, o->context);
    return hg_engine_new(&t->engine, t->model, t->rt, &eo, e);
}

/* "PATH:SCALE", or a PATH that may hold colons itself. */
static hg_status open_adapter(cli_talk *t, const char *name, hg_err *e)
{
    hg_adapter *a = NULL;
    char *path = strdup(name), *colon = path != NULL ? strrchr(path, ':') : NULL, *end = NULL;
    float scale = 1.0f;
    if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    if (colon != NULL && access(path, F_OK) != 0) {
        scale = strtof(colon + 1, &end);
        if (end != colon + 1 && *end == '\0' && isfinite(scale))
            *colon = '\0';
        else
            scale = 1.0f;
    }
    const hg_status s = hg_adapter_open(&a, path, t->model, t->rt, e);
    free(path);
    if (s != HG_OK) return s;
    t->adapter[t->n_adapters] = a;
    t->adapters[t->n_adapters++] = (hg_adapter_use){a, scale};
    return HG_OK;
}

hg_status cli_talk_adapters(cli_talk *t, const cli_list *names, hg_err *e)
{
    if (names->n > 0 && t->eliza != NULL)
        return hg_fail(e, HG_E_ARG, "--lora: ELIZA has no weights to adapt");
    if (names->n > HG_MAX_ADAPTERS)
        return hg_fail(e, HG_E_ARG, "--lora: %zu adapters; %d are the most", names->n,
                       HG_MAX_ADAPTERS);
    for (size_t i = 0; i < names->n; i++) HG_TRY(open_adapter(t, names->item[i], e));
    return HG_OK;
}

void cli_talk_close(cli_talk *t)
{
    hg_engine_free(t->engine);
    hg_eliza_script_free(t->eliza);
    for (size_t i = 0; i < t->n_adapters; i++) hg_adapter_free(t->adapter[i]);
    hg_model_free(t->draft);
    hg_model_free(t->model);
    free(t->chat_template);
    *t = (cli_talk){0};
}

/* Bytes of the control character at p, or 0: C0 but tab and newline, DEL, and C1 as UTF-8. */
static size_t control_at(const char *p, size_t n)
{
    const unsigned char a = (unsigned char)p[0], b = n > 1 ? (unsigned char)p[1] : 0;
    if ((a < 0x20 && a != '\n' && a != '\t') || a == 0x7f) return 1;
    return a == 0xc2 && b >= 0x80 && b < 0xa0 ? 2 : 0;
}

void cli_talk_write(FILE *f, hg_bytes text, bool is_terminal)
{
    size_t begin = 0;
    for (size_t i = 0; is_terminal && i < text.n;) {
        const size_t skip = control_at(text.p + i, text.n - i);
        if (skip > 0) {
            (void)fwrite(text.p + begin, 1, i - begin, f);
            begin = i + skip;
        }
        i += skip > 0 ? skip : 1;
    }
    (void)fwrite(text.p + begin, 1, text.n - begin, f);
}

const char *cli_finish_name(hg_finish f)
{
    switch (f) {
    case HG_FINISH_STOP:
        return "stop";
    case HG_FINISH_LENGTH:
        return "length";
    case HG_FINISH_CANCELED:
        return "canceled";
    case HG_FINISH_ERROR:
        return "error";
    case HG_FINISH_NONE:
        break;
    }
    return "none";
}

double cli_answer_rate(const hg_usage *u)
{
    /* The first token comes with the prompt's last step. */
    return u->completion_tokens > 1 && u->decode_s > 0 ? (u->completion_tokens - 1) / u->decode_s
                                                       : 0;
}

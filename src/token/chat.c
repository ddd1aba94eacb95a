/* Conversations as tokens. A chat model is trained on text in which special tokens say who speaks;
 * how, its template says, a program in Jinja that comes with the model (src/jinja runs it). What
 * people write never becomes a special token, so that nobody can forge a turn by writing
 * "<|im_end|>". Higgins gives its own models ChatML. */
#include "token/chat.h"
#include <string.h>

/* <|end_of_sentence|> with full-width bars and U+2581 between the words. */
#define DEEPSEEK_END \
    "<\xEF\xBD\x9C"  \
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"

const char *hg_chat_template_default(void)
{
    return "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
           "message['content'] + '<|im_end|>\\n' }}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
}

/* The first of these that is a special token, or -1. */
static int32_t first_special(const hg_tokenizer *t, const char *const *names)
{
    for (; *names != NULL; names++) {
        int32_t id = hg_tokenizer_special(t, *names);
        if (id >= 0) return id;
    }
    return -1;
}

/* What ends a turn or, behind that, a text: the first that a tokenizer has is the likeliest. */
static const char *const ends[] = {"<|im_end|>",    "<|eot_id|>", "<end_of_turn>",
                                   "<|return|>",    "<|end|>",    "<|end_of_text|>",
                                   "<|endoftext|>", "</s>",       NULL};
/* What else an answer ends with: before the answer of a tool, and ends of text that are no names of
 * a turn's end. */
static const char *const more_ends[] = {"<|eom_id|>", "<|call|>", "<eos>", DEEPSEEK_END, NULL};

int32_t hg_chat_end_id(const hg_tokenizer *t)
{
    int32_t id = first_special(t, ends);
    return id >= 0 ? id : hg_tokenizer_eos(t);
}

size_t hg_chat_end_ids(const hg_tokenizer *t, int32_t ids[HG_MAX_ENDS])
{
    /* Where an answer has several parts (gpt-oss), <|end|> ends a part and <|return|> all. */
    const bool has_parts = hg_tokenizer_special(t, "<|return|>") >= 0;
    size_t n = 0;
    for (int table = 0; table < 2; table++)
        for (const char *const *name = table == 0 ? ends : more_ends; *name != NULL; name++) {
            const int32_t id = hg_tokenizer_special(t, *name);
            if (id >= 0 && !(has_parts && strcmp(*name, "<|end|>") == 0)) ids[n++] = id;
        }
    return n;
}

/* ---- the format ---- */
/* The token that follows what the assistant says, in the template's own words. */
static hg_status find_end(hg_chat_format *f, hg_err *e)
{
    static const hg_message probe[] = {{"user", {"a", 1}}, {"assistant", {"b", 1}}};
    hg_chat_input in = {.m = probe, .n = 2, .time = 1};
    chat_values v = {.in = &in, .n = 2};
    chat_specials s = {0};
    hg_jinja_text x;
    jrun *r = NULL;
    hg_err inner = {0};
    f->end = hg_chat_end_id(f->t);
    HG_TRY(hg_jinja_run_new(&r, f->jinja, NULL, e));
    hg_status status = hg_chat_text(f, r, &v, 2, false, &x, &inner);
    if (status == HG_OK) status = hg_chat_find_specials(f->t, &x, &s, &inner);
    size_t behind = 0;
    for (size_t i = 0; status == HG_OK && i < x.text.n; i++)
        if ((x.mark[i] & JV_SOURCE) == hg_chat_mark(0)) behind = i + 1;
    for (size_t i = 0; status == HG_OK && behind > 0 && i < s.n; i++)
        if (s.v[i].end > behind) {
            f->end = s.v[i].id;
            break;
        }
    hg_free(s.v);
    hg_jinja_run_free(r);
    return status == HG_E_NOMEM ? hg_fail(e, status, "%s", inner.msg) : HG_OK;
}

/* Whether the template walks through content in parts, or would show a list as Python does. */
static hg_status find_parts(hg_chat_format *f, hg_err *e)
{
    static const char probe[] =
        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"qz7\"}]}]";
    hg_chat_input in = {.messages = {probe, sizeof probe - 1}, .time = 1};
    chat_values v;
    hg_jinja_text x = {{"", 0}, NULL};
    jrun *r = NULL;
    hg_err inner = {0};
    f->takes_parts = true;
    hg_status s = hg_chat_values_read(&v, &in, e);
    if (s == HG_OK) s = hg_jinja_run_new(&r, f->jinja, NULL, e);
    if (s != HG_OK) goto done;
    hg_status rendered = hg_chat_text(f, r, &v, 1, false, &x, &inner);
    if (rendered == HG_E_NOMEM) s = hg_fail(e, rendered, "%s", inner.msg);
    f->takes_parts = rendered == HG_OK && x.text.n > 0 &&
                     memmem(x.text.p, x.text.n, "qz7", 3) != NULL &&
                     memmem(x.text.p, x.text.n, "type", 4) == NULL;
done:
    hg_jinja_run_free(r);
    hg_chat_values_free(&v);
    return s;
}

static hg_status make_format(hg_chat_format *f, const char *text, hg_err *e)
{
    static const char *const begins[] = {"<s>",
                                         "<|begin_of_text|>",
                                         "<bos>",
                                         "<\xEF\xBD\x9C"
                                         "begin\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
                                         "<|startoftext|>",
                                         NULL};
    static const char *const text_ends[] = {
        "</s>", "<|end_of_text|>", "<eos>", DEEPSEEK_END, "<|endoftext|>", "<|im_end|>", NULL};
    hg_err inner = {0};
    f->bos = hg_tokenizer_bos(f->t);
    if (f->bos < 0) f->bos = first_special(f->t, begins);
    f->eos = hg_tokenizer_eos(f->t);
    if (f->eos < 0) f->eos = first_special(f->t, text_ends);
    hg_status s = hg_jinja_parse(&f->jinja, (hg_bytes){text, strlen(text)}, &inner);
    if (s != HG_OK) return hg_fail(e, s, "chat template, %s", inner.msg);
    HG_TRY(find_parts(f, e));
    return find_end(f, e);
}

hg_status hg_chat_format_new(hg_chat_format **out, const hg_tokenizer *t, const char *chat_template,
                             hg_err *e)
{
    *out = NULL;
    if (chat_template == NULL &&
        (hg_tokenizer_special(t, "<|im_start|>") < 0 || hg_tokenizer_special(t, "<|im_end|>") < 0))
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "the tokenizer has no <|im_start|> and <|im_end|>: this model was not made "
                       "for chat");
    hg_chat_format *f = hg_alloc(1, sizeof *f);
    if (f == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a chat template");
    f->t = t;
    hg_status s =
        make_format(f, chat_template != NULL ? chat_template : hg_chat_template_default(), e);
    if (s != HG_OK) {
        hg_chat_format_free(f);
        return s;
    }
    *out = f;
    return HG_OK;
}

void hg_chat_format_free(hg_chat_format *f)
{
    if (f == NULL) return;
    hg_jinja_free(f->jinja);
    hg_free(f);
}

int32_t hg_chat_format_end(const hg_chat_format *f)
{
    return f->end;
}

/* ---- rendering ---- */
static hg_status add_ids(const hg_chat_format *f, const chat_values *v, const hg_jinja_text *x,
                         hg_ids *ids, hg_mask *learned, hg_err *e)
{
    chat_specials specials = {0};
    uint16_t *learn = hg_alloc(x->text.n + 1, sizeof *learn);
    hg_status s = learn != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for a conversation");
    if (s == HG_OK) s = hg_chat_find_specials(f->t, x, &specials, e);
    if (s == HG_OK) s = hg_chat_spans(f, v, x, &specials, learn, e);
    if (s == HG_OK) s = hg_chat_encode(f->t, v->in, x->text, &specials, learn, ids, learned, e);
    hg_free(specials.v);
    hg_free(learn);
    return s;
}

/* Renders, and hands the text to `fn` or, where there is none, to add_ids. */
static hg_status render(const hg_chat_format *f, const hg_chat_input *in, hg_chat_text_fn *fn,
                        void *ctx, hg_ids *ids, hg_mask *learned, hg_err *e)
{
    chat_values v;
    jrun *r = NULL;
    hg_jinja_text x;
    hg_status s = hg_chat_values_read(&v, in, e);
    if (s == HG_OK) s = hg_jinja_run_new(&r, f->jinja, NULL, e);
    if (s == HG_OK) s = hg_chat_text(f, r, &v, v.n, in->open_answer, &x, e);
    if (s == HG_OK) s = fn != NULL ? fn(ctx, x.text, e) : add_ids(f, &v, &x, ids, learned, e);
    hg_jinja_run_free(r);
    hg_chat_values_free(&v);
    return s;
}

hg_status hg_chat_format_text(const hg_chat_format *f, const hg_chat_input *in, hg_chat_text_fn *fn,
                              void *ctx, hg_err *e)
{
    return render(f, in, fn, ctx, NULL, NULL, e);
}

hg_status hg_chat_format_ids(const hg_chat_format *f, const hg_chat_input *in, hg_ids *ids,
                             hg_mask *learned, hg_err *e)
{
    size_t before = ids->n;
    if (learned != NULL && learned->n != ids->n)
        return hg_fail(e, HG_E_ARG, "%zu ids and a mask for %zu", ids->n, learned->n);
    hg_status s = render(f, in, NULL, NULL, ids, learned, e);
    if (s == HG_OK) return HG_OK;
    ids->n = before;
    if (learned != NULL) learned->n = before;
    return s;
}

hg_status hg_chat_render(const hg_tokenizer *t, const char *chat_template, const hg_message *m,
                         size_t n, bool open_answer, hg_ids *ids, hg_mask *learned, hg_err *e)
{
    hg_chat_format *f = NULL;
    hg_chat_input in = {.m = m, .n = n, .open_answer = open_answer};
    HG_TRY(hg_chat_format_new(&f, t, chat_template, e));
    hg_status s = hg_chat_format_ids(f, &in, ids, learned, e);
    hg_chat_format_free(f);
    return s;
}

/* Conversations as tokens. A chat model is trained on text in which special tokens say who speaks;
 * Higgins gives its own models ChatML. What people write is encoded as plain text, so that nobody
 * can forge a turn by writing "<|im_end|>". A model from elsewhere brings its template as a Jinja
 * program; those that mean exactly ChatML are known by their text, others are refused, since an
 * answer from a wrong template looks like a bad model. */
#include "token/inner.h"
#include <string.h>

#define TURN(close) "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + " close "}}"
#define PROMPT "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

static const char *const chatml[] = {
    /* Ours. */
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>\\n' }}{% endfor %}" PROMPT,
    /* As written by others. */
    "{% for message in messages %}" TURN("'<|im_end|>' + '\\n'") "{% endfor %}" PROMPT,
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}"
    "{% endif %}{% for message in messages %}" TURN("'<|im_end|>' + '\\n'") "{% endfor %}" PROMPT,
    "{% for message in messages %}" TURN("'<|im_end|>\\n'") "{% endfor %}" PROMPT,
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + "
    "'<|im_end|>\\n' }}{%- endfor %}{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\\n' }}{%- endif %}",
};

const char *hg_chat_template_default(void)
{
    return chatml[0];
}

int32_t hg_chat_end_id(const hg_tokenizer *t)
{
    static const char *const names[] = {"<|im_end|>", "<|eot_id|>", "<|end_of_text|>",
                                        "<|endoftext|>", "</s>"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int32_t id = hg_tokenizer_special(t, names[i]);
        if (id >= 0) return id;
    }
    return hg_tokenizer_eos(t);
}

static hg_status check_template(const char *text, hg_err *e)
{
    if (text == NULL) return HG_OK;
    for (size_t i = 0; i < sizeof chatml / sizeof chatml[0]; i++)
        if (strcmp(text, chatml[i]) == 0) return HG_OK;
    return hg_fail(e, HG_E_UNSUPPORTED,
                   "the model's chat template (%.60s...) is not one that Higgins knows; it knows "
                   "ChatML",
                   text);
}

/* A role becomes text between special tokens: a plain word, so that it cannot end its own line. */
static hg_status check_role(const char *role, size_t turn, hg_err *e)
{
    size_t n = role != NULL ? strlen(role) : 0;
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (n > 0 && n <= 32 && strspn(role, allowed) == n) return HG_OK;
    return hg_fail(e, HG_E_ARG,
                   "message %zu: role \"%.40s\"; a role is one word, such as system, user or "
                   "assistant",
                   turn, role != NULL ? role : "");
}

typedef struct render {
    hg_encoder *en;
    hg_ids *ids;
    hg_mask *mask;
    int32_t start, end;
} render;

/* The mask follows the ids: what was added since counts as `target`. */
static hg_status mark(render *r, bool target, hg_err *e)
{
    if (r->mask == NULL) return HG_OK;
    while (r->mask->n < r->ids->n) {
        HG_TRY(hg_grow(&r->mask->on, &r->mask->cap, r->mask->n, 1, e));
        r->mask->on[r->mask->n++] = target;
    }
    return HG_OK;
}

static hg_status text(render *r, const char *p, size_t n, hg_err *e)
{
    return hg_encoder_run(r->en, (hg_bytes){p, n}, false, r->ids, e);
}

/* <|im_start|>role\n content. What the assistant says is encoded for itself, because that is how it
 * will be asked for: its first token must not depend on the line break before it. Everybody else's
 * text is encoded together with the role's line, as other programs do. */
static hg_status open_turn(render *r, const hg_message *m, bool is_answer, hg_err *e)
{
    hg_buf line = {0};
    hg_buf_puts(&line, m->role);
    hg_buf_putc(&line, '\n');
    if (!is_answer) hg_buf_put(&line, m->content.p, m->content.n);
    hg_status s = hg_buf_status(&line, e);
    if (s == HG_OK) s = hg_ids_push(r->ids, r->start, e);
    if (s == HG_OK) s = text(r, line.p, line.n, e);
    hg_buf_free(&line);
    HG_TRY(s);
    return mark(r, false, e);
}

static hg_status render_turn(render *r, const hg_message *m, hg_err *e)
{
    bool is_answer = strcmp(m->role, "assistant") == 0;
    HG_TRY(open_turn(r, m, is_answer, e));
    if (is_answer) HG_TRY(text(r, m->content.p, m->content.n, e));
    HG_TRY(hg_ids_push(r->ids, r->end, e));
    HG_TRY(mark(r, is_answer, e));
    HG_TRY(text(r, "\n", 1, e));
    return mark(r, false, e);
}

static hg_status render_all(render *r, const hg_message *m, size_t n, bool open_answer, hg_err *e)
{
    for (size_t i = 0; i < n; i++) {
        HG_TRY(check_role(m[i].role, i + 1, e));
        HG_TRY(render_turn(r, &m[i], e));
    }
    if (!open_answer) return HG_OK;
    HG_TRY(hg_ids_push(r->ids, r->start, e));
    HG_TRY(text(r, "assistant\n", 10, e));
    return mark(r, false, e);
}

hg_status hg_chat_render(const hg_tokenizer *t, const char *chat_template, const hg_message *m,
                         size_t n, bool open_answer, hg_ids *ids, hg_mask *is_target, hg_err *e)
{
    size_t ids_before = ids->n, mask_before = is_target != NULL ? is_target->n : 0;
    render r = {NULL, ids, is_target, hg_tokenizer_special(t, "<|im_start|>"),
                hg_tokenizer_special(t, "<|im_end|>")};
    HG_TRY(check_template(chat_template, e));
    if (r.start < 0 || r.end < 0)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "the tokenizer has no <|im_start|> and <|im_end|>: this model was not made "
                       "for chat");
    if (is_target != NULL && is_target->n != ids->n)
        return hg_fail(e, HG_E_ARG, "%zu ids and a mask for %zu", ids->n, is_target->n);
    HG_TRY(hg_encoder_new(&r.en, t, e));
    hg_status s = render_all(&r, m, n, open_answer, e);
    hg_encoder_free(r.en);
    if (s == HG_OK) return HG_OK;
    ids->n = ids_before;
    if (is_target != NULL) is_target->n = mask_before;
    return s;
}

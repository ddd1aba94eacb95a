/* One row of an evaluation set, in the forms that the common sets use. What kind a row is shows in
 * its members:
 *   sentence_good, sentence_bad                      BLiMP and other minimal pairs
 *   ctx, endings, label                              HellaSwag
 *   query | question | prompt | context, choices, gold | answer | label    PIQA, ARC, COPA ...
 *   context_options, continuation, gold              Winograd's kind
 *   context, continuation                            LAMBADA
 *   prompt | question | context, answer              answers that must match
 * A gold answer is a number from 0, a letter (A, B ...) or the text of the choice itself. */
#include "eval/eval.h"
#include "text/json.h"
#include <string.h>

const char *hg_row_kind_name(hg_row_kind k)
{
    static const char *const names[HG_N_ROW_KINDS] = {
        "minimal pairs", "multiple choice", "choice of contexts", "next words", "answers"};
    return names[k];
}

static hg_status copy(hg_arena *mem, const json_t *v, const char *key, hg_bytes *out, hg_err *e)
{
    if (!json_is_string(v))
        return hg_fail(e, HG_E_FORMAT, "\"%s\" is %s; it must be text", key, hg_json_type_name(v));
    out->n = json_string_length(v);
    out->p = hg_arena_strndup(mem, json_string_value(v), out->n);
    return out->p != NULL ? HG_OK : hg_fail(e, HG_E_NOMEM, "no room for a row");
}

static hg_status copy_list(hg_row *r, hg_arena *mem, const json_t *list, const char *key,
                           size_t min, hg_err *e)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n < min || n > HG_MAX_CHOICES)
        return hg_fail(e, HG_E_FORMAT, "\"%s\" must be a list of %zu to %d texts", key, min,
                       HG_MAX_CHOICES);
    r->text = HG_NEW(mem, hg_bytes, n);
    if (r->text == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a row");
    for (r->n = 0; r->n < n; r->n++)
        HG_TRY(copy(mem, json_array_get(list, r->n), key, &r->text[r->n], e));
    return HG_OK;
}

/* The first of the members that is there; NULL when none is. */
static const json_t *first_of(const json_t *o, const char *const *keys, const char **found)
{
    for (; *keys != NULL; keys++) {
        const json_t *v = json_object_get(o, *keys);
        if (v == NULL) continue;
        *found = *keys;
        return v;
    }
    return NULL;
}

static hg_status read_gold(hg_row *r, const json_t *o, hg_err *e)
{
    static const char *const keys[] = {"gold", "label", "answer", NULL};
    const char *key = "gold";
    const json_t *v = first_of(o, keys, &key);
    const char *s = json_string_value(v);
    size_t n = json_string_length(v);
    json_int_t i = json_is_integer(v) ? json_integer_value(v) : -1;
    for (size_t k = 0; s != NULL && k < r->n; k++)
        if (r->text[k].n == n && memcmp(r->text[k].p, s, n) == 0) i = (json_int_t)k;
    if (s != NULL && i < 0 && n == 1)
        i = s[0] >= 'A' && s[0] <= 'Z' ? s[0] - 'A' : s[0] >= '0' && s[0] <= '9' ? s[0] - '0' : -1;
    if (i < 0 || (size_t)i >= r->n)
        return hg_fail(e, HG_E_FORMAT,
                       "\"%s\" must say which of the %zu choices is right: a number from 0, a "
                       "letter or its text",
                       key, r->n);
    r->gold = (size_t)i;
    return HG_OK;
}

static const char *const prompt_keys[] = {"query", "prompt", "question", "context", "ctx", NULL};

static hg_status read_prompt(hg_row *r, const json_t *o, hg_arena *mem, hg_err *e)
{
    const char *key = "prompt";
    const json_t *v = first_of(o, prompt_keys, &key);
    r->is_question = strcmp(key, "question") == 0;
    return copy(mem, v, key, &r->prompt, e);
}

static hg_status read_pair(hg_row *r, const json_t *o, hg_arena *mem, hg_err *e)
{
    r->kind = HG_ROW_PAIR;
    r->text = HG_NEW(mem, hg_bytes, 2);
    if (r->text == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a row");
    r->n = 2;
    HG_TRY(copy(mem, json_object_get(o, "sentence_good"), "sentence_good", &r->text[0], e));
    HG_TRY(copy(mem, json_object_get(o, "sentence_bad"), "sentence_bad", &r->text[1], e));
    if (r->text[0].n == 0 || r->text[1].n == 0)
        return hg_fail(e, HG_E_FORMAT, "a sentence is empty");
    return HG_OK;
}

static hg_status read_choice(hg_row *r, const json_t *o, const char *key, hg_arena *mem, hg_err *e)
{
    r->kind = HG_ROW_CHOICE;
    HG_TRY(read_prompt(r, o, mem, e));
    HG_TRY(copy_list(r, mem, json_object_get(o, key), key, 2, e));
    for (size_t i = 0; i < r->n; i++)
        if (r->text[i].n == 0) return hg_fail(e, HG_E_FORMAT, "a choice is empty");
    return read_gold(r, o, e);
}

static hg_status read_frame(hg_row *r, const json_t *o, hg_arena *mem, hg_err *e)
{
    const json_t *list = json_object_get(o, "context_options");
    r->kind = HG_ROW_FRAME;
    HG_TRY(copy_list(r, mem, list, "context_options", 2, e));
    HG_TRY(copy(mem, json_object_get(o, "continuation"), "continuation", &r->continuation, e));
    if (r->continuation.n == 0) return hg_fail(e, HG_E_FORMAT, "\"continuation\" is empty");
    return read_gold(r, o, e);
}

static hg_status read_next(hg_row *r, const json_t *o, hg_arena *mem, hg_err *e)
{
    r->kind = HG_ROW_NEXT;
    HG_TRY(read_prompt(r, o, mem, e));
    HG_TRY(copy(mem, json_object_get(o, "continuation"), "continuation", &r->continuation, e));
    return r->continuation.n > 0 ? HG_OK : hg_fail(e, HG_E_FORMAT, "\"continuation\" is empty");
}

/* "answer" is a text, a number, or a list of texts of which any is right. */
static hg_status read_answer(hg_row *r, const json_t *o, hg_arena *mem, hg_err *e)
{
    const json_t *v = json_object_get(o, "answer");
    r->kind = HG_ROW_ANSWER;
    HG_TRY(read_prompt(r, o, mem, e));
    if (json_is_array(v)) {
        HG_TRY(copy_list(r, mem, v, "answer", 1, e));
    } else {
        r->text = HG_NEW(mem, hg_bytes, 1);
        if (r->text == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a row");
        r->n = 1;
        if (json_is_integer(v)) {
            r->text[0].p = hg_arena_printf(mem, "%lld", (long long)json_integer_value(v));
            if (r->text[0].p == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a row");
            r->text[0].n = strlen(r->text[0].p);
        } else {
            HG_TRY(copy(mem, v, "answer", &r->text[0], e));
        }
    }
    for (size_t i = 0; i < r->n; i++) {
        hg_buf normal = {0};
        hg_status s = hg_answer_normal(&normal, r->text[i], e);
        size_t n = normal.n;
        hg_buf_free(&normal);
        HG_TRY(s);
        if (n == 0) return hg_fail(e, HG_E_FORMAT, "\"answer\" has no letter and no digit");
    }
    return HG_OK;
}

static bool has(const json_t *o, const char *key)
{
    return json_object_get(o, key) != NULL;
}

static hg_status read_part(hg_row *r, const json_t *o, hg_arena *mem, hg_err *e)
{
    static const char *const keys[] = {"part", "linguistics_term", NULL};
    const char *key = "part";
    const json_t *v = first_of(o, keys, &key);
    return json_is_string(v) ? copy(mem, v, key, &r->part, e) : HG_OK;
}

static hg_status read_row(hg_row *r, const json_t *o, hg_arena *mem, hg_err *e)
{
    const char *key = NULL;
    if (!json_is_object(o))
        return hg_fail(e, HG_E_FORMAT, "a row is %s; it must be an object", hg_json_type_name(o));
    HG_TRY(read_part(r, o, mem, e));
    if (has(o, "sentence_good")) return read_pair(r, o, mem, e);
    if (has(o, "context_options")) return read_frame(r, o, mem, e);
    if (first_of(o, prompt_keys, &key) == NULL)
        return hg_fail(e, HG_E_FORMAT,
                       "a row of no known form; rows have sentence_good and sentence_bad; or "
                       "prompt, choices and gold; or prompt and answer");
    if (has(o, "endings")) return read_choice(r, o, "endings", mem, e);
    if (has(o, "choices")) return read_choice(r, o, "choices", mem, e);
    if (has(o, "continuation")) return read_next(r, o, mem, e);
    return read_answer(r, o, mem, e);
}

hg_status hg_row_parse(hg_row *out, hg_bytes line, hg_arena *mem, hg_err *e)
{
    json_t *o = NULL;
    *out = (hg_row){0};
    HG_TRY(hg_json_parse(&o, line, HG_MAX_ROW_BYTES, e));
    hg_status s = read_row(out, o, mem, e);
    json_decref(o);
    return s;
}

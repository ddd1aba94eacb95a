/* See examples.h. What an example means is the trainer's to judge: here names of members are
 * changed, and what is written is read by the trainer's own reader before a training begins. */
#include "serve/jobs/examples.h"
#include "text/json.h"
#include "train/chats.h"

#include <string.h>

enum { MAX_LINE = 16 << 20 };

static void put_turn(hg_json_out *o, const char *role, const json_t *text)
{
    hg_json_begin(o, NULL, '{');
    hg_json_text(o, "role", role);
    hg_json_bytes(o, "content", (hg_bytes){json_string_value(text), json_string_length(text)});
    hg_json_end(o);
}

/* A question and its answer, or (prompt NULL) a text. */
static hg_status put_texts(const json_t *prompt, const json_t *answer, hg_buf *out, hg_err *e)
{
    hg_json_out o;

    if ((prompt != NULL && !json_is_string(prompt)) || !json_is_string(answer))
        return hg_fail(e, HG_E_FORMAT, "%s must be text",
                       prompt != NULL ? "\"prompt\" and \"completion\"" : "\"text\"");
    if (json_string_length(answer) == 0)
        return hg_fail(e, HG_E_FORMAT, "%s is empty",
                       prompt != NULL ? "\"completion\"" : "\"text\"");
    hg_json_out_init(&o, out, 0);
    hg_json_begin(&o, NULL, '{');
    hg_json_begin(&o, "messages", '[');
    if (prompt != NULL) put_turn(&o, "user", prompt);
    put_turn(&o, "assistant", answer);
    hg_json_end(&o);
    hg_json_end(&o);
    return HG_OK;
}

static hg_status put_preference(const json_t *input, const json_t *better, const json_t *worse,
                                hg_buf *out, hg_err *e)
{
    const json_t *messages = json_object_get(input, "messages");

    if (!json_is_array(messages))
        return hg_fail(e, HG_E_FORMAT, "\"input\" must hold \"messages\", a list of turns");
    if (!json_is_array(better) || !json_is_array(worse))
        return hg_fail(e, HG_E_FORMAT,
                       "\"preferred_output\" and \"non_preferred_output\" must be lists of turns");
    if (json_array_size(json_object_get(input, "tools")) > 0)
        return hg_fail(e, HG_E_FORMAT, "\"tools\" are learnt from conversations only");
    hg_buf_puts(out, "{\"prompt\":");
    HG_TRY(hg_json_put_tree(out, messages, e));
    hg_buf_puts(out, ",\"chosen\":");
    HG_TRY(hg_json_put_tree(out, better, e));
    hg_buf_puts(out, ",\"rejected\":");
    HG_TRY(hg_json_put_tree(out, worse, e));
    hg_buf_putc(out, '}');
    return HG_OK;
}

static hg_status convert(const json_t *v, hg_training_method method, hg_buf *out, hg_err *e)
{
    if (!json_is_object(v)) return hg_fail(e, HG_E_FORMAT, "it is no JSON object");
    if (method == HG_TRAINING_DPO) {
        if (json_object_get(v, "input") != NULL)
            return put_preference(json_object_get(v, "input"),
                                  json_object_get(v, "preferred_output"),
                                  json_object_get(v, "non_preferred_output"), out, e);
        if (json_object_get(v, "chosen") != NULL) return hg_json_put_tree(out, v, e);
        return hg_fail(e, HG_E_FORMAT,
                       "a preference has \"input\", \"preferred_output\" and "
                       "\"non_preferred_output\"");
    }
    if (json_object_get(v, "completion") != NULL)
        return put_texts(json_object_get(v, "prompt"), json_object_get(v, "completion"), out, e);
    if (json_object_get(v, "text") != NULL)
        return put_texts(NULL, json_object_get(v, "text"), out, e);
    if (json_object_get(v, "messages") == NULL && json_object_get(v, "conversations") == NULL &&
        json_object_get(v, "instruction") == NULL)
        return hg_fail(e, HG_E_FORMAT,
                       "an example has \"messages\", \"prompt\" and \"completion\", or \"text\"");
    return hg_json_put_tree(out, v, e);
}

hg_status hg_example_convert(hg_bytes line, hg_training_method method, hg_buf *out, hg_err *e)
{
    json_t *v = NULL;

    HG_TRY(hg_json_parse(&v, line, MAX_LINE, e));
    const hg_status s = convert(v, method, out, e);
    json_decref(v);
    return s == HG_OK ? hg_buf_status(out, e) : s;
}

static bool is_blank(hg_bytes line)
{
    for (size_t i = 0; i < line.n; i++)
        if (strchr(" \t\r", line.p[i]) == NULL || line.p[i] == '\0') return false;
    return true;
}

static hg_status write_lines(hg_writer *w, hg_bytes in, hg_training_method method, uint64_t *n,
                             hg_err *e)
{
    const char *p = in.p, *end = in.p + in.n;
    hg_buf line = {0};
    hg_status s = HG_OK;
    hg_err why = {0};

    for (size_t number = 1; s == HG_OK && p < end; number++) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        const hg_bytes one = {p, (size_t)((eol != NULL ? eol : end) - p)};
        p += one.n + 1;
        hg_buf_clear(&line);
        if (!is_blank(one)) {
            s = hg_example_convert(one, method, &line, &why);
            if (s != HG_OK) s = hg_fail(e, HG_E_FORMAT, "line %zu: %s", number, why.msg);
            ++*n;
        }
        hg_buf_putc(&line, '\n');
        if (s == HG_OK) s = hg_writer_put(w, line.p, line.n, e);
    }
    hg_buf_free(&line);
    return s;
}

/* As the trainer reads it. Its sentences begin with the path, which is ours alone. */
static hg_status read_through(const char *path, hg_training_method method, hg_err *e)
{
    hg_chats c = {.form = method == HG_TRAINING_DPO ? HG_FORM_PAIR : HG_FORM_CHAT};
    const size_t n = strlen(path);
    hg_err why = {0};
    const hg_status s = hg_chats_load(&c, path, &why);

    hg_chats_free(&c);
    if (s == HG_OK) return s;
    const bool has_path = strncmp(why.msg, path, n) == 0 && strncmp(why.msg + n, ", ", 2) == 0;
    return hg_fail(e, s, "%s", has_path ? why.msg + n + 2 : why.msg);
}

hg_status hg_examples_write(hg_bytes in, hg_training_method method, const char *path, uint64_t *n,
                            hg_err *e)
{
    hg_writer *w = NULL;

    *n = 0;
    if (in.n >= 3 && memcmp(in.p, "\xef\xbb\xbf", 3) == 0) in = (hg_bytes){in.p + 3, in.n - 3};
    HG_TRY(hg_writer_open(&w, path, e));
    hg_status s = write_lines(w, in, method, n, e);
    if (s == HG_OK && *n == 0) s = hg_fail(e, HG_E_ARG, "it holds no example");
    if (s != HG_OK) {
        hg_writer_abort(w);
        return s;
    }
    HG_TRY(hg_writer_commit(w, e));
    return read_through(path, method, e);
}

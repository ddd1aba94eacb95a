/* Renders templates for the tests that hold them against other interpreters: each line of stdin is
 * {"template": text, "values": {...}, "time": seconds?}, each line of stdout {"text": text, "data":
 * the text with a dot for every byte that the template wrote, "learned": ... that no generation
 * block wrote} or {"error": sentence}. */
#include "jinja/jinja.h"
#include "text/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_masked(hg_json_out *o, const char *key, const hg_jinja_text *t, uint8_t bit)
{
    hg_buf b = {0};
    for (size_t i = 0; i < t->text.n; i++)
        hg_buf_putc(&b, (t->mark[i] & bit) != 0 ? t->text.p[i] : '.');
    hg_json_bytes(o, key, (hg_bytes){b.p, b.n});
    hg_buf_free(&b);
}

static hg_status render(const json_t *in, jrun **r, hg_jinja **t, hg_jinja_text *out, hg_err *e)
{
    hg_bytes source = {0};
    json_t *values = NULL;
    HG_TRY(hg_json_get_text(in, "template", &source, e));
    HG_TRY(hg_json_get_object(in, "values", &values, e));
    HG_TRY(hg_jinja_parse(t, source, e));
    HG_TRY(hg_jinja_run_new(r, *t, NULL, e));
    const char *name;
    json_t *value;
    json_object_foreach(values, name, value)
        hg_jinja_set(*r, name, hg_jv_from_json(*r, value, JV_DATA));
    if (json_object_get(in, "time") != NULL)
        hg_jinja_set_time(*r, json_integer_value(json_object_get(in, "time")));
    return hg_jinja_render(*r, out, e);
}

static void answer(hg_bytes line)
{
    hg_err e = {0};
    hg_buf b = {0};
    hg_json_out o;
    json_t *in = NULL;
    jrun *r = NULL;
    hg_jinja *t = NULL;
    hg_jinja_text out = {{"", 0}, NULL};
    hg_status s = hg_json_parse(&in, line, (size_t)64 << 20, &e);
    if (s == HG_OK) s = render(in, &r, &t, &out, &e);
    hg_json_out_init(&o, &b, 0);
    hg_json_begin(&o, NULL, '{');
    if (s == HG_OK) {
        hg_json_bytes(&o, "text", out.text);
        put_masked(&o, "data", &out, JV_SOURCE);
        put_masked(&o, "learned", &out, JV_GENERATED);
    } else {
        hg_json_text(&o, "error", e.msg);
    }
    hg_json_end(&o);
    (void)printf("%.*s\n", (int)b.n, b.p);
    hg_buf_free(&b);
    hg_jinja_run_free(r);
    hg_jinja_free(t);
    json_decref(in);
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) answer((hg_bytes){line, (size_t)n});
    free(line);
    return 0;
}

/* What all protocols say alike: problems in a protocol's own form, bodies of JSON, that a model is
 * missing, names out of paths. */
#include "serve/server.h"
#include "base/hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

uint64_t hg_owner_key(const char *owner)
{
    return hg_hash64(owner, strlen(owner), 0);
}

bool hg_refuse(hg_problem *p, int status, const char *code, const char *param, const char *fmt, ...)
{
    va_list args;

    memset(p, 0, sizeof *p);
    p->status = status;
    p->code = code;
    if (param != NULL) (void)snprintf(p->param, sizeof p->param, "%s", param);
    va_start(args, fmt);
    (void)vsnprintf(p->msg, sizeof p->msg, fmt, args);
    va_end(args);
    return false;
}

void hg_answer_problem(hg_exchange *x, const hg_protocol *protocol, const hg_problem *p)
{
    hg_buf b = {0};

    protocol->explain(&b, p);
    hg_exchange_note_code(x, p->code);
    if (p->status == 503) hg_exchange_add_header(x, "Retry-After", "1");
    if (p->status == 401) hg_exchange_add_header(x, "WWW-Authenticate", "Bearer");
    hg_exchange_reply(x, p->status,
                      protocol->error_type != NULL ? protocol->error_type : "application/json",
                      (hg_bytes){b.n > 0 ? b.p : "", b.n});
    hg_buf_free(&b);
}

void hg_reply_json(hg_exchange *x, const hg_protocol *protocol, hg_buf *b)
{
    hg_problem p;

    if (b->failed) {
        (void)hg_refuse(&p, 500, NULL, NULL, "no room for the answer");
        hg_answer_problem(x, protocol, &p);
    } else {
        hg_exchange_reply(x, 200, "application/json", (hg_bytes){b->p, b->n});
    }
    hg_buf_free(b);
}

bool hg_no_model(hg_problem *p, const hg_server *s, hg_bytes id)
{
    return hg_refuse(p, 404, "model_not_found", "model",
                     "there is no model \"%.*s\"; this server has %s%s",
                     (int)(id.n < 128 ? id.n : 128), id.p, hg_server_model(s, 0)->id,
                     hg_server_count(s) > 1 ? " and others: GET /v1/models" : "");
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

hg_bytes hg_path_decode(hg_bytes raw, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < raw.n && n < size; i++) {
        int hi = raw.p[i] == '%' && i + 2 < raw.n ? hex_digit(raw.p[i + 1]) : -1;
        int lo = hi >= 0 ? hex_digit(raw.p[i + 2]) : -1;
        if (lo >= 0) i += 2;
        out[n++] = lo >= 0 ? (char)(hi * 16 + lo) : raw.p[i];
    }
    return (hg_bytes){out, n};
}

void hg_put_models(hg_json_out *o, const char *key, const hg_server *s, hg_put_model *put)
{
    hg_json_begin(o, key, '[');
    for (size_t i = 0; i < hg_server_count(s); i++) {
        const hg_card *m = hg_server_model(s, i);
        if (!m->is_unlisted) put(o, m);
    }
    hg_json_end(o);
}

void hg_reply_model(const hg_server *s, hg_exchange *x, hg_bytes raw, const hg_protocol *protocol,
                    hg_put_model *put)
{
    char name[256];
    const hg_bytes id = hg_path_decode(raw, name, sizeof name);
    const hg_card *m = hg_server_find(s, id);
    hg_buf b = {0};
    hg_json_out o;
    hg_problem p;

    if (m == NULL) {
        (void)hg_no_model(&p, s, id);
        hg_answer_problem(x, protocol, &p);
        return;
    }
    hg_json_out_init(&o, &b, 0);
    put(&o, m);
    hg_reply_json(x, protocol, &b);
}

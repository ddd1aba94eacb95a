/* See page.h. */
#include "serve/openai/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool hg_page_read(hg_page *p, const hg_exchange *x, uint32_t limit, bool newest, hg_problem *why)
{
    const char *n = hg_exchange_query(x, "limit"), *order = hg_exchange_query(x, "order");
    char *end = NULL;

    memset(p, 0, sizeof *p);
    p->after = hg_exchange_query(x, "after");
    p->limit = limit;
    p->is_newest_first = newest;
    if (n != NULL) {
        const unsigned long v = strtoul(n, &end, 10);
        if (end == n || *end != 0 || v < 1 || v > 100)
            return hg_refuse(why, 400, "invalid_value", "limit",
                             "limit must be a whole number from 1 to 100");
        p->limit = (uint32_t)v;
    }
    if (order != NULL && strcmp(order, "asc") != 0 && strcmp(order, "desc") != 0)
        return hg_refuse(why, 400, "invalid_value", "order", "order must be asc or desc");
    if (order != NULL) p->is_newest_first = order[0] == 'd';
    hg_json_out_init(&p->out, &p->buf, 0);
    hg_json_begin(&p->out, NULL, '{');
    hg_json_text(&p->out, "object", "list");
    hg_json_begin(&p->out, "data", '[');
    return true;
}

bool hg_page_put(hg_page *p, const char *id, hg_bytes json)
{
    if (p->n == p->limit) {
        p->has_more = true;
        return false;
    }
    if (p->n++ == 0) (void)snprintf(p->first, sizeof p->first, "%s", id);
    (void)snprintf(p->last, sizeof p->last, "%s", id);
    hg_json_raw(&p->out, NULL, json);
    return true;
}

bool hg_page_put_body(hg_page *p, hg_bytes json)
{
    json_t *v = NULL;
    hg_err e;

    if (hg_json_parse(&v, json, json.n, &e) != HG_OK) return true; /* what is broken is left out */
    const char *id = json_string_value(json_object_get(v, "id"));
    const bool ok = id == NULL || hg_page_put(p, id, json);
    json_decref(v);
    return ok;
}

void hg_page_reply(hg_page *p, hg_exchange *x, const hg_protocol *protocol)
{
    hg_json_end(&p->out);
    hg_json_text(&p->out, "first_id", p->n > 0 ? p->first : NULL);
    hg_json_text(&p->out, "last_id", p->n > 0 ? p->last : NULL);
    hg_json_bool(&p->out, "has_more", p->has_more);
    hg_json_end(&p->out);
    hg_reply_json(x, protocol, &p->buf);
}

void hg_page_free(hg_page *p)
{
    hg_buf_free(&p->buf);
}

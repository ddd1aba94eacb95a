/* Requests that the server makes of itself, for work that nobody waits for at a connection: they
 * pass the desks and the handler as those of clients do, so that what a line of a batch gets is
 * what a request would have got. Their answers go to a callback, once. */
#include "http/http_internal.h"

#include <string.h>
#include <unistd.h>

enum { MAX_ANSWER = 256 * 1024 * 1024 };

static bool copy_fields(hg_exchange *x, const char *const *f)
{
    for (; f != NULL && f[0] != NULL && x->n_fields < MAX_FIELDS; f += 2) {
        header *h = &x->fields[x->n_fields++];
        h->name = hg_arena_strndup(&x->mem, f[0], strlen(f[0]));
        h->value = hg_arena_strndup(&x->mem, f[1], strlen(f[1]));
        if (h->name == NULL || h->value == NULL) return false;
    }
    return true;
}

static hg_exchange *make(hg_http *h, const hg_inside *q)
{
    hg_exchange *x = exchange_blank(h, MAX_ANSWER, q->method, q->path);

    if (x == NULL) return NULL;
    x->is_inside = true;
    x->inside = *q;
    x->phase = PHASE_WORKING;
    hg_exchange_set_owner(x, q->owner);
    hg_buf_put(&x->body, q->body.p, q->body.n);
    if (copy_fields(x, q->fields) && !x->body.failed) return x;
    hg_exchange_release(x);
    return NULL;
}

hg_status hg_http_ask(hg_http *h, const hg_inside *q, hg_exchange **out, hg_err *e)
{
    hg_exchange *x = make(h, q);

    if (out != NULL) *out = NULL;
    if (x == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the request");
    if (!http_enter_inside(h, x)) {
        hg_exchange_release(x);
        return hg_fail(e, HG_E_STATE, "the server is shutting down");
    }
    if (out != NULL)
        *out = x;
    else
        hg_exchange_release(x);
    return HG_OK;
}

bool hg_exchange_is_inside(const hg_exchange *x)
{
    return x->is_inside;
}

void hg_exchange_cancel(hg_exchange *x)
{
    exchange_lost(x);
}

/* A reply that lies in a file comes into memory: there is no socket to send it to. */
static bool read_file(hg_exchange *x)
{
    char part[16384];

    while (x->file_n > 0) {
        const size_t most = x->file_n < sizeof part ? (size_t)x->file_n : sizeof part;
        const ssize_t n = pread(x->file, part, most, (off_t)x->file_at);
        if (n <= 0) return false;
        hg_buf_put(&x->out, part, (size_t)n);
        x->file_at += (uint64_t)n;
        x->file_n -= (uint64_t)n;
    }
    return true;
}

void inside_settle(hg_exchange *x)
{
    const hg_inside *q = &x->inside;
    bool is_read = true;

    if (!x->is_inside) return;
    (void)pthread_mutex_lock(&x->lock);
    const bool is_first = !x->settled, is_whole = x->ended;
    x->settled = true;
    if (is_first && is_whole && x->file >= 0) is_read = read_file(x);
    (void)pthread_mutex_unlock(&x->lock);
    if (!is_first) return;
    const hg_bytes body = x->fixed.p != NULL ? x->fixed : (hg_bytes){x->out.p, x->out.n};
    if (!is_whole)
        q->on_done(q->ctx, 0, NULL, (hg_bytes){"", 0});
    else if (!is_read || x->out.failed)
        q->on_done(q->ctx, 500, NULL, (hg_bytes){"", 0});
    else
        q->on_done(q->ctx, x->status, x->type, body.n > 0 ? body : (hg_bytes){"", 0});
    http_leave_inside(x->http, x);
}

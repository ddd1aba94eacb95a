/* Pages in: HTML as it is found, parsed by gumbo under limits. Where it stands: the first step of a
 * web page on its way into a corpus. The idea: gumbo knows how browsers repair broken pages, but it
 * trusts its input: it takes memory without asking, walks the whole stack of open elements for many
 * a tag, and frees its tree by recursion. So it is given an allocator of ours over an arena, which
 * counts, looks at the clock, and leaves by longjmp when a page wants too much; the tree is never
 * freed node by node but with its arena. Nesting is bounded before gumbo sees the page. */
#include "text/html_tree.h"
#include "base/clock.h"
#include <setjmp.h>
#include <string.h>

enum { CHUNK = 256 << 10, KEEP = 8 << 20, LOOK_EVERY = 256 };

typedef struct guard {
    jmp_buf out;
    hg_arena *mem;
    char *at; /* the rest of the chunk that small pieces are cut from */
    size_t left, taken, n_calls;
    double until;
    hg_status why;
} guard;

static void *give_up(guard *g, hg_status why)
{
    g->why = why;
    longjmp(g->out, 1);
}

static void *take(void *ctx, size_t size)
{
    guard *g = ctx;
    size_t n = (size + 15) & ~(size_t)15;
    if (n < size || n > (size_t)HG_HTML_MAX_MEMORY - g->taken) return give_up(g, HG_E_LIMIT);
    if (++g->n_calls % LOOK_EVERY == 0 && hg_cpu_seconds() > g->until)
        return give_up(g, HG_E_LIMIT);
    g->taken += n;
    if (n > g->left) {
        size_t chunk = n > CHUNK / 4 ? n : CHUNK;
        char *p = hg_arena_raw(g->mem, chunk, 1);
        if (p == NULL) return give_up(g, HG_E_NOMEM);
        if (chunk == n) return p;
        g->at = p;
        g->left = chunk;
    }
    void *p = g->at;
    g->at += n;
    g->left -= n;
    return p;
}

static void leave(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

/* Elements that end by themselves where the next begins, and those without content: they do not
 * nest however often they stand unclosed. */
static bool never_nests(GumboTag t)
{
    switch (t) {
    case GUMBO_TAG_P:
    case GUMBO_TAG_LI:
    case GUMBO_TAG_DT:
    case GUMBO_TAG_DD:
    case GUMBO_TAG_TR:
    case GUMBO_TAG_TD:
    case GUMBO_TAG_TH:
    case GUMBO_TAG_TBODY:
    case GUMBO_TAG_THEAD:
    case GUMBO_TAG_TFOOT:
    case GUMBO_TAG_COLGROUP:
    case GUMBO_TAG_OPTION:
    case GUMBO_TAG_OPTGROUP:
    case GUMBO_TAG_A:
    case GUMBO_TAG_HTML:
    case GUMBO_TAG_HEAD:
    case GUMBO_TAG_BODY:
    case GUMBO_TAG_AREA:
    case GUMBO_TAG_BASE:
    case GUMBO_TAG_BASEFONT:
    case GUMBO_TAG_BGSOUND:
    case GUMBO_TAG_BR:
    case GUMBO_TAG_COL:
    case GUMBO_TAG_EMBED:
    case GUMBO_TAG_FRAME:
    case GUMBO_TAG_HR:
    case GUMBO_TAG_IMG:
    case GUMBO_TAG_INPUT:
    case GUMBO_TAG_KEYGEN:
    case GUMBO_TAG_LINK:
    case GUMBO_TAG_META:
    case GUMBO_TAG_PARAM:
    case GUMBO_TAG_SOURCE:
    case GUMBO_TAG_TRACK:
    case GUMBO_TAG_WBR:
        return true;
    default:
        return false;
    }
}

static size_t name_length(const char *p, const char *end)
{
    const char *q = p;
    while (q < end && q - p < 32) {
        char c = (char)(*q | 0x20);
        if (!((c >= 'a' && c <= 'z') || (q > p && *q >= '0' && *q <= '9'))) break;
        q++;
    }
    return (size_t)(q - p);
}

/* Counts what is open and not yet closed, tag by tag, as it stands: a rough look, cheap, that keeps
 * the pages away that are built to be deep. What it misses the clock catches. */
static bool is_too_deep(hg_bytes page)
{
    uint32_t open[GUMBO_TAG_LAST + 1] = {0};
    size_t depth = 0;
    const char *p = page.p, *end = page.p + page.n;
    while ((p = memchr(p, '<', (size_t)(end - p))) != NULL) {
        p++;
        bool closes = p < end && *p == '/';
        if (closes) p++;
        size_t n = name_length(p, end);
        if (n == 0) continue;
        GumboTag t = gumbo_tagn_enum(p, (unsigned)n);
        p += n;
        if (never_nests(t)) continue;
        if (!closes) {
            open[t]++;
            depth++;
        } else if (open[t] > 0) {
            open[t]--;
            depth--;
        }
        if (depth > HG_HTML_MAX_DEPTH) return true;
    }
    return false;
}

/* Apart from its caller because of setjmp: nothing here lives in a register across it. */
static hg_status make_tree(guard *g, hg_bytes page, const GumboOutput **out)
{
    GumboOptions o = kGumboDefaultOptions;
    o.allocator = take;
    o.deallocator = leave;
    o.userdata = g;
    o.max_errors = 0;
    if (setjmp(g->out) != 0) return g->why;
    *out = gumbo_parse_with_options(&o, page.p, page.n);
    return HG_OK;
}

void hg_html_init(hg_html *h)
{
    *h = (hg_html){0};
    hg_arena_init(&h->mem, (size_t)1 << 20);
}

void hg_html_free(hg_html *h)
{
    hg_buf_free(&h->text);
    hg_buf_free(&h->title);
    hg_buf_free(&h->lang);
    hg_buf_free(&h->licence);
    hg_buf_free(&h->date);
    hg_arena_free(&h->mem);
}

static void clear(hg_html *h)
{
    hg_buf_clear(&h->text);
    hg_buf_clear(&h->title);
    hg_buf_clear(&h->lang);
    hg_buf_clear(&h->licence);
    hg_buf_clear(&h->date);
}

hg_status hg_html_read(hg_html *h, hg_bytes page, hg_err *e)
{
    clear(h);
    if (page.n == 0) return HG_OK;
    if (page.n > HG_HTML_MAX_BYTES)
        return hg_fail(e, HG_E_LIMIT, "a page of %zu bytes; at most %d are read", page.n,
                       HG_HTML_MAX_BYTES);
    if (is_too_deep(page))
        return hg_fail(e, HG_E_LIMIT, "a page with elements nested more than %d deep",
                       HG_HTML_MAX_DEPTH);
    guard g = {.mem = &h->mem, .until = hg_cpu_seconds() + HG_HTML_MAX_SECONDS};
    const GumboOutput *tree = NULL;
    hg_status s = make_tree(&g, page, &tree);
    if (s == HG_E_LIMIT)
        s = hg_fail(e, s, "a page that needs more than %d MiB or %d s to read",
                    HG_HTML_MAX_MEMORY >> 20, HG_HTML_MAX_SECONDS);
    else if (s != HG_OK)
        s = hg_fail(e, s, "no room for a page of %zu bytes", page.n);
    else
        s = hg_html_walk(h, tree->document, e);
    if (h->mem.used > KEEP)
        hg_arena_free(&h->mem);
    else
        hg_arena_reset(&h->mem);
    return s;
}

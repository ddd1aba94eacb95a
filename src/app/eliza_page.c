/* A conversation with ELIZA as a page: what was said, and under each reply, folded, each step that
 * led to it. The same piece of a sentence has the same colour in the pattern that it fits, in the
 * list of pieces and in the reassembly. */
#include "app/eliza_inner.h"
#include "base/file.h"
#include "text/page.h"

#include <stdio.h>
#include <string.h>

struct hg_eliza_page {
    hg_buf b;
    bool in_line;
    size_t n_exchanges, n_steps;
};

static const char style[] =
    "<style>\n"
    ".you,.eliza{max-width:38rem;padding:.55rem .95rem;margin:.5rem 0;border-radius:1.1rem}\n"
    ".you{margin-left:auto;width:fit-content;background:var(--c0);color:var(--bg);"
    "border-bottom-right-radius:.25rem}\n"
    ".eliza{width:fit-content;background:var(--card);border:1px solid var(--line);"
    "border-bottom-left-radius:.25rem;font:600 .95rem/1.5 ui-monospace,'Liberation "
    "Mono',Menlo,monospace;letter-spacing:.01em}\n"
    ".eliza:empty::before{content:'(nothing)';font-weight:400;color:var(--soft)}\n"
    "details.think{border:0;background:none;padding:0 0 0 .9rem;margin:0 0 1.4rem}\n"
    "details.think summary{font-weight:400;font-size:.82rem;color:var(--soft);padding:.1rem 0}\n"
    ".steps{display:grid;grid-template-columns:6rem 1fr;margin:.3rem 0 0;padding:.6rem 1rem;"
    "background:var(--card);border:1px solid var(--line);border-radius:.6rem;"
    "font:.86rem/1.75 ui-monospace,'Liberation Mono',Menlo,monospace}\n"
    ".steps dt{color:var(--soft);font-family:system-ui,-apple-system,'Segoe "
    "UI',Roboto,'Liberation Sans',sans-serif;font-size:.82rem;line-height:1.9}\n"
    ".steps dd{margin:0;overflow-wrap:anywhere;white-space:pre-wrap}\n"
    ".steps dt.t{margin-top:.45rem;padding-top:.3rem;border-top:1px solid var(--line)}"
    ".steps dt.t+dd{margin-top:.45rem;padding-top:.3rem;border-top:1px solid var(--line)}\n"
    ".k{background:var(--ink);color:var(--bg);border-radius:.3rem;padding:.06rem .4rem}\n"
    ".g{color:var(--soft);text-decoration:line-through}\n"
    ".m{border-bottom:2px dotted var(--c3);padding-bottom:.05rem}\n"
    ".o{color:var(--soft);font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Liberation "
    "Sans',sans-serif;font-size:.82rem;margin:0 .5rem}\n"
    ".r{font-weight:700}\n"
    ".p{border-radius:.3rem;padding:.06rem .35rem;color:var(--bg);background:var(--q)}\n"
    ".q0{--q:var(--c7)}.q1{--q:var(--c0)}.q2{--q:var(--c1)}.q3{--q:var(--c2)}.q4{--q:var(--c3)}"
    ".q5{--q:var(--c4)}.q6{--q:var(--c5)}.q7{--q:var(--c6)}\n"
    "@media(max-width:34rem){.steps{grid-template-columns:4.6rem 1fr;padding:.5rem .6rem}}\n"
    "</style>\n";

hg_status hg_eliza_page_new(hg_eliza_page **out, const hg_eliza_script *s, const char *name,
                            hg_err *e)
{
    char sub[256];
    hg_eliza_page *p = hg_alloc(1, sizeof *p);
    *out = p;
    if (p == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the page");
    const hg_eliza_size n = hg_eliza_script_size(s);
    (void)snprintf(sub, sizeof sub,
                   "Script %.80s: %zu rules, %zu decompositions, %zu reassemblies. Nothing else "
                   "made these replies.",
                   hg_path_base(name), n.rules, n.decompositions, n.reassemblies);
    hg_page_begin(&p->b, "A conversation with ELIZA", sub);
    hg_buf_puts(&p->b, style);
    const hg_bytes opening = hg_eliza_opening(s);
    if (opening.n > 0) {
        hg_buf_puts(&p->b, "<p class=\"eliza\">");
        hg_page_escape(&p->b, opening);
        hg_buf_puts(&p->b, "</p>\n");
    }
    return HG_OK;
}

static void end_line(hg_eliza_page *p)
{
    if (p->in_line) hg_buf_puts(&p->b, "</dd>\n");
    p->in_line = false;
}

static void begin_line(hg_eliza_page *p, hg_bytes label)
{
    const bool is_turn = label.n == 5 && memcmp(label.p, "takes", 5) == 0;
    end_line(p);
    p->n_steps++;
    p->in_line = true;
    hg_buf_puts(&p->b, is_turn ? "<dt class=\"t\">" : "<dt>");
    hg_page_escape(&p->b, label);
    hg_buf_puts(&p->b, "</dt><dd>");
}

static void put_ink(void *ctx, hg_eliza_ink ink, uint32_t piece, hg_bytes text)
{
    static const char *const class[] = {
        [HG_ELIZA_INK_LABEL] = NULL, [HG_ELIZA_INK_TEXT] = NULL, [HG_ELIZA_INK_WORD] = NULL,
        [HG_ELIZA_INK_KEY] = "k",    [HG_ELIZA_INK_PIECE] = "p", [HG_ELIZA_INK_GONE] = "g",
        [HG_ELIZA_INK_MEMORY] = "m", [HG_ELIZA_INK_NOTE] = "o",  [HG_ELIZA_INK_REPLY] = "r"};
    hg_eliza_page *p = ctx;
    if (ink == HG_ELIZA_INK_LABEL) {
        begin_line(p, text);
        return;
    }
    if (ink == HG_ELIZA_INK_PIECE)
        hg_buf_printf(&p->b, "<span class=\"p q%u\">", piece % 8);
    else if (class[ink] != NULL)
        hg_buf_printf(&p->b, "<span class=\"%s\">", class[ink]);
    hg_page_escape(&p->b, text);
    if (class[ink] != NULL) hg_buf_puts(&p->b, "</span>");
}

void hg_eliza_page_add(hg_eliza_page *p, const hg_eliza *el, hg_bytes input, hg_bytes reply)
{
    hg_buf *b = &p->b;
    hg_buf_puts(b, "<p class=\"you\">");
    hg_page_escape(b, input);
    hg_buf_puts(b, "</p>\n<p class=\"eliza\">");
    hg_page_escape(b, reply);
    hg_buf_printf(b,
                  "</p>\n<details class=\"think\"%s><summary>what it thought</summary><dl "
                  "class=\"steps\">\n",
                  p->n_exchanges < 3 ? " open" : "");
    hg_eliza_tell(el, put_ink, p);
    end_line(p);
    hg_buf_puts(b, "</dl></details>\n");
    p->n_exchanges++;
}

hg_status hg_eliza_page_write(hg_eliza_page *p, const char *path, hg_err *e)
{
    hg_page_end(&p->b,
                "Made by Higgins " HG_VERSION
                ". ELIZA is by Joseph Weizenbaum (Communications of the ACM, January 1966).");
    hg_status s = hg_buf_status(&p->b, e);
    if (s == HG_OK) s = hg_file_write(path, p->b.p, p->b.n, e);
    return s;
}

void hg_eliza_page_free(hg_eliza_page *p)
{
    if (p == NULL) return;
    hg_buf_free(&p->b);
    hg_free(p);
}

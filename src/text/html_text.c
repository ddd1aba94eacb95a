/* From a page's tree to its text. The walk is a loop over a stack of its own, so that no page can
 * exhaust ours. Text is gathered block by block (a heading, a paragraph, a list item, a table row);
 * for each block the share of its characters that stand inside links is known when it ends, and
 * blocks that are mostly links are navigation, whatever the markup calls them (after Kohlschuetter
 * et al. 2010, "Boilerplate Detection using Shallow Text Features"). */
#include "text/html_tree.h"
#include "text/utf8.h"
#include <string.h>
#include <strings.h>

enum { STATED = 300 }; /* bytes of a title, licence ... that are kept */
#define MOST_LINKS 0.6

typedef enum block_kind { NOTHING, PARAGRAPH, HEADING, ITEM, ROW, CODE } block_kind;

typedef struct frame {
    const GumboNode *node;
    unsigned next_child;
    bool mutes; /* it and what is in it is not text; what it states is still heard */
} frame;

typedef struct walker {
    hg_html *h;
    frame *stack;
    size_t depth, cap;
    hg_buf block;
    block_kind kind, last; /* of the block being gathered, and of the last one written */
    size_t n_chars, n_link_chars;
    int in_link, in_pre, in_article, in_row, muted;
    bool space; /* white space is due before the next word */
} walker;

static const char *attribute(const GumboNode *node, const char *name)
{
    const GumboAttribute *a = gumbo_get_attribute(&node->v.element.attributes, name);
    return a == NULL ? NULL : a->value;
}

/* Whether `word` is one of the words of a class, rel or role attribute. */
static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    while (words != NULL && *words != '\0') {
        size_t len = strcspn(words, " \t\n\r\f");
        if (len == n && strncasecmp(words, word, n) == 0) return true;
        words += len;
        words += strspn(words, " \t\n\r\f");
    }
    return false;
}

static void state(hg_buf *out, const char *value)
{
    if (value == NULL || out->n > 0) return;
    bool space = false;
    for (; *value != '\0' && out->n < STATED; value++) {
        bool is_space = (unsigned char)*value <= ' ';
        if (!is_space) {
            if (space && out->n > 0) hg_buf_putc(out, ' ');
            hg_buf_putc(out, *value);
        }
        space = is_space;
    }
    if (out->p != NULL) {
        out->n -= hg_utf8_cut((hg_bytes){out->p, out->n});
        out->p[out->n] = '\0';
    }
}

/* ---- blocks ---- */

static void trim(hg_buf *b)
{
    while (b->n > 0 && (unsigned char)b->p[b->n - 1] <= ' ') b->n--;
    if (b->p != NULL) b->p[b->n] = '\0';
}

static bool is_navigation(const walker *w)
{
    return w->kind != HEADING && w->kind != CODE &&
           (double)w->n_link_chars > MOST_LINKS * (double)w->n_chars;
}

static void end_block(walker *w, block_kind next)
{
    hg_buf *out = &w->h->text;
    trim(&w->block);
    if (w->block.n > 0 && !is_navigation(w)) {
        bool close = w->kind == w->last && (w->kind == ITEM || w->kind == ROW);
        if (out->n > 0) hg_buf_puts(out, close ? "\n" : "\n\n");
        if (w->kind == ITEM) hg_buf_puts(out, "- ");
        if (w->kind == HEADING) state(&w->h->title, w->block.p); /* unless the page has a title */
        hg_buf_put(out, w->block.p, w->block.n);
        w->last = w->kind;
    }
    hg_buf_clear(&w->block);
    w->n_chars = w->n_link_chars = 0;
    w->space = false;
    w->kind = next;
}

static void add_text(walker *w, const char *s)
{
    for (; *s != '\0'; s++) {
        bool is_space = *s == ' ' || (*s >= '\t' && *s <= '\r');
        if (w->in_pre > 0) {
            hg_buf_putc(&w->block, *s);
        } else if (is_space) {
            w->space = true;
            continue;
        } else {
            if (w->space && w->block.n > 0 && w->block.p[w->block.n - 1] != '\n')
                hg_buf_putc(&w->block, ' ');
            w->space = false;
            hg_buf_putc(&w->block, *s);
        }
        if (is_space) continue;
        w->n_chars++;
        if (w->in_link > 0) w->n_link_chars++;
    }
}

/* ---- what a node means ---- */

/* Words of class and id that many generators of documentation give to what is not the text. */
static bool is_named_away(const GumboNode *node)
{
    static const char *const word[] = {
        "nav",       "docnav",        "navbar",      "navigation", "navheader",      "navfooter",
        "sidebar",   "breadcrumb",    "breadcrumbs", "footer",     "site-header",    "site-footer",
        "menu",      "sphinxsidebar", "related",     "headerlink", "mw-editsection", "toc",
        "skip-link", "cookie-banner", "noprint"};
    const char *class = attribute(node, "class"), *id = attribute(node, "id");
    if (class == NULL && id == NULL) return false;
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (has_word(class, word[i]) || has_word(id, word[i])) return true;
    return false;
}

static bool is_hidden(const GumboNode *node)
{
    static const char *const role[] = {"navigation", "banner",        "contentinfo",
                                       "search",     "complementary", "menu"};
    const char *said = attribute(node, "role"), *style = attribute(node, "style");
    for (size_t i = 0; said != NULL && i < sizeof role / sizeof *role; i++)
        if (has_word(said, role[i])) return true;
    if (attribute(node, "hidden") != NULL || has_word(attribute(node, "aria-hidden"), "true"))
        return true;
    return style != NULL &&
           (strstr(style, "display:none") != NULL || strstr(style, "display: none") != NULL);
}

static bool is_left_out(const walker *w, const GumboNode *node)
{
    switch (node->v.element.tag) {
    case GUMBO_TAG_SCRIPT:
    case GUMBO_TAG_STYLE:
    case GUMBO_TAG_NOSCRIPT:
    case GUMBO_TAG_TEMPLATE:
    case GUMBO_TAG_NAV:
    case GUMBO_TAG_FOOTER:
    case GUMBO_TAG_ASIDE:
    case GUMBO_TAG_FORM:
    case GUMBO_TAG_BUTTON:
    case GUMBO_TAG_SELECT:
    case GUMBO_TAG_TEXTAREA:
    case GUMBO_TAG_IFRAME:
    case GUMBO_TAG_OBJECT:
    case GUMBO_TAG_SVG:
    case GUMBO_TAG_CANVAS:
    case GUMBO_TAG_AUDIO:
    case GUMBO_TAG_VIDEO:
    case GUMBO_TAG_RP:
    case GUMBO_TAG_RT:
        return true;
    case GUMBO_TAG_HEADER:
        return w->in_article == 0; /* an article's header holds its title */
    case GUMBO_TAG_HTML:
    case GUMBO_TAG_BODY:
    case GUMBO_TAG_HEAD:
        return false; /* a class on these describes the page, not a part */
    default:
        return is_hidden(node) || is_named_away(node);
    }
}

static block_kind kind_of(const walker *w, GumboTag tag)
{
    switch (tag) {
    case GUMBO_TAG_H1:
    case GUMBO_TAG_H2:
    case GUMBO_TAG_H3:
    case GUMBO_TAG_H4:
    case GUMBO_TAG_H5:
    case GUMBO_TAG_H6:
        return HEADING;
    case GUMBO_TAG_LI:
        return ITEM;
    case GUMBO_TAG_TR:
        return ROW;
    case GUMBO_TAG_PRE:
    case GUMBO_TAG_LISTING:
    case GUMBO_TAG_XMP:
        return CODE;
    case GUMBO_TAG_P:
    case GUMBO_TAG_DIV:
    case GUMBO_TAG_CENTER:
        /* <td><p>, <li><p>: the cell or the item is the block. */
        if (w->in_row > 0) return NOTHING;
        if (w->kind == ITEM && w->block.n == 0) return NOTHING;
        return PARAGRAPH;
    case GUMBO_TAG_BODY:
    case GUMBO_TAG_SECTION:
    case GUMBO_TAG_ARTICLE:
    case GUMBO_TAG_MAIN:
    case GUMBO_TAG_HEADER:
    case GUMBO_TAG_BLOCKQUOTE:
    case GUMBO_TAG_ADDRESS:
    case GUMBO_TAG_UL:
    case GUMBO_TAG_OL:
    case GUMBO_TAG_DL:
    case GUMBO_TAG_DT:
    case GUMBO_TAG_DD:
    case GUMBO_TAG_TABLE:
    case GUMBO_TAG_CAPTION:
    case GUMBO_TAG_FIGURE:
    case GUMBO_TAG_FIGCAPTION:
    case GUMBO_TAG_DETAILS:
    case GUMBO_TAG_SUMMARY:
    case GUMBO_TAG_FIELDSET:
    case GUMBO_TAG_HR:
        return w->in_row > 0 && tag != GUMBO_TAG_TABLE ? NOTHING : PARAGRAPH;
    default:
        return NOTHING;
    }
}

/* ---- the head of the page ---- */

static const char *first_text(const GumboNode *node)
{
    if (node->v.element.children.length == 0) return NULL;
    const GumboNode *t = node->v.element.children.data[0];
    return t->type == GUMBO_NODE_TEXT ? t->v.text.text : NULL;
}

static void read_meta(walker *w, const GumboNode *node)
{
    static const char *const licence[] = {"dc.rights",    "dcterms.rights", "dcterms.license",
                                          "dc.license",   "license",        "licence",
                                          "dc.rights.uri"};
    static const char *const date[] = {"date", "dc.date", "dcterms.date", "article:published_time",
                                       "dcterms.modified"};
    const char *name = attribute(node, "name"), *content = attribute(node, "content");
    if (name == NULL) name = attribute(node, "property");
    if (name == NULL || content == NULL) return;
    for (size_t i = 0; i < sizeof licence / sizeof *licence; i++)
        if (strcasecmp(name, licence[i]) == 0) state(&w->h->licence, content);
    for (size_t i = 0; i < sizeof date / sizeof *date; i++)
        if (strcasecmp(name, date[i]) == 0) state(&w->h->date, content);
}

static void read_stated(walker *w, const GumboNode *node)
{
    switch (node->v.element.tag) {
    case GUMBO_TAG_HTML:
    case GUMBO_TAG_BODY:
    case GUMBO_TAG_DIV:
        /* Around a part of the text it would say nothing about the whole. */
        if (w->h->text.n > 0 || w->block.n > 0) break;
        state(&w->h->lang, attribute(node, "lang"));
        state(&w->h->lang, attribute(node, "xml:lang"));
        break;
    case GUMBO_TAG_TITLE:
        state(&w->h->title, first_text(node));
        break;
    case GUMBO_TAG_META:
        read_meta(w, node);
        break;
    case GUMBO_TAG_LINK:
    case GUMBO_TAG_A:
        if (has_word(attribute(node, "rel"), "license"))
            state(&w->h->licence, attribute(node, "href"));
        break;
    default:
        break;
    }
}

/* ---- the walk ---- */

static void count(walker *w, const GumboNode *node, int by)
{
    switch (node->v.element.tag) {
    case GUMBO_TAG_A:
        w->in_link += attribute(node, "href") != NULL ? by : 0;
        break;
    case GUMBO_TAG_PRE:
    case GUMBO_TAG_LISTING:
    case GUMBO_TAG_XMP:
        w->in_pre += by;
        break;
    case GUMBO_TAG_ARTICLE:
    case GUMBO_TAG_MAIN:
        w->in_article += by;
        break;
    case GUMBO_TAG_TR:
        w->in_row += by;
        break;
    default:
        break;
    }
}

static void enter_element(walker *w, const GumboNode *node)
{
    GumboTag tag = node->v.element.tag;
    block_kind kind = kind_of(w, tag);
    if (kind != NOTHING) end_block(w, kind);
    if ((tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH) && w->block.n > 0) {
        trim(&w->block);
        hg_buf_puts(&w->block, " | ");
        w->space = false;
    }
    if (tag == GUMBO_TAG_BR) hg_buf_putc(&w->block, w->in_row > 0 ? ' ' : '\n');
    count(w, node, 1);
}

static hg_status enter(walker *w, const GumboNode *node, hg_err *e)
{
    bool mutes = false;
    if (node->type == GUMBO_NODE_ELEMENT) {
        read_stated(w, node);
        mutes = w->muted > 0 || node->v.element.tag == GUMBO_TAG_TITLE || is_left_out(w, node);
        if (!mutes) enter_element(w, node);
        w->muted += mutes;
    } else if (node->type != GUMBO_NODE_DOCUMENT) {
        bool is_text = node->type == GUMBO_NODE_TEXT || node->type == GUMBO_NODE_WHITESPACE ||
                       node->type == GUMBO_NODE_CDATA;
        if (is_text && w->muted == 0) add_text(w, node->v.text.text);
        return HG_OK;
    }
    HG_TRY(hg_grow(&w->stack, &w->cap, w->depth, sizeof *w->stack, e));
    w->stack[w->depth++] = (frame){node, 0, mutes};
    return HG_OK;
}

static void leave(walker *w, const frame *f)
{
    if (f->mutes) {
        w->muted--;
    } else if (f->node->type == GUMBO_NODE_ELEMENT) {
        count(w, f->node, -1);
        if (kind_of(w, f->node->v.element.tag) != NOTHING) end_block(w, PARAGRAPH);
    }
}

/* Gumbo keeps the children of a document and of an element in different places. */
static const GumboVector *children(const GumboNode *node)
{
    return node->type == GUMBO_NODE_DOCUMENT ? &node->v.document.children
                                             : &node->v.element.children;
}

hg_status hg_html_walk(hg_html *h, const GumboNode *root, hg_err *e)
{
    walker w = {.h = h, .kind = PARAGRAPH};
    hg_status s = enter(&w, root, e);
    while (w.depth > 0 && s == HG_OK) {
        frame *top = &w.stack[w.depth - 1];
        const GumboVector *v = children(top->node);
        if (top->next_child < v->length) {
            s = enter(&w, v->data[top->next_child++], e);
        } else {
            w.depth--;
            leave(&w, top);
        }
    }
    end_block(&w, PARAGRAPH);
    if (s == HG_OK && (w.block.failed || h->title.failed || h->licence.failed || h->lang.failed))
        s = hg_fail(e, HG_E_NOMEM, "no room for the text of a page");
    if (s == HG_OK) s = hg_buf_status(&h->text, e);
    hg_free(w.stack);
    hg_buf_free(&w.block);
    return s;
}

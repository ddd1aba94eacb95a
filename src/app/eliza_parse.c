/* From a script's text to its tables. The form is that of the paper's appendix: the opening words,
 * then rules, each a list; docs/eliza.md shows it. What is wrong is told in the sentences of
 * Anthony Hay's reconstruction, with the line at which the reading stood; which rule it was and
 * what would be right go beside it. */
#include "app/eliza_read.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY_FORM                       \
    "; expected form is (MEMORY keyword " \
    "(decomp1=reassm1)(decomp2=reassm2)(decomp3=reassm3)(decomp4=reassm4))"
static const char memory_remedy[] =
    "a MEMORY rule has a keyword and exactly four forms, and no lists within";
static const char open_remedy[] = "begin the list with (";
static const char close_remedy[] = "close every ( with one )";

typedef struct reference {
    size_t line;
    uint32_t symbol;
    int32_t keyword; /* of the rule that refers */
} reference;

typedef struct tag_pair {
    uint32_t tag, keyword;
} tag_pair;

typedef struct parser {
    eliza_reader r;
    hg_eliza_script *s;
    reference *refs;
    tag_pair *pairs;
    size_t n_refs, cap_refs, n_pairs, cap_pairs;
} parser;

static hg_status flawed(parser *p, const char *remedy, hg_err *e, const char *what)
{
    return eliza_flawed(&p->r, p->r.line, remedy, e, "%s", what);
}

static hg_status expect(parser *p, token_kind kind, const char *what, const char *remedy, hg_err *e)
{
    eliza_token t;
    HG_TRY(eliza_next(&p->r, &t, e));
    return t.kind == kind ? HG_OK : flawed(p, remedy, e, what);
}

/* ---- items ---- */
static hg_status add_item(parser *p, eliza_range *to, eliza_item_kind kind, uint32_t n, hg_err *e)
{
    hg_eliza_script *s = p->s;
    HG_TRY(hg_grow(&s->item, &s->cap_items, s->n_items, sizeof *s->item, e));
    s->item[s->n_items++] = (eliza_item){kind, n};
    to->n++;
    return HG_OK;
}

static hg_status add_list_id(parser *p, eliza_range *list, uint32_t id, hg_err *e)
{
    hg_eliza_script *s = p->s;
    HG_TRY(hg_grow(&s->list_id, &s->cap_list_ids, s->n_list_ids, sizeof *s->list_id, e));
    s->list_id[s->n_list_ids++] = id;
    list->n++;
    return HG_OK;
}

/* The tag of a name; made when it is new. */
static hg_status find_tag(parser *p, uint32_t name, uint32_t *out, hg_err *e)
{
    hg_eliza_script *s = p->s;
    if (s->symbol[name].tag < 0) {
        HG_TRY(hg_grow(&s->tag, &s->cap_tags, s->n_tags, sizeof *s->tag, e));
        s->tag[s->n_tags] = (eliza_tag){name, {0, 0}};
        s->symbol[name].tag = (int32_t)s->n_tags++;
    }
    *out = (uint32_t)s->symbol[name].tag;
    return HG_OK;
}

/* The symbol without its first letter; *any is false when nothing is left. */
static hg_status without_first(parser *p, uint32_t symbol, uint32_t *out, bool *any, hg_err *e)
{
    const hg_bytes t = eliza_symbol_text(p->s, symbol);
    hg_buf *b = &p->r.letters;
    *any = t.n > 1;
    if (!*any) return HG_OK;
    hg_buf_clear(b);
    hg_buf_put(b, t.p + 1, t.n - 1);
    HG_TRY(hg_buf_status(b, e));
    return eliza_add_symbol(p->s, b->p, b->n, out, e);
}

/* A list within a pattern: (*A B), (* A B), (/TAG), (/ TAG). Its ( has been read. */
static hg_status read_choice(parser *p, eliza_range *to, hg_err *e)
{
    hg_eliza_script *s = p->s;
    eliza_range list = {(uint32_t)s->n_list_ids, 0};
    eliza_item_kind kind = ITEM_NEVER;
    bool is_first = true;
    for (eliza_token t;; is_first = false) {
        HG_TRY(eliza_next(&p->r, &t, e));
        if (t.kind == TOKEN_CLOSE) break;
        if (t.kind != TOKEN_SYMBOL)
            return flawed(p, "a list within a pattern holds words: (*SAD UNHAPPY) or (/FAMILY)", e,
                          "expected symbol");
        bool any = true;
        if (is_first) {
            const char c = eliza_symbol_text(s, t.n).p[0];
            kind = c == '*' ? ITEM_ONE_OF : c == '/' ? ITEM_TAGGED : ITEM_NEVER;
            if (kind != ITEM_NEVER) HG_TRY(without_first(p, t.n, &t.n, &any, e));
        }
        if (any && kind == ITEM_TAGGED) HG_TRY(find_tag(p, t.n, &t.n, e));
        if (any && kind != ITEM_NEVER) HG_TRY(add_list_id(p, &list, t.n, e));
    }
    if (kind == ITEM_NEVER) return add_item(p, to, kind, SYM_NONE, e);
    HG_TRY(hg_grow(&s->list, &s->cap_lists, s->n_lists, sizeof *s->list, e));
    s->list[s->n_lists] = list;
    return add_item(p, to, kind, (uint32_t)s->n_lists++, e);
}

/* A list within a text stays as it is written: one word with its brackets. */
static hg_status read_quoted(parser *p, eliza_range *to, hg_err *e)
{
    hg_buf b = {0};
    hg_status st = HG_OK;
    uint32_t symbol = 0;
    hg_buf_putc(&b, '(');
    for (eliza_token t; st == HG_OK;) {
        st = eliza_next(&p->r, &t, e);
        if (st != HG_OK || t.kind == TOKEN_CLOSE) break;
        if (t.kind != TOKEN_SYMBOL) {
            st = flawed(p, "a list within a reply holds words only", e, "expected symbol");
        } else {
            const hg_bytes word = eliza_symbol_text(p->s, t.n);
            if (b.n > 1) hg_buf_putc(&b, ' ');
            hg_buf_put(&b, word.p, word.n);
        }
    }
    hg_buf_putc(&b, ')');
    if (st == HG_OK) st = hg_buf_status(&b, e);
    if (st == HG_OK) st = eliza_add_symbol(p->s, b.p, b.n, &symbol, e);
    hg_buf_free(&b);
    return st == HG_OK ? add_item(p, to, ITEM_WORD, symbol, e) : st;
}

/* The items of a list to its end; its ( has been read. */
static hg_status read_items(parser *p, bool is_pattern, eliza_range *out, hg_err *e)
{
    *out = (eliza_range){(uint32_t)p->s->n_items, 0};
    for (eliza_token t;;) {
        HG_TRY(eliza_next(&p->r, &t, e));
        switch (t.kind) {
        case TOKEN_CLOSE:
            return HG_OK;
        case TOKEN_NUMBER:
            HG_TRY(add_item(p, out, ITEM_NUMBER, t.n, e));
            break;
        case TOKEN_SYMBOL:
            HG_TRY(add_item(p, out, ITEM_WORD, t.n, e));
            break;
        case TOKEN_OPEN:
            HG_TRY(is_pattern ? read_choice(p, out, e) : read_quoted(p, out, e));
            break;
        case TOKEN_END:
            return flawed(p, close_remedy, e, "expected ')'");
        }
    }
}

static hg_status read_list(parser *p, bool is_pattern, eliza_range *out, hg_err *e)
{
    HG_TRY(expect(p, TOKEN_OPEN, "expected '('", open_remedy, e));
    return read_items(p, is_pattern, out, e);
}

/* Numbers of a reassembly are those of the pattern's items. */
static hg_status check_indexes(parser *p, eliza_range pattern, eliza_range items, hg_err *e)
{
    for (uint32_t i = 0; i < items.n; i++) {
        const eliza_item *it = &p->s->item[items.first + i];
        if (it->kind == ITEM_NUMBER && (it->n == 0 || it->n > pattern.n))
            return eliza_flawed(&p->r, p->r.line,
                                "a number in a reply names an item of its pattern, the first is 1",
                                e, "reassembly index '%u' out of range [1..%u]", it->n, pattern.n);
    }
    if (pattern.n > p->s->longest) p->s->longest = pattern.n;
    return HG_OK;
}

/* ---- transformations ---- */
static hg_status refer(parser *p, uint32_t symbol, hg_err *e)
{
    HG_TRY(hg_grow(&p->refs, &p->cap_refs, p->n_refs, sizeof *p->refs, e));
    p->refs[p->n_refs++] = (reference){p->r.line, symbol, p->r.keyword};
    return HG_OK;
}

static bool is_word(const parser *p, eliza_range items, uint32_t i, uint32_t symbol)
{
    if (i >= items.n) return false;
    const eliza_item *it = &p->s->item[items.first + i];
    return it->kind == ITEM_WORD && it->n == symbol;
}

/* Whether the items are "= WORD"; gives WORD. */
static bool is_reference(const parser *p, eliza_range items, uint32_t *symbol)
{
    if (items.n != 2 || !is_word(p, items, 0, SYM_EQUALS) ||
        p->s->item[items.first + 1].kind != ITEM_WORD)
        return false;
    *symbol = p->s->item[items.first + 1].n;
    return true;
}

/* (PRE (items) (=REF)); PRE has been read. */
static hg_status read_pre(parser *p, eliza_range pattern, eliza_reassembly *out, hg_err *e)
{
    eliza_range ref;
    out->action = ACT_PRE;
    HG_TRY(read_list(p, false, &out->items, e));
    HG_TRY(read_list(p, false, &ref, e));
    if (!is_reference(p, ref, &out->link))
        return flawed(p, "write (PRE (new words) (=KEYWORD))", e,
                      "expected '(=reference)' in PRE rule");
    HG_TRY(refer(p, out->link, e));
    HG_TRY(expect(p, TOKEN_CLOSE, "expected ')'", close_remedy, e));
    return check_indexes(p, pattern, out->items, e);
}

static hg_status read_reassembly(parser *p, eliza_range pattern, eliza_reassembly *out, hg_err *e)
{
    eliza_token t;
    *out = (eliza_reassembly){.action = ACT_SAY};
    HG_TRY(expect(p, TOKEN_OPEN, "expected '('", "a pattern is followed by its replies, each in ()",
                  e));
    HG_TRY(eliza_peek(&p->r, &t, e));
    if (eliza_is(&t, SYM_PRE)) {
        HG_TRY(eliza_next(&p->r, &t, e));
        return read_pre(p, pattern, out, e);
    }
    HG_TRY(read_items(p, false, &out->items, e));
    if (is_word(p, out->items, 0, SYM_EQUALS)) {
        if (!is_reference(p, out->items, &out->link))
            return flawed(p, "a link is (=KEYWORD) and nothing else", e,
                          "expected reference keyword to follow '='");
        out->action = ACT_LINK;
        return refer(p, out->link, e);
    }
    if (out->items.n == 1 && is_word(p, out->items, 0, SYM_NEWKEY)) out->action = ACT_NEWKEY;
    return check_indexes(p, pattern, out->items, e);
}

static hg_status add_reassembly(parser *p, eliza_decomposition *d, hg_err *e)
{
    hg_eliza_script *s = p->s;
    eliza_reassembly a;
    HG_TRY(read_reassembly(p, d->pattern, &a, e));
    HG_TRY(
        hg_grow(&s->reassembly, &s->cap_reassemblies, s->n_reassemblies, sizeof *s->reassembly, e));
    s->reassembly[s->n_reassemblies++] = a;
    d->reassemblies.n++;
    return HG_OK;
}

/* ((pattern) (reassembly)...); the first ( has been read. */
static hg_status read_transformation(parser *p, eliza_rule *rule, hg_err *e)
{
    hg_eliza_script *s = p->s;
    eliza_decomposition d = {.reassemblies.first = (uint32_t)s->n_reassemblies};
    eliza_token t;
    HG_TRY(read_list(p, true, &d.pattern, e));
    if (d.pattern.n == 0)
        return flawed(p, "(0) fits every sentence", e, "decompose pattern cannot be empty");
    do {
        HG_TRY(add_reassembly(p, &d, e));
        HG_TRY(eliza_peek(&p->r, &t, e));
    } while (t.kind == TOKEN_OPEN);
    HG_TRY(expect(p, TOKEN_CLOSE, "expected ')'", close_remedy, e));
    HG_TRY(hg_grow(&s->decomposition, &s->cap_decompositions, s->n_decompositions,
                   sizeof *s->decomposition, e));
    s->decomposition[s->n_decompositions++] = d;
    rule->decompositions.n++;
    return HG_OK;
}

/* (=REF), the last part of a rule; (= has been read. */
static hg_status read_rule_link(parser *p, eliza_rule *rule, hg_err *e)
{
    eliza_token t;
    HG_TRY(eliza_next(&p->r, &t, e));
    if (t.kind != TOKEN_SYMBOL)
        return flawed(p, "a link is (=KEYWORD)", e, "expected equivalence class name");
    rule->link = (int32_t)t.n;
    HG_TRY(refer(p, t.n, e));
    HG_TRY(expect(p, TOKEN_CLOSE, "expected ')'", "a link is (=KEYWORD) and nothing else", e));
    HG_TRY(eliza_peek(&p->r, &t, e));
    return t.kind == TOKEN_CLOSE ? HG_OK
                                 : flawed(p, "a rule's link is its last part", e, "expected ')'");
}

static hg_status read_tags(parser *p, uint32_t keyword, hg_err *e)
{
    eliza_range names;
    HG_TRY(read_list(p, false, &names, e));
    for (uint32_t i = 0; i < names.n; i++) {
        const eliza_item it = p->s->item[names.first + i];
        uint32_t name = it.n;
        bool any = it.kind == ITEM_WORD;
        if (any && eliza_symbol_text(p->s, name).p[0] == '/')
            HG_TRY(without_first(p, name, &name, &any, e));
        if (!any) continue;
        HG_TRY(find_tag(p, name, &name, e));
        HG_TRY(hg_grow(&p->pairs, &p->cap_pairs, p->n_pairs, sizeof *p->pairs, e));
        p->pairs[p->n_pairs++] = (tag_pair){name, keyword};
    }
    return HG_OK;
}

/* ---- rules ---- */
static hg_status read_substitute(parser *p, eliza_rule *rule, hg_err *e)
{
    eliza_token t;
    HG_TRY(eliza_next(&p->r, &t, e));
    if (t.kind != TOKEN_SYMBOL)
        return flawed(p, "write (KEYWORD = WORD ...)", e, "expected keyword");
    rule->substitute = (int32_t)t.n;
    return HG_OK;
}

static hg_status read_list_part(parser *p, eliza_rule *rule, hg_err *e)
{
    eliza_token t;
    HG_TRY(eliza_peek(&p->r, &t, e));
    if (!eliza_is(&t, SYM_EQUALS)) return read_transformation(p, rule, e);
    HG_TRY(eliza_next(&p->r, &t, e));
    return read_rule_link(p, rule, e);
}

static hg_status read_parts(parser *p, eliza_rule *rule, hg_err *e)
{
    for (eliza_token t;;) {
        HG_TRY(eliza_next(&p->r, &t, e));
        if (t.kind == TOKEN_CLOSE) {
            rule->source.n = (uint32_t)t.end - rule->source.first;
            return HG_OK;
        }
        if (eliza_is(&t, SYM_EQUALS))
            HG_TRY(read_substitute(p, rule, e));
        else if (t.kind == TOKEN_NUMBER)
            rule->rank = t.n;
        else if (eliza_is(&t, SYM_DLIST))
            HG_TRY(read_tags(p, rule->keyword, e));
        else if (t.kind == TOKEN_OPEN)
            HG_TRY(read_list_part(p, rule, e));
        else
            return flawed(p,
                          "a rule is (KEYWORD = WORD RANK DLIST(/TAG) ((pattern) (reply)...) "
                          "(=LINK)), with one ) at its end",
                          e, "malformed rule");
    }
}

static hg_status read_keyword_rule(parser *p, size_t begin, hg_err *e)
{
    hg_eliza_script *s = p->s;
    eliza_token t;
    HG_TRY(eliza_next(&p->r, &t, e));
    const bool is_none = t.n == SYM_NONE;
    const hg_bytes name = eliza_symbol_text(s, t.n);
    const int shown = name.n < 100 ? (int)name.n : 100;
    eliza_rule rule = {.keyword = t.n,
                       .substitute = -1,
                       .link = -1,
                       .decompositions.first = (uint32_t)s->n_decompositions,
                       .source.first = (uint32_t)begin};
    p->r.keyword = (int32_t)t.n;
    if (is_none ? s->none >= 0 : s->symbol[t.n].rule >= 0)
        return eliza_flawed(&p->r, p->r.line, "join the two rules into one", e,
                            "keyword rule already specified for keyword '%.*s'", shown, name.p);
    HG_TRY(eliza_peek(&p->r, &t, e));
    if (t.kind == TOKEN_CLOSE)
        return eliza_flawed(&p->r, p->r.line,
                            "give the rule a replacement, a pattern with replies, or a link", e,
                            "keyword '%.*s' has no associated body", shown, name.p);
    HG_TRY(read_parts(p, &rule, e));
    HG_TRY(hg_grow(&s->rule, &s->cap_rules, s->n_rules, sizeof *s->rule, e));
    if (is_none)
        s->none = (int32_t)s->n_rules;
    else
        s->symbol[rule.keyword].rule = (int32_t)s->n_rules;
    s->rule[s->n_rules++] = rule;
    return HG_OK;
}

/* One side of a form of MEMORY: items up to = or to ). *n_read counts what stood there. */
static hg_status read_form_side(parser *p, bool is_pattern, eliza_range *out, eliza_token *end,
                                hg_err *e)
{
    *out = (eliza_range){(uint32_t)p->s->n_items, 0};
    for (;;) {
        HG_TRY(eliza_next(&p->r, end, e));
        if (end->kind != TOKEN_NUMBER && end->kind != TOKEN_SYMBOL) return HG_OK;
        if (is_pattern && eliza_is(end, SYM_EQUALS)) return HG_OK;
        HG_TRY(add_item(p, out, end->kind == TOKEN_NUMBER ? ITEM_NUMBER : ITEM_WORD, end->n, e));
    }
}

/* (pattern = reassembly) */
static hg_status read_form(parser *p, eliza_decomposition *d, hg_err *e)
{
    static const char sides[] = "expected 'decompose_terms = reassemble_terms'" MEMORY_FORM;
    hg_eliza_script *s = p->s;
    eliza_reassembly a = {.action = ACT_SAY};
    eliza_token t;
    HG_TRY(expect(p, TOKEN_OPEN, "expected '('" MEMORY_FORM, memory_remedy, e));
    HG_TRY(read_form_side(p, true, &d->pattern, &t, e));
    if (d->pattern.n == 0) return flawed(p, memory_remedy, e, sides);
    if (!eliza_is(&t, SYM_EQUALS)) return flawed(p, memory_remedy, e, "expected '='" MEMORY_FORM);
    HG_TRY(read_form_side(p, false, &a.items, &t, e));
    if (a.items.n == 0) return flawed(p, memory_remedy, e, sides);
    if (t.kind != TOKEN_CLOSE) return flawed(p, memory_remedy, e, "expected ')'" MEMORY_FORM);
    HG_TRY(check_indexes(p, d->pattern, a.items, e));
    HG_TRY(
        hg_grow(&s->reassembly, &s->cap_reassemblies, s->n_reassemblies, sizeof *s->reassembly, e));
    d->reassemblies = (eliza_range){(uint32_t)s->n_reassemblies, 1};
    s->reassembly[s->n_reassemblies++] = a;
    return HG_OK;
}

static hg_status read_memory_rule(parser *p, size_t begin, hg_err *e)
{
    hg_eliza_script *s = p->s;
    eliza_token t;
    HG_TRY(eliza_next(&p->r, &t, e));
    p->r.keyword = SYM_MEMORY;
    if (s->memory >= 0)
        return flawed(p, "a script has one MEMORY rule", e, "MEMORY rule already specified");
    HG_TRY(eliza_next(&p->r, &t, e));
    if (t.kind != TOKEN_SYMBOL)
        return flawed(p, memory_remedy, e, "expected keyword to follow MEMORY" MEMORY_FORM);
    s->memory = (int32_t)t.n;
    for (int i = 0; i < N_MEMORY_FORMS; i++) HG_TRY(read_form(p, &s->memory_form[i], e));
    HG_TRY(eliza_next(&p->r, &t, e));
    if (t.kind != TOKEN_CLOSE) return flawed(p, memory_remedy, e, "expected ')'" MEMORY_FORM);
    s->memory_source = (eliza_range){(uint32_t)begin, (uint32_t)(t.end - begin)};
    return HG_OK;
}

/* One rule of any kind; *ended at the end of the script. */
static hg_status read_rule(parser *p, bool *ended, hg_err *e)
{
    eliza_token open, t;
    p->r.keyword = -1;
    HG_TRY(eliza_next(&p->r, &open, e));
    *ended = open.kind == TOKEN_END;
    if (*ended) return HG_OK;
    if (open.kind != TOKEN_OPEN)
        return flawed(p, "a rule begins with (; is there one ) too many before?", e,
                      "expected '('");
    HG_TRY(eliza_peek(&p->r, &t, e));
    if (t.kind == TOKEN_CLOSE) return eliza_next(&p->r, &t, e);
    if (t.kind != TOKEN_SYMBOL)
        return flawed(p, "a rule begins with its keyword, or with MEMORY or NONE", e,
                      "expected keyword|MEMORY|NONE");
    return t.n == SYM_MEMORY ? read_memory_rule(p, open.begin, e)
                             : read_keyword_rule(p, open.begin, e);
}

/* ---- the script as a whole ---- */
static hg_status check_reference(parser *p, const reference *ref, hg_err *e)
{
    const hg_bytes name = eliza_symbol_text(p->s, ref->symbol);
    const int32_t i = p->s->symbol[ref->symbol].rule;
    const int shown = name.n < 100 ? (int)name.n : 100;
    p->r.keyword = ref->keyword;
    if (i < 0)
        return eliza_flawed(&p->r, ref->line, "give it a rule, or link to a keyword that has one",
                            e, "'=%.*s' referenced keyword does not exist", shown, name.p);
    if (p->s->rule[i].decompositions.n == 0 && p->s->rule[i].link < 0)
        return eliza_flawed(
            &p->r, ref->line, "give that keyword a pattern with replies or a link of its own", e,
            "'=%.*s' referenced keyword has no associated transformation rules", shown, name.p);
    return HG_OK;
}

static hg_status check_whole(parser *p, hg_err *e)
{
    const hg_eliza_script *s = p->s;
    p->r.keyword = -1;
    if (s->none < 0)
        return eliza_flawed(&p->r, 0, "add (NONE ((0) (a reply) (another reply)))", e,
                            "no NONE rule specified; see Jan 1966 CACM page 41");
    if (s->memory < 0)
        return eliza_flawed(&p->r, 0, "add (MEMORY KEYWORD (0 = reply) ...) with four forms", e,
                            "no MEMORY rule specified; see Jan 1966 CACM page 41");
    p->r.keyword = SYM_MEMORY;
    const hg_bytes key = eliza_symbol_text(s, (uint32_t)s->memory);
    if (s->symbol[s->memory].rule < 0)
        return eliza_flawed(&p->r, 0, "give that keyword a rule too", e,
                            "MEMORY rule keyword '%.*s' is not also a keyword in its own right; "
                            "see Jan 1966 CACM page 41",
                            key.n < 100 ? (int)key.n : 100, key.p);
    for (size_t i = 0; i < p->n_refs; i++) HG_TRY(check_reference(p, &p->refs[i], e));
    return HG_OK;
}

static int by_tag(const void *a, const void *b)
{
    const tag_pair *x = a, *y = b;
    if (x->tag != y->tag) return x->tag < y->tag ? -1 : 1;
    return (x->keyword > y->keyword) - (x->keyword < y->keyword);
}

/* Each tag's keywords stand together, sorted. */
static hg_status sort_tags(parser *p, hg_err *e)
{
    hg_eliza_script *s = p->s;
    if (p->n_pairs == 0) return HG_OK;
    qsort(p->pairs, p->n_pairs, sizeof *p->pairs, by_tag);
    s->tag_word = hg_alloc(p->n_pairs, sizeof *s->tag_word);
    if (s->tag_word == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the script's tags");
    for (size_t i = 0; i < p->n_pairs; i++) {
        eliza_range *words = &s->tag[p->pairs[i].tag].words;
        if (words->n++ == 0) words->first = (uint32_t)i;
        s->tag_word[i] = p->pairs[i].keyword;
    }
    s->n_tag_words = p->n_pairs;
    return HG_OK;
}

static hg_status read_opening(parser *p, hg_err *e)
{
    eliza_token t;
    HG_TRY(read_list(p, false, &p->s->opening, e));
    eliza_put_items(&p->s->opening_text, p->s, p->s->opening);
    hg_buf_put(&p->s->opening_text, "", 0);
    HG_TRY(hg_buf_status(&p->s->opening_text, e));
    HG_TRY(eliza_peek(&p->r, &t, e));
    return eliza_is(&t, SYM_START) ? eliza_next(&p->r, &t, e) : HG_OK;
}

static hg_status parse(parser *p, hg_err *e)
{
    static const char *const known[N_SYMS] = {
        [SYM_EQUALS] = "=",    [SYM_START] = "START", [SYM_MEMORY] = "MEMORY", [SYM_NONE] = "NONE",
        [SYM_DLIST] = "DLIST", [SYM_PRE] = "PRE",     [SYM_NEWKEY] = "NEWKEY", [SYM_COMMA] = ",",
        [SYM_STOP] = ".",      [SYM_BUT] = "BUT"};
    for (uint32_t i = 0, got; i < N_SYMS; i++)
        HG_TRY(eliza_add_symbol(p->s, known[i], strlen(known[i]), &got, e));
    HG_TRY(read_opening(p, e));
    for (bool ended = false; !ended;) HG_TRY(read_rule(p, &ended, e));
    HG_TRY(check_whole(p, e));
    return sort_tags(p, e);
}

hg_status hg_eliza_script_parse(hg_eliza_script **out, hg_bytes text, hg_eliza_flaw *flaw,
                                hg_err *e)
{
    parser p = {.r = {.line = 1, .keyword = -1, .flaw = flaw}};
    *out = NULL;
    if (flaw != NULL) *flaw = (hg_eliza_flaw){0};
    if (text.n > HG_ELIZA_MAX_SCRIPT)
        return hg_fail(e, HG_E_LIMIT, "a script of %zu bytes; %d are the most", text.n,
                       HG_ELIZA_MAX_SCRIPT);
    hg_eliza_script *s = hg_alloc(1, sizeof *s);
    if (s == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the script");
    s->none = s->memory = -1;
    hg_buf_put(&s->source, text.p, text.n);
    p.s = p.r.s = s;
    hg_status st = hg_buf_status(&s->source, e);
    if (st == HG_OK) st = parse(&p, e);
    hg_buf_free(&p.r.letters);
    hg_free(p.refs);
    hg_free(p.pairs);
    if (st != HG_OK)
        hg_eliza_script_free(s);
    else
        *out = s;
    return st;
}

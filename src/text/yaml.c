/* Recipes in: libyaml's events become a small tree with line numbers. A recipe is written by hand,
 * so the errors are what matters here: each says the file, the line, and what would be right; a
 * mistyped key is found by hg_yaml_no_others and answered with the nearest known one. */
#include "text/yaml.h"
#include "base/file.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

typedef struct loader {
    yaml_parser_t parser;
    hg_arena *mem;
    const char *file;
    size_t n_nodes;
    hg_yaml *stack[HG_YAML_MAX_DEPTH];
    int depth;
    hg_yaml *root;
    const char *key; /* read, and waiting for its value */
    int key_line;
} loader;

hg_status hg_yaml_fail(const hg_yaml *node, hg_err *e, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return hg_fail(e, HG_E_FORMAT, "%s, line %d: %s", node->file, node->line, text);
}

static hg_status fail_at(const loader *l, const yaml_mark_t *at, hg_status s, const char *what,
                         hg_err *e)
{
    return hg_fail(e, s, "%s, line %zu: %s", l->file, at->line + 1, what);
}

static hg_status make_node(loader *l, hg_yaml_kind kind, const yaml_event_t *ev, hg_yaml **out,
                           hg_err *e)
{
    if (++l->n_nodes > HG_YAML_MAX_NODES)
        return fail_at(l, &ev->start_mark, HG_E_LIMIT, "more than 65536 values in one recipe", e);
    hg_yaml *v = HG_NEW(l->mem, hg_yaml, 1);
    if (v == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the recipe %s", l->file);
    v->kind = kind;
    v->file = l->file;
    v->line = (int)ev->start_mark.line + 1;
    v->column = (int)ev->start_mark.column + 1;
    v->text = "";
    *out = v;
    return HG_OK;
}

/* Hangs a finished value where it belongs: the root, the next item, or the member of the key. */
static void attach(loader *l, hg_yaml *v)
{
    if (l->depth == 0) {
        l->root = v;
        return;
    }
    hg_yaml *in = l->stack[l->depth - 1];
    v->key = in->kind == HG_YAML_MAP ? l->key : NULL;
    l->key = NULL;
    if (in->last != NULL)
        in->last->next = v;
    else
        in->first = v;
    in->last = v;
    in->n++;
}

/* A list or map in the place of a key is legal YAML and no recipe. */
static bool key_is_due(const loader *l)
{
    return l->depth > 0 && l->stack[l->depth - 1]->kind == HG_YAML_MAP && l->key == NULL;
}

static hg_status take_key(loader *l, const yaml_event_t *ev, const char *text, hg_err *e)
{
    for (const hg_yaml *v = l->stack[l->depth - 1]->first; v != NULL; v = v->next)
        if (strcmp(v->key, text) == 0)
            return hg_fail(e, HG_E_FORMAT,
                           "%s, line %zu: \"%.60s\" is given twice (first on line %d)", l->file,
                           ev->start_mark.line + 1, text, v->line);
    l->key = text;
    return HG_OK;
}

static hg_status take_scalar(loader *l, const yaml_event_t *ev, hg_err *e)
{
    size_t n = ev->data.scalar.length;
    const char *bytes = (const char *)ev->data.scalar.value;
    if (ev->data.scalar.anchor != NULL || ev->data.scalar.tag != NULL)
        return fail_at(l, &ev->start_mark, HG_E_FORMAT, "anchors and tags are not used in recipes",
                       e);
    if (memchr(bytes, 0, n) != NULL)
        return fail_at(l, &ev->start_mark, HG_E_FORMAT, "a NUL character in a value", e);
    char *text = hg_arena_strndup(l->mem, bytes, n);
    if (text == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the recipe %s", l->file);
    if (key_is_due(l)) return take_key(l, ev, text, e);
    hg_yaml *v = NULL;
    HG_TRY(make_node(l, HG_YAML_SCALAR, ev, &v, e));
    v->text = text;
    v->quoted = ev->data.scalar.style == YAML_SINGLE_QUOTED_SCALAR_STYLE ||
                ev->data.scalar.style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    attach(l, v);
    return HG_OK;
}

static hg_status enter(loader *l, hg_yaml_kind kind, const yaml_event_t *ev, hg_err *e)
{
    bool marked = kind == HG_YAML_MAP
                      ? ev->data.mapping_start.anchor || ev->data.mapping_start.tag
                      : ev->data.sequence_start.anchor || ev->data.sequence_start.tag;
    if (marked)
        return fail_at(l, &ev->start_mark, HG_E_FORMAT, "anchors and tags are not used in recipes",
                       e);
    if (key_is_due(l))
        return fail_at(l, &ev->start_mark, HG_E_FORMAT, "a key must be plain text", e);
    if (l->depth == HG_YAML_MAX_DEPTH)
        return fail_at(l, &ev->start_mark, HG_E_LIMIT, "nested more than 32 deep", e);
    hg_yaml *v = NULL;
    HG_TRY(make_node(l, kind, ev, &v, e));
    attach(l, v);
    l->stack[l->depth++] = v;
    return HG_OK;
}

static hg_status take_event(loader *l, const yaml_event_t *ev, hg_err *e)
{
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(l, ev, e);
    case YAML_MAPPING_START_EVENT:
        return enter(l, HG_YAML_MAP, ev, e);
    case YAML_SEQUENCE_START_EVENT:
        return enter(l, HG_YAML_LIST, ev, e);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        l->depth--;
        return HG_OK;
    case YAML_ALIAS_EVENT:
        return fail_at(l, &ev->start_mark, HG_E_FORMAT, "aliases (*name) are not used in recipes",
                       e);
    case YAML_DOCUMENT_START_EVENT:
        if (l->root == NULL) return HG_OK;
        return fail_at(l, &ev->start_mark, HG_E_FORMAT, "a second document; a recipe is one", e);
    default:
        return HG_OK;
    }
}

static hg_status parser_failed(const loader *l, hg_err *e)
{
    const yaml_parser_t *p = &l->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return hg_fail(e, HG_E_NOMEM, "no room for the recipe %s", l->file);
    size_t line = p->error == YAML_READER_ERROR ? p->mark.line : p->problem_mark.line;
    return hg_fail(e, HG_E_FORMAT, "%s, line %zu: not YAML: %s%s%s", l->file, line + 1,
                   p->problem != NULL ? p->problem : "unreadable", p->context != NULL ? " " : "",
                   p->context != NULL ? p->context : "");
}

static hg_status load(loader *l, hg_err *e)
{
    for (bool done = false; !done;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&l->parser, &ev)) return parser_failed(l, e);
        hg_status s = take_event(l, &ev, e);
        done = ev.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&ev);
        if (s != HG_OK) return s;
    }
    return HG_OK;
}

hg_status hg_yaml_parse(hg_yaml **out, hg_arena *mem, const char *file, hg_bytes in, hg_err *e)
{
    *out = NULL;
    if (in.n > HG_YAML_MAX_BYTES)
        return hg_fail(e, HG_E_LIMIT, "%s has %zu bytes; a recipe has at most %d", file, in.n,
                       HG_YAML_MAX_BYTES);
    loader l = {.mem = mem, .file = hg_arena_strndup(mem, file, strlen(file))};
    if (l.file == NULL || !yaml_parser_initialize(&l.parser))
        return hg_fail(e, HG_E_NOMEM, "no room for the recipe %s", file);
    yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&l.parser, (const unsigned char *)(in.n > 0 ? in.p : ""), in.n);
    hg_status s = load(&l, e);
    yaml_parser_delete(&l.parser);
    HG_TRY(s);
    bool is_empty = l.root == NULL ||
                    (l.root->kind == HG_YAML_SCALAR && l.root->text[0] == '\0' && !l.root->quoted);
    if (is_empty) {
        l.root = HG_NEW(mem, hg_yaml, 1);
        if (l.root == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the recipe %s", file);
        *l.root =
            (hg_yaml){.kind = HG_YAML_MAP, .file = l.file, .text = "", .line = 1, .column = 1};
    }
    *out = l.root;
    return HG_OK;
}

hg_status hg_yaml_read(hg_yaml **out, hg_arena *mem, const char *path, hg_err *e)
{
    hg_buf bytes = {0};
    *out = NULL;
    hg_status s = hg_file_read(&bytes, path, HG_YAML_MAX_BYTES, e);
    if (s == HG_OK) s = hg_yaml_parse(out, mem, path, (hg_bytes){bytes.p, bytes.n}, e);
    hg_buf_free(&bytes);
    return s;
}

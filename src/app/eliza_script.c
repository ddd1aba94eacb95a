/* Scripts as their users see them: ours, which lie in the program, those of files, and what can be
 * asked of a script. */
#include "app/eliza_inner.h"
#include "base/file.h"

#include <string.h>

extern const unsigned char hg_eliza_en_script[], hg_eliza_fr_script[];
extern const size_t hg_eliza_en_script_size, hg_eliza_fr_script_size;

static const char prefix[] = "eliza:";

bool hg_eliza_is_name(const char *model)
{
    return strcmp(model, "eliza") == 0 || strncmp(model, prefix, sizeof prefix - 1) == 0;
}

/* "PATH: Script error on line 5: ...; in the rule KEY: remedy" */
static hg_status of_file(const char *path, hg_status s, const hg_eliza_flaw *flaw, hg_err *e)
{
    if (s != HG_E_FORMAT || e == NULL) return s;
    const hg_err why = *e;
    const bool has_rule = flaw->rule[0] != '\0';
    return hg_fail(e, s, "%s: %s; %s%s%s%s", path, why.msg, has_rule ? "in the rule " : "",
                   flaw->rule, has_rule ? ": " : "", flaw->remedy);
}

static hg_status open_file(hg_eliza_script **out, const char *path, hg_err *e)
{
    hg_buf text = {0};
    hg_eliza_flaw flaw;
    hg_err why = {0};
    hg_status s = hg_file_read(&text, path, HG_ELIZA_MAX_SCRIPT, &why);
    if (s == HG_OK)
        s = of_file(path, hg_eliza_script_parse(out, (hg_bytes){text.p, text.n}, &flaw, &why),
                    &flaw, &why);
    hg_buf_free(&text);
    return s == HG_OK ? s : hg_fail(e, s, "%s", why.msg);
}

hg_status hg_eliza_script_open(hg_eliza_script **out, const char *model, hg_err *e)
{
    *out = NULL;
    const char *name = strcmp(model, "eliza") == 0 ? "en" : model + sizeof prefix - 1;
    if (!hg_eliza_is_name(model) || name[0] == '\0')
        return hg_fail(e, HG_E_ARG, "\"%s\" names no script; eliza, eliza:fr or eliza:FILE do",
                       model);
    if (strcmp(name, "en") == 0)
        return hg_eliza_script_parse(
            out, (hg_bytes){(const char *)hg_eliza_en_script, hg_eliza_en_script_size}, NULL, e);
    if (strcmp(name, "fr") == 0)
        return hg_eliza_script_parse(
            out, (hg_bytes){(const char *)hg_eliza_fr_script, hg_eliza_fr_script_size}, NULL, e);
    return open_file(out, name, e);
}

void hg_eliza_script_free(hg_eliza_script *s)
{
    if (s == NULL) return;
    hg_buf_free(&s->source);
    hg_buf_free(&s->text);
    hg_buf_free(&s->opening_text);
    hg_free(s->symbol);
    hg_free(s->item);
    hg_free(s->list);
    hg_free(s->list_id);
    hg_free(s->reassembly);
    hg_free(s->decomposition);
    hg_free(s->rule);
    hg_free(s->tag);
    hg_free(s->tag_word);
    hg_free(s->slot);
    hg_free(s);
}

hg_bytes hg_eliza_opening(const hg_eliza_script *s)
{
    return (hg_bytes){s->opening_text.p, s->opening_text.n};
}

/* The rule that stands at place i when NONE's is not counted. */
static const eliza_rule *rule_at(const hg_eliza_script *s, size_t i)
{
    return &s->rule[i + (s->none >= 0 && i >= (size_t)s->none ? 1 : 0)];
}

size_t hg_eliza_n_keywords(const hg_eliza_script *s)
{
    return s->n_rules - (s->none >= 0 ? 1 : 0);
}

hg_bytes hg_eliza_keyword(const hg_eliza_script *s, size_t i)
{
    return eliza_symbol_text(s, rule_at(s, i)->keyword);
}

hg_bytes hg_eliza_rule(const hg_eliza_script *s, hg_bytes word)
{
    hg_buf b = {0};
    eliza_range at = {0, 0};
    eliza_upper(&b, word, true);
    const int32_t id = b.failed || b.n == 0 ? -1 : eliza_find_symbol(s, b.p, b.n);
    hg_buf_free(&b);
    if (id == SYM_MEMORY)
        at = s->memory_source;
    else if (id == SYM_NONE)
        at = s->rule[s->none].source;
    else if (id >= 0 && s->symbol[id].rule >= 0)
        at = s->rule[s->symbol[id].rule].source;
    return at.n > 0 ? (hg_bytes){s->source.p + at.first, at.n} : (hg_bytes){"", 0};
}

hg_eliza_size hg_eliza_script_size(const hg_eliza_script *s)
{
    hg_eliza_size n = {.rules = s->n_rules + 1,
                       .tags = s->n_tags,
                       .decompositions = s->n_decompositions + N_MEMORY_FORMS,
                       .reassemblies = s->n_reassemblies};
    for (size_t i = 0; i < s->n_rules; i++) {
        n.substitutions += s->rule[i].substitute >= 0;
        n.links += s->rule[i].link >= 0;
    }
    for (size_t i = 0; i < s->n_reassemblies; i++) {
        n.links += s->reassembly[i].action == ACT_LINK;
        n.pres += s->reassembly[i].action == ACT_PRE;
        n.newkeys += s->reassembly[i].action == ACT_NEWKEY;
    }
    return n;
}

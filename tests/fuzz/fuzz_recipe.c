/* Recipes: any bytes end in a tree within its limits or in a sentence with a line. */
#include "text/yaml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(hg_yaml *v, hg_arena *mem, int depth)
{
    hg_err e = {0};
    double x;
    int64_t n;
    bool b;
    const char *s;
    const char *const *list;
    size_t n_list;

    if (depth > HG_YAML_MAX_DEPTH || v->line < 1) abort();
    for (hg_yaml *m = v->first; m != NULL; m = m->next) {
        if (m->key != NULL) {
            (void)hg_yaml_number(v, m->key, -1e9, 1e9, &x, &e);
            (void)hg_yaml_int(v, m->key, -5, 5, &n, &e);
            (void)hg_yaml_bool(v, m->key, &b, &e);
            (void)hg_yaml_text(v, m->key, &s, &e);
            (void)hg_yaml_texts(v, m->key, mem, &list, &n_list, &e);
        }
        look(m, mem, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const known[] = {"learning_rate", "steps", NULL};
    hg_arena mem;
    hg_yaml *v = NULL;
    hg_err e = {0};

    hg_arena_init(&mem, 0);
    hg_status s = hg_yaml_parse(&v, &mem, "r", (hg_bytes){(const char *)data, size}, &e);
    if (s == HG_OK) {
        (void)hg_yaml_no_others(v, known, &e);
        look(v, &mem, 0);
    } else if (memcmp(e.msg, "r", 1) != 0) {
        abort();
    }
    hg_arena_free(&mem);
    return 0;
}

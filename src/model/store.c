/* The tensors of a model's files, whatever their format: names, shapes, and where their bytes lie
 * in the mapping. Nothing is read until a parameter asks for its values. */
#include "model/inner.h"
#include <stdlib.h>
#include <string.h>

void hg_store_init(hg_store *s)
{
    memset(s, 0, sizeof *s);
    hg_arena_init(&s->mem, (size_t)1 << 16);
}

void hg_store_free(hg_store *s)
{
    for (size_t i = 0; i < s->n_files; i++) hg_map_close(&s->file[i].map);
    hg_free(s->file);
    hg_free(s->entry);
    hg_arena_free(&s->mem);
    memset(s, 0, sizeof *s);
}

hg_status hg_store_map(hg_store *s, const char *path, hg_map *out, hg_err *e)
{
    HG_TRY(hg_grow(&s->file, &s->file_cap, s->n_files, sizeof *s->file, e));
    hg_store_file *f = &s->file[s->n_files];
    f->path = hg_arena_strndup(&s->mem, path, strlen(path));
    if (f->path == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a path");
    HG_TRY(hg_map_open(&f->map, path, e));
    s->n_files++;
    *out = f->map;
    return HG_OK;
}

hg_status hg_store_add(hg_store *s, const char *name, size_t n_name, const hg_entry *entry,
                       hg_err *e)
{
    if (n_name == 0 || n_name >= HG_MAX_NAME || memchr(name, '\0', n_name) != NULL)
        return hg_fail(e, HG_E_FORMAT, "a tensor's name of %zu bytes; 1 to %d without NUL allowed",
                       n_name, HG_MAX_NAME - 1);
    if (s->n >= HG_MAX_STORED) return hg_fail(e, HG_E_LIMIT, "more than %d tensors", HG_MAX_STORED);
    HG_TRY(hg_grow(&s->entry, &s->cap, s->n, sizeof *s->entry, e));
    hg_entry *t = &s->entry[s->n];
    *t = *entry;
    t->name = hg_arena_strndup(&s->mem, name, n_name);
    if (t->name == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a tensor's name");
    s->n++;
    return HG_OK;
}

static int by_place(const void *a, const void *b)
{
    const hg_entry *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? -1 : 1;
    return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

hg_status hg_store_part(hg_store *s, size_t first, const char *path, hg_err *e)
{
    if (s->n - first > 1) qsort(s->entry + first, s->n - first, sizeof *s->entry, by_place);
    for (size_t i = first; i + 1 < s->n; i++) {
        const hg_entry *a = &s->entry[i], *b = a + 1;
        if (a->p + a->n_bytes > b->p)
            return hg_fail(e, HG_E_FORMAT, "%s: tensors %s and %s overlap", path, a->name, b->name);
    }
    return HG_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const hg_entry *)a)->name, ((const hg_entry *)b)->name);
}

hg_status hg_store_sort(hg_store *s, const char *path, hg_err *e)
{
    if (s->n > 0) qsort(s->entry, s->n, sizeof *s->entry, by_name);
    for (size_t i = 1; i < s->n; i++)
        if (strcmp(s->entry[i - 1].name, s->entry[i].name) == 0)
            return hg_fail(e, HG_E_FORMAT, "%s: tensor %s is there twice", path, s->entry[i].name);
    return HG_OK;
}

hg_entry *hg_store_find(const hg_store *s, const char *name)
{
    hg_entry key = {.name = name};
    return s->n == 0 ? NULL : bsearch(&key, s->entry, s->n, sizeof *s->entry, by_name);
}

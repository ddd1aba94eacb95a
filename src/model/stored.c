/* Between a model's parameters and the tensors of a file.
 *
 * Formats disagree in a few ways, and each is a rule about rows here: several parameters may share
 * one tensor, behind each other (GPT-2's c_attn is q, k and v), by heads (GPT-NeoX) or row by row
 * (gpt-oss), and so may all experts of a layer; a matrix may be stored [n_in][n_out] (GPT-2's
 * Conv1D); GGUF orders the rows of Llama's q and k so that rotary pairs are neighbours; Gemma's
 * norms are stored less 1. Reading and writing both walk the list that is made here. */
#include "model/inner.h"
#include <stdio.h>
#include <string.h>

typedef struct lister {
    const hg_model *m;
    hg_format f;
    hg_stored *list; /* [n_params] */
    size_t n;
    hg_part *parts; /* [n_params] */
    size_t n_parts;
} lister;

static const char *name_in(const hg_name *n, hg_format f)
{
    return f == HG_FORMAT_GGUF ? n->gguf : n->hf;
}

static hg_layout layout_of(const lister *l, const hg_name *n)
{
    return l->f == HG_FORMAT_GGUF ? HG_LAYOUT_PLAIN : n->hf_layout;
}

static bool is_norm(hg_role s)
{
    return s == HG_P_ATTN_NORM || s == HG_P_ATTN_POST_NORM || s == HG_P_MLP_NORM ||
           s == HG_P_MLP_POST_NORM || s == HG_P_FINAL_NORM || s == HG_P_Q_NORM || s == HG_P_K_NORM;
}

static hg_stored *begin_stored(lister *l, const hg_name *n, const char *name)
{
    const hg_model *m = l->m;
    hg_layout layout = layout_of(l, n);
    hg_stored *st = &l->list[l->n++];
    memset(st, 0, sizeof *st);
    (void)snprintf(st->name, sizeof st->name, "%s", name);
    st->part = &l->parts[l->n_parts];
    st->is_transposed = layout == HG_LAYOUT_TRANSPOSED || layout == HG_LAYOUT_BY_ROW_TRANSPOSED;
    if (hg_role_is_per_expert(n->role) && strchr(name_in(n, l->f), '@') == NULL)
        st->n_experts = m->c.n_experts;
    if (l->f == HG_FORMAT_SAFETENSORS && m->arch->norm_from_one && is_norm(n->role)) st->less = 1;
    if (l->f != HG_FORMAT_GGUF || !m->arch->gguf_interleaved) return st;
    if (n->role == HG_P_Q || n->role == HG_P_Q_B) st->n_heads = m->c.n_heads;
    if (n->role == HG_P_K || n->role == HG_P_K_B) st->n_heads = m->c.n_kv_heads;
    st->d_head = m->c.d_head;
    return st;
}

/* Which of the names that share a tensor n is, and how many there are. */
static size_t place_among(const lister *l, const hg_name *n, size_t *n_all)
{
    const hg_name *first = n, *last = n;
    while (first > l->m->arch->names && strcmp(first[-1].hf, n->hf) == 0) first--;
    while (last[1].hf != NULL && strcmp(last[1].hf, n->hf) == 0) last++;
    *n_all = (size_t)(last - first) + 1;
    return (size_t)(n - first);
}

static hg_part place_part(const lister *l, const hg_name *n, size_t expert, const hg_stored *st,
                          hg_tensor *t)
{
    size_t n_all = 1, rows = t->dim[0], i = place_among(l, n, &n_all), d = l->m->c.d_head;
    hg_layout layout = layout_of(l, n);
    if (layout == HG_LAYOUT_BY_HEAD) return (hg_part){t, i * d, d, n_all * d};
    if (layout == HG_LAYOUT_BY_ROW || layout == HG_LAYOUT_BY_ROW_TRANSPOSED)
        return (hg_part){t, expert * n_all * rows + i, 1, n_all};
    return (hg_part){t, st->rows, rows, rows};
}

/* Adds the parameter of name n to the list: to the last entry when that has the same name. */
static void add_part(lister *l, const hg_name *n, size_t layer, size_t expert)
{
    const hg_model *m = l->m;
    hg_tensor *t = hg_model_at(m, n->role, layer, expert);
    char name[HG_MAX_NAME];
    if (t == NULL || (n->role == HG_P_HEAD && m->head == m->embed)) return;
    hg_name_at(name, name_in(n, l->f), layer, expert);
    hg_stored *st = l->n > 0 ? &l->list[l->n - 1] : NULL;
    if (st == NULL || strcmp(st->name, name) != 0) st = begin_stored(l, n, name);
    st->part[st->n_parts++] = place_part(l, n, expert, st, t);
    l->n_parts++;
    st->rows += t->dim[0];
    st->cols = t->n_dims == 2 ? t->dim[1] : 0;
}

hg_status hg_stored_list(const hg_model *m, hg_format f, hg_stored **out, size_t *n, hg_err *e)
{
    hg_stored *list = hg_alloc(m->n_params, sizeof *list + sizeof(hg_part));
    *out = NULL;
    *n = 0;
    if (list == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the list of tensors");
    lister l = {m, f, list, 0, (hg_part *)(void *)(list + m->n_params), 0};
    for (const hg_name *from = m->arch->names; from->hf != NULL;) {
        const hg_name *to = from + 1;
        bool in_layers = hg_role_is_per_layer(from->role);
        while (in_layers && to->hf != NULL && hg_role_is_per_layer(to->role)) to++;
        size_t times = in_layers ? m->c.n_layers : 1;
        for (size_t layer = 0; layer < times; layer++)
            for (const hg_name *at = from; at < to; at++) {
                size_t experts = hg_role_is_per_expert(at->role) ? m->c.n_experts : 1;
                for (size_t i = 0; i < experts; i++) add_part(&l, at, layer, i);
            }
        from = to;
    }
    *out = list;
    *n = l.n;
    return HG_OK;
}

int hg_stored_shape(const hg_stored *st, uint64_t dim[HG_MAX_DIMS])
{
    int n = 0;
    size_t rows = st->n_experts > 0 ? st->rows / st->n_experts : st->rows;
    if (st->n_experts > 0) dim[n++] = st->n_experts;
    dim[n++] = st->is_transposed ? st->cols : rows;
    if (st->cols > 0) dim[n++] = st->is_transposed ? rows : st->cols;
    return n;
}

/* Row h d + j d/2 + i of a head's two halves lies at h d + 2 i + j where pairs are neighbours. */
static size_t interleaved_row(size_t r, size_t d_head)
{
    size_t h = r / d_head, half = d_head / 2;
    size_t j = (r % d_head) / half, i = (r % d_head) % half;
    return h * d_head + 2 * i + j;
}

size_t hg_stored_row(const hg_stored *st, size_t file_row)
{
    if (st->n_heads == 0) return file_row;
    size_t h = file_row / st->d_head, at = file_row % st->d_head;
    return h * st->d_head + (at % 2) * (st->d_head / 2) + at / 2;
}

static size_t placed(size_t row0, size_t group, size_t stride, size_t r)
{
    return row0 + r / group * stride + r % group;
}

size_t hg_stored_place(const hg_stored *st, const hg_part *p, size_t r)
{
    return placed(p->row0, p->group, p->stride,
                  st->n_heads > 0 ? interleaved_row(r, st->d_head) : r);
}

static bool part_has(const hg_part *p, size_t row, size_t *r)
{
    if (row < p->row0 || (row - p->row0) % p->stride >= p->group) return false;
    *r = (row - p->row0) / p->stride * p->group + (row - p->row0) % p->stride;
    return *r < p->t->dim[0];
}

const hg_part *hg_stored_part(const hg_stored *st, size_t row, const hg_part *near, size_t *r)
{
    size_t first = near != NULL ? (size_t)(near - st->part) : 0;
    for (size_t i = 0; i < st->n_parts; i++) {
        const hg_part *p = &st->part[(first + i) % st->n_parts];
        if (!part_has(p, row, r)) continue;
        *r = hg_stored_row(st, *r);
        return p;
    }
    return NULL;
}

const void *hg_source_direct(const hg_source *s)
{
    hg_type t = s->entry->type;
    size_t alignment = hg_type_is_block(t) ? sizeof(hg_f16) : hg_type_size(t);
    if (s->is_transposed || s->n_heads > 0 || s->group < s->rows || s->less > 0.0f) return NULL;
    if (s->entry->scales != NULL) return NULL;
    const unsigned char *p = s->entry->p + s->row0 * hg_type_bytes(t, s->cols);
    return (uintptr_t)p % alignment == 0 ? (const void *)p : NULL;
}

/* Where the file has row r of the parameter. */
static size_t row_in_file(const hg_source *s, size_t r)
{
    return placed(s->row0, s->group, s->stride, s->n_heads > 0 ? interleaved_row(r, s->d_head) : r);
}

/* Value c of row r of the parameter, where the file has it. */
static const unsigned char *value_at(const hg_source *s, size_t r, size_t c)
{
    hg_type t = s->entry->type;
    size_t row = row_in_file(s, r);
    if (s->is_transposed) {
        size_t matrix = row / s->file_rows * s->file_rows * s->cols;
        return s->entry->p + (matrix + c * s->file_rows + row % s->file_rows) * hg_type_size(t);
    }
    return s->entry->p + row * hg_type_bytes(t, s->cols) + hg_type_bytes(t, c);
}

static void copy_column(const hg_source *s, size_t r, size_t c, size_t n, unsigned char *to)
{
    size_t size = hg_type_size(s->entry->type);
    for (size_t i = 0; i < n; i++) memcpy(to + i * size, value_at(s, r, c + i), size);
}

/* n values from c on of row r, whose scales lie apart, as GGUF's blocks. */
static void join_blocks(const hg_source *s, size_t r, size_t c, size_t n, unsigned char *to)
{
    const size_t size = hg_type_block(HG_MXFP4), first = (row_in_file(s, r) * s->cols + c) / size;
    for (size_t i = first; i < first + n / size; i++, to += hg_type_block_size(HG_MXFP4))
        hg_mxfp4_block(to, s->entry->scales[i], s->entry->p + i * size / 2);
}

void hg_source_copy(const hg_source *s, size_t begin, size_t end, void *out)
{
    unsigned char *to = out;
    while (begin < end) {
        size_t r = begin / s->cols, c = begin % s->cols;
        size_t n = s->cols - c < end - begin ? s->cols - c : end - begin;
        size_t n_bytes = hg_type_bytes(s->entry->type, n);
        if (s->entry->scales != NULL)
            join_blocks(s, r, c, n, to);
        else if (s->is_transposed)
            copy_column(s, r, c, n, to);
        else
            memcpy(to, value_at(s, r, c), n_bytes);
        to += n_bytes;
        begin += n;
    }
}

static bool same_shape(const hg_stored *st, const hg_entry *en)
{
    uint64_t dim[HG_MAX_DIMS];
    int n = hg_stored_shape(st, dim);
    bool same = en->n_dims == n;
    for (int i = 0; i < n && same; i++) same = en->dim[i] == dim[i];
    return same;
}

static void shape_text(char out[96], const uint64_t *dim, int n_dims)
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < n_dims && n < 96; i++)
        n += (size_t)snprintf(out + n, 96 - n, "%s%llu", i == 0 ? "" : " x ",
                              (unsigned long long)dim[i]);
}

static hg_status refuse_shape(const hg_stored *st, const hg_entry *en, hg_err *e)
{
    char has[96], want[96];
    uint64_t dim[HG_MAX_DIMS];
    int n = hg_stored_shape(st, dim);
    shape_text(has, en->dim, en->n_dims);
    shape_text(want, dim, n);
    return hg_fail(e, HG_E_FORMAT, "tensor %s is %s; the configuration says %s", st->name, has,
                   want);
}

/* Bare checkpoints of a family leave out the name of the outer module ("transformer.", "model.");
 * models that see as well as read have their language part in one of its own. */
static hg_entry *find_entry(const hg_store *s, const char *name)
{
    static const char *const outer[] = {"language_model.", "model.language_model."};
    char longer[HG_MAX_NAME + 32];
    hg_entry *en = hg_store_find(s, name);
    if (en != NULL || strncmp(name, "blk.", 4) == 0) return en;
    const char *dot = strchr(name, '.');
    bool is_outer = strncmp(name, "transformer.", 12) == 0 || strncmp(name, "model.", 6) == 0 ||
                    strncmp(name, "gpt_neox.", 9) == 0;
    if (dot != NULL && is_outer) en = hg_store_find(s, dot + 1);
    for (size_t i = 0; i < 2 && en == NULL; i++) {
        (void)snprintf(longer, sizeof longer, "%s%s", outer[i],
                       i == 1 && is_outer && dot != NULL ? dot + 1 : name);
        en = hg_store_find(s, longer);
    }
    return en;
}

static hg_status bind_one(hg_model *m, hg_files *f, hg_stored *st, hg_err *e)
{
    hg_entry *en = find_entry(&f->store, st->name);
    /* Blocks go along rows: gpt-oss keeps [n_out][n_in] in them, [n_in][n_out] outside of them. */
    if (en != NULL && en->scales != NULL) st->is_transposed = false;
    if (en == NULL) return hg_fail(e, HG_E_FORMAT, "tensor %s is missing", st->name);
    if (!same_shape(st, en)) return refuse_shape(st, en, e);
    if (en->type == HG_N_TYPES || en->type == HG_I32)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "tensor %s is stored as %s, which Higgins does not read", st->name,
                       en->type_name);
    if (hg_type_is_block(en->type) && st->cols == 0)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "tensor %s is stored as %s; a vector is f32, f16 or bf16", st->name,
                       en->type_name);
    en->is_used = true;
    for (size_t i = 0; i < st->n_parts; i++) {
        const hg_part *p = &st->part[i];
        f->source[p->t - m->tensors] =
            (hg_source){.entry = en,
                        .row0 = p->row0,
                        .group = p->group,
                        .stride = p->stride,
                        .file_rows = st->n_experts > 0 ? st->rows / st->n_experts : st->rows,
                        .rows = p->t->dim[0],
                        .cols = p->t->n_dims == 2 ? p->t->dim[1] : 1,
                        .is_transposed = st->is_transposed,
                        .n_heads = st->n_heads,
                        .d_head = st->d_head,
                        .less = st->less};
    }
    return HG_OK;
}

/* Tensors that files carry beside the parameters: masks and tables that other programs keep, the
 * second copy of a tied head, eyes. */
static bool may_be_left(const hg_model *m, const hg_entry *en)
{
    static const char *const ends[] = {".attn.bias",
                                       ".attn.masked_bias",
                                       ".attention.bias",
                                       ".attention.masked_bias",
                                       "rotary_emb.inv_freq",
                                       "rope_freqs.weight",
                                       "rope_factors_long.weight",
                                       "rope_factors_short.weight"};
    static const char *const parts[] = {"vision_tower.", "multi_modal_projector."};
    size_t n = strlen(en->name);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        size_t k = strlen(ends[i]);
        if (n >= k && strcmp(en->name + n - k, ends[i]) == 0) return true;
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(en->name, parts[i]) != NULL) return true;
    return m->head == m->embed && strcmp(en->name, "lm_head.weight") == 0;
}

hg_status hg_files_bind(hg_model *m, hg_files *f, hg_err *e)
{
    hg_stored *list = NULL;
    size_t n = 0;
    f->source = HG_NEW(&m->mem, hg_source, m->n_params);
    if (f->source == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a model");
    HG_TRY(hg_stored_list(m, f->format, &list, &n, e));
    hg_status s = HG_OK;
    for (size_t i = 0; i < n && s == HG_OK; i++) s = bind_one(m, f, &list[i], e);
    hg_free(list);
    HG_TRY(s);
    /* A tensor that nothing reads means that the model computes something else than we would. */
    for (size_t i = 0; i < f->store.n; i++) {
        const hg_entry *en = &f->store.entry[i];
        if (!en->is_used && !may_be_left(m, en))
            return hg_fail(e, HG_E_UNSUPPORTED, "tensor %s is no part of the %s architecture",
                           en->name, m->arch->name);
    }
    return HG_OK;
}

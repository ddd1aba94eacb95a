/* Between a model's parameters and the tensors of a file.
 *
 * Formats disagree in three ways only, and each is a rule about rows here: several parameters may
 * lie behind each other in one tensor (GPT-2's c_attn is q, k and v), a matrix may be stored
 * [n_in][n_out] (GPT-2's Conv1D), and GGUF orders the rows of Llama's q and k so that rotary pairs
 * are neighbours. Reading and writing both walk the list that is made here. */
#include "model/inner.h"
#include <stdio.h>
#include <string.h>

static const char *name_in(const hg_name *n, hg_format f)
{
    return f == HG_FORMAT_GGUF ? n->gguf : n->hf;
}

static void begin_stored(const hg_model *m, hg_format f, const hg_name *n, size_t layer,
                         hg_stored *st)
{
    memset(st, 0, sizeof *st);
    hg_name_at(st->name, name_in(n, f), layer);
    st->is_transposed = f == HG_FORMAT_SAFETENSORS && n->hf_transposed;
    if (f != HG_FORMAT_GGUF || !m->arch->gguf_interleaved) return;
    if (n->role == HG_P_Q || n->role == HG_P_Q_B) st->n_heads = m->c.n_heads;
    if (n->role == HG_P_K || n->role == HG_P_K_B) st->n_heads = m->c.n_kv_heads;
    st->d_head = m->c.d_head;
}

/* Adds the parameter of name n to the list: to the last entry when that has the same name. */
static hg_status add_part(const hg_model *m, hg_format f, const hg_name *n, size_t layer,
                          hg_stored *list, size_t *n_list, hg_err *e)
{
    hg_tensor *t = hg_model_at(m, n->role, layer);
    char name[HG_MAX_NAME];
    if (t == NULL || (n->role == HG_P_HEAD && m->head == m->embed)) return HG_OK;
    hg_name_at(name, name_in(n, f), layer);
    hg_stored *st = *n_list > 0 ? &list[*n_list - 1] : NULL;
    if (st == NULL || strcmp(st->name, name) != 0) {
        st = &list[(*n_list)++];
        begin_stored(m, f, n, layer, st);
    }
    if (st->n_parts == HG_MAX_PARTS)
        return hg_fail(e, HG_E_STATE, "%s has more than %d parts", name, HG_MAX_PARTS);
    st->part[st->n_parts++] = t;
    st->rows += t->dim[0];
    st->cols = t->n_dims == 2 ? t->dim[1] : 0;
    return HG_OK;
}

hg_status hg_stored_list(const hg_model *m, hg_format f, hg_stored **out, size_t *n, hg_err *e)
{
    hg_stored *list = hg_alloc(m->n_params, sizeof *list);
    *out = NULL;
    *n = 0;
    if (list == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the list of tensors");
    hg_status s = HG_OK;
    for (const hg_name *from = m->arch->names; from->hf != NULL;) {
        const hg_name *to = from + 1;
        bool in_layers = hg_role_is_per_layer(from->role);
        while (in_layers && to->hf != NULL && hg_role_is_per_layer(to->role)) to++;
        size_t times = in_layers ? m->c.n_layers : 1;
        for (size_t layer = 0; layer < times; layer++)
            for (const hg_name *at = from; at < to && s == HG_OK; at++)
                s = add_part(m, f, at, layer, list, n, e);
        from = to;
    }
    if (s == HG_OK)
        *out = list;
    else
        hg_free(list);
    return s;
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

const void *hg_source_direct(const hg_source *s)
{
    hg_type t = s->entry->type;
    size_t alignment = hg_type_is_block(t) ? sizeof(hg_f16) : hg_type_size(t);
    if (s->is_transposed || s->n_heads > 0) return NULL;
    const unsigned char *p = s->entry->p + s->row0 * hg_type_bytes(t, s->cols);
    return (uintptr_t)p % alignment == 0 ? (const void *)p : NULL;
}

/* Value c of row r of the parameter, where the file has it. */
static const unsigned char *value_at(const hg_source *s, size_t r, size_t c)
{
    hg_type t = s->entry->type;
    size_t row = s->row0 + (s->n_heads > 0 ? interleaved_row(r, s->d_head) : r);
    if (s->is_transposed) return s->entry->p + (c * s->file_rows + row) * hg_type_size(t);
    return s->entry->p + row * hg_type_bytes(t, s->cols) + hg_type_bytes(t, c);
}

static void copy_column(const hg_source *s, size_t r, size_t c, size_t n, unsigned char *to)
{
    size_t size = hg_type_size(s->entry->type);
    for (size_t i = 0; i < n; i++) memcpy(to + i * size, value_at(s, r, c + i), size);
}

void hg_source_copy(const hg_source *s, size_t begin, size_t end, void *out)
{
    unsigned char *to = out;
    while (begin < end) {
        size_t r = begin / s->cols, c = begin % s->cols;
        size_t n = s->cols - c < end - begin ? s->cols - c : end - begin;
        size_t n_bytes = hg_type_bytes(s->entry->type, n);
        if (s->is_transposed)
            copy_column(s, r, c, n, to);
        else
            memcpy(to, value_at(s, r, c), n_bytes);
        to += n_bytes;
        begin += n;
    }
}

static bool same_shape(const hg_stored *st, const hg_entry *en)
{
    if (st->cols == 0) return en->n_dims == 1 && en->dim[0] == st->rows;
    size_t first = st->is_transposed ? st->cols : st->rows;
    size_t second = st->is_transposed ? st->rows : st->cols;
    return en->n_dims == 2 && en->dim[0] == first && en->dim[1] == second;
}

static hg_status refuse_shape(const hg_stored *st, const hg_entry *en, hg_err *e)
{
    char has[96] = "", want[96];
    size_t n = 0;
    for (int d = 0; d < en->n_dims && n < sizeof has; d++)
        n += (size_t)snprintf(has + n, sizeof has - n, "%s%llu", d == 0 ? "" : " x ",
                              (unsigned long long)en->dim[d]);
    size_t first = st->is_transposed ? st->cols : st->rows;
    size_t second = st->is_transposed ? st->rows : st->cols;
    if (st->cols == 0)
        (void)snprintf(want, sizeof want, "%zu", st->rows);
    else
        (void)snprintf(want, sizeof want, "%zu x %zu", first, second);
    return hg_fail(e, HG_E_FORMAT, "tensor %s is %s; the configuration says %s", st->name, has,
                   want);
}

/* Bare checkpoints of a family leave out the name of the outer module ("transformer.", "model.").
 */
static hg_entry *find_entry(const hg_store *s, const char *name)
{
    hg_entry *en = hg_store_find(s, name);
    if (en != NULL || strncmp(name, "blk.", 4) == 0) return en;
    const char *dot = strchr(name, '.');
    bool is_outer = strncmp(name, "transformer.", 12) == 0 || strncmp(name, "model.", 6) == 0;
    return dot != NULL && is_outer ? hg_store_find(s, dot + 1) : NULL;
}

static hg_status bind_one(hg_model *m, hg_files *f, const hg_stored *st, hg_err *e)
{
    hg_entry *en = find_entry(&f->store, st->name);
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
    size_t row0 = 0;
    for (size_t i = 0; i < st->n_parts; i++) {
        const hg_tensor *t = st->part[i];
        f->source[t - m->tensors] = (hg_source){.entry = en,
                                                .row0 = row0,
                                                .file_rows = st->rows,
                                                .rows = t->dim[0],
                                                .cols = t->n_dims == 2 ? t->dim[1] : 1,
                                                .is_transposed = st->is_transposed,
                                                .n_heads = st->n_heads,
                                                .d_head = st->d_head};
        row0 += t->dim[0];
    }
    return HG_OK;
}

/* Tensors that files carry beside the parameters: masks and tables that other programs keep, the
 * second copy of a tied head. */
static bool may_be_left(const hg_model *m, const hg_entry *en)
{
    static const char *const known[] = {".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq",
                                        "rope_freqs.weight"};
    size_t n = strlen(en->name);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t k = strlen(known[i]);
        if (n >= k && strcmp(en->name + n - k, known[i]) == 0) return true;
    }
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

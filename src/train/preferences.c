/* Preferences. A step looks at its rows twice: first without a record, for the log-probability of
 * each answer, from which the loss of each pair and its derivatives follow; then forward and back
 * with those derivatives as weights of the tokens. What the reference says of every answer is
 * computed once, before the first step, and kept in the run folder, so that no second model is in
 * memory; only KTO, which pairs prompts and answers anew for each batch, asks it again. */
#include "train/preferences.h"
#include "base/file.h"
#include "base/hash.h"
#include <math.h>
#include <string.h>

/* ---- answers within a lot's rows ---- */

typedef void answer_fn(hg_preferences *p, const hg_rows *r, size_t chat, int side, size_t at,
                       size_t n);

/* Calls fn for both answers of each pair of the rows, in order. */
static void each_answer(hg_preferences *p, const hg_rows *r, answer_fn *fn)
{
    const hg_packed *d = p->data;
    for (size_t i = 0; i < r->n_rows; i++) {
        const hg_packed_side *s = &d->side[r->held_out];
        size_t at = i * r->seq_len;
        for (size_t k = s->first[r->of[i]]; k < s->first[r->of[i] + 1]; k++) {
            const hg_packed_chat *c = &d->chat[s->chat[k]];
            fn(p, r, s->chat[k], 0, at, c->n_first);
            fn(p, r, s->chat[k], 1, at + c->n_first, c->n - c->n_first);
            at += c->n;
        }
    }
}

static void sum_answer(hg_preferences *p, const hg_rows *r, size_t chat, int side, size_t at,
                       size_t n)
{
    double sum = 0, counted = 0;
    for (size_t t = at; t < at + n; t++) {
        if (r->targets[t] < 0) continue;
        sum -= (double)p->losses[t];
        counted++;
    }
    p->pair[chat].logp[side] = sum;
    p->pair[chat].n[side] = counted;
    if (side == 0) p->seen[p->n_seen++] = chat;
}

static void weigh_answer(hg_preferences *p, const hg_rows *r, size_t chat, int side, size_t at,
                         size_t n)
{
    (void)r;
    for (size_t t = at; t < at + n; t++) p->weights[t] = (float)-p->by[chat][side];
}

/* ---- the first look ---- */

static size_t count_pairs(const hg_preferences *p, const hg_rows *r)
{
    const hg_packed_side *s = &p->data->side[r->held_out];
    size_t n = 0;
    for (size_t i = 0; i < r->n_rows; i++) n += s->first[r->of[i] + 1] - s->first[r->of[i]];
    return n;
}

/* The log-probabilities of the answers in s->rows. */
static hg_status look(hg_preferences *p, hg_learner *s, hg_err *e)
{
    while (p->cap < p->n_seen + count_pairs(p, &s->rows))
        HG_TRY(hg_grow(&p->seen, &p->cap, p->cap, sizeof *p->seen, e));
    HG_TRY(hg_learner_look(s, s->model, p->losses, e));
    each_answer(p, &s->rows, sum_answer);
    return HG_OK;
}

static bool is_kto(const hg_preferences *p)
{
    return p->o.method == HG_METHOD_KTO;
}

static double sum_rows(const hg_preferences *p, const hg_rows *r)
{
    double sum = 0;
    for (size_t t = 0; t < r->n_rows * r->seq_len; t++)
        if (r->targets[t] >= 0) sum += (double)p->losses[t];
    return sum;
}

/* KTO's z: how much likelier than the reference the model finds answers to other prompts of the
 * batch, in the mean of the pairs and not below 0; no gradient goes through it. 0 where there is no
 * pair. */
static hg_status measure_z(hg_preferences *p, hg_learner *s, uint64_t position, hg_err *e)
{
    double more = 0;
    p->z = 0;
    HG_TRY(hg_mismatch_make(&p->others, p->data, p->seen, p->n_seen, s->seed, position, e));
    const uint64_t n_rows = p->others.source.n_val_rows;
    for (uint64_t at = 0; at < n_rows;) {
        const size_t n = n_rows - at < s->micro ? (size_t)(n_rows - at) : s->micro;
        hg_rows_fill(&s->rows, &p->others.source, true, s->seed, at, n);
        HG_TRY(hg_learner_look_at_base(s, p->reference, p->losses, e));
        more += sum_rows(p, &s->rows);
        HG_TRY(hg_learner_look(s, s->model, p->losses, e));
        more -= sum_rows(p, &s->rows);
        at += n;
    }
    if (p->others.n > 0) p->z = fmax(0, more / (double)p->others.n);
    return HG_OK;
}

static hg_pair *gather(const hg_preferences *p)
{
    hg_pair *seen = hg_alloc(p->n_seen + 1, sizeof *seen);
    for (size_t i = 0; i < p->n_seen && seen != NULL; i++) seen[i] = p->pair[p->seen[i]];
    return seen;
}

static void add_figure(hg_step_result *r, const char *name, double value)
{
    r->figure[r->n_figures++] = (hg_figure){name, value};
}

typedef struct sums {
    double loss, margin, right, reward[2], n_reward[2], ratio, tokens;
} sums;

static void add_pair(sums *s, const hg_pair *p, const hg_pair_loss *l, bool is_label)
{
    s->loss += l->loss;
    s->margin += l->margin;
    s->right += l->margin > 0;
    for (int i = 0; i < 2; i++) {
        /* of a label the one answer there is, under its own name */
        int side = is_label ? !p->is_good : i;
        if (is_label && i == 1) break;
        s->reward[side] += l->reward[i];
        s->n_reward[side]++;
        s->ratio += p->logp[i] - p->ref[i];
        s->tokens += p->n[i];
    }
}

/* Loss, figures and derivatives of the pairs that were seen. */
static hg_status judge(hg_preferences *p, hg_step_result *out, hg_err *e)
{
    const bool is_label = is_kto(p);
    hg_pair *seen = gather(p);
    sums s = {0};
    if (seen == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %zu pairs", p->n_seen);
    const double n = (double)p->n_seen;
    for (size_t i = 0; i < p->n_seen; i++) {
        const hg_pair_loss l = hg_pair_loss_of(&p->o, &seen[i], p->z);
        for (int side = 0; side < 2; side++) p->by[p->seen[i]][side] = l.by[side] / n;
        add_pair(&s, &seen[i], &l, is_label);
    }
    hg_free(seen);
    out->loss = s.loss / n;
    add_figure(out, "margin", s.margin / n);
    add_figure(out, "accuracy", s.right / n);
    for (int i = 0; i < 2; i++)
        if (s.n_reward[i] > 0)
            add_figure(out, i == 0 ? "chosen_reward" : "rejected_reward",
                       s.reward[i] / s.n_reward[i]);
    if (p->o.method != HG_METHOD_ORPO) add_figure(out, "kl", is_label ? p->z : s.ratio / s.tokens);
    return HG_OK;
}

/* ---- the objective ---- */

static hg_preferences *mine(hg_objective *o)
{
    return (hg_preferences *)(void *)o;
}

static hg_status begin(hg_objective *o, hg_learner *s, uint64_t position, hg_step_result *out,
                       hg_err *e)
{
    hg_preferences *p = mine(o);
    p->n_seen = 0;
    for (size_t at = 0; at < hg_learner_rows(s);) {
        at += hg_learner_fill(s, position, at);
        out->n_targets += s->rows.n_targets;
        HG_TRY(look(p, s, e));
    }
    if (is_kto(p)) HG_TRY(measure_z(p, s, position, e));
    p->result = (hg_step_result){.loss = 0};
    return judge(p, &p->result, e);
}

static double weight(const hg_objective *o, const hg_learner *s, const hg_step_result *out)
{
    (void)o, (void)out;
    return s->rows.n_targets > 0 ? 1 : 0;
}

static hg_tensor *loss(hg_objective *o, hg_learner *s, hg_graph *g)
{
    hg_preferences *p = mine(o);
    each_answer(p, &s->rows, weigh_answer);
    return hg_op_linear_surprise(g, hg_learner_states(s, g), s->model->head, s->rows.targets,
                                 p->weights, s->model->c.soft_cap, p->losses);
}

static void end(hg_objective *o, hg_step_result *out)
{
    const hg_step_result *r = &mine(o)->result;
    out->loss = r->loss;
    out->n_figures = r->n_figures;
    memcpy(out->figure, r->figure, sizeof r->figure);
}

static hg_status validate(hg_objective *o, hg_learner *s, uint64_t n_rows, hg_step_result *out,
                          hg_err *e)
{
    hg_preferences *p = mine(o);
    p->n_seen = 0;
    for (uint64_t at = 0; at < n_rows;) {
        at += hg_learner_fill_held_out(s, at, n_rows);
        out->n_targets += s->rows.n_targets;
        HG_TRY(look(p, s, e));
    }
    out->loss = (double)NAN;
    if (is_kto(p)) HG_TRY(measure_z(p, s, UINT64_MAX, e));
    return p->n_seen > 0 ? judge(p, out, e) : HG_OK;
}

/* ---- the reference ---- */

enum { FILE_MAGIC = 0x31524748 }; /* "HGR1" */

typedef struct file_head {
    uint64_t magic, key, n, hash; /* of the values behind it */
} file_head;

static hg_status save(const hg_preferences *p, const char *path, hg_err *e)
{
    hg_buf b = {0};
    size_t n = 2 * p->data->n_chats;
    file_head h = {.magic = FILE_MAGIC, .key = p->key, .n = n};
    hg_buf_put(&b, (const char *)&h, sizeof h);
    for (size_t i = 0; i < p->data->n_chats; i++)
        hg_buf_put(&b, (const char *)p->pair[i].ref, sizeof p->pair[i].ref);
    hg_status s = hg_buf_status(&b, e);
    if (s == HG_OK) {
        h.hash = hg_hash64(b.p + sizeof h, b.n - sizeof h, h.key);
        memcpy(b.p, &h, sizeof h);
        s = hg_file_write(path, b.p, b.n, e);
    }
    hg_buf_free(&b);
    return s;
}

/* False where there is no such file, or it is of another run or damaged: then it is made anew. */
static bool load(hg_preferences *p, const char *path)
{
    hg_map map = {0};
    hg_err e = {0};
    file_head h;
    size_t n = 2 * p->data->n_chats;
    if (!hg_path_exists(path) || hg_map_open(&map, path, &e) != HG_OK) return false;
    bool fits = map.n == sizeof h + n * sizeof(double);
    if (fits) memcpy(&h, map.p, sizeof h);
    fits = fits && h.magic == FILE_MAGIC && h.key == p->key && h.n == n &&
           h.hash == hg_hash64((const char *)map.p + sizeof h, n * sizeof(double), h.key);
    for (size_t i = 0; fits && i < p->data->n_chats; i++)
        memcpy(p->pair[i].ref, (const char *)map.p + sizeof h + i * sizeof p->pair[i].ref,
               sizeof p->pair[i].ref);
    hg_map_close(&map);
    return fits;
}

static hg_status measure(hg_preferences *p, hg_learner *s, const hg_watch *w, hg_err *e)
{
    const hg_source *src = s->source;
    double done = 0, total = (double)(src->n_rows + src->n_val_rows);
    for (int side = 0; side < 2; side++)
        for (uint64_t at = 0, n = side ? src->n_val_rows : src->n_rows; at < n;) {
            size_t k = n - at < s->micro ? (size_t)(n - at) : s->micro;
            hg_rows_fill(&s->rows, src, side > 0, s->seed, at, k);
            p->n_seen = 0;
            HG_TRY(look(p, s, e));
            at += k;
            done += (double)k;
            const hg_progress progress = {
                .stage = "reference", .unit = "rows", .done = done, .total = total};
            hg_watch_progress(w, &progress);
            if (hg_watch_stopped(w))
                return hg_fail(e, HG_E_CANCELED, "stopped before the first step; begin again");
        }
    for (size_t i = 0; i < p->data->n_chats; i++)
        memcpy(p->pair[i].ref, p->pair[i].logp, sizeof p->pair[i].ref);
    return HG_OK;
}

static hg_status prepare(hg_objective *o, hg_learner *s, const char *folder, const hg_watch *w,
                         hg_err *e)
{
    char path[1100];
    hg_preferences *p = mine(o);
    (void)snprintf(path, sizeof path, "%.1000s/reference.hgr", folder);
    if (load(p, path)) return HG_OK;
    HG_TRY(measure(p, s, w, e));
    return save(p, path, e);
}

/* ---- */

/* A step needs other lines' answers. */
static hg_status check_lines(const hg_packed *data, const hg_recipe *r, hg_err *e)
{
    if (data->side[0].n_chats < 2)
        return hg_fail(e, HG_E_ARG,
                       "%zu labelled answers to learn from; two at the least are needed",
                       data->side[0].n_chats);
    if (r->batch_size * r->accumulation > 1) return HG_OK;
    return hg_fail(e, HG_E_ARG,
                   "kto holds a step's prompts against other lines' answers; batch_size times "
                   "accumulation must be 2 or more");
}

hg_status hg_preferences_init(hg_preferences *p, const hg_packed *data, const hg_recipe *r,
                              uint64_t key, hg_arena *mem, hg_err *e)
{
    size_t rows = (size_t)r->batch_size, tokens = 0;
    *p = (hg_preferences){.data = data, .key = key};
    p->o = (hg_pair_options){.method = (hg_method)r->method,
                             .beta = r->beta,
                             .smoothing = r->label_smoothing,
                             .orpo = r->orpo_lambda,
                             .kto_good = r->kto_good,
                             .kto_bad = r->kto_bad};
    p->objective = (hg_objective){.name = "preferences",
                                  .begin = begin,
                                  .weight = weight,
                                  .loss = loss,
                                  .end = end,
                                  .validate = validate};
    if (r->method != HG_METHOD_ORPO) p->objective.prepare = prepare;
    if (is_kto(p)) HG_TRY(check_lines(data, r, e));
    if (!hg_mul(rows, data->source.seq_len, &tokens))
        return hg_fail(e, HG_E_LIMIT, "a batch of more tokens than fit");
    p->pair = HG_NEW(mem, hg_pair, data->n_chats);
    p->by = hg_arena_alloc(mem, data->n_chats, sizeof *p->by);
    p->losses = HG_NEW(mem, float, tokens);
    p->weights = HG_NEW(mem, float, tokens);
    if (p->pair == NULL || p->by == NULL || p->losses == NULL || p->weights == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for %zu pairs", data->n_chats);
    for (size_t i = 0; i < data->n_chats; i++) p->pair[i].is_good = data->chat[i].is_good;
    return HG_OK;
}

void hg_preferences_free(hg_preferences *p)
{
    hg_mismatch_free(&p->others);
    hg_free(p->seen);
    memset(p, 0, sizeof *p);
}

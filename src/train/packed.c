/* The data of tuning: conversations rendered as the model will meet them, with a mask of what the
 * assistant says, and packed into rows of the training length. Rows are filled first-fit from a
 * shuffled list, each conversation whole, in a span of its own: it never sees its neighbours and
 * its positions start at 0, so packed and lone give the same loss. What cannot teach anything is
 * said aloud with its line, for a loss mask that silently drops data is a known trap. */
#include "train/packed.h"
#include "base/hash.h"
#include "base/rng.h"
#include "text/json.h"
#include <string.h>

/* Rows that are still open to later conversations while packing. */
enum { OPEN_ROWS = 64 };

static void say(const hg_watch *w, const hg_chat *c, const char *what)
{
    hg_watch_log(w, HG_WARN, "%s, line %zu: %s", c->file, c->line, what);
}

static bool has_target(const hg_packed *p, size_t at, size_t n)
{
    /* The first token is predicted from nothing: it does not count. */
    for (size_t i = 1; i < n; i++)
        if (p->mask.weight[at + i] > 0) return true;
    return false;
}

hg_status hg_chat_look_open(hg_chat_look *l, const hg_tokenizer *t, const char *chat_template,
                            hg_err *e)
{
    l->explains = chat_template == NULL || strstr(chat_template, "tool_calls") == NULL;
    return hg_chat_format_new(&l->format, t, chat_template, e);
}

void hg_chat_look_close(hg_chat_look *l)
{
    hg_chat_format_free(l->format);
    l->format = NULL;
}

/* The messages with their tools in words, as a server explains them to such a model. */
static hg_status explain(const hg_chat *chat, hg_buf *out, hg_err *e)
{
    json_t *messages = NULL, *tools = NULL;
    hg_status s = hg_json_parse(&messages, chat->messages, chat->messages.n, e);
    if (s == HG_OK && chat->tools.n > 0) s = hg_json_parse(&tools, chat->tools, chat->tools.n, e);
    if (s == HG_OK) s = hg_calls_explain(messages, tools, out, e);
    json_decref(messages);
    json_decref(tools);
    return s;
}

static hg_status render(const hg_chat *chat, const hg_chat_input *in, const hg_chat_look *l,
                        hg_ids *ids, hg_mask *mask, hg_err *e)
{
    hg_buf said = {0};
    hg_chat_input explained = *in;
    if (!chat->uses_tools || !l->explains) return hg_chat_format_ids(l->format, in, ids, mask, e);
    hg_status s = explain(chat, &said, e);
    explained.messages = (hg_bytes){said.p, said.n};
    explained.tools.n = 0;
    if (s == HG_OK) s = hg_chat_format_ids(l->format, &explained, ids, mask, e);
    hg_buf_free(&said);
    return s;
}

hg_status hg_packed_render(const hg_chat *chat, bool other, const hg_chat_look *l, hg_ids *ids,
                           hg_mask *mask, hg_err *e)
{
    static const float given[HG_MAX_TURNS] = {0};
    const bool is_given = chat->n_prompt > 0;
    const hg_chat_input in = {.m = other ? chat->other : chat->message,
                              .n = other ? chat->n_other : chat->n,
                              .messages = chat->messages,
                              .tools = chat->tools,
                              .weights = is_given ? given : chat->weight,
                              .n_weights = is_given ? hg_chat_given(chat) : chat->n_answers};
    hg_err why = {0};
    const hg_status s = render(chat, &in, l, ids, mask, &why);
    if (s != HG_OK) return hg_fail(e, s, "%s, line %zu: %s", chat->file, chat->line, why.msg);
    return HG_OK;
}

static const char *why_nothing(const hg_chat *chat, bool taught)
{
    bool weighs = chat->weight == NULL;
    for (size_t i = 0; i < chat->n_answers; i++) weighs = weighs || chat->weight[i] > 0;
    if (taught)
        return "too long: no answer is left before the cut; left out (a larger seq_len would keep "
               "it)";
    if (!weighs && chat->n_answers > 0)
        return "all that the assistant says has weight 0, so there is nothing to learn; left out";
    return "the assistant says nothing, so there is nothing to learn; left out";
}

/* One timeline of a chat; *cut when it was longer than allowed. False, with a sentence, when it
 * teaches nothing. */
static bool trim(hg_packed *p, const hg_chat *chat, size_t at, bool *cut, const hg_watch *w)
{
    size_t n = p->ids.n - at;
    bool taught = has_target(p, at, n), long_one = n > p->max_tokens;
    if (long_one) n = p->max_tokens;
    p->ids.n = p->mask.n = at + n;
    *cut = *cut || long_one;
    if (has_target(p, at, n)) return true;
    say(w, chat, why_nothing(chat, taught));
    return false;
}

static hg_status add_chat(hg_packed *p, const hg_chat *chat, const hg_chat_look *l,
                          const hg_watch *w, hg_err *e)
{
    hg_packed_chat c = {.at = p->ids.n, .is_good = chat->is_good, .is_held = chat->is_held};
    bool cut = false, is_kept = true;
    HG_TRY(hg_grow(&p->chat, &p->cap, p->n_chats, sizeof *p->chat, e));
    for (int side = 0; is_kept && side < (chat->other != NULL ? 2 : 1); side++) {
        size_t at = p->ids.n;
        HG_TRY(hg_packed_render(chat, side > 0, l, &p->ids, &p->mask, e));
        is_kept = trim(p, chat, at, &cut, w);
        if (side == 0) c.n_first = p->ids.n - at;
    }
    c.n = p->ids.n - c.at;
    if (!is_kept) {
        p->ids.n = p->mask.n = c.at;
        p->n_dropped++;
        return HG_OK;
    }
    c.hash = hg_hash64(p->ids.id + c.at, c.n * sizeof *p->ids.id, 0);
    if (cut) {
        say(w, chat, "longer than seq_len; its end is cut off");
        p->n_truncated++;
    }
    p->chat[p->n_chats++] = c;
    return HG_OK;
}

/* ---- packing ---- */

typedef struct open_row {
    size_t row, left;
} open_row;

/* The first open row with room, or a new one in place of the fullest. */
static size_t choose_row(open_row *open, size_t *n_open, size_t *n_rows, size_t len, size_t need)
{
    size_t fullest = 0;
    for (size_t i = 0; i < *n_open; i++) {
        if (open[i].left >= need) {
            open[i].left -= need;
            return open[i].row;
        }
        if (open[i].left < open[fullest].left) fullest = i;
    }
    size_t at = *n_open < OPEN_ROWS ? (*n_open)++ : fullest;
    open[at] = (open_row){(*n_rows)++, len - need};
    return open[at].row;
}

/* Sorts the side's conversations by row: counts, then places. `row_of` [side->n_chats] goes with
 * side->chat. */
static hg_status group_rows(hg_packed_side *side, const size_t *row_of, hg_arena *mem, hg_err *e)
{
    size_t *sorted = HG_NEW(mem, size_t, side->n_chats + 1);
    side->first = HG_NEW(mem, size_t, side->n_rows + 2);
    if (sorted == NULL || side->first == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for %zu rows", side->n_rows);
    for (size_t i = 0; i < side->n_chats; i++) side->first[row_of[i] + 2]++;
    for (size_t r = 2; r < side->n_rows + 2; r++) side->first[r] += side->first[r - 1];
    for (size_t i = 0; i < side->n_chats; i++) sorted[side->first[row_of[i] + 1]++] = side->chat[i];
    side->chat = sorted;
    return HG_OK;
}

static hg_status pack_side(hg_packed *p, hg_packed_side *side, uint64_t seed, hg_arena *mem,
                           hg_err *e)
{
    open_row open[OPEN_ROWS];
    size_t n_open = 0;
    size_t *shuffled = HG_NEW(mem, size_t, side->n_chats + 1),
           *row_of = HG_NEW(mem, size_t, side->n_chats + 1);
    if (shuffled == NULL || row_of == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for %zu conversations", side->n_chats);
    for (size_t i = 0; i < side->n_chats; i++) {
        shuffled[i] = side->chat[hg_permute(i, side->n_chats, seed)];
        row_of[i] =
            choose_row(open, &n_open, &side->n_rows, p->source.seq_len, p->chat[shuffled[i]].n);
    }
    side->chat = shuffled;
    return group_rows(side, row_of, mem, e);
}

static hg_status put_sides(hg_packed *p, const uint8_t *out, hg_arena *mem, hg_err *e)
{
    for (int i = 0; i < 2; i++) {
        p->side[i].chat = HG_NEW(mem, size_t, p->n_chats + 1);
        if (p->side[i].chat == NULL)
            return hg_fail(e, HG_E_NOMEM, "no room for %zu conversations", p->n_chats);
    }
    for (size_t i = 0; i < p->n_chats; i++) {
        hg_packed_side *side = &p->side[out[i]];
        side->chat[side->n_chats++] = i;
    }
    if (p->side[0].n_chats == 0)
        return hg_fail(e, HG_E_ARG, "%zu conversations, and none has an answer to learn from",
                       p->n_chats);
    return HG_OK;
}

/* Those that are held out already; else by hash, as with documents: one at the least where there
 * are two, and never all. */
static hg_status split(hg_packed *p, double share, hg_arena *mem, hg_err *e)
{
    uint64_t threshold = (uint64_t)(share * 0x1p63) * 2;
    size_t lowest = 0, n_out = 0, n_held = 0;
    uint8_t *out = HG_NEW(mem, uint8_t, p->n_chats + 1);
    if (out == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %zu conversations", p->n_chats);
    for (size_t i = 0; i < p->n_chats; i++) {
        if (p->chat[i].hash < p->chat[lowest].hash) lowest = i;
        n_out += p->chat[i].hash < threshold;
        n_held += p->chat[i].is_held;
    }
    bool by_hash = n_out > 0 && n_out < p->n_chats;
    for (size_t i = 0; i < p->n_chats; i++) {
        if (n_held > 0)
            out[i] = p->chat[i].is_held;
        else
            out[i] =
                by_hash ? p->chat[i].hash < threshold : share > 0 && p->n_chats > 1 && i == lowest;
    }
    return put_sides(p, out, mem, e);
}

/* ---- rows ---- */

static void packed_row(const hg_source *source, bool held_out, uint64_t row, int32_t *ids,
                       int32_t *targets, uint8_t *begins)
{
    const hg_packed *p = (const hg_packed *)(const void *)source;
    const hg_packed_side *side = &p->side[held_out];
    size_t done = 0;
    memset(begins, 0, source->seq_len);
    for (size_t i = side->first[row]; i < side->first[row + 1]; i++) {
        const hg_packed_chat *c = &p->chat[side->chat[i]];
        const int32_t *id = p->ids.id + c->at;
        const float *weight = p->mask.weight + c->at;
        begins[done] = 1;
        if (c->n_first < c->n) begins[done + c->n_first] = 1;
        for (size_t t = 0; t < c->n; t++) {
            bool is_last = t + 1 == c->n || t + 1 == c->n_first;
            ids[done + t] = id[t];
            targets[done + t] = !is_last && weight[t + 1] > 0 ? id[t + 1] : -1;
        }
        done += c->n;
    }
    /* No timeline is longer than the model may read at once: a pair's row is twice as long. */
    for (size_t t = done; t < source->seq_len; t++) {
        ids[t] = 0;
        targets[t] = -1;
        begins[t] = (t - done) % p->max_tokens == 0;
    }
}

/* The weight of a target is that of the token it is. */
static void packed_weights(const hg_source *source, bool held_out, uint64_t row, float *weights)
{
    const hg_packed *p = (const hg_packed *)(const void *)source;
    const hg_packed_side *side = &p->side[held_out];
    size_t done = 0;
    memset(weights, 0, source->seq_len * sizeof *weights);
    for (size_t i = side->first[row]; i < side->first[row + 1]; i++) {
        const hg_packed_chat *c = &p->chat[side->chat[i]];
        const float *weight = p->mask.weight + c->at;
        for (size_t t = 0; t + 1 < c->n; t++)
            if (t + 1 != c->n_first) weights[done + t] = weight[t + 1];
        done += c->n;
    }
}

static uint64_t hash_of(const hg_packed *p)
{
    uint64_t h = hg_hash64(p->ids.id, p->ids.n * sizeof *p->ids.id, 1);
    h = hg_hash64(p->mask.weight, p->mask.n * sizeof *p->mask.weight, h);
    for (size_t i = 0; i < p->n_chats && p->source.seq_len > p->max_tokens; i++) {
        const uint64_t c[] = {p->chat[i].at, p->chat[i].n_first, p->chat[i].is_good};
        h = hg_hash64(c, sizeof c, h);
    }
    for (size_t i = 0; i < p->n_chats; i++)
        if (p->chat[i].is_held) h = hg_hash64(&i, sizeof i, h);
    for (size_t i = 0; i < p->n_chats; i++)
        if (p->chat[i].is_good) h = hg_hash64(&i, sizeof i, h);
    return h;
}

/* One format for all: parsing a template takes longer than rendering a conversation. */
static hg_status add_all(hg_packed *p, const hg_chats *c, const hg_tokenizer *t,
                         const char *chat_template, const hg_watch *w, hg_err *e)
{
    hg_chat_look l = {0};
    bool uses_tools = false;
    hg_status s = hg_chat_look_open(&l, t, chat_template, e);
    for (size_t i = 0; s == HG_OK && i < c->n; i++) {
        s = add_chat(p, &c->chat[i], &l, w, e);
        uses_tools = uses_tools || c->chat[i].uses_tools;
    }
    if (uses_tools && l.explains)
        hg_watch_log(w, HG_INFO,
                     "the chat template knows no tools: a system message explains them "
                     "in words, as higgins serve does");
    hg_chat_look_close(&l);
    return s;
}

hg_status hg_packed_init(hg_packed *p, const hg_chats *c, const hg_tokenizer *t,
                         const char *chat_template, size_t seq_len, double val_share, uint64_t seed,
                         hg_arena *mem, const hg_watch *w, hg_err *e)
{
    memset(p, 0, sizeof *p);
    p->max_tokens = seq_len;
    p->source.seq_len = c->n > 0 && c->chat[0].other != NULL ? 2 * seq_len : seq_len;
    HG_TRY(add_all(p, c, t, chat_template, w, e));
    if (p->n_chats == 0)
        return hg_fail(e, HG_E_ARG, "%zu conversations, and none has an answer to learn from",
                       c->n);
    HG_TRY(split(p, val_share, mem, e));
    for (int i = 0; i < 2; i++) HG_TRY(pack_side(p, &p->side[i], seed, mem, e));
    for (size_t i = 0; i < p->mask.n; i++) {
        const float weight = p->mask.weight[i];
        p->n_targets += weight > 0;
        if (weight > 0 && weight < 1) p->source.weights = packed_weights;
    }
    p->source.row = packed_row;
    p->source.n_rows = p->side[0].n_rows;
    p->source.n_val_rows = p->side[1].n_rows;
    p->source.hash = hash_of(p);
    return HG_OK;
}

void hg_packed_free(hg_packed *p)
{
    hg_ids_free(&p->ids);
    hg_mask_free(&p->mask);
    hg_free(p->chat);
    memset(p, 0, sizeof *p);
}

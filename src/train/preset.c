/* See preset.h. */
#include "train/preset.h"
#include "base/hash.h"
#include <stdlib.h>
#include <string.h>

/* Where labels are so many that a prompt would be made of them, they are not listed. */
enum { LISTED_LABELS = 16, LABEL_BYTES = 64 };

static const char *const names[HG_N_PRESETS] = {"none",      "translation", "summary",
                                                "sentiment", "qa",          "chat"};

const char *hg_preset_name(hg_preset p)
{
    return p < HG_N_PRESETS ? names[p] : "none";
}

bool hg_preset_parse(const char *name, hg_preset *out)
{
    for (int i = HG_PRESET_TRANSLATION; i < HG_N_PRESETS; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (hg_preset)i;
            return true;
        }
    return false;
}

void hg_preset_data_init(hg_preset_data *d, hg_preset kind, const char *instruction)
{
    *d = (hg_preset_data){.kind = kind, .instruction = instruction};
    hg_arena_init(&d->mem, 0);
}

void hg_preset_data_free(hg_preset_data *d)
{
    hg_chats_free(&d->chats);
    hg_free(d->row);
    hg_arena_free(&d->mem);
    *d = (hg_preset_data){.n = 0};
}

/* ---- the held-out part ---- */
static uint64_t hash_bytes(hg_bytes b, uint64_t h)
{
    return hg_hash64(b.p, b.n, h + b.n);
}

static uint64_t row_hash(const hg_preset_data *d, size_t i)
{
    uint64_t h = 0;
    if (d->kind != HG_PRESET_CHAT) {
        const hg_preset_row *r = &d->row[i];
        return hash_bytes(r->answer[0], hash_bytes(r->input, hash_bytes(r->context, 0)));
    }
    const hg_chat *c = &d->chats.chat[i];
    for (size_t k = 0; k < c->n; k++) h = hash_bytes(c->message[k].content, h);
    return c->messages.n > 0 ? hash_bytes(c->messages, h) : h;
}

static void hold_out(hg_preset_data *d, size_t i, bool yes)
{
    if (d->kind == HG_PRESET_CHAT)
        d->chats.chat[i].is_held = yes;
    else
        d->row[i].is_held_out = yes;
}

void hg_preset_split(hg_preset_data *d, double share)
{
    const uint64_t threshold = (uint64_t)(share * 0x1p63) * 2;
    const size_t n = d->kind == HG_PRESET_CHAT ? d->chats.n : d->n;
    size_t lowest = 0, n_out = 0;
    for (size_t i = 0; i < n; i++) {
        const bool out = row_hash(d, i) < threshold;
        if (row_hash(d, i) < row_hash(d, lowest)) lowest = i;
        hold_out(d, i, out);
        n_out += out;
    }
    if (n < 2 || !(share > 0) || (n_out > 0 && n_out < n)) return;
    for (size_t i = 0; i < n; i++) hold_out(d, i, row_hash(d, i) == row_hash(d, lowest));
}

/* ---- labels ---- */
static int compare(hg_bytes a, hg_bytes b)
{
    const int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static int by_text(const void *a, const void *b)
{
    return compare(*(const hg_bytes *)a, *(const hg_bytes *)b);
}

static size_t label_of(const hg_preset_data *d, hg_bytes text)
{
    size_t i = 0;
    while (i < d->n_labels && compare(d->label[i], text) != 0) i++;
    return i;
}

hg_status hg_preset_find_labels(hg_preset_data *d, hg_err *e)
{
    d->n_labels = 0;
    for (size_t i = 0; d->kind == HG_PRESET_SENTIMENT && i < d->n; i++) {
        const hg_preset_row *r = &d->row[i];
        if (label_of(d, r->answer[0]) < d->n_labels) continue;
        if (d->n_labels == HG_PRESET_LABELS || r->answer[0].n > LABEL_BYTES)
            return hg_fail(
                e, HG_E_ARG,
                "%s, line %zu: \"%.40s\" is no label: a task has at most %d labels of %d "
                "bytes",
                r->file, r->line, r->answer[0].p, HG_PRESET_LABELS, LABEL_BYTES);
        d->label[d->n_labels++] = r->answer[0];
    }
    if (d->kind != HG_PRESET_SENTIMENT) return HG_OK;
    if (d->n_labels < 2)
        return hg_fail(e, HG_E_ARG, "%s: all rows have one label; two at the least are needed",
                       d->n > 0 ? d->row[0].file : "the data");
    qsort(d->label, d->n_labels, sizeof *d->label, by_text);
    for (size_t i = 0; i < d->n; i++) d->row[i].label = label_of(d, d->row[i].answer[0]);
    return HG_OK;
}

static bool is_held(const hg_preset_data *d, size_t i)
{
    return d->kind == HG_PRESET_CHAT ? d->chats.chat[i].is_held : d->row[i].is_held_out;
}

static void count_sides(const hg_preset_data *d, size_t *learnt, size_t *held_out)
{
    const size_t n = d->kind == HG_PRESET_CHAT ? d->chats.n : d->n;
    *held_out = 0;
    for (size_t i = 0; i < n; i++) *held_out += is_held(d, i);
    *learnt = n - *held_out;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Held-out rows that are learnt from as well flatter the figures. */
static hg_status tell_shared(const hg_preset_data *d, const hg_watch *w, hg_err *e)
{
    const size_t n = d->kind == HG_PRESET_CHAT ? d->chats.n : d->n;
    uint64_t *learnt = hg_alloc(n, sizeof *learnt);
    size_t n_learnt = 0, shared = 0;
    if (learnt == NULL) return hg_fail(e, HG_E_NOMEM, "no room for %zu rows", n);
    for (size_t i = 0; i < n; i++)
        if (!is_held(d, i)) learnt[n_learnt++] = row_hash(d, i);
    qsort(learnt, n_learnt, sizeof *learnt, by_value);
    for (size_t i = 0; i < n; i++) {
        const uint64_t h = row_hash(d, i);
        shared += is_held(d, i) && bsearch(&h, learnt, n_learnt, sizeof h, by_value) != NULL;
    }
    hg_free(learnt);
    if (shared > 0)
        hg_watch_log(w, HG_WARN,
                     "%zu of the held-out rows are learnt from too: the figures flatter", shared);
    return HG_OK;
}

hg_status hg_preset_read(hg_preset_data *d, const hg_recipe *r, const hg_watch *w, hg_err *e)
{
    size_t learnt, held_out;
    for (size_t i = 0; i < r->data.n; i++)
        HG_TRY(hg_preset_load(d, r->data.item[i], r->columns.item, r->columns.n, false, w, e));
    if (r->val_data.n == 0) hg_preset_split(d, r->val_share);
    for (size_t i = 0; i < r->val_data.n; i++)
        HG_TRY(hg_preset_load(d, r->val_data.item[i], r->columns.item, r->columns.n, true, w, e));
    HG_TRY(hg_preset_find_labels(d, e));
    HG_TRY(tell_shared(d, w, e));
    count_sides(d, &learnt, &held_out);
    if (r->val_data.n == 0)
        hg_watch_log(w, HG_INFO,
                     "%s: %zu rows to learn from, %zu held out (%g of them, by a hash of the row)",
                     hg_preset_name(d->kind), learnt, held_out, r->val_share);
    else
        hg_watch_log(w, HG_INFO, "%s: %zu rows to learn from, %zu held out (%s)",
                     hg_preset_name(d->kind), learnt, held_out, r->val_data.item[0]);
    if (learnt > 0 && held_out > 0) return HG_OK;
    return hg_fail(e, HG_E_ARG, "%zu rows to learn from and %zu held out; both are needed", learnt,
                   held_out);
}

/* ---- prompts ---- */
hg_bytes hg_preset_text(const hg_preset_row *row)
{
    return row->context.n > 0 ? row->context : row->input;
}

static void put_words(const hg_preset_data *d, hg_buf *out)
{
    static const char *const words[HG_N_PRESETS] = {"",
                                                    "Translate this text.",
                                                    "Summarize this text.",
                                                    "Which label fits this text?",
                                                    "Answer the question.",
                                                    ""};
    if (d->instruction != NULL && d->instruction[0] != '\0') {
        hg_buf_puts(out, d->instruction);
        return;
    }
    hg_buf_puts(out, words[d->kind]);
    if (d->kind != HG_PRESET_SENTIMENT || d->n_labels > LISTED_LABELS) return;
    for (size_t i = 0; i < d->n_labels; i++) {
        hg_buf_puts(out, i == 0 ? " " : i + 1 < d->n_labels ? ", " : " or ");
        hg_buf_put(out, d->label[i].p, d->label[i].n);
    }
    hg_buf_puts(out, "?");
}

hg_status hg_preset_prompt(const hg_preset_data *d, const hg_preset_row *row, hg_bytes text,
                           hg_buf *out, hg_err *e)
{
    put_words(d, out);
    hg_buf_puts(out, "\n\n");
    hg_buf_put(out, text.p, text.n);
    if (row->context.n > 0) {
        hg_buf_puts(out, "\n\n");
        hg_buf_put(out, row->input.p, row->input.n);
    }
    return hg_buf_status(out, e);
}

const char *hg_preset_template(void)
{
    return "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ ' ' + "
           "m.content + eos_token }}{% endgeneration %}{{ '\\n\\n' }}{% else %}{{ m.content + "
           "'\\n\\nAnswer:' }}{% endif %}{% endfor %}";
}

/* ---- conversations ---- */
static hg_status add_chat(const hg_preset_data *d, const hg_preset_row *row, hg_chats *out,
                          hg_err *e)
{
    hg_buf prompt = {0};
    HG_TRY(hg_grow(&out->chat, &out->cap, out->n, sizeof *out->chat, e));
    hg_chat *c = &out->chat[out->n];
    *c = (hg_chat){.message = HG_NEW(&out->mem, hg_message, 2),
                   .n = 2,
                   .line = row->line,
                   .is_held = row->is_held_out};
    hg_status s = hg_preset_prompt(d, row, hg_preset_text(row), &prompt, e);
    c->file = hg_arena_strndup(&out->mem, row->file, strlen(row->file));
    if (s == HG_OK && (c->message == NULL || c->file == NULL))
        s = hg_fail(e, HG_E_NOMEM, "no room for conversations");
    for (size_t i = 0; s == HG_OK && i < 2; i++) {
        const hg_bytes text = i == 0 ? (hg_bytes){prompt.p, prompt.n} : row->answer[0];
        c->message[i] = (hg_message){i == 0 ? "user" : "assistant",
                                     {hg_arena_strndup(&out->mem, text.p, text.n), text.n}};
        if (c->message[i].content.p == NULL)
            s = hg_fail(e, HG_E_NOMEM, "no room for conversations");
    }
    hg_buf_free(&prompt);
    if (s == HG_OK) out->n++;
    return s;
}

hg_status hg_preset_chats(hg_preset_data *d, hg_chats *out, hg_err *e)
{
    if (d->kind == HG_PRESET_CHAT) {
        hg_chats_free(out);
        *out = d->chats;
        d->chats = (hg_chats){.n = 0};
        return HG_OK;
    }
    if (out->mem.block_size == 0) hg_arena_init(&out->mem, 0);
    for (size_t i = 0; i < d->n; i++) HG_TRY(add_chat(d, &d->row[i], out, e));
    return HG_OK;
}

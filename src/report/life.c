/* The page that tells a model's life: documents in, vocabulary, training, fine-tuning, what it said
 * before and after, evaluation, costs. It reads what the stages left in a folder as a stranger
 * would, from their JSON; each section is left out when its stage has left nothing. */
#include <higgins/report.h>

#include "base/file.h"
#include "report/curve.h"
#include "text/json.h"
#include "text/page.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_JSON = 64 << 20, MAX_SAMPLES = 24, MAX_ROWS = 40 };

typedef struct life {
    const char *folder;
    hg_buf page;
    json_t *card, *vocab, *base, *chat, *eval_base, *eval_chat;
    hg_curve base_log, chat_log;
    bool has_any;
} life;

/* ---- reading ---- */

/* A JSON file of the folder; NULL when it is not there. */
static hg_status read_json(life *l, const char *name, json_t **out, hg_err *e)
{
    char *path = hg_path_join(l->folder, name);
    if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no memory to read %s", name);
    hg_status s = HG_OK;
    if (hg_path_exists(path)) {
        s = hg_json_read(out, path, MAX_JSON, e);
        if (s == HG_OK) l->has_any = true;
    }
    hg_free(path);
    return s;
}

static hg_status read_log(life *l, const char *name, hg_curve *out, hg_err *e)
{
    char *path = hg_path_join(l->folder, name);
    if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no memory to read %s", name);
    hg_status s = HG_OK;
    if (hg_path_exists(path)) {
        s = hg_curve_read(out, path, e);
        if (s == HG_OK) l->has_any = true;
    }
    hg_free(path);
    return s;
}

static hg_status read_all(life *l, hg_err *e)
{
    HG_TRY(read_json(l, "corpus/card.json", &l->card, e));
    HG_TRY(read_json(l, "tokenizer-stats.json", &l->vocab, e));
    HG_TRY(read_json(l, "base.json", &l->base, e));
    HG_TRY(read_json(l, "chat.json", &l->chat, e));
    HG_TRY(read_json(l, "eval-base.json", &l->eval_base, e));
    HG_TRY(read_json(l, "eval-chat.json", &l->eval_chat, e));
    HG_TRY(read_log(l, "base/log.jsonl", &l->base_log, e));
    HG_TRY(read_log(l, "chat/log.jsonl", &l->chat_log, e));
    if (!l->has_any)
        return hg_fail(e, HG_E_MISSING,
                       "%s holds nothing of a model's life (corpus/card.json, base/log.jsonl, "
                       "eval-chat.json ...); "
                       "recipes/first-model/run.sh shows a folder that does",
                       l->folder);
    return HG_OK;
}

/* ---- small getters: a report leaves out what it does not find ---- */

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

static const char *figure(char buf[32], double v, const char *fmt)
{
    if (!isfinite(v)) return "";
    if (strcmp(fmt, "count") == 0) return hg_page_count(buf, v);
    if (strcmp(fmt, "bytes") == 0) return hg_page_bytes(buf, v);
    if (strcmp(fmt, "time") == 0) return hg_page_duration(buf, v);
    (void)snprintf(buf, 32,
                   strcmp(fmt, "joules") == 0 ? "%.0f J"
                   : strcmp(fmt, "%") == 0    ? "%.1f %%"
                                              : "%.3f",
                   v);
    return buf;
}

/* ---- training ---- */

static void loss_chart(hg_buf *b, const char *title, const hg_curve *c)
{
    hg_page_series series[2] = {
        {.name = "training", .x = c->loss.x, .y = c->loss.y, .n = c->loss.n},
        {.name = "held out", .x = c->val_loss.x, .y = c->val_loss.y, .n = c->val_loss.n},
    };
    const hg_page_chart chart = {.title = title,
                                 .x_name = "step",
                                 .y_name = "loss, nats a token",
                                 .series = series,
                                 .n_series = c->val_loss.n > 0 ? 2 : 1};
    hg_page_lines(b, &chart);
}

static void run_pairs(hg_buf *b, const json_t *run, const hg_curve *c)
{
    char params[32], tokens[32], time[32], joules[64], memory[32], loss[32], bpb[32];
    (void)snprintf(joules, sizeof joules, "%.0f J (%s)", c->joules, text(run, "joules_source"));
    const hg_page_pair pair[] = {
        {"parameters", figure(params, number(run, "params"), "count")},
        {"tokens", figure(tokens, c->tokens, "count")},
        {"time", figure(time, c->seconds, "time")},
        {"energy", joules},
        {"peak memory", figure(memory, number(run, "peak_bytes"), "bytes")},
        {"held-out loss at the end, nats a token", figure(loss, number(run, "val_loss"), "number")},
        {"held-out bits per byte", figure(bpb, number(run, "val_bits_per_byte"), "number")},
    };
    hg_page_pairs(b, pair, sizeof pair / sizeof *pair);
}

static void log_samples(hg_buf *b, const hg_curve *c)
{
    if (c->n_samples == 0) return;
    hg_page_subheading(b, "What it wrote on the way");
    for (size_t i = 0; i < c->n_samples && i < MAX_SAMPLES; i++) {
        const hg_sample *s = &c->sample[i];
        char at[160];
        (void)snprintf(at, sizeof at, "after step %.0f: %.120s ...", s->step, s->prompt);
        /* The first and the last tell the most; the rest is a click away. */
        hg_page_fold_begin(b, at, i == 0 || i + 1 == c->n_samples);
        hg_page_pre(b, (hg_bytes){s->text, strlen(s->text)});
        hg_page_fold_end(b);
    }
}

static void training(life *l)
{
    hg_buf *b = &l->page;
    if (l->base_log.loss.n > 0) {
        hg_page_heading(b, "Training");
        hg_page_text(b, "From random weights, the model learnt to guess the next token of the "
                        "documents. The loss is its surprise; the "
                        "held-out curve is over documents that it never saw.");
        run_pairs(b, l->base, &l->base_log);
        loss_chart(b, "Loss in training", &l->base_log);
        log_samples(b, &l->base_log);
    }
    if (l->chat_log.loss.n > 0) {
        hg_page_heading(b, "Fine-tuning");
        hg_page_text(b, "Then it learnt from conversations to answer and to stop; the loss counts "
                        "on what the assistant says only.");
        run_pairs(b, l->chat, &l->chat_log);
        loss_chart(b, "Loss in fine-tuning", &l->chat_log);
    }
}

/* ---- before and after ---- */

static int by_name(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* The NAMEs of samples/NAME-after.json, in order. */
static size_t sample_names(const char *dir, char *name[MAX_SAMPLES])
{
    static const char tail[] = "-after.json";
    size_t n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *de = d == NULL ? NULL : readdir(d); de != NULL && n < MAX_SAMPLES;
         de = readdir(d)) {
        size_t len = strlen(de->d_name);
        if (len < sizeof tail || strcmp(de->d_name + len - (sizeof tail - 1), tail) != 0) continue;
        name[n] = hg_strndup(de->d_name, len - (sizeof tail - 1));
        if (name[n] != NULL) n++;
    }
    if (d != NULL) (void)closedir(d);
    qsort(name, n, sizeof *name, by_name);
    return n;
}

/* samples/NAME.txt, what was asked; empty when it is not there. */
static hg_status read_question(life *l, const char *name, hg_buf *out, hg_err *e)
{
    char file[256];
    (void)snprintf(file, sizeof file, "samples/%s.txt", name);
    char *path = hg_path_join(l->folder, file);
    if (path == NULL) return hg_fail(e, HG_E_NOMEM, "no memory to read the samples");
    hg_status s = hg_path_exists(path) ? hg_file_read(out, path, 65536, e) : HG_OK;
    hg_free(path);
    return s;
}

static hg_status one_pair(life *l, const char *name, hg_err *e)
{
    char before_name[256], after_name[256];
    (void)snprintf(before_name, sizeof before_name, "samples/%s-before.json", name);
    (void)snprintf(after_name, sizeof after_name, "samples/%s-after.json", name);
    json_t *before = NULL, *after = NULL;
    hg_status s = read_json(l, before_name, &before, e);
    if (s == HG_OK) s = read_json(l, after_name, &after, e);
    hg_buf question = {0};
    if (s == HG_OK) s = read_question(l, name, &question, e);
    if (s == HG_OK) {
        static const hg_page_column column[] = {{"before tuning", false}, {"after", false}};
        const char *cell[] = {text(before, "text"), text(after, "text")};
        hg_page_table_begin(&l->page, question.n > 0 ? question.p : name, column, 2);
        hg_page_row(&l->page, column, cell, 2);
        hg_page_table_end(&l->page);
    }
    hg_buf_free(&question);
    json_decref(before);
    json_decref(after);
    return s;
}

static hg_status samples(life *l, hg_err *e)
{
    char *dir = hg_path_join(l->folder, "samples"), *name[MAX_SAMPLES];
    if (dir == NULL) return hg_fail(e, HG_E_NOMEM, "no memory to read the samples");
    size_t n = sample_names(dir, name);
    hg_status s = HG_OK;
    if (n > 0) hg_page_heading(&l->page, "Before and after");
    for (size_t i = 0; i < n; i++) {
        if (s == HG_OK) s = one_pair(l, name[i], e);
        hg_free(name[i]);
    }
    hg_free(dir);
    return s;
}

/* ---- costs ---- */

static void cost_row(hg_buf *b, const hg_page_column *column, const char *stage, double seconds,
                     double joules, double bytes)
{
    if (!isfinite(seconds)) return;
    char time[32], energy[32], memory[32];
    const char *cell[] = {stage, figure(time, seconds, "time"), figure(energy, joules, "joules"),
                          figure(memory, bytes, "bytes")};
    hg_page_row(b, column, cell, 4);
}

static void costs(life *l)
{
    static const hg_page_column column[] = {
        {"stage", false}, {"time", true}, {"energy", true}, {"peak memory", true}};
    hg_buf *b = &l->page;
    hg_page_heading(b, "What it cost");
    hg_page_table_begin(b, NULL, column, 4);
    cost_row(b, column, "collect", number(l->card, "seconds"), number(l->card, "joules"),
             number(l->card, "peak_bytes"));
    cost_row(b, column, "tokenizer", number(l->vocab, "seconds"), number(l->vocab, "joules"),
             number(l->vocab, "peak_bytes"));
    if (l->base_log.loss.n > 0)
        cost_row(b, column, "train", l->base_log.seconds, l->base_log.joules,
                 number(l->base, "peak_bytes"));
    if (l->chat_log.loss.n > 0)
        cost_row(b, column, "tune", l->chat_log.seconds, l->chat_log.joules,
                 number(l->chat, "peak_bytes"));
    cost_row(b, column, "evaluate", number(l->eval_chat, "seconds"), number(l->eval_chat, "joules"),
             number(l->eval_chat, "peak_bytes"));
    hg_page_table_end(b);
    const char *source = text(l->base, "joules_source");
    if (source[0] != '\0') hg_page_text(b, "Energy: %s.", source);
}

/* ---- limits ---- */

static void limits(hg_buf *b)
{
    hg_page_heading(b, "What such a model can and cannot do");
    hg_page_text(
        b, "A model of a few million parameters that has read a few million words writes "
           "grammatical phrases in the manner of its sources, answers the "
           "questions of its conversation set and close variants of them, and ends its turns.");
    hg_page_note(b,
                 "It knows next to no facts, does not reason and cannot count; it invents freely "
                 "and sounds sure. Do not rely on what it says. Larger models of the same kind, "
                 "trained on more text for longer, are made with the same commands.");
}

/* ---- documents ---- */

static void sources_table(hg_buf *b, const json_t *card)
{
    static const hg_page_column column[] = {{"source", false},
                                            {"files", true},
                                            {"documents", true},
                                            {"characters", true},
                                            {"dropped", true}};
    const json_t *list = json_object_get(card, "sources"), *s = NULL;
    size_t i = 0;
    hg_page_table_begin(b, "Where they come from", column, 5);
    json_array_foreach(list, i, s)
    {
        if (i >= MAX_ROWS) break;
        char files[32], documents[32], chars[32], dropped[32];
        const char *cell[] = {text(s, "source"), figure(files, number(s, "files"), "count"),
                              figure(documents, number(s, "documents"), "count"),
                              figure(chars, number(s, "chars"), "count"),
                              figure(dropped, number(s, "dropped"), "count")};
        hg_page_row(b, column, cell, 5);
    }
    hg_page_table_end(b);
}

static void dropped_table(hg_buf *b, const json_t *card)
{
    static const hg_page_column column[] = {
        {"dropped because", false}, {"which means", false}, {"documents", true}};
    const json_t *list = json_object_get(card, "dropped_by_reason"), *r = NULL;
    size_t i = 0;
    if (json_array_size(list) == 0) return;
    hg_page_table_begin(b, "What was left out, and why", column, 3);
    json_array_foreach(list, i, r)
    {
        if (i >= MAX_ROWS) break;
        char count[32];
        const char *cell[] = {text(r, "reason"), text(r, "meaning"),
                              figure(count, number(r, "count"), "count")};
        hg_page_row(b, column, cell, 3);
    }
    hg_page_table_end(b);
}

/* Names with numbers of characters: licences, scripts. */
static void ranks(hg_buf *b, const char *title, const json_t *list)
{
    const char *label[MAX_ROWS];
    double value[MAX_ROWS];
    size_t n = 0, i = 0;
    const json_t *item = NULL;
    json_array_foreach(list, i, item)
    {
        if (n >= MAX_ROWS) break;
        label[n] = text(item, "name");
        value[n++] = number(item, "chars");
    }
    if (n > 0) hg_page_ranks(b, title, label, value, NULL, n);
}

static void documents(life *l)
{
    if (l->card == NULL) return;
    hg_buf *b = &l->page;
    hg_page_heading(b, "Documents");
    sources_table(b, l->card);
    ranks(b, "Licences, in characters of text", json_object_get(l->card, "licences"));
    dropped_table(b, l->card);
}

/* ---- vocabulary ---- */

static void vocabulary(life *l)
{
    if (l->vocab == NULL) return;
    hg_buf *b = &l->page;
    char n[32], merges[32], words[32], unique[32], per[32];
    hg_page_heading(b, "Vocabulary");
    hg_page_text(b, "A byte-level BPE: it begins with the 256 bytes and joins, again and again, "
                    "the pair that stands side by side most often.");
    const hg_page_pair pair[] = {
        {"tokens", figure(n, number(l->vocab, "vocab"), "count")},
        {"merges learnt", figure(merges, number(l->vocab, "merges"), "count")},
        {"words read", figure(words, number(l->vocab, "words"), "count")},
        {"different ones", figure(unique, number(l->vocab, "unique_words"), "count")},
        {"bytes a token", figure(per, number(l->vocab, "bytes_per_token"), "number")},
    };
    hg_page_pairs(b, pair, sizeof pair / sizeof *pair);
}

/* ---- evaluation ---- */

/* One figure of an evaluation with its interval: "0.512 [0.47, 0.55]". */
static const char *interval(char buf[64], const json_t *r)
{
    double v = number(r, "value"), low = number(r, "low"), high = number(r, "high");
    if (!isfinite(v)) return "";
    if (isfinite(low) && isfinite(high))
        (void)snprintf(buf, 64, "%.3f [%.3f, %.3f]", v, low, high);
    else
        (void)snprintf(buf, 64, "%.3f", v);
    return buf;
}

/* The result of the same task and metric in another evaluation, or NULL. */
static const json_t *same(const json_t *eval, const json_t *r)
{
    const json_t *list = json_object_get(eval, "results"), *other = NULL;
    size_t i = 0;
    json_array_foreach(list, i, other)
    {
        if (strcmp(text(other, "task"), text(r, "task")) == 0 &&
            strcmp(text(other, "metric"), text(r, "metric")) == 0)
            return other;
    }
    return NULL;
}

static void evaluation(life *l)
{
    const json_t *eval = l->eval_chat != NULL ? l->eval_chat : l->eval_base;
    const json_t *list = json_object_get(eval, "results"), *r = NULL;
    if (json_array_size(list) == 0) return;
    static const hg_page_column column[] = {{"set", false},          {"metric", false},
                                            {"rows", true},          {"chance", true},
                                            {"before tuning", true}, {"after", true}};
    hg_buf *b = &l->page;
    size_t i = 0;
    hg_page_heading(b, "Evaluation");
    hg_page_text(b, "Each figure stands with its 95 %% confidence interval: where intervals "
                    "overlap, or hold what chance would give, a difference proves nothing.");
    hg_page_table_begin(b, NULL, column, 6);
    json_array_foreach(list, i, r)
    {
        char rows[32], chance[32], before[64], after[64];
        const char *cell[] = {text(r, "task"),
                              text(r, "metric"),
                              figure(rows, number(r, "n"), "count"),
                              figure(chance, number(r, "chance"), "number"),
                              l->eval_chat != NULL ? interval(before, same(l->eval_base, r))
                                                   : interval(before, r),
                              l->eval_chat != NULL ? interval(after, r) : ""};
        hg_page_row(b, column, cell, 6);
    }
    hg_page_table_end(b);
}

/* ---- the page ---- */

static void tiles(life *l)
{
    char docs[32], chars[32], params[32], tokens[32], time[32], loss[32];
    double seconds = l->base_log.seconds + l->chat_log.seconds;
    const hg_page_tile tile[] = {
        {figure(docs, number(l->card, "documents"), "count"), "documents", NULL},
        {figure(chars, number(l->card, "chars"), "count"), "characters of text", NULL},
        {figure(params, number(l->base, "params"), "count"), "parameters", NULL},
        {figure(tokens, l->base_log.tokens, "count"), "tokens read in training", NULL},
        {figure(time, seconds, "time"), "of training and tuning", NULL},
        {figure(loss, number(l->base, "val_bits_per_byte"), "number"), "bits per byte, held out",
         NULL},
    };
    hg_page_tiles(&l->page, tile, sizeof tile / sizeof *tile);
}

static hg_status write_page(life *l, hg_err *e)
{
    hg_buf *b = &l->page;
    hg_page_begin(b, "The life of a model", l->folder);
    tiles(l);
    documents(l);
    vocabulary(l);
    training(l);
    HG_TRY(samples(l, e));
    evaluation(l);
    costs(l);
    limits(b);
    hg_page_end(b, "Made by Higgins " HG_VERSION);
    return hg_buf_status(b, e);
}

hg_status hg_report_write(const char *folder, const char *path, hg_err *e)
{
    life l = {.folder = folder};
    hg_status s = read_all(&l, e);
    if (s == HG_OK) s = write_page(&l, e);
    if (s == HG_OK) s = hg_file_write(path, l.page.p, l.page.n, e);
    json_decref(l.card);
    json_decref(l.vocab);
    json_decref(l.base);
    json_decref(l.chat);
    json_decref(l.eval_base);
    json_decref(l.eval_chat);
    hg_curve_free(&l.base_log);
    hg_curve_free(&l.chat_log);
    hg_buf_free(&l.page);
    return s;
}

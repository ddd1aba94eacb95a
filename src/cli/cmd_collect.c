/* higgins collect: documents in, corpus out. */
#include "cli.h"
#include <higgins/collect.h>
#include <stdio.h>
#include <string.h>

typedef struct values {
    const char *out, *text_field, *licence;
    int64_t min_chars, shard_mb;
    cli_list include, exclude, keep;
    bool force;
} values;

static const cli_option options[] = {
    {"output", 'o', CLI_TEXT, "DIR", "folder of the corpus", offsetof(values, out), 0, 0},
    {"text-field", 0, CLI_TEXT, "NAME",
     "field of JSON lines that holds the text; else text, content or body",
     offsetof(values, text_field), 0, 0},
    {"licence", 0, CLI_TEXT, "TEXT", "licence of documents that state none themselves",
     offsetof(values, licence), 0, 0},
    {"min-chars", 0, CLI_INT, "N", "drop documents with fewer characters",
     offsetof(values, min_chars), 0, 1000000},
    {"include", 0, CLI_LIST, "GLOB", "read only files whose name or path matches",
     offsetof(values, include), 0, 0},
    {"exclude", 0, CLI_LIST, "GLOB", "pass over files whose name or path matches",
     offsetof(values, exclude), 0, 0},
    {"keep", 0, CLI_LIST, "RULE", "do not drop by this rule of quality (the card lists them)",
     offsetof(values, keep), 0, 0},
    {"shard-mb", 0, CLI_INT, "MB", "compressed size of a shard", offsetof(values, shard_mb), 1,
     4096},
    {"force", 'f', CLI_FLAG, NULL, "replace a corpus made from other sources or options",
     offsetof(values, force), 0, 0},
    {0}};

static const char *const examples[] = {
    "higgins collect ~/notes -o corpus",
    "Every text, page and mail below ~/notes.",
    "higgins collect /usr/share/doc -o corpus --include '*.html' --include '*.html.gz'",
    "The HTML documentation on this Debian machine, each with its package's licence.",
    "higgins collect books.jsonl.zst --text-field story --licence CC0-1.0 -o corpus",
    "JSON lines with the text in the field `story`.",
    "higgins collect corpus-a corpus-b -o both",
    "Two corpora as one, without what they have in common.",
    NULL};

static void init(void *v)
{
    values *o = v;
    hg_collect_options defaults;
    hg_collect_options_init(&defaults);
    o->out = "corpus";
    o->min_chars = defaults.min_chars;
    o->shard_mb = defaults.shard_mb;
}

/* card.json is the machine's answer: what it says is printed as it lies there. */
static int print_card(cli *c, const char *folder)
{
    char path[4096], bytes[8192];
    hg_err e = {.status = HG_E_IO};
    size_t n;
    if (snprintf(path, sizeof path, "%s/card.json", folder) >= (int)sizeof path) return 1;
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        (void)hg_fail(&e, HG_E_IO, "cannot read %s", path);
        return cli_fail(c, &e);
    }
    while ((n = fread(bytes, 1, sizeof bytes, f)) > 0) (void)fwrite(bytes, 1, n, stdout);
    (void)fclose(f);
    return 0;
}

static void print_stats(const char *folder, const hg_collect_stats *s)
{
    char a[32], b[32];
    int n = (int)strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--; /* a completed path ends with one */
    printf("%.*s: %llu documents, %s characters, %s in %u shard%s\n", n, folder,
           (unsigned long long)s->n_documents, cli_count(a, (double)s->n_chars),
           cli_bytes(b, (double)s->n_bytes_written), s->n_shards, s->n_shards == 1 ? "" : "s");
    printf("read %llu of %llu files (%s); left out %llu, %llu of them duplicates\n",
           (unsigned long long)s->n_files_read, (unsigned long long)s->n_files,
           cli_bytes(a, (double)s->n_bytes_read), (unsigned long long)s->n_dropped,
           (unsigned long long)s->n_duplicates);
    printf("%s, about %.0f J; what was left out and why: %.*s/card.html\n",
           cli_duration(a, s->seconds), s->joules, n, folder);
}

static int run(cli *c, void *v, int n_args, char **args)
{
    const values *o = v;
    const char *sources[1024];
    hg_collect_stats stats;
    hg_err e;
    hg_collect_options co = {.text_field = o->text_field,
                             .licence = o->licence,
                             .min_chars = (uint32_t)o->min_chars,
                             .shard_mb = (uint32_t)o->shard_mb,
                             .include = o->include.item,
                             .n_include = o->include.n,
                             .exclude = o->exclude.item,
                             .n_exclude = o->exclude.n,
                             .keep = o->keep.item,
                             .n_keep = o->keep.n,
                             .force = o->force};
    if (n_args > 1024) return cli_misuse(c, "more than 1024 sources; name the folder they lie in");
    for (int i = 0; i < n_args; i++) sources[i] = args[i];
    hg_status s = hg_collect(sources, (size_t)n_args, &co, o->out, &c->watch, &stats, &e);
    cli_progress_end(c);
    if (s == HG_E_ARG) return cli_misuse(c, "%s", e.msg);
    if (s != HG_OK) return cli_fail(c, &e);
    if (c->json) return print_card(c, o->out);
    print_stats(o->out, &stats);
    return 0;
}

const cli_command cli_collect = {
    .name = "collect",
    .args = "SOURCE...",
    .summary = "make a corpus from files and folders",
    .text =
        "Reads text, Markdown, HTML, JSON lines, mailboxes and single mails (plain, .gz or .zst), "
        "takes out\nthe readable text, cleans it, drops what is near-empty or repetitive and exact "
        "duplicates, and\nwrites a folder of shards (shard-00000.jsonl.zst ...) with a data card "
        "(card.html, card.json): for\nevery document its source, licence where stated, date and "
        "hash; and what was left out, and why.\nThe folder is written whole or not at all.",
    .examples = examples,
    .options = options,
    .values_size = sizeof(values),
    .init = init,
    .min_args = 1,
    .max_args = -1,
    .run = run};

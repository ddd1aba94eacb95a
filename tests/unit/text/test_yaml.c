#include "harness/test.h"
#include "text/yaml.h"
#include <string.h>

static hg_yaml *parse(hg_arena *mem, const char *s)
{
    hg_yaml *v = NULL;
    hg_err e;
    hg_arena_init(mem, 0);
    CHECK_OK(hg_yaml_parse(&v, mem, "r.yaml", (hg_bytes){s, strlen(s)}, &e), e);
    return v;
}

static void check_refused(const char *s, hg_status want, const char *sentence)
{
    hg_arena mem;
    hg_yaml *v = NULL;
    hg_err e;
    hg_arena_init(&mem, 0);
    CHECK_EQ(hg_yaml_parse(&v, &mem, "r.yaml", (hg_bytes){s, strlen(s)}, &e), want);
    CHECK_HAS(e.msg, sentence);
    CHECK(v == NULL);
    hg_arena_free(&mem);
}

TEST(a_recipe_is_read_with_types_and_suffixes)
{
    hg_arena mem;
    hg_err e;
    hg_yaml *r = parse(
        &mem, "model:\n  layers: 8\n  dim: 1_024\ntokens: 1.5B\nlr: 3e-4\nseed: 9007199254740993\n"
              "decay: yes\nname: 'no'\nnote: ~\nsources: [a, b]\none: c\n");
    hg_yaml *m = NULL;
    int64_t n = 0, seed = 0, tokens = 0;
    double lr = 0;
    bool decay = false;
    const char *name = NULL, *note = "default";
    const char *const *list = NULL;
    size_t n_list = 0;
    CHECK_OK(hg_yaml_map(r, "model", &m, &e), e);
    CHECK_OK(hg_yaml_int(m, "layers", 1, 100, &n, &e), e);
    CHECK_EQ(n, 8);
    CHECK_OK(hg_yaml_int(m, "dim", 1, 10000, &n, &e), e);
    CHECK_EQ(n, 1024);
    CHECK_OK(hg_yaml_int(r, "tokens", 1, INT64_MAX, &tokens, &e), e);
    CHECK_EQ(tokens, 1500000000);
    CHECK_OK(hg_yaml_int(r, "seed", 0, INT64_MAX, &seed, &e), e);
    CHECK_EQ(seed, 9007199254740993);
    CHECK_OK(hg_yaml_number(r, "lr", 0, 1, &lr, &e), e);
    CHECK_NEAR(lr, 3e-4, 0);
    CHECK_OK(hg_yaml_bool(r, "decay", &decay, &e), e);
    CHECK(decay);
    CHECK_OK(hg_yaml_text(r, "name", &name, &e), e);
    CHECK_STR(name, "no");
    CHECK_OK(hg_yaml_text(r, "note", &note, &e), e);
    CHECK_STR(note, "default");
    CHECK_OK(hg_yaml_texts(r, "sources", &mem, &list, &n_list, &e), e);
    CHECK_EQ(n_list, 2);
    CHECK_STR(list[1], "b");
    CHECK_OK(hg_yaml_texts(r, "one", &mem, &list, &n_list, &e), e);
    CHECK_EQ(n_list, 1);
    CHECK_OK(hg_yaml_no_others(r, NULL, &e), e);
    hg_arena_free(&mem);
}

TEST(wrong_values_are_named_with_their_line)
{
    static const char *const words[] = {"cosine", "wsd", "constant", NULL};
    hg_arena mem;
    hg_err e;
    int64_t n = 5;
    int choice = 0;
    double x;
    bool b;
    hg_yaml *m;
    hg_yaml *r = parse(&mem, "a: 12\nb: many\nc: [1]\n\nd: sine\ne: nan\nf: 0x10\n");
    CHECK_EQ(hg_yaml_int(r, "a", 1, 10, &n, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "r.yaml, line 1: \"a\" is 12; 1 to 10 allowed");
    CHECK_EQ(hg_yaml_int(r, "b", 1, 10, &n, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "r.yaml, line 2: \"b\" is \"many\"; it should be a whole number");
    CHECK_EQ(hg_yaml_map(r, "c", &m, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "r.yaml, line 3: \"c\" is a list; it should be a map");
    CHECK_EQ(hg_yaml_choice(r, "d", words, &choice, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "r.yaml, line 5: \"d\" is \"sine\"; it should be cosine, wsd or constant");
    CHECK_EQ(hg_yaml_number(r, "e", 0, 1, &x, &e), HG_E_FORMAT);
    CHECK_EQ(hg_yaml_number(r, "f", 0, 100, &x, &e), HG_E_FORMAT);
    CHECK_EQ(hg_yaml_bool(r, "b", &b, &e), HG_E_FORMAT);
    CHECK_EQ(n, 5);
    hg_arena_free(&mem);
}

TEST(a_mistyped_key_is_answered_with_the_nearest_one)
{
    static const char *const known[] = {"learning_rate", "steps", NULL};
    hg_arena mem;
    hg_err e;
    hg_yaml *r = parse(&mem, "steps: 3\nlearnig_rate: 1\n");
    CHECK(hg_yaml_find(r, "steps") != NULL);
    CHECK_EQ(hg_yaml_no_others(r, known, &e), HG_E_FORMAT);
    CHECK_STR(e.msg,
              "r.yaml, line 2: unknown key \"learnig_rate\"; did you mean \"learning_rate\"?");
    hg_arena_free(&mem);
    r = parse(&mem, "colour: red\n");
    CHECK_EQ(hg_yaml_no_others(r, known, &e), HG_E_FORMAT);
    CHECK_STR(e.msg, "r.yaml, line 1: unknown key \"colour\"; known are learning_rate or steps");
    hg_arena_free(&mem);
}

TEST(what_no_recipe_needs_is_refused)
{
    check_refused("a: &x 1\n", HG_E_FORMAT, "r.yaml, line 1: anchors and tags are not used");
    check_refused("a: *x\n", HG_E_FORMAT, "r.yaml, line 1: aliases");
    check_refused("a: !!int 1\n", HG_E_FORMAT, "tags are not used");
    check_refused("a: 1\nb: 2\na: 3\n", HG_E_FORMAT,
                  "line 3: \"a\" is given twice (first on line 1)");
    check_refused("a: 1\n---\nb: 2\n", HG_E_FORMAT, "a second document");
    check_refused("[a]: 1\n", HG_E_FORMAT, "a key must be plain text");
    check_refused("a: [1, 2\nb: 3\n", HG_E_FORMAT, "not YAML");
    check_refused("a:\n\t- 1\n", HG_E_FORMAT, "line 2: not YAML");
    check_refused("a: \"\\0\"\n", HG_E_FORMAT, "NUL");
    check_refused("a: \xff\n", HG_E_FORMAT, "not YAML");
}

TEST(a_recipe_is_bounded)
{
    char deep[200];
    memset(deep, '[', 100);
    deep[100] = '\0';
    check_refused(deep, HG_E_LIMIT, "nested more than 32 deep");
    hg_buf b = {0};
    for (int i = 0; i < HG_YAML_MAX_NODES + 2; i++) hg_buf_puts(&b, "- 1\n");
    check_refused(b.p, HG_E_LIMIT, "more than 65536 values");
    while (b.n <= HG_YAML_MAX_BYTES) hg_buf_puts(&b, "# a comment that goes on and on and on\n");
    check_refused(b.p, HG_E_LIMIT, "a recipe has at most 1048576");
    hg_buf_free(&b);
}

TEST(an_empty_recipe_is_an_empty_map)
{
    hg_arena mem;
    const char *s = "kept";
    hg_err e;
    hg_yaml *r = parse(&mem, "# nothing\n");
    CHECK_EQ(r->kind, HG_YAML_MAP);
    CHECK_OK(hg_yaml_text(r, "any", &s, &e), e);
    CHECK_STR(s, "kept");
    hg_arena_free(&mem);
}

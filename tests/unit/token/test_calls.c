/* Calls of tools in the forms of each family. */
#include "harness/test.h"
#include "text/json.h"
#include "token/calls.h"

#include <higgins/grammar.h>
#include <string.h>

static hg_err e;

static const char TOOLS[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"add\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"a\":{\"$ref\":\"#/$defs/n\"},\"b\":{\"type\":\"string\"}},\"required\":["
    "\"a\"],\"$defs\":{\"n\":{\"type\":\"integer\"}}}}},{\"type\":\"function\",\"function\":{"
    "\"name\":\"now\"}}]";

static json_t *tools(void)
{
    json_t *t = json_loads(TOOLS, 0, NULL);
    CHECK_OK(hg_calls_check(t, &e), e);
    return t;
}

/* Reads the answer; `want` is the calls as JSON, `words` what the answer says itself. */
static void check(hg_call_style s, bool opened, const char *answer, const char *want,
                  const char *words)
{
    json_t *offered = tools(), *calls = NULL, *expected = json_loads(want, 0, NULL);
    const hg_bytes text = {answer, strlen(answer)};
    size_t n_words;
    CHECK_OK(hg_calls_read(s, offered, opened, text, &calls, &n_words, &e), e);
    if (json_equal(calls, expected) == 0) CHECK_STR(json_dumps(calls, JSON_COMPACT), want);
    CHECK_EQ(n_words, strlen(words));
    CHECK(memcmp(answer, words, n_words) == 0);
    /* No beginning of it shows more than that. */
    for (size_t n = 0; n <= text.n; n++) {
        const size_t shown = hg_calls_words(s, opened, (hg_bytes){answer, n});
        CHECK(shown <= n && shown <= n_words);
    }
    json_decref(calls);
    json_decref(expected);
    json_decref(offered);
}

TEST(a_template_tells_how_its_family_calls)
{
    CHECK_EQ(hg_calls_style("{% if tools %}<tool_call>{% endif %}"), HG_CALLS_TAGGED);
    CHECK_EQ(hg_calls_style("{{ tools }}[TOOL_CALLS]"), HG_CALLS_MISTRAL);
    CHECK_EQ(hg_calls_style("{{ tools }} {\"name\": x, \"parameters\": y}"), HG_CALLS_LLAMA);
    CHECK_EQ(hg_calls_style("{{ messages }}"), HG_CALLS_EXPLAINED);
    CHECK_EQ(hg_calls_style(NULL), HG_CALLS_EXPLAINED);
}

TEST(tagged_calls_are_read_with_the_words_before_them)
{
    check(HG_CALLS_TAGGED, false,
          "Let me see.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1, \"b\": "
          "\"}<\"}}\n</tool_call>\n<tool_call>{\"name\":\"now\"}</tool_call>",
          "[{\"name\":\"add\",\"arguments\":{\"a\":1,\"b\":\"}<\"}},{\"name\":\"now\","
          "\"arguments\":{}}]",
          "Let me see.\n");
    check(HG_CALLS_EXPLAINED, true, "{\"name\":\"now\",\"arguments\":{}}",
          "[{\"name\":\"now\",\"arguments\":{}}]", "");
    check(HG_CALLS_TAGGED, false, "{\"name\":\"now\",\"arguments\":{}}",
          "[{\"name\":\"now\",\"arguments\":{}}]", "");
}

TEST(what_is_no_call_of_a_tool_is_words)
{
    static const char *const words[] = {
        "I <tool",
        "1 < 2",
        "<tool_call>\n{\"name\": \"other\", \"arguments\": {}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1",
        "{\"a\": 1}",
        "",
        "[1, 2]",
        "<tool_call>add(1)</tool_call>"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (int s = HG_CALLS_TAGGED; s <= HG_CALLS_EXPLAINED; s++)
            check((hg_call_style)s, false, words[i], "[]", words[i]);
}

TEST(llamas_and_mistrals_calls_are_the_whole_answer)
{
    check(HG_CALLS_LLAMA, false, "{\"name\": \"add\", \"parameters\": {\"a\": 2}}",
          "[{\"name\":\"add\",\"arguments\":{\"a\":2}}]", "");
    check(HG_CALLS_LLAMA, false,
          " {\"type\": \"function\", \"function\": {\"name\": \"now\", \"parameters\": {}}}",
          "[{\"name\":\"now\",\"arguments\":{}}]", "");
    check(HG_CALLS_MISTRAL, false,
          "[{\"name\": \"add\", \"arguments\": {\"a\": 2}}, {\"name\": \"now\"}]",
          "[{\"name\":\"add\",\"arguments\":{\"a\":2}},{\"name\":\"now\",\"arguments\":{}}]", "");
}

/* Texts that the schema of calls lets through, and others, by style. */
static void check_schema(hg_call_style s, const char *only, const char *const *yes,
                         const char *const *no)
{
    static const bool strict[2] = {false, false};
    json_t *offered = tools();
    hg_buf schema = {0};
    hg_grammar *g = NULL;
    bool fits;
    CHECK_OK(hg_calls_schema(s, offered, only, strict, &schema, &e), e);
    CHECK_OK(hg_grammar_from_json_schema(&g, (hg_bytes){schema.p, schema.n}, &e), e);
    for (; *yes != NULL; yes++) {
        CHECK_OK(hg_grammar_accepts(g, (hg_bytes){*yes, strlen(*yes)}, &fits, &e), e);
        CHECK(fits);
    }
    for (; *no != NULL; no++) {
        CHECK_OK(hg_grammar_accepts(g, (hg_bytes){*no, strlen(*no)}, &fits, &e), e);
        CHECK(!fits);
    }
    hg_grammar_free(g);
    hg_buf_free(&schema);
    json_decref(offered);
}

TEST(the_schema_of_calls_is_that_of_their_parameters)
{
    static const char *const tagged[] = {"{\"name\": \"add\", \"arguments\": {\"a\": 1}}",
                                         "{\"name\":\"now\",\"arguments\":{}}", NULL};
    static const char *const not_tagged[] = {"{\"name\": \"add\", \"arguments\": {\"a\": \"1\"}}",
                                             "{\"name\": \"add\", \"arguments\": {}}",
                                             "{\"name\": \"sub\", \"arguments\": {}}", NULL};
    static const char *const llama[] = {"{\"name\": \"add\", \"parameters\": {\"a\": 1}}", NULL};
    static const char *const mistral[] = {
        "[{\"name\": \"now\", \"arguments\": {}}, {\"name\": \"add\", \"arguments\": {\"a\": 3}}]",
        NULL};
    static const char *const none[] = {NULL}, *const empty[] = {"[]", "{}", NULL};
    check_schema(HG_CALLS_TAGGED, NULL, tagged, not_tagged);
    check_schema(HG_CALLS_TAGGED, "add", none, tagged + 1);
    check_schema(HG_CALLS_LLAMA, NULL, llama, tagged);
    check_schema(HG_CALLS_MISTRAL, NULL, mistral, empty);
}

TEST(tools_are_explained_to_templates_that_know_none)
{
    static const char talk[] =
        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Add.\"}]},{\"role\":"
        "\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":"
        "\"add\",\"arguments\":\"{\\\"a\\\":1}\"}}]},{\"role\":\"tool\",\"content\":\"2\"}]";
    json_t *offered = tools(), *in = json_loads(talk, 0, NULL), *out, *m;
    hg_buf b = {0};
    size_t i;
    CHECK_OK(hg_calls_explain(in, offered, &b, &e), e);
    CHECK_OK(hg_json_parse(&out, (hg_bytes){b.p, b.n}, b.n, &e), e);
    CHECK_EQ(json_array_size(out), 4);
    static const char *const roles[] = {"system", "user", "assistant", "user"};
    json_array_foreach(out, i, m)
        CHECK_STR(json_string_value(json_object_get(m, "role")), roles[i]);
    const char *system = json_string_value(json_object_get(json_array_get(out, 0), "content"));
    CHECK_HAS(system, "\"name\":\"add\"");
    CHECK_HAS(system, "<tool_call>");
    CHECK_STR(json_string_value(json_object_get(json_array_get(out, 1), "content")), "Add.");
    CHECK_STR(json_string_value(json_object_get(json_array_get(out, 2), "content")),
              "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\":1}}\n</tool_call>");
    CHECK_HAS(json_string_value(json_object_get(json_array_get(out, 3), "content")), "2");
    json_decref(out);
    json_decref(in);
    json_decref(offered);
    hg_buf_free(&b);
}

TEST(tools_that_make_no_sense_are_refused)
{
    static const char *const bad[] = {"{}", "[{}]", "[{\"function\":{\"name\":\"a b\"}}]",
                                      "[{\"function\":{\"name\":\"a\",\"parameters\":[]}}]"};
    static const char *const why[] = {"must be an array of at most 128", "tool 0 needs a function",
                                      "tool 0 needs a function", "the parameters of a must be"};
    for (size_t i = 0; i < 4; i++) {
        json_t *t = json_loads(bad[i], 0, NULL);
        CHECK_EQ(hg_calls_check(t, &e), HG_E_ARG);
        CHECK_HAS(e.msg, why[i]);
        json_decref(t);
    }
}

/* Files of tasks: what is found in them, what is held out, what the model is told. */
#include "data/table.h"
#include "fixture.h"
#include "train/packed.h"
#include "train/preset.h"
#include <string.h>

static hg_bytes bytes(const char *s)
{
    return (hg_bytes){s, strlen(s)};
}

/* ---- tables ---- */

/* All rows as "a|b" and a line's end each, or the error's words. */
static void check_table(const char *text, bool is_tabs, const char *want)
{
    static hg_table t;
    hg_err e = {0};
    hg_buf all = {0};
    bool has;
    hg_table_init(&t, bytes(text), is_tabs);
    for (;;) {
        if (hg_table_next(&t, &has, &e) != HG_OK) {
            hg_buf_puts(&all, e.msg);
            break;
        }
        if (!has) break;
        for (size_t i = 0; i < t.n; i++)
            hg_buf_printf(&all, "%s%.*s", i > 0 ? "|" : "", (int)t.cell[i].n, t.cell[i].p);
        hg_buf_printf(&all, "@%zu ", t.line);
    }
    CHECK_STR(all.p != NULL ? all.p : "", want);
    hg_table_free(&t);
    hg_buf_free(&all);
}

TEST(tables_are_read_as_rfc_4180_and_tabs_as_they_are)
{
    check_table("a,b\r\n\"x, \"\"y\"\"\",\"two\nlines\"\n\nc,\n", false,
                "a|b@1 x, \"y\"|two\nlines@2 c|@5 ");
    check_table("\xef\xbb\xbf"
                "a;b\nc;d",
                false, "a|b@1 c|d@2 ");
    check_table("a \"q\"\tb\n\"c\td", false, "a \"q\"|b@1 \"c|d@2 ");
    check_table("a,b\n", true, "a,b@1 ");
    check_table("", false, "");
    check_table("a,b\n\"c", false, "a|b@1 line 2: a quoted cell that never ends");
    check_table("\"c\"d,e", false,
                "line 1: text behind a closing quote; a quote within a cell is written twice");
}

/* ---- columns ---- */

typedef struct loaded {
    hg_preset_data d;
    hg_buf said;
    hg_err e;
    hg_status s;
} loaded;

static void load(loaded *l, hg_preset kind, const char *text, const char *name, const char *columns)
{
    static char words[100];
    const char *item[4];
    size_t n = 0;
    memset(l, 0, sizeof *l);
    hg_preset_data_init(&l->d, kind, NULL);
    (void)snprintf(words, sizeof words, "%s", columns != NULL ? columns : "");
    for (char *p = words; columns != NULL && p != NULL && n < 4; p = strchr(p, ',')) {
        if (n > 0) *p++ = '\0';
        item[n++] = p;
    }
    l->s = hg_preset_parse_text(&l->d, bytes(text), name, item, n, false, fixture_listen(&l->said),
                                &l->e);
}

static void unload(loaded *l)
{
    hg_preset_data_free(&l->d);
    hg_buf_free(&l->said);
}

static void check_row(const loaded *l, size_t i, const char *context, const char *input,
                      const char *answer)
{
    CHECK(i < l->d.n);
    CHECK_STR(l->d.row[i].context.n > 0 ? l->d.row[i].context.p : "", context);
    CHECK_STR(l->d.row[i].input.p, input);
    CHECK_STR(l->d.row[i].answer[0].p, answer);
}

TEST(a_header_is_found_by_its_usual_names_and_said)
{
    loaded l;
    load(&l, HG_PRESET_SENTIMENT, "id,Label,Text\n1,good,nice hen\n2,bad,\"a, fox\"\n", "r.csv",
         NULL);
    CHECK_OK(l.s, l.e);
    CHECK_EQ(l.d.n, 2);
    check_row(&l, 1, "", "a, fox", "bad");
    CHECK_EQ(l.d.row[1].line, 3);
    CHECK_HAS(l.said.p, "r.csv: the first row is a header; column 3 (Text) is the input, column 2 "
                        "(Label) is the answer");
    unload(&l);
}

TEST(without_a_header_the_columns_count_as_they_stand)
{
    loaded l;
    load(&l, HG_PRESET_TRANSLATION, "the hen\tdie Henne\nthe fox\tder Fuchs\n", "t.tsv", NULL);
    CHECK_OK(l.s, l.e);
    CHECK_EQ(l.d.n, 2);
    check_row(&l, 0, "", "the hen", "die Henne");
    CHECK_HAS(l.said.p, "t.tsv: no header row; column 1 is the input, column 2 is the answer");
    unload(&l);
    load(&l, HG_PRESET_TRANSLATION, "en\tde\nthe hen\tdie Henne\n", "t.tsv", NULL);
    CHECK_EQ(l.d.n, 1);
    CHECK_HAS(l.said.p, "column 1 (en) is the input, column 2 (de) is the answer");
    unload(&l);
    load(&l, HG_PRESET_QA, "a barn,where?,here\n", "q.csv", NULL);
    check_row(&l, 0, "a barn", "where?", "here");
    unload(&l);
}

TEST(columns_are_named_or_numbered)
{
    loaded l;
    load(&l, HG_PRESET_SUMMARY, "x,y,z\na,b,c\n", "s.csv", "z,x");
    CHECK_OK(l.s, l.e);
    CHECK_EQ(l.d.n, 1);
    check_row(&l, 0, "", "c", "a");
    unload(&l);
    load(&l, HG_PRESET_SUMMARY, "x,y,z\na,b,c\n", "s.csv", "3,2");
    CHECK_OK(l.s, l.e);
    CHECK_EQ(l.d.n, 2);
    check_row(&l, 1, "", "c", "b");
    unload(&l);
}

TEST(json_lines_have_members_and_several_right_answers)
{
    loaded l;
    load(&l, HG_PRESET_QA,
         "{\"question\": \"who?\", \"context\": \"c\", \"answers\": {\"text\": [\"me\", \" I "
         "\"]}}\n\n{\"question\": \"2?\", \"answers\": [2]}\n",
         "q.jsonl", NULL);
    CHECK_OK(l.s, l.e);
    check_row(&l, 0, "c", "who?", "me");
    CHECK_EQ(l.d.row[0].n, 2);
    CHECK_STR(l.d.row[0].answer[1].p, "I");
    check_row(&l, 1, "", "2?", "2");
    CHECK_EQ(l.d.row[1].line, 3);
    CHECK_HAS(l.said.p, "q.jsonl: \"question\" is the input, \"answers\" the answer");
    unload(&l);
    load(&l, HG_PRESET_SENTIMENT, "{\"a\": \"x\", \"b\": true}\n", "s.jsonl", "a,b");
    check_row(&l, 0, "", "x", "true");
    unload(&l);
}

TEST(each_question_has_its_context_or_none)
{
    loaded l;
    load(&l, HG_PRESET_QA,
         "{\"question\": \"1?\", \"answer\": \"a\"}\n"
         "{\"context\": \"so\", \"question\": \"2?\", \"answer\": \"b\"}\n"
         "{\"passage\": \"or\", \"question\": \"3?\", \"answer\": \"c\"}\n",
         "q.jsonl", NULL);
    check_row(&l, 0, "", "1?", "a");
    check_row(&l, 1, "so", "2?", "b");
    check_row(&l, 2, "or", "3?", "c");
    unload(&l);
}

TEST(what_is_wrong_with_a_tasks_file_is_told_with_its_line)
{
    static const char *const cases[][3] = {
        {"a,b,c\n", NULL,
         "d.csv, line 1: the first row has no usual names and not two columns; name them with "
         "--columns INPUT,ANSWER"},
        {"a,b\nc\n", NULL, "d.csv, line 2: 1 columns; the first row has 2"},
        {"a,b\n,d\n", NULL, "d.csv, line 2: the input is empty"},
        {"a,b\nc, \n", NULL, "d.csv, line 2: an answer is empty"},
        {"a,b\n", "q,b", "d.csv, line 1: no column \"q\" in the first row, which has 2"},
        {"a,b\n", "a",
         "columns: 1 are named; two are right, input and answer (of qa also three: "
         "context, question, answer)"},
        {"a,b\n\"c\n", NULL, "d.csv, line 2: a quoted cell that never ends"},
        {"{\"text\": \"a\"}", NULL,
         "d.csv, line 1: no member is called as an answer usually is; name them with --columns "
         "INPUT,ANSWER"},
        {"{\"text\": [1], \"label\": \"a\"}", NULL,
         "d.csv, line 1: \"text\" is an array; text is right"},
        {"{\"text\": \"a\", \"label\": []}", NULL,
         "d.csv, line 1: 1 to 64 right answers are allowed"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loaded l;
        load(&l, HG_PRESET_SENTIMENT, cases[i][0], "d.csv", cases[i][1]);
        CHECK(l.s == HG_E_FORMAT || l.s == HG_E_ARG);
        CHECK_STR(l.e.msg, cases[i][2]);
        unload(&l);
    }
}

/* ---- what is held out ---- */

TEST(what_is_held_out_follows_from_the_row_alone)
{
    loaded a, b;
    hg_buf up = {0}, down = {0};
    size_t n = 0;
    for (int i = 0; i < 200; i++) hg_buf_printf(&up, "text %d,label\n", i % 190);
    for (int i = 199; i >= 0; i--) hg_buf_printf(&down, "text %d,label\n", i % 190);
    load(&a, HG_PRESET_SUMMARY, up.p, "a.csv", NULL);
    load(&b, HG_PRESET_SUMMARY, down.p, "b.csv", NULL);
    hg_preset_split(&a.d, 0.2);
    hg_preset_split(&b.d, 0.2);
    for (size_t i = 0; i < 200; i++) {
        CHECK_EQ(a.d.row[i].is_held_out, b.d.row[199 - i].is_held_out);
        if (i >= 190) CHECK_EQ(a.d.row[i].is_held_out, a.d.row[i - 190].is_held_out);
        n += a.d.row[i].is_held_out;
    }
    CHECK(n > 20 && n < 60);
    hg_preset_split(&a.d, 1e-9); /* one at the least */
    n = 0;
    for (size_t i = 0; i < 200; i++) n += a.d.row[i].is_held_out;
    CHECK(n >= 1 && n <= 2);
    unload(&a);
    unload(&b);
    hg_buf_free(&up);
    hg_buf_free(&down);
}

TEST(held_out_rows_that_are_learnt_from_too_are_told)
{
    hg_preset_data d;
    hg_recipe r;
    hg_err e = {0};
    hg_buf said = {0}, set = {0};
    CHECK_OK(hg_recipe_init(&r, HG_STAGE_TUNE, &e), e);
    hg_buf_printf(&set, "data=%s", fixture_file("d.csv", "a,x\nb,y\nc,x\n"));
    CHECK_OK(hg_recipe_set(&r, set.p, &e), e);
    hg_buf_clear(&set);
    hg_buf_printf(&set, "val_data=%s", fixture_file("v.csv", "b,y\nd,y\n"));
    CHECK_OK(hg_recipe_set(&r, set.p, &e), e);
    hg_preset_data_init(&d, HG_PRESET_SENTIMENT, NULL);
    CHECK_OK(hg_preset_read(&d, &r, fixture_listen(&said), &e), e);
    CHECK_HAS(said.p, "1 of the held-out rows are learnt from too: the figures flatter");
    CHECK_HAS(said.p, "sentiment: 3 rows to learn from, 2 held out (");
    hg_preset_data_free(&d);
    hg_recipe_free(&r);
    hg_buf_free(&said);
    hg_buf_free(&set);
}

TEST(the_trainer_holds_out_the_rows_that_a_task_does)
{
    loaded l;
    hg_err e = {0};
    hg_chats c = {0};
    hg_packed p;
    hg_arena mem;
    hg_tokenizer *t = NULL;
    hg_arena_init(&mem, 0);
    CHECK_OK(hg_tokenizer_open(&t, fixture_tokenizer(fixture_corpus()), &e), e);
    load(&l, HG_PRESET_SENTIMENT, "a,x\nb,y\nc,x\nd,y\ne,x\n", "s.csv", NULL);
    l.d.row[1].is_held_out = l.d.row[3].is_held_out = true;
    CHECK_OK(hg_preset_find_labels(&l.d, &e), e);
    CHECK_OK(hg_preset_chats(&l.d, &c, &e), e);
    CHECK_STR(c.chat[1].message[0].content.p, "Which label fits this text? x or y?\n\nb");
    CHECK_STR(c.chat[1].message[1].content.p, "y");
    CHECK_OK(hg_packed_init(&p, &c, t, hg_preset_template(), 128, 0.5, 1, &mem, NULL, &e), e);
    CHECK_EQ(p.side[0].n_chats, 3);
    CHECK_EQ(p.side[1].n_chats, 2);
    hg_packed_free(&p);
    hg_chats_free(&c);
    hg_arena_free(&mem);
    hg_tokenizer_free(t);
    unload(&l);
}

TEST(labels_are_those_of_the_data_and_must_be_labels)
{
    loaded l;
    hg_err e = {0};
    hg_buf many = {0};
    load(&l, HG_PRESET_SENTIMENT, "a,one\nb,one\n", "s.csv", NULL);
    CHECK_EQ(hg_preset_find_labels(&l.d, &e), HG_E_ARG);
    CHECK_STR(e.msg, "s.csv: all rows have one label; two at the least are needed");
    unload(&l);
    for (int i = 0; i < 65; i++) hg_buf_printf(&many, "a,label %d\n", i);
    load(&l, HG_PRESET_SENTIMENT, many.p, "s.csv", NULL);
    CHECK_EQ(hg_preset_find_labels(&l.d, &e), HG_E_ARG);
    CHECK_STR(e.msg, "s.csv, line 65: \"label 64\" is no label: a task has at most 64 labels of 64 "
                     "bytes");
    unload(&l);
    hg_buf_free(&many);
}

static void check_prompt(hg_preset kind, const char *text, const char *instruction,
                         const char *want)
{
    loaded l;
    hg_err e = {0};
    hg_buf b = {0};
    load(&l, kind, text, "p.csv", NULL);
    CHECK_OK(l.s, l.e);
    l.d.instruction = instruction;
    CHECK_OK(hg_preset_prompt(&l.d, &l.d.row[0], hg_preset_text(&l.d.row[0]), &b, &e), e);
    CHECK_STR(b.p, want);
    hg_buf_free(&b);
    unload(&l);
}

TEST(each_task_has_its_words)
{
    check_prompt(HG_PRESET_TRANSLATION, "the hen,die Henne\n", NULL,
                 "Translate this text.\n\nthe hen");
    check_prompt(HG_PRESET_TRANSLATION, "the hen,die Henne\n",
                 "To German:", "To German:\n\nthe hen");
    check_prompt(HG_PRESET_SUMMARY, "long,short\n", NULL, "Summarize this text.\n\nlong");
    check_prompt(HG_PRESET_QA, "a barn,where?,here\n", NULL,
                 "Answer the question.\n\na barn\n\nwhere?");
    check_prompt(HG_PRESET_QA, "where?,here\n", NULL, "Answer the question.\n\nwhere?");
}

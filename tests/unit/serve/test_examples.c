/* Training files: what is taken, as what, and which line is wrong. */
#include "harness/test.h"
#include "base/file.h"
#include "serve/jobs/examples.h"

#include <string.h>

static hg_err e;

static const char *as(hg_training_method method, const char *line)
{
    static hg_buf b;

    hg_buf_clear(&b);
    CHECK_OK(hg_example_convert((hg_bytes){line, strlen(line)}, method, &b, &e), e);
    return b.p;
}

static void check_bad(hg_training_method method, const char *text, const char *words)
{
    uint64_t n = 0;
    const hg_status s =
        hg_examples_write((hg_bytes){text, strlen(text)}, method, test_path("bad.jsonl"), &n, &e);

    if (s == HG_OK) test_fail(__FILE__, __LINE__, "not refused: %s", text);
    CHECK_HAS(e.msg, words);
    CHECK(strstr(e.msg, "bad.jsonl") == NULL);
}

TEST(each_form_of_an_example_becomes_what_the_trainer_reads)
{
    CHECK_STR(as(HG_TRAINING_SUPERVISED, "{\"prompt\": \"a\", \"completion\": \"b\"}"),
              "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
              "\"content\":\"b\"}]}");
    CHECK_STR(as(HG_TRAINING_SUPERVISED, "{\"text\": \"b\\u0000\"}"),
              "{\"messages\":[{\"role\":\"assistant\",\"content\":\"b\\u0000\"}]}");
    CHECK_STR(as(HG_TRAINING_SUPERVISED, "{\"messages\": [{\"role\": \"user\", \"weight\": 0}]}"),
              "{\"messages\":[{\"role\":\"user\",\"weight\":0}]}");
    CHECK_STR(as(HG_TRAINING_DPO, "{\"input\": {\"messages\": [1]}, \"preferred_output\": [2], "
                                  "\"non_preferred_output\": [3]}"),
              "{\"prompt\":[1],\"chosen\":[2],\"rejected\":[3]}");
}

TEST(a_bad_line_is_told_by_its_number)
{
    static const char good[] = "{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\"}]}\n";
    char text[512];

    (void)snprintf(text, sizeof text, "%s\n%s{\"messages\": []}\n", good, good);
    check_bad(HG_TRAINING_SUPERVISED, text, "line 4: the conversation is not a list of turns");
    check_bad(HG_TRAINING_SUPERVISED, "\n[1]\n", "line 2: it is no JSON object");
    check_bad(HG_TRAINING_SUPERVISED, "{\"text\": 5}", "line 1: \"text\" must be text");
    check_bad(HG_TRAINING_SUPERVISED, "{\"prompt\": \"a\", \"completion\": \"\"}",
              "line 1: \"completion\" is empty");
    check_bad(HG_TRAINING_SUPERVISED, "{\"text\": \"\xff\"}", "line 1: ");
    check_bad(HG_TRAINING_DPO, good, "line 1: a preference has \"input\"");
    check_bad(HG_TRAINING_DPO, "{\"input\": {\"messages\": []}, \"preferred_output\": 1}",
              "must be lists of turns");
    check_bad(HG_TRAINING_SUPERVISED, "\n \n", "it holds no example");
}

TEST(lines_keep_their_numbers_and_are_counted)
{
    static const char text[] = "\xef\xbb\xbf{\"text\": \"a\"}\n\n{\"text\": \"b\"}";
    uint64_t n = 0;
    hg_buf b = {0};

    CHECK_OK(hg_examples_write((hg_bytes){text, sizeof text - 1}, HG_TRAINING_SUPERVISED,
                               test_path("good.jsonl"), &n, &e),
             e);
    CHECK_EQ(n, 2);
    CHECK_OK(hg_file_read(&b, test_path("good.jsonl"), 4096, &e), e);
    CHECK(strstr(b.p, "}\n\n{") != NULL);
    hg_buf_free(&b);
}

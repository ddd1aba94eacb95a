/* What Anthropic's requests become before anything else reads them. */
#include "harness/test.h"
#include "serve/anthropic/anthropic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HI "{\"role\":\"user\",\"content\":\"Hi\"}"
#define USE(id) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"now\",\"input\":{}}"
#define RESULT(id) \
    "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\",\"content\":\"At " id ".\"}"
#define TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
#define TURN(role, blocks) "{\"role\":\"" role "\",\"content\":[" blocks "]}"
#define WHOLE                                                                 \
    HI "," TURN("assistant", TEXT("So.") "," USE("a") "," USE("b")) "," TURN( \
        "user", RESULT("a") "," RESULT("b") "," TEXT("And?"))

/* The messages in OpenAI's form; NULL and p when they are refused. */
static char *read_messages(const char *messages, hg_problem *p)
{
    char body[2000], *text = NULL;
    hg_openai_call c;
    hg_arena mem;

    (void)snprintf(body, sizeof body, "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[%s]}",
                   messages);
    hg_arena_init(&mem, 4096);
    if (hg_anthropic_parse(&c, (hg_bytes){body, strlen(body)}, false, true, &mem, p)) {
        text = json_dumps(json_object_get(c.body, "messages"), JSON_COMPACT);
        hg_openai_call_free(&c);
    }
    hg_arena_free(&mem);
    return text;
}

static void check_like_whole(const char *messages)
{
    hg_problem p;
    char *whole = read_messages(WHOLE, &p), *text = read_messages(messages, &p);

    CHECK(whole != NULL && strstr(whole, "\"tool_call_id\":\"b\"") != NULL);
    if (text == NULL) test_fail(__FILE__, __LINE__, "%s", p.msg);
    CHECK_STR(text, whole);
    free(whole);
    free(text);
}

TEST(turns_of_one_role_in_a_row_are_one)
{
    const char *calls = TURN("assistant", TEXT("So.") "," USE("a") "," USE("b"));
    char text[1500];

    check_like_whole(HI "," TURN("assistant", TEXT("So.") "," USE("a")) "," TURN(
        "assistant", USE("b")) "," TURN("user", RESULT("a") "," RESULT("b") "," TEXT("And?")));
    (void)snprintf(text, sizeof text, "%s,%s,%s,%s", HI, calls, TURN("user", RESULT("a")),
                   TURN("user", RESULT("b") "," TEXT("And?")));
    check_like_whole(text);
    /* Words stand behind the results of their turn, wherever they came. */
    (void)snprintf(text, sizeof text, "%s,%s,%s,%s", HI, calls,
                   TURN("user", RESULT("a") "," TEXT("And?")), TURN("user", RESULT("b")));
    check_like_whole(text);
}

TEST(a_result_answers_a_call_of_the_turn_before_it_alone)
{
    hg_problem p;

    CHECK(read_messages(WHOLE "," TURN("user", RESULT("c")), &p) == NULL);
    CHECK_HAS(p.msg, "messages.3.content: a tool_result must answer a tool_use of the turn before");
    CHECK(read_messages(WHOLE "," TURN("assistant", TEXT("Well.")) "," TURN("user", RESULT("a")),
                        &p) == NULL);
    CHECK_HAS(p.msg, "messages.4.content: a tool_result must answer");
    CHECK(read_messages(
              WHOLE ",{\"role\":\"system\",\"content\":\"Be brief.\"}," TURN("user", RESULT("a")),
              &p) == NULL);
}

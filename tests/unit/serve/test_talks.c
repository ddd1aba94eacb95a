/* Conversations of the page: kept as trees, each for its owner alone, found by their words. */
#include "fake.h"
#include "harness/test.h"
#include "serve/data.h"
#include "serve/page/talks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hg_data *opened(void)
{
    hg_data *d = NULL;
    hg_err e = {0};

    CHECK_OK(hg_data_open(&d, NULL, true, &e), e);
    return d;
}

/* The status of what was refused, 0 when it was taken. */
static int put(hg_data *d, const char *owner, const char *id, const char *json, hg_problem *p)
{
    hg_arena mem;
    hg_talk t;

    memset(p, 0, sizeof *p);
    hg_arena_init(&mem, 4096);
    const bool ok = hg_talk_read(&t, (hg_bytes){json, strlen(json)}, &mem, p) &&
                    hg_talk_put(hg_data_store(d), owner, id, &t, p);
    hg_talk_free(&t);
    hg_arena_free(&mem);
    return ok ? 0 : p->status;
}

static json_t *tree_of(hg_buf *b)
{
    json_t *v = NULL;
    hg_err e = {0};

    CHECK_OK(hg_json_parse(&v, (hg_bytes){b->p, b->n}, b->n, &e), e);
    hg_buf_free(b);
    return v;
}

static json_t *get(hg_data *d, const char *owner, const char *id, hg_problem *p)
{
    hg_buf b = {0};
    hg_json_out o;

    hg_json_out_init(&o, &b, 0);
    if (hg_talk_get(hg_data_store(d), owner, id, &o, p)) return tree_of(&b);
    hg_buf_free(&b);
    return NULL;
}

/* The ids that a search finds, with a blank behind each. */
static const char *found(hg_data *d, const char *owner, const char *search)
{
    static _Thread_local char ids[256];
    const hg_talk_page page = {.search = search, .limit = 10};
    hg_buf b = {0};
    hg_json_out o;
    hg_problem p;
    size_t i;
    json_t *one;

    hg_json_out_init(&o, &b, 0);
    CHECK(hg_talk_list(hg_data_store(d), owner, &page, &o, &p));
    json_t *v = tree_of(&b);
    ids[0] = '\0';
    json_array_foreach(json_object_get(v, "conversations"), i, one)
    {
        (void)strncat(ids, json_string_value(json_object_get(one, "id")), 64);
        (void)strncat(ids, " ", 2);
    }
    json_decref(v);
    return ids;
}

#define ONE                                                                              \
    "{\"title\":\"Winds\",\"settings\":{\"model\":\"x\"},\"at\":\"b\",\"messages\":["    \
    "{\"id\":\"a\",\"parent\":null,\"role\":\"user\",\"content\":\"Tell me of winds\"}," \
    "{\"id\":\"b\",\"parent\":\"a\",\"role\":\"assistant\",\"content\":\"The zéphyr\"," \
    "\"notes\":{\"tokens\":3}}]}"

TEST(what_is_kept_is_given_back_in_the_form_in_which_it_came)
{
    hg_data *d = opened();
    hg_problem p;

    CHECK_EQ(put(d, "anna", "t1", ONE, &p), 0);
    json_t *v = get(d, "anna", "t1", &p);
    CHECK_STR(json_string_value(json_object_get(v, "title")), "Winds");
    CHECK_STR(json_string_value(json_object_get(v, "at")), "b");
    const json_t *m = json_array_get(json_object_get(v, "messages"), 1);
    CHECK_STR(json_string_value(json_object_get(m, "parent")), "a");
    CHECK_STR(json_string_value(json_object_get(m, "content")), "The zéphyr");
    CHECK_EQ(json_integer_value(json_object_get(json_object_get(m, "notes"), "tokens")), 3);
    char *again = json_dumps(v, 0);
    json_decref(v);
    CHECK_EQ(put(d, "bert", "copy", again, &p), 0);
    free(again);
    v = get(d, "bert", "copy", &p);
    CHECK_EQ(json_array_size(json_object_get(v, "messages")), 2);
    json_decref(v);
    hg_data_close(d);
}

TEST(a_part_changes_only_what_it_names)
{
    hg_data *d = opened();
    hg_problem p;

    CHECK_EQ(put(d, "anna", "t1", ONE, &p), 0);
    CHECK_EQ(put(d, "anna", "t1",
                 "{\"messages\":[{\"id\":\"b\",\"parent\":\"a\",\"role\":\"assistant\","
                 "\"content\":\"The mistral\"}]}",
                 &p),
             0);
    CHECK_EQ(put(d, "anna", "t1", "{\"title\":\"Of winds\"}", &p), 0);
    json_t *v = get(d, "anna", "t1", &p);
    CHECK_STR(json_string_value(json_object_get(v, "title")), "Of winds");
    CHECK_STR(json_string_value(json_object_get(v, "at")), "b");
    CHECK_EQ(json_array_size(json_object_get(v, "messages")), 2);
    json_decref(v);
    CHECK_STR(found(d, "anna", "mistral"), "t1 ");
    CHECK_STR(found(d, "anna", "zephyr"), "");
    hg_data_close(d);
}

TEST(a_conversation_is_there_for_its_owner_alone)
{
    hg_data *d = opened();
    hg_problem p;

    CHECK_EQ(put(d, "anna", "t1", ONE, &p), 0);
    CHECK(get(d, "bert", "t1", &p) == NULL);
    CHECK_EQ(p.status, 404);
    CHECK(!hg_talk_delete(hg_data_store(d), "bert", "t1", &p));
    CHECK_EQ(p.status, 404);
    CHECK_STR(found(d, "bert", "zephyr"), "");
    CHECK_STR(found(d, "bert", ""), "");
    /* The same id is another conversation there. */
    CHECK_EQ(put(d, "bert", "t1", "{\"title\":\"Mine\"}", &p), 0);
    json_t *v = get(d, "anna", "t1", &p);
    CHECK_STR(json_string_value(json_object_get(v, "title")), "Winds");
    json_decref(v);
    hg_data_close(d);
}

TEST(words_are_found_without_accents_and_while_they_are_written)
{
    hg_data *d = opened();
    hg_problem p;

    CHECK_EQ(put(d, "anna", "t1", ONE, &p), 0);
    CHECK_EQ(put(d, "anna", "t2", "{\"title\":\"100% of_it\"}", &p), 0);
    CHECK_STR(found(d, "anna", "ZEPH"), "t1 ");
    CHECK_STR(found(d, "anna", "tell winds"), "t1 ");
    CHECK_STR(found(d, "anna", "zephyr nothing"), "");
    CHECK_STR(found(d, "anna", "100%"), "t2 ");
    CHECK_STR(found(d, "anna", "f_i"), "t2 ");
    CHECK_STR(found(d, "anna", "fxi"), "");
    CHECK_STR(found(d, "anna", "zeph\" OR \"x"), "");
    CHECK_STR(found(d, "anna", "NEAR( content: *"), "");
    CHECK_STR(found(d, "anna", "\"\"\" ' ("), "t2 t1 ");
    hg_data_close(d);
}

TEST(what_is_deleted_is_nowhere_in_the_store)
{
    const char *dir = test_path("data"), *path = test_path("data/higgins.db");
    hg_data *d = NULL;
    hg_err e = {0};
    hg_problem p;
    char *bytes;

    CHECK_OK(hg_data_open(&d, dir, true, &e), e);
    CHECK_EQ(put(d, "anna", "t1", ONE, &p), 0);
    CHECK_EQ(put(d, "anna", "t2",
                 "{\"title\":\"Other\",\"messages\":[{\"id\":\"a\",\"role\":\"user\",\"content\":"
                 "\"harbour\"}]}",
                 &p),
             0);
    CHECK(hg_talk_delete(hg_data_store(d), "anna", "t1", &p));
    CHECK(get(d, "anna", "t1", &p) == NULL);
    CHECK_STR(found(d, "anna", "zephyr"), "");
    CHECK_STR(found(d, "anna", "harbour"), "t2 ");
    hg_data_close(d);
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    if (f == NULL) return;
    bytes = calloc(1, 1 << 20);
    const size_t n = fread(bytes, 1, 1 << 20, f);
    (void)fclose(f);
    CHECK(n > 0 && memmem(bytes, n, "harbour", 7) != NULL);
    CHECK(memmem(bytes, n, "phyr", 4) == NULL);
    CHECK(memmem(bytes, n, "winds", 5) == NULL);
    free(bytes);
}

TEST(what_cannot_be_kept_is_refused_whole)
{
    static const struct {
        const char *json;
        int status;
        const char *words;
    } bad[] = {
        {"[]", 400, "the body must be an object"},
        {"{", 400, "the body is not JSON"},
        {"{\"title\":1}", 422, "title: must be a string of at most 400 bytes, without NUL"},
        {"{\"title\":\"a\\u0000b\"}", 422, "title: must be a string"},
        {"{\"at\":\"../x\"}", 422, "at: 1 to 64 letters, digits, - and _ are an id"},
        {"{\"settings\":[]}", 422, "settings: must be an object"},
        {"{\"created\":-1}", 422, "created: must be seconds since 1970"},
        {"{\"messages\":{}}", 422, "messages: must be an array"},
        {"{\"messages\":[1]}", 422, "messages[0].id: 1 to 64"},
        {"{\"messages\":[{\"id\":\"a\",\"role\":\"system\",\"content\":\"\"}]}", 422,
         "messages[0].role: must be user, assistant or tool"},
        {"{\"messages\":[{\"id\":\"a\",\"role\":\"user\"}]}", 422, "messages[0].content: must be"},
        {"{\"messages\":[{\"id\":\"a\",\"role\":\"user\",\"content\":\"\",\"notes\":3}]}", 422,
         "messages[0].notes: must be an object"},
        {"{\"messages\":[{\"id\":\"a\",\"parent\":\"z\",\"role\":\"user\",\"content\":\"\"}]}", 422,
         "message a follows z, which is not in the conversation"},
        {"{\"title\":\"no\",\"messages\":[{\"id\":\"x\",\"role\":\"user\",\"content\":\"1\"},"
         "{\"id\":\"x\",\"role\":\"assistant\",\"content\":\"2\"}]}",
         409, "message x is there with another parent or role"},
    };
    hg_data *d = opened();
    hg_problem p;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ(put(d, "anna", "t1", bad[i].json, &p), bad[i].status);
        CHECK(strstr(p.msg, bad[i].words) != NULL);
        CHECK(get(d, "anna", "t1", &p) == NULL);
    }
    hg_data_close(d);
}

/* A page of the list over HTTP: its ids, and where the next begins ("": there is none). */
static const char *page(hg_server *s, const char *search, char next[64])
{
    static char ids[256];
    char request[256];
    json_t *v, *one;
    hg_buf b = {0};
    size_t i;

    (void)snprintf(request, sizeof request,
                   "GET /app/conversations?limit=2%s%s%s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                   search, next[0] != '\0' ? "&after=" : "", next);
    const char *a = raw_ask(s, request);
    CHECK_EQ(raw_status(a), 200);
    hg_buf_puts(&b, raw_body(a));
    v = tree_of(&b);
    ids[0] = '\0';
    json_array_foreach(json_object_get(v, "conversations"), i, one)
    {
        (void)strncat(ids, json_string_value(json_object_get(one, "id")), 64);
        (void)strncat(ids, " ", 2);
    }
    const char *at = json_string_value(json_object_get(v, "next"));
    CHECK_EQ(json_is_true(json_object_get(v, "more")), at != NULL);
    (void)snprintf(next, 64, "%s", at != NULL ? at : "");
    json_decref(v);
    return ids;
}

static void say(hg_server *s, const char *id, const char *message)
{
    char body[256], request[512];

    (void)snprintf(body, sizeof body,
                   "{\"messages\":[{\"id\":\"%s\",\"parent\":null,\"role\":\"user\","
                   "\"content\":\"wind\"}]}",
                   message);
    (void)snprintf(request, sizeof request,
                   "PUT /app/conversations/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                   "%zu\r\n\r\n%s",
                   id, strlen(body), body);
    CHECK_EQ(raw_status(raw_ask(s, request)), 204);
}

static void check_pages(const char *search)
{
    hg_server *s = fake_server(fake_new(), NULL);
    char next[64] = "";

    static const char *const ids[] = {"a", "b", "c", "d", "e"};

    for (int i = 0; i < 5; i++) say(s, ids[i], "1");
    CHECK_STR(page(s, search, next), "e d ");
    say(s, "f", "1"); /* a new one and one that is changed move what is behind them */
    say(s, "d", "2");
    CHECK_STR(page(s, search, next), "c b ");
    CHECK_EQ(raw_status(raw_ask(s, "DELETE /app/conversations/b HTTP/1.1\r\nHost: "
                                   "localhost\r\n\r\n")),
             204);
    CHECK_STR(page(s, search, next), "a ");
    CHECK_STR(next, "");
    hg_server_free(s);
}

TEST(pages_neither_skip_nor_repeat_conversations_when_others_change)
{
    check_pages("");
    check_pages("&search=wind");
}

TEST(the_server_keeps_conversations_over_http)
{
    hg_server *s = fake_server(fake_new(), NULL);
    char request[1024];

    (void)snprintf(request, sizeof request,
                   "PUT /app/conversations/t1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                   "%zu\r\n\r\n%s",
                   strlen(ONE), ONE);
    CHECK_EQ(raw_status(raw_ask(s, request)), 204);
    const char *a = raw_ask(s, "GET /app/conversations/t1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_EQ(raw_status(a), 200);
    CHECK(strstr(raw_body(a), "The zéphyr") != NULL);
    a = raw_ask(s, "GET /app/conversations?search=z%C3%A9phyr HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(strstr(raw_body(a), "\"excerpt\":\"The zéphyr\"") != NULL);
    a = raw_ask(s, "GET /app/conversations?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_EQ(raw_status(a), 422);
    CHECK(strstr(raw_body(a), "limit: must be a whole number from 0 to 200") != NULL);
    a = raw_ask(s, "GET /app/conversations?after=x HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_EQ(raw_status(a), 422);
    a = raw_ask(s, "GET /app/conversations/a%2Fb HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_EQ(raw_status(a), 404);
    a = raw_ask(s, "DELETE /app/conversations/t1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_EQ(raw_status(a), 204);
    a = raw_ask(s, "GET /app/state HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_EQ(raw_status(a), 200);
    CHECK(strstr(raw_body(a), "\"joules_source\":") != NULL);
    CHECK(strstr(raw_body(a), "\"id\":\"parrot\"") != NULL);
    hg_server_free(s);
}

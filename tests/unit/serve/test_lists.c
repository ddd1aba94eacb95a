/* Lists as Anthropic's clients page through them, forth and back. */
#include "fake.h"
#include "harness/test.h"

#include <stdio.h>
#include <string.h>

static const char version[] = "anthropic-version: 2023-06-01\r\n";

static const char *list(hg_server *s, const char *path, const char *query)
{
    char request[512];

    (void)snprintf(request, sizeof request, "GET %s?%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path,
                   query, version);
    return raw_ask(s, request);
}

/* The page's ids, each with a blank behind it, then "more" where there are, checked against what
 * the page says are its first and last. */
static const char *page(hg_server *s, const char *path, const char *query)
{
    static char ids[600];
    const char *answer = list(s, path, query), *body = raw_body(answer);
    json_t *v = NULL, *one;
    const char *id = NULL;
    size_t i;
    hg_err e = {0};

    CHECK_EQ(raw_status(answer), 200);
    CHECK_OK(hg_json_parse(&v, (hg_bytes){body, strlen(body)}, strlen(body), &e), e);
    ids[0] = '\0';
    json_array_foreach(json_object_get(v, "data"), i, one)
    {
        id = json_string_value(json_object_get(one, "id"));
        if (i == 0) CHECK_STR(json_string_value(json_object_get(v, "first_id")), id);
        (void)strncat(ids, id, 100);
        (void)strncat(ids, " ", 2);
    }
    if (id != NULL) CHECK_STR(json_string_value(json_object_get(v, "last_id")), id);
    if (id == NULL) CHECK(json_is_null(json_object_get(v, "first_id")));
    if (id == NULL) CHECK(json_is_null(json_object_get(v, "last_id")));
    if (json_is_true(json_object_get(v, "has_more"))) (void)strncat(ids, "more", 5);
    json_decref(v);
    return ids;
}

static void check_refused(hg_server *s, const char *path, const char *query, int status,
                          const char *says)
{
    const char *answer = list(s, path, query);

    CHECK_EQ(raw_status(answer), status);
    CHECK_HAS(raw_body(answer), says);
}

TEST(models_are_paged_forth_and_back)
{
    static const char path[] = "/v1/models";
    static const char *const names[] = {"parrot", "me/a", "b", "c", "d"};
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};

    hg_server_options_init(&o);
    o.port = 0;
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    for (int i = 0; i < 5; i++) fake_add(fake_new(), s, names[i], 100);
    CHECK_OK(hg_server_start(s, &e), e);
    CHECK_STR(page(s, path, ""), "parrot me/a b c d ");
    CHECK_STR(page(s, path, "limit=2"), "parrot me/a more");
    CHECK_STR(page(s, path, "limit=2&after_id=me%2Fa"), "b c more");
    CHECK_STR(page(s, path, "limit=2&after_id=c"), "d ");
    CHECK_STR(page(s, path, "limit=2&after_id=d"), "");
    CHECK_STR(page(s, path, "limit=2&before_id=d"), "b c more");
    CHECK_STR(page(s, path, "limit=2&before_id=b"), "parrot me/a ");
    CHECK_STR(page(s, path, "before_id=parrot"), "");
    check_refused(s, path, "after_id=e", 404, "there is no model \\\"e\\\" in the list");
    check_refused(s, path, "after_id=b&before_id=d", 400, "before_id: not beside after_id");
    check_refused(s, path, "limit=0", 400, "limit: must be a whole number from 1 to 1000");
    hg_server_free(s);
}

TEST(batches_are_paged_forth_and_back)
{
    static const char path[] = "/v1/messages/batches";
    static const char body[] = "{\"requests\":[{\"custom_id\":\"a\",\"params\":{\"model\":"
                               "\"parrot\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\","
                               "\"content\":\"hi\"}]}}]}";
    hg_server *s = fake_server(fake_new(), NULL);
    char request[1024], id[5][64], query[160], both[160];

    (void)snprintf(request, sizeof request,
                   "POST %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Type: application/json\r\n"
                   "Content-Length: %zu\r\n\r\n%s",
                   path, version, strlen(body), body);
    for (int i = 4; i >= 0; i--) { /* the newest comes first */
        const char *answer = raw_ask(s, request), *at = strstr(answer, "\"id\":\"msgbatch_");
        CHECK(at != NULL);
        at = at != NULL ? at + 6 : "";
        (void)snprintf(id[i], sizeof id[i], "%.*s", (int)strcspn(at, "\""), at);
    }
    (void)snprintf(query, sizeof query, "limit=2&after_id=%s", id[1]);
    (void)snprintf(both, sizeof both, "%s %s more", id[2], id[3]);
    CHECK_STR(page(s, path, query), both);
    (void)snprintf(query, sizeof query, "limit=2&before_id=%s", id[4]);
    CHECK_STR(page(s, path, query), both);
    (void)snprintf(query, sizeof query, "limit=2&before_id=%s", id[2]);
    (void)snprintf(both, sizeof both, "%s %s ", id[0], id[1]);
    CHECK_STR(page(s, path, query), both);
    (void)snprintf(query, sizeof query, "limit=1000&before_id=%s", id[0]);
    CHECK_STR(page(s, path, query), "");
    check_refused(s, path, "before_id=none", 404, "there is no batch");
    check_refused(s, path, "after_id=a&before_id=b", 400, "before_id: not beside after_id");
    hg_server_free(s);
}

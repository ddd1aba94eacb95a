/* Models that are found in folders, loaded when they are asked for and unloaded within a budget. */
#include "fake.h"
#include "small.h"
#include "harness/test.h"
#include "serve/models.h"
#include "base/file.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static hg_server *new_server(uint64_t memory)
{
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};

    hg_server_options_init(&o);
    o.port = 0;
    o.memory = memory;
    o.threads = 1;
    o.parallel = 1;
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    return s;
}

static void look(hg_server *s, hg_models_state *out)
{
    hg_models_look(hg_server_models(s), out);
}

static const hg_backend *take(hg_server *s, const char *id, hg_problem *p)
{
    return hg_server_take(s, (hg_bytes){id, strlen(id)}, p);
}

static void log_line(void *ctx, hg_level level, const char *line)
{
    (void)level;
    (void)snprintf(ctx, 512, "%s", line);
}

static char *get(const hg_server *s, const char *path)
{
    char request[128];

    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    return raw_ask(s, request);
}

TEST(models_are_found_with_owner_and_name)
{
    static const char *const expected[] = {"meta/llama", "run", "solo"};
    hg_server *s = new_server(0);
    size_t n = 0;
    hg_err e = {0};
    char told[512] = "";
    const hg_watch w = {.log = log_line, .ctx = told};

    small_write("all/meta/llama", 1, NULL);
    small_write("all/run/model", 2, NULL);
    small_write("all/solo", 3, NULL);
    CHECK_OK(hg_mkdirs(test_path("all/broken"), &e), e);
    CHECK_OK(hg_file_write(test_path("all/broken/config.json"), "{}", 2, &e), e);
    CHECK_OK(hg_server_offer(s, test_path("all"), NULL, &w, &n, &e), e);
    CHECK_EQ(n, 3);
    for (size_t i = 0; i < 3; i++) CHECK_STR(hg_server_model_id(s, i), expected[i]);
    CHECK(hg_server_model_id(s, 3) == NULL);
    CHECK_HAS(told, "passed over: ");
    CHECK_HAS(told, "broken");
    CHECK(hg_server_find(s, (hg_bytes){"local/solo", 10}) != NULL);
    CHECK(hg_server_find(s, (hg_bytes){"solo/", 5}) == NULL);
    CHECK_EQ(hg_server_model(s, 0)->n_ctx, 512);
    hg_server_free(s);
}

TEST(what_holds_no_model_is_refused)
{
    hg_server *s = new_server(0);
    size_t n = 0;
    hg_err e = {0};

    CHECK_EQ(hg_server_offer(s, test_path("nowhere"), NULL, NULL, &n, &e), HG_E_MISSING);
    CHECK_HAS(e.msg, "nowhere is not there; name a model's folder or file");
    CHECK_OK(hg_mkdirs(test_path("empty"), &e), e);
    CHECK_EQ(hg_server_offer(s, test_path("empty"), NULL, NULL, &n, &e), HG_E_MISSING);
    CHECK_HAS(e.msg, "holds no model: neither a folder with config.json nor a .gguf");
    CHECK_EQ(n, 0);
    hg_server_free(s);
}

/* Room for one model at a time: the second drives the first out, unless it is held. */
TEST(the_model_used_longest_ago_makes_room)
{
    hg_server *s = new_server(1);
    hg_models_state state;
    hg_problem p = {0};
    hg_err e = {0};
    size_t n = 0;

    small_write("m/a", 1, NULL);
    small_write("m/b", 2, NULL);
    CHECK_OK(hg_server_offer(s, test_path("m"), NULL, NULL, &n, &e), e);
    CHECK(take(s, "a", &p) == NULL);
    CHECK_EQ(p.status, 503);
    CHECK_HAS(p.msg, "a needs 0 MB; models may take 0 MB (--memory)");
    hg_server_free(s);

    s = new_server(3000000);
    n = 0;
    CHECK_OK(hg_server_offer(s, test_path("m"), NULL, NULL, &n, &e), e);
    look(s, &state);
    CHECK_EQ(state.n_loaded, 0);
    const hg_backend *a = take(s, "a", &p);
    CHECK(a != NULL);
    CHECK_STR(a->id, "a");
    hg_backend_release(a);
    const hg_backend *b = take(s, "b", &p);
    if (b == NULL) test_fail(__FILE__, __LINE__, "%s", p.msg);
    hg_backend_release(b);
    look(s, &state);
    CHECK_EQ(state.n_loads, 2);
    CHECK_EQ(state.n_unloads, 1);
    CHECK_EQ(state.n_loaded, 1);
    CHECK(state.used <= state.memory);
    CHECK(!hg_models_is_loaded(hg_server_models(s), hg_models_get(hg_server_models(s), 0)));
    hg_server_free(s);
}

TEST(ollama_lists_what_is_there_and_what_is_in_memory)
{
    hg_server *s = new_server(0);
    hg_problem p = {0};
    hg_err e = {0};
    size_t n = 0;

    small_write("m/a", 1, NULL);
    small_write("m/b", 2, NULL);
    CHECK_OK(hg_server_offer(s, test_path("m"), NULL, NULL, &n, &e), e);
    CHECK_OK(hg_server_start(s, &e), e);
    CHECK_HAS(get(s, "/api/ps"), "{\"models\":[]}");
    const hg_backend *b = take(s, "b", &p);
    CHECK(b != NULL);
    hg_backend_release(b);
    char *a = get(s, "/api/ps");
    CHECK(strstr(a, "\"name\":\"a\"") == NULL);
    CHECK_HAS(a, "\"name\":\"b\"");
    CHECK_HAS(get(s, "/api/tags"), "\"name\":\"a\"");
    a = get(s, "/metrics");
    CHECK_HAS(a, "higgins_models_loaded 1\n");
    CHECK_HAS(a, "higgins_waiting{model=\"b\"} 0\n");
    hg_server_free(s);
}

TEST(a_model_at_work_is_not_unloaded)
{
    hg_server *s = new_server(3000000);
    hg_models_state state;
    hg_problem p = {0};
    hg_err e = {0};
    size_t n = 0;

    small_write("m/a", 1, NULL);
    small_write("m/b", 2, NULL);
    CHECK_OK(hg_server_offer(s, test_path("m"), NULL, NULL, &n, &e), e);
    const hg_backend *a = take(s, "a", &p);
    CHECK(a != NULL);
    hg_models_close(hg_server_models(s)); /* waiting ends at once */
    CHECK(take(s, "b", &p) == NULL);
    CHECK_EQ(p.status, 503);
    CHECK_HAS(p.msg, "no room for b: the models in memory are all at work; try again");
    look(s, &state);
    CHECK_EQ(state.n_unloads, 0);
    hg_backend_release(a);
    hg_server_free(s);
}

typedef struct crowd {
    hg_server *s;
    const char *id;
    bool ok;
} crowd;

typedef struct awaited {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool is_done;
    hg_status s;
} awaited;

static void on_vectors(void *ctx, hg_status s, const char *why)
{
    awaited *t = ctx;

    (void)why;
    (void)pthread_mutex_lock(&t->lock);
    t->is_done = true;
    t->s = s;
    (void)pthread_cond_signal(&t->ended);
    (void)pthread_mutex_unlock(&t->lock);
}

static bool embed(const hg_backend *b, const hg_ids *ids)
{
    awaited t = {.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
    hg_embed_job job = {.texts = ids, .n = 1, .on_end = on_vectors, .ctx = &t};
    hg_err e;

    if (b->embed(b->ctx, &job, &e) != HG_OK) return false;
    (void)pthread_mutex_lock(&t.lock);
    while (!t.is_done) (void)pthread_cond_wait(&t.ended, &t.lock);
    (void)pthread_mutex_unlock(&t.lock);
    hg_free(job.out);
    return t.s == HG_OK;
}

static void *use_many_times(void *ctx)
{
    crowd *c = ctx;

    for (int i = 0; i < 6 && c->ok; i++) {
        hg_problem p;
        hg_err e;
        const hg_backend *b = take(c->s, c->id, &p);
        hg_ids ids = {0};
        c->ok = b != NULL && b->encode_whole(b->ctx, (hg_bytes){"the cat", 7}, &ids, &e) == HG_OK &&
                embed(b, &ids);
        hg_ids_free(&ids);
        hg_backend_release(b);
    }
    return NULL;
}

TEST(models_come_and_go_under_many_hands)
{
    hg_server *s = new_server(3000000);
    crowd c[4] = {{s, "a", true}, {s, "b", true}, {s, "a", true}, {s, "b", true}};
    pthread_t t[4];
    hg_err e = {0};
    size_t n = 0;

    small_write("m/a", 1, NULL);
    small_write("m/b", 2, NULL);
    CHECK_OK(hg_server_offer(s, test_path("m"), NULL, NULL, &n, &e), e);
    for (int i = 0; i < 4; i++) CHECK_EQ(pthread_create(&t[i], NULL, use_many_times, &c[i]), 0);
    for (int i = 0; i < 4; i++) CHECK_EQ(pthread_join(t[i], NULL), 0);
    for (int i = 0; i < 4; i++) CHECK(c[i].ok);
    hg_server_free(s);
}

static void *find_many_times(void *ctx)
{
    const crowd *c = ctx;

    for (int i = 0; i < 20000; i++) (void)hg_server_find(c->s, (hg_bytes){c->id, 1});
    return NULL;
}

TEST(the_place_of_a_deleted_model_is_taken_by_the_next)
{
    hg_server *s = new_server(0);
    hg_models *ms = hg_server_models(s);
    crowd c = {s, "x", true};
    pthread_t looks;
    hg_err e = {0};
    size_t n = 0;
    char id[32] = "", last[32] = "a";

    small_write("m/a", 1, "m/tuned");
    CHECK_OK(hg_server_offer(s, test_path("m/a"), NULL, NULL, &n, &e), e);
    hg_offer *base = hg_models_find(ms, (hg_bytes){"a", 1});
    CHECK_EQ(hg_models_room(ms), HG_SERVE_MAX_MODELS - 1);
    CHECK_EQ(pthread_create(&looks, NULL, find_many_times, &c), 0);
    for (int i = 0; i < HG_SERVE_MAX_MODELS + 10; i++) {
        (void)snprintf(id, sizeof id, "tuned-%d", i);
        CHECK_OK(hg_models_publish(ms, test_path("m/tuned"), id, base, &e), e);
        CHECK_EQ(hg_models_room(ms), HG_SERVE_MAX_MODELS - 2);
        CHECK_OK(hg_models_remove(ms, hg_models_find(ms, (hg_bytes){id, strlen(id)}), &e), e);
        CHECK(hg_models_find(ms, (hg_bytes){id, strlen(id)}) == NULL);
    }
    CHECK_EQ(hg_models_count(ms), 2);
    CHECK_EQ(pthread_join(looks, NULL), 0);
    for (int i = 0; hg_models_room(ms) > 0; i++) {
        (void)snprintf(last, sizeof last, "kept-%d", i);
        CHECK_OK(hg_models_publish(ms, test_path("m/tuned"), last, base, &e), e);
    }
    CHECK_EQ(hg_models_publish(ms, test_path("m/tuned"), "more", base, &e), HG_E_LIMIT);
    CHECK_STR(e.msg, "more than 1024 models; serve fewer");
    CHECK(hg_models_find(ms, (hg_bytes){last, strlen(last)}) != NULL);
    hg_server_free(s);
}

TEST(adapters_are_models_beside_their_base)
{
    hg_server *s = new_server(0);
    hg_models_state state;
    hg_problem p = {0};
    hg_err e = {0};
    size_t n = 0;

    small_write("m/a", 1, "m/tuned");
    CHECK_OK(hg_server_offer(s, test_path("m"), NULL, NULL, &n, &e), e);
    CHECK_EQ(n, 2);
    CHECK_OK(hg_server_configure(s, NULL, NULL, &e), e);
    const hg_backend *b = take(s, "tuned", &p);
    if (b == NULL) test_fail(__FILE__, __LINE__, "%s", p.msg);
    CHECK(b->use.adapter != NULL);
    look(s, &state);
    CHECK_EQ(state.n_loaded, 2);
    hg_backend_release(b);
    CHECK_OK(hg_server_start(s, &e), e);
    char *a = raw_post(s, "/v1/chat/completions",
                       "{\"model\":\"tuned\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
                       "\"max_tokens\":4,\"seed\":1}");
    CHECK_EQ(raw_status(a), 200);
    CHECK_HAS(a, "\"model\":\"tuned\"");
    a = get(s, "/metrics"); /* an adapter is counted with its base */
    CHECK_HAS(a, "higgins_completion_tokens_total{model=\"a\"} 4\n");
    CHECK_HAS(a, "higgins_answers_total{model=\"a\"} 1\n");
    CHECK(strstr(a, "{model=\"tuned\"}") == NULL);
    hg_server_free(s);
}

TEST(an_adapter_without_its_base_answers_to_nobody)
{
    hg_server *s = new_server(0);
    hg_problem p = {0};
    hg_err e = {0};
    size_t n = 0;
    char told[512] = "";
    const hg_watch w = {.log = log_line, .ctx = told};

    small_write("m/a", 1, "n/tuned");
    CHECK_OK(hg_server_offer(s, test_path("n"), NULL, NULL, &n, &e), e);
    CHECK_OK(hg_server_configure(s, NULL, &w, &e), e);
    CHECK_HAS(told, "tuned was made for \"a\", which is not here");
    CHECK(take(s, "tuned", &p) == NULL);
    CHECK_EQ(p.status, 404);
    CHECK_HAS(p.msg, "tuned has no weights here");
    hg_server_free(s);
}

static void configure(hg_server *s, const char *text, hg_err *e, hg_status expected)
{
    const char *path = test_path("serve.yaml");

    CHECK_OK(hg_file_write(path, text, strlen(text), e), *e);
    CHECK_EQ(hg_server_configure(s, path, NULL, e), expected);
}

TEST(aliases_point_at_models)
{
    fake *f = fake_new();
    hg_server *s = new_server(0);
    hg_problem p = {0};
    hg_err e = {0};

    fake_add(f, s, "bird", 256);
    configure(s,
              "aliases:\n  meta/meta-llama-3-70b-instruct: bird\n  b: local/bird\n"
              "descriptions:\n  bird: says all back\n",
              &e, HG_OK);
    const hg_card *c = hg_server_find(s, (hg_bytes){"meta/meta-llama-3-70b-instruct", 30});
    CHECK(c != NULL);
    CHECK_EQ(c->n_ctx, 256);
    CHECK_STR(hg_server_model(s, 0)->description, "says all back");
    const hg_backend *b = take(s, "meta/meta-llama-3-70b-instruct", &p);
    CHECK(b != NULL);
    CHECK_STR(b->id, "bird");
    hg_backend_release(b);
    configure(s, "aliases:\n  x: nobody\n", &e, HG_E_FORMAT);
    CHECK_HAS(e.msg, "serve.yaml, line 2: x is to be another name of nobody, which is not here");
    configure(s, "aliases:\n  bird: b\n", &e, HG_E_FORMAT);
    CHECK_HAS(e.msg, "line 2: two models are named bird; give one another name");
    configure(s, "alias:\n  x: bird\n", &e, HG_E_FORMAT);
    CHECK_HAS(e.msg, "unknown key \"alias\"; did you mean \"aliases\"?");
    configure(s, "descriptions:\n  y: z\n", &e, HG_E_FORMAT);
    CHECK_HAS(e.msg, "line 2: there is no model y to describe");
    configure(s, "- 1\n", &e, HG_E_FORMAT);
    hg_server_free(s);
}

TEST(texts_become_vectors_of_length_1)
{
    fake *f = fake_new();
    hg_server *s = new_server(0);
    hg_err e = {0};
    size_t n = 0;

    small_write("a", 1, NULL);
    CHECK_OK(hg_server_offer(s, test_path("a"), NULL, NULL, &n, &e), e);
    fake_add(f, s, "bird", 256);
    CHECK_OK(hg_server_start(s, &e), e);
    char *a = raw_post(s, "/v1/embeddings", "{\"model\":\"a\",\"input\":[\"the cat\",\"a mat\"]}");
    CHECK_EQ(raw_status(a), 200);
    CHECK_HAS(a, "{\"object\":\"embedding\",\"index\":1,\"embedding\":[");
    a = raw_post(s, "/v1/embeddings",
                 "{\"model\":\"a\",\"input\":\"the cat\",\"encoding_format\":\"base64\","
                 "\"dimensions\":1}");
    CHECK(strstr(a, "\"embedding\":\"AACAPw==\"") != NULL ||
          strstr(a, "\"embedding\":\"AACAvw==\"") != NULL); /* 1 or -1 */
    static const struct {
        const char *body, *says;
        int status;
    } bad[] = {
        {"{\"model\":\"bird\",\"input\":\"x\"}", "bird makes no embeddings", 400},
        {"{\"model\":\"a\",\"input\":[]}", "input must be 1 to 2048 texts", 400},
        {"{\"model\":\"a\",\"input\":[{}]}", "text 1 must be a string or token ids, and not empty",
         400},
        {"{\"model\":\"a\",\"input\":\"x\",\"dimensions\":65}",
         "dimensions must be from 1 to the model's 64", 400},
        {"{\"model\":\"a\",\"input\":\"x\",\"encoding_format\":\"int8\"}",
         "encoding_format must be float or base64", 400},
        {"{\"model\":\"c\",\"input\":\"x\"}", "there is no model", 404},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        a = raw_post(s, "/v1/embeddings", bad[i].body);
        CHECK_EQ(raw_status(a), bad[i].status);
        CHECK_HAS(a, bad[i].says);
    }
    a = raw_post(s, "/v1beta/models/a:embedContent",
                 "{\"content\":{\"parts\":[{\"text\":\"x\"}]}}");
    CHECK_HAS(a, "{\"embedding\":{\"values\":[");
    a = raw_post(s, "/v1beta/models/a:batchEmbedContents", "{\"requests\":[{\"content\":{}}]}");
    CHECK_EQ(raw_status(a), 400);
    CHECK_HAS(a, "content.parts must be parts of text");
    a = raw_post(s, "/api/embed", "{\"model\":\"a\",\"input\":\"x\"}");
    CHECK_HAS(a, "{\"model\":\"a\",\"embeddings\":[[");
    a = get(s, "/metrics");
    CHECK_HAS(a, "higgins_embeddings_waiting{model=\"a\"} 0\n");
    CHECK_HAS(a, "higgins_embeddings_total{model=\"a\"} 4\n");
    CHECK_HAS(a, "higgins_embeddings_refused_total{model=\"a\"} 0\n");
    CHECK(strstr(a, "higgins_embeddings_tokens_total{model=\"a\"} 0\n") == NULL);
    CHECK(strstr(a, "higgins_embeddings_total{model=\"bird\"}") == NULL);
    hg_server_free(s);
}

typedef struct record {
    char line[512];
    atomic_bool is_there;
} record;

static void write_down(void *ctx, const hg_request_record *r)
{
    record *to = ctx;

    (void)snprintf(to->line, sizeof to->line, "%s %s %d %llu", r->path, r->model, r->status,
                   (unsigned long long)r->n_prompt_tokens);
    atomic_store(&to->is_there, true);
}

TEST(requests_for_embeddings_are_written_down_with_model_and_tokens)
{
    record told = {0};
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};
    size_t n = 0;

    hg_server_options_init(&o);
    o.port = 0;
    o.threads = 1;
    o.on_request = write_down;
    o.on_request_ctx = &told;
    small_write("a", 1, NULL);
    CHECK_OK(hg_server_new(&s, &o, &e), e);
    CHECK_OK(hg_server_offer(s, test_path("a"), NULL, NULL, &n, &e), e);
    CHECK_OK(hg_server_start(s, &e), e);
    (void)raw_post(s, "/v1/embeddings", "{\"model\":\"a\",\"input\":[[1,2,3],[4,5]]}");
    for (int i = 0; i < 5000 && !atomic_load(&told.is_there); i++) usleep(1000);
    CHECK_STR(told.line, "/v1/embeddings a 200 5");
    hg_server_free(s);
}

/* Anthropic's answers do not tell the code by which a batch knows that waiting is in vain. */
TEST(a_line_of_a_batch_whose_model_never_fits_is_answered)
{
    static const char body[] =
        "{\"requests\":[{\"custom_id\":\"x\",\"params\":{\"model\":\"a\",\"max_tokens\":3,"
        "\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}}]}";
    hg_server *s = new_server(1);
    char request[1024], path[80];
    const char *a = "";
    hg_err e = {0};
    size_t n = 0;

    small_write("m/a", 1, NULL);
    CHECK_OK(hg_server_offer(s, test_path("m"), NULL, NULL, &n, &e), e);
    CHECK_OK(hg_server_start(s, &e), e);
    (void)snprintf(request, sizeof request,
                   "POST /v1/messages/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                   "application/json\r\nanthropic-version: 2023-06-01\r\nContent-Length: "
                   "%zu\r\n\r\n%s",
                   sizeof body - 1, body);
    a = raw_ask(s, request);
    CHECK_EQ(raw_status(a), 200);
    const char *id = strstr(a, "msgbatch_");
    CHECK(id != NULL);
    (void)snprintf(path, sizeof path, "/v1/messages/batches/%.*s", (int)strcspn(id, "\""), id);
    for (int i = 0; i < 500 && strstr(a, "\"ended\"") == NULL; i++) {
        usleep(10000);
        a = get(s, path);
    }
    CHECK_HAS(a, "\"errored\":1");
    (void)snprintf(path + strlen(path), 16, "/results");
    CHECK_HAS(get(s, path), "models may take");
    hg_server_free(s);
}

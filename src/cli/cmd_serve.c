/* higgins serve: a model behind the protocols of programs and a chat page, until Ctrl-C or SIGTERM.
 */
#include "talk.h"

#include <higgins/eliza.h>
#include <higgins/serve.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct serve_values {
    const char *host, *key, *name, *chat_template;
    int64_t port, n_ctx, parallel, queue, grace;
} serve_values;

static void serve_init(void *values)
{
    serve_values *v = values;
    hg_server_options o;

    hg_server_options_init(&o);
    v->host = o.host;
    v->port = o.port;
    v->parallel = o.parallel;
    v->queue = o.max_queue;
    v->grace = 30;
}

/* "models/tiny/" is served as "tiny", "tiny.gguf" too. */
static void name_of(const char *path, char *out, size_t size)
{
    size_t end = strlen(path);

    while (end > 1 && path[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    if (end - begin > 5 && memcmp(path + end - 5, ".gguf", 5) == 0) end -= 5;
    size_t n = end - begin < size ? end - begin : size - 1;
    for (size_t i = 0; i < n; i++) {
        char c = path[begin + i];
        bool ok = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                  c == '-' || c == '.' || c == '_';
        out[i] = ok ? c : '-';
    }
    out[n] = 0;
}

static void tell_ready(const cli *c, const char *url, const char *id, bool has_key)
{
    if (c->json) {
        printf("{\"url\": \"%s\", \"base_url\": \"%s/v1\", \"model\": \"%s\", \"api_key\": %s}\n",
               url, url, id, has_key ? "true" : "false");
        (void)fflush(stdout);
        return;
    }
    const char *key = has_key ? "YOUR-KEY" : "none";
    printf("%s is served at %s (a page to chat) and %s/v1 (OpenAI's API)\n", id, url, url);
    (void)fflush(stdout);
    if (c->quiet) return;
    fprintf(
        stderr,
        "\n"
        "  curl    curl %s/v1/chat/completions -H 'Content-Type: application/json' %s%s%s\\\n"
        "            -d '{\"model\": \"%s\", \"messages\": [{\"role\": \"user\", \"content\": "
        "\"Hello\"}]}'\n"
        "  Node    const client = new OpenAI({ baseURL: '%s/v1', apiKey: '%s' })\n"
        "          await client.chat.completions.create({ model: '%s',\n"
        "            messages: [{ role: 'user', content: 'Hello' }] })\n"
        "  Python  client = OpenAI(base_url=\"%s/v1\", api_key=\"%s\")\n"
        "          client.chat.completions.create(model=\"%s\",\n"
        "            messages=[{\"role\": \"user\", \"content\": \"Hello\"}])\n"
        "  others  Anthropic({ baseURL: '%s' }), GoogleGenAI({ httpOptions: { baseUrl: '%s' } }),\n"
        "          Ollama({ host: '%s' })\n"
        "\n"
        "Ctrl-C ends it after the answers that are being written.\n",
        url, has_key ? "-H 'Authorization: Bearer " : "", has_key ? key : "", has_key ? "' " : "",
        id, url, key, id, url, key, id, url, url, url);
}

static void wait_for_stop(const cli *c)
{
    struct timespec nap = {0, 100 * 1000 * 1000};

    while (!hg_watch_stopped(&c->watch)) (void)nanosleep(&nap, NULL);
}

static hg_status open_model(cli *c, const serve_values *v, const char *path, hg_model **m,
                            hg_runtime **rt, hg_err *e)
{
    char a[32], b[32];

    HG_TRY(cli_runtime(c, rt, e));
    HG_TRY(hg_model_open(m, path, HG_WEIGHTS_AS_STORED, *rt, e));
    const hg_session_options so = {
        .n_ctx = cli_context(c, *m, HG_CACHE_AUTO, (uint32_t)v->parallel, v->n_ctx)};
    const double each = (double)hg_session_bytes(*m, &so);
    hg_machine_info machine;
    hg_machine_describe(&machine);
    const double fit = (double)machine.memory_free / each;
    if (!c->quiet && !c->json)
        fprintf(stderr, "%s: weights %s, at most %d conversations at a time of %s each\n", path,
                cli_bytes(a, (double)hg_model_bytes(*m)), (int)v->parallel, cli_bytes(b, each));
    if (!c->quiet && !c->json && fit >= 1 && fit < (double)v->parallel)
        fprintf(stderr, "%s: memory is free for %d of them; others wait\n", path, (int)fit);
    return HG_OK;
}

/* Every server answers to this name too, unlisted: where it all began. */
static const char ancestor[] = "weizenbaum/eliza";

static hg_status add_models(cli *c, const serve_values *v, hg_server *s, const char *id,
                            const char *path, hg_model **m, hg_err *e)
{
    hg_runtime *rt = NULL;
    if (hg_eliza_is_name(path)) {
        HG_TRY(hg_server_add_eliza(s, id, path, true, e));
    } else {
        HG_TRY(open_model(c, v, path, m, &rt, e));
        HG_TRY(hg_server_add_model(s, id, *m, rt, e));
    }
    return strcmp(id, ancestor) == 0 ? HG_OK : hg_server_add_eliza(s, ancestor, "eliza", false, e);
}

static int serve_run(cli *c, void *values, int n_args, char **args)
{
    const serve_values *v = values;
    hg_server_options o;
    hg_model *m = NULL;
    hg_server *s = NULL;
    hg_err e = {0};
    char id[128], *chat_template = NULL;
    int code = 1;

    (void)n_args;
    hg_server_options_init(&o);
    o.host = v->host;
    o.port = (uint16_t)v->port;
    o.api_key = v->key != NULL ? v->key : getenv("HIGGINS_API_KEY");
    o.n_ctx = (uint32_t)v->n_ctx;
    o.parallel = (uint32_t)v->parallel;
    o.max_queue = (uint32_t)v->queue;
    if (v->name != NULL)
        (void)snprintf(id, sizeof id, "%s", v->name);
    else
        name_of(args[0], id, sizeof id);

    if (cli_read_text(v->chat_template, &chat_template, &e) != HG_OK) return cli_fail(c, &e);
    o.chat_template = chat_template;
    if (hg_server_new(&s, &o, &e) != HG_OK || add_models(c, v, s, id, args[0], &m, &e) != HG_OK ||
        hg_server_start(s, &e) != HG_OK) {
        (void)cli_fail(c, &e);
        goto done;
    }
    if (o.api_key == NULL && strncmp(hg_server_url(s), "http://127.", 11) != 0 &&
        strcmp(v->host, "localhost") != 0 && strcmp(v->host, "::1") != 0)
        fprintf(stderr,
                "higgins: warning: everybody who reaches %s may use the model; --api-key "
                "asks for a key\n",
                hg_server_url(s));
    tell_ready(c, hg_server_url(s), id, o.api_key != NULL);
    wait_for_stop(c);
    uint32_t cut = hg_server_drain(s, (double)v->grace, NULL);
    if (!c->quiet)
        fprintf(stderr,
                cut == 0 ? "higgins: ended; every answer was finished\n"
                         : "higgins: ended; %u answers were cut off after %d seconds\n",
                cut, (int)v->grace);
    code = 0;
done:
    hg_server_free(s);
    hg_model_free(m);
    free(chat_template);
    return code;
}

static const cli_option serve_options[] = {
    {"host", 0, CLI_TEXT, "ADDRESS", "address to listen on", offsetof(serve_values, host), 0, 0},
    {"port", 'p', CLI_INT, "N", "port to listen on; 0 takes any free one",
     offsetof(serve_values, port), 0, 65535},
    {"api-key", 0, CLI_TEXT, "KEY", "ask for this key (also: environment HIGGINS_API_KEY)",
     offsetof(serve_values, key), 0, 0},
    {"name", 0, CLI_TEXT, "NAME", "the model's name in the API; else its file's or folder's",
     offsetof(serve_values, name), 0, 0},
    {"chat-template", 0, CLI_TEXT, "FILE", "a template (Jinja) in place of the model's",
     offsetof(serve_values, chat_template), 0, 0},
    {"context", 'c', CLI_INT, "N",
     "tokens of a conversation; 0: what the model was made for and memory holds",
     offsetof(serve_values, n_ctx), 0, HG_MAX_CTX},
    {"parallel", 0, CLI_INT, "N", "answers that are written at a time",
     offsetof(serve_values, parallel), 1, 64},
    {"queue", 0, CLI_INT, "N", "requests that may wait; more are refused",
     offsetof(serve_values, queue), 1, 4096},
    {"grace", 0, CLI_INT, "SECONDS", "time for open answers when the server is ended",
     offsetof(serve_values, grace), 0, 3600},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, 0}};

static const char *const serve_examples[] = {
    "higgins serve models/first",
    "the page is at http://127.0.0.1:8080",
    "higgins serve model.gguf --port 0 --json",
    "any free port, told as JSON",
    "HIGGINS_API_KEY=secret higgins serve models/first --host 0.0.0.0",
    "for the whole network, with a key",
    NULL};

const cli_command cli_serve = {
    .name = "serve",
    .args = "MODEL",
    .summary = "answer programs made for OpenAI, Claude, Gemini or Ollama, and people on a page",
    .text = "Opens a model (a folder, a .gguf file, or eliza) and serves it at one address, plain "
            "and streaming, to every program that speaks OpenAI's protocol (/v1/chat/completions, "
            "/v1/completions), Anthropic's (/v1/messages), Gemini's (/v1beta/models/...) or "
            "Ollama's (/api), and a chat page at /. It listens on this machine only unless --host "
            "says more. Ctrl-C or SIGTERM lets nobody new in, finishes the open answers within "
            "--grace seconds and ends with 0. Every server also answers to the model "
            "weizenbaum/eliza.",
    .examples = serve_examples,
    .options = serve_options,
    .values_size = sizeof(serve_values),
    .init = serve_init,
    .min_args = 1,
    .max_args = 1,
    .run = serve_run,
};

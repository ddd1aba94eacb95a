/* higgins serve: models behind the protocols of programs and a page, until Ctrl-C or SIGTERM.
 */
#include "access_log.h"
#include "talk.h"

#include <higgins/eliza.h>
#include <higgins/serve.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct serve_values {
    const char *host, *key, *name, *chat_template, *config, *data, *log, *hosts;
    bool no_token, private_urls, log_prompts;
    int64_t port, n_ctx, parallel, queue, grace;
    double memory, retention;
} serve_values;

typedef struct served {
    size_t n;          /* models that were named or found */
    const char *first; /* the name of one of them */
} served;

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
    v->retention = o.retention_s / 3600;
}

/* `token` is "" unless it was made now. */
static void tell_ready(const cli *c, const char *url, const char *id, bool has_key,
                       const char *token)
{
    if (c->json) {
        printf("{\"url\": \"%s\", \"base_url\": \"%s/v1\", \"model\": \"%s\", \"api_key\": %s", url,
               url, id, has_key ? "true" : "false");
        printf(token[0] != '\0' ? ", \"token\": \"%s\"}\n" : "}\n", token);
        (void)fflush(stdout);
        return;
    }
    const char *key = has_key ? "YOUR-KEY" : "none";
    printf("%s is served at %s (a page to chat) and %s/v1 (OpenAI's API)\n", id, url, url);
    if (token[0] != '\0')
        printf(
            "Its first token, shown this once and kept as a digest; give it as your key:\n  %s\n",
            token);
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

/* Every server answers to this name too, unlisted: where it all began. */
static const char ancestor[] = "weizenbaum/eliza";

static hg_status offer(cli *c, const serve_values *v, hg_server *s, const char *path, size_t *n,
                       hg_err *e)
{
    if (!hg_eliza_is_name(path)) return hg_server_offer(s, path, v->name, &c->watch, n, e);
    char id[128];
    (void)snprintf(id, sizeof id, "%s", v->name != NULL ? v->name : path);
    for (char *at = id; v->name == NULL && *at != '\0'; at++)
        if (strchr(":/", *at) != NULL) *at = '-';
    ++*n;
    return hg_server_add_eliza(s, id, path, true, e);
}

/* A single model is loaded now, so that what is wrong with it is told now. */
static hg_status add_models(cli *c, const serve_values *v, hg_server *s, int n_args, char **args,
                            served *what, hg_err *e)
{
    bool is_there = false;

    for (int i = 0; i < n_args; i++) HG_TRY(offer(c, v, s, args[i], &what->n, e));
    for (size_t i = 0; hg_server_model_id(s, i) != NULL; i++)
        is_there = is_there || strcmp(hg_server_model_id(s, i), ancestor) == 0;
    if (!is_there) HG_TRY(hg_server_add_eliza(s, ancestor, "eliza", false, e));
    HG_TRY(hg_server_configure(s, v->config, &c->watch, e));
    what->first = hg_server_model_id(s, 0);
    return what->n == 1 ? hg_server_preload(s, what->first, e) : HG_OK;
}

static void tell_memory(const cli *c, const hg_server *s, const served *what)
{
    char a[32];

    if (c->quiet || c->json || what->n < 2) return;
    fprintf(stderr,
            "%zu models, loaded when they are asked for, in %s of memory at the most (--memory)\n",
            what->n, cli_bytes(a, (double)hg_server_memory(s)));
}

static void fill_options(const cli *c, const serve_values *v, hg_server_options *o)
{
    o->host = v->host;
    o->port = (uint16_t)v->port;
    o->api_key = v->key != NULL ? v->key : getenv("HIGGINS_API_KEY");
    o->hosts = v->hosts;
    o->asks_token = !v->no_token && o->api_key == NULL;
    o->n_ctx = (uint32_t)v->n_ctx;
    o->parallel = (uint32_t)v->parallel;
    o->max_queue = (uint32_t)v->queue;
    o->retention_s = v->retention * 3600;
    o->allows_private_urls = v->private_urls;
    o->memory = (uint64_t)(v->memory * 1e9);
    o->threads = c->threads;
    o->isa = c->isa;
}

static hg_status start(cli *c, const serve_values *v, const hg_server_options *o, int n_args,
                       char **args, hg_server **s, hg_err *e)
{
    served what = {0};
    char token[HG_TOKEN_ROOM] = "";

    HG_TRY(hg_server_new(s, o, e));
    HG_TRY(add_models(c, v, *s, n_args, args, &what, e));
    HG_TRY(hg_server_start(*s, e));
    if (o->asks_token) HG_TRY(hg_server_first_token(*s, token, e));
    tell_memory(c, *s, &what);
    tell_ready(c, hg_server_url(*s), what.first, o->asks_token || o->api_key != NULL, token);
    return HG_OK;
}

static void end(const cli *c, const serve_values *v, hg_server *s)
{
    const uint32_t cut = hg_server_drain(s, (double)v->grace, NULL);

    if (c->quiet) return;
    fprintf(stderr,
            cut == 0 ? "higgins: ended; every answer was finished\n"
                     : "higgins: ended; %u answers were cut off after %d seconds\n",
            cut, (int)v->grace);
}

static int serve_run(cli *c, void *values, int n_args, char **args)
{
    const serve_values *v = values;
    hg_server_options o;
    hg_server *s = NULL;
    hg_err e = {0};
    char *chat_template = NULL, folder[4096];

    if (v->name != NULL && n_args > 1)
        return cli_misuse(c, "--name is for one model; %d are named", n_args);
    hg_server_options_init(&o);
    fill_options(c, v, &o);
    if (!access_log_set_up(&o, v->log))
        return cli_misuse(c, "--log: \"%s\" is none of none, text and json", v->log);
    o.tells_bodies = v->log_prompts;
    if (v->no_token && o.api_key == NULL && !hg_host_is_loopback(v->host))
        return cli_misuse(c, "--no-token is for this machine alone; %s can be reached by others",
                          v->host);
    hg_status r = cli_data_folder(v->data, folder, sizeof folder, &e);
    o.data_dir = folder;
    if (r == HG_OK) r = cli_read_text(v->chat_template, &chat_template, &e);
    o.chat_template = chat_template;
    if (r == HG_OK) r = start(c, v, &o, n_args, args, &s, &e);
    if (r != HG_OK) {
        (void)cli_fail(c, &e);
    } else {
        service_notify("READY=1");
        wait_for_stop(c);
        service_notify("STOPPING=1");
        end(c, v, s);
    }
    hg_server_free(s);
    free(chat_template);
    return r == HG_OK ? 0 : 1;
}

static const cli_option serve_options[] = {
    {"host", 0, CLI_TEXT, "ADDRESS", "address to listen on", offsetof(serve_values, host), 0, 0},
    {"port", 'p', CLI_INT, "N", "port to listen on; 0 takes any free one",
     offsetof(serve_values, port), 0, 65535},
    {"allow-host", 0, CLI_TEXT, "NAMES",
     "names (with commas) that a proxy is reached by: on loopback others are refused",
     offsetof(serve_values, hosts), 0, 0},
    {"data", 0, CLI_TEXT, "DIR",
     "where tokens, predictions and files are kept; else ~/.local/share/higgins",
     offsetof(serve_values, data), 0, 0},
    {"no-token", 0, CLI_FLAG, NULL, "ask for no token: for programs on this machine alone",
     offsetof(serve_values, no_token), 0, 0},
    {"api-key", 0, CLI_TEXT, "KEY",
     "ask for this key instead of tokens (also: environment HIGGINS_API_KEY)",
     offsetof(serve_values, key), 0, 0},
    {"log", 0, CLI_TEXT, "FORMAT",
     "a line a request on stderr: none, text, json; prompts are not in it",
     offsetof(serve_values, log), 0, 0},
    {"log-prompts", 0, CLI_FLAG, NULL,
     "with --log json: the first 4 KB of what clients send, prompts and all",
     offsetof(serve_values, log_prompts), 0, 0},
    {"retention", 0, CLI_FLOAT, "HOURS",
     "predictions of programs lose input and output so long after their end; 0: never",
     offsetof(serve_values, retention), 0, 1e6},
    {"allow-private-urls", 0, CLI_FLAG, NULL,
     "webhooks may go to this machine and to private networks",
     offsetof(serve_values, private_urls), 0, 0},
    {"name", 0, CLI_TEXT, "NAME", "the model's name in the API; else its file's or folder's",
     offsetof(serve_values, name), 0, 0},
    {"config", 0, CLI_TEXT, "FILE", "aliases and descriptions of models (YAML)",
     offsetof(serve_values, config), 0, 0},
    {"memory", 0, CLI_FLOAT, "GB",
     "memory for models that are loaded on demand; 0: four fifths of what is free",
     offsetof(serve_values, memory), 0, 1e6},
    {"chat-template", 0, CLI_TEXT, "FILE", "a template (Jinja) in place of the model's",
     offsetof(serve_values, chat_template), 0, 0},
    {"context", 'c', CLI_INT, "N",
     "tokens of a conversation; 0: what the model was made for and memory holds",
     offsetof(serve_values, n_ctx), 0, HG_MAX_CTX},
    {"parallel", 0, CLI_INT, "N", "answers that are written at a time",
     offsetof(serve_values, parallel), 1, 1024},
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
    "higgins serve models/ --config serve.yaml --memory 12",
    "all models in a folder, loaded on demand within 12 GB",
    "higgins serve models/first --host 0.0.0.0",
    "for the whole network, for those who have a token (higgins token add NAME)",
    NULL};

const cli_command cli_serve = {
    .name = "serve",
    .args = "MODEL...",
    .summary = "answer programs made for Replicate, GPT, Claude or Gemini, and people on a page",
    .text =
        "Serves models (folders, .gguf files, adapters, eliza, or all that lie below a folder) "
        "at one address, plain "
        "and streaming, to every program that speaks OpenAI's protocol (/v1/chat/completions, "
        "/v1/completions), Replicate's (/v1/predictions), Anthropic's (/v1/messages), Gemini's "
        "(/v1beta/models/...) or Ollama's (/api), and a page at / to talk to models, run, train "
        "and watch them. It listens on this machine "
        "only unless --host "
        "says more. Ctrl-C or SIGTERM lets nobody new in, finishes the open answers within "
        "--grace seconds and ends with 0. Who asks shows a token: the first start prints one, "
        "higgins token makes more. Every server also answers to the model "
        "weizenbaum/eliza. Of several models each is loaded when it is first asked for; the one "
        "used longest ago is unloaded when memory is needed.",
    .examples = serve_examples,
    .options = serve_options,
    .values_size = sizeof(serve_values),
    .init = serve_init,
    .min_args = 1,
    .max_args = -1,
    .run = serve_run,
};

/* What is in a model's files, told without loading them. The container is opened first: a file that
 * is cut off or whose tensors overlap is refused there. Whether Higgins can run what is in it is
 * then tried as every command tries it, and is told, not demanded. */
#include "model/inspect.h"
#include "text/utf8.h"
#include "token/token.h"
#include <stdio.h>
#include <string.h>

static bool is_text(hg_bytes s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static const char *visible(hg_inspection *in, hg_bytes text)
{
    hg_buf b = {0};
    hg_text_visible(&b, text, false);
    const char *kept = hg_arena_strndup(&in->mem, b.n > 0 ? b.p : "", b.n);
    hg_buf_free(&b);
    return kept;
}

/* A file beside the weights. */
static bool is_there(const hg_inspection *in, const char *name)
{
    char *path = hg_path_join(in->dir, name);
    bool found = path != NULL && hg_path_exists(path);
    hg_free(path);
    return found;
}

/* ---- containers ---- */

static hg_status open_gguf(hg_inspection *in, hg_err *e)
{
    hg_bytes type = {"model", 5}, arch = {NULL, 0};
    in->is_gguf = true;
    in->info.format = "gguf";
    HG_TRY(hg_gguf_open(&in->gguf, &in->store, &in->mem, in->path, e));
    HG_TRY(hg_inspect_gguf_keys(in, e));
    (void)hg_gguf_text(&in->gguf, "general.type", &type, NULL);
    (void)hg_gguf_text(&in->gguf, "general.architecture", &arch, NULL);
    if (arch.p != NULL) in->info.arch = visible(in, arch);
    in->info.kind = is_text(type, "adapter")  ? "adapter"
                    : !is_text(type, "model") ? "tensors"
                    : in->store.n == 0        ? "vocabulary"
                                              : "model";
    return HG_OK;
}

static hg_status open_safetensors(hg_inspection *in, const char *path, hg_err *e)
{
    hg_map map;
    HG_TRY(hg_store_map(&in->store, path, &map, e));
    HG_TRY(hg_safetensors_parse(&in->store, map.p, map.n, path, e));
    return hg_store_sort(&in->store, path, e);
}

/* model_type of config.json. */
static hg_status read_arch(hg_inspection *in, hg_err *e)
{
    json_t *o = NULL;
    char *path = hg_path_join(in->dir, "config.json");
    hg_status s = path == NULL ? hg_fail(e, HG_E_NOMEM, "no room for a path")
                               : hg_json_read(&o, path, HG_MAX_CONFIG, e);
    const char *arch = json_string_value(json_object_get(o, "model_type"));
    if (arch != NULL) in->info.arch = visible(in, (hg_bytes){arch, strlen(arch)});
    json_decref(o);
    hg_free(path);
    return s;
}

static hg_status open_adapter_folder(hg_inspection *in, hg_err *e)
{
    char *path = hg_path_join(in->dir, "adapter_model.safetensors");
    in->info.kind = "adapter";
    hg_status s =
        path == NULL ? hg_fail(e, HG_E_NOMEM, "no room for a path") : open_safetensors(in, path, e);
    hg_free(path);
    return s;
}

static hg_status open_folder(hg_inspection *in, hg_err *e)
{
    static const char *const names[] = {"adapter_config.json", "config.json",
                                        "generation_config.json", "tokenizer_config.json"};
    in->info.format = "safetensors";
    in->dir = in->path;
    bool has_weights =
        is_there(in, "model.safetensors") || is_there(in, "model.safetensors.index.json");
    if (is_there(in, "adapter_model.safetensors") && !has_weights) {
        HG_TRY(open_adapter_folder(in, e));
    } else if (is_there(in, "config.json") || has_weights) {
        in->info.kind = "model";
        HG_TRY(read_arch(in, e));
        HG_TRY(hg_safetensors_open(&in->store, in->dir, e));
    } else if (is_there(in, "tokenizer.json") || is_there(in, "tokenizer.model") ||
               is_there(in, "vocab.json")) {
        in->info.kind = "vocabulary";
    } else {
        return hg_fail(e, HG_E_MISSING,
                       "%s: no config.json, adapter_model.safetensors or tokenizer.json is there",
                       in->path);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        HG_TRY(hg_inspect_json_keys(in, names[i], e));
    for (size_t i = 0; i < in->store.n_files; i++)
        HG_TRY(hg_inspect_header_keys(in, &in->store.file[i], e));
    return HG_OK;
}

static hg_status open_file(hg_inspection *in, hg_err *e)
{
    hg_map map;
    HG_TRY(hg_map_open(&map, in->path, e));
    bool begins_gguf = map.n >= 4 && memcmp(map.p, "GGUF", 4) == 0;
    hg_map_close(&map);
    if (begins_gguf || hg_path_ends(in->path, ".gguf")) return open_gguf(in, e);
    if (hg_path_ends(in->path, ".safetensors")) {
        in->info.kind = "tensors";
        in->info.format = "safetensors";
        HG_TRY(open_safetensors(in, in->path, e));
        return hg_inspect_header_keys(in, &in->store.file[0], e);
    }
    in->info.kind = "vocabulary";
    in->info.format = "tokenizer";
    return HG_OK;
}

/* ---- what Higgins makes of it ---- */

/* The sentence without the path that it begins with. */
static const char *reason(hg_inspection *in, const hg_err *why)
{
    size_t n = strlen(in->path);
    const char *msg = why->msg;
    if (strncmp(msg, in->path, n) == 0 && (msg[n] == ':' || msg[n] == '/'))
        msg += n + 1 + strspn(msg + n + 1, " ");
    return hg_arena_strndup(&in->mem, msg, strlen(msg));
}

static void try_model(hg_inspection *in)
{
    hg_err why = {0};
    if (strcmp(in->info.kind, "model") != 0) return;
    if (hg_model_open_stored(&in->model, in->path, &why) == HG_OK) {
        in->info.is_known = true;
        in->info.config = in->model->c;
        in->info.n_params = hg_model_count(in->model);
        in->info.chat_template = in->model->chat_template;
        in->tokenizer = in->model->tokenizer;
    } else {
        in->info.problem = reason(in, &why);
    }
}

/* Of files that are no model, or none that Higgins knows. */
static hg_status find_tokenizer(hg_inspection *in, hg_err *e)
{
    hg_err why = {0};
    hg_bytes text = {NULL, 0};
    if (in->model != NULL) return HG_OK;
    hg_status s = in->is_gguf              ? hg_gguf_tokenizer(&in->gguf, &in->tokenizer, &why)
                  : in->dir != NULL        ? hg_tokenizer_of_folder(&in->tokenizer, in->dir, &why)
                  : in->store.n_files == 0 ? hg_tokenizer_open(&in->tokenizer, in->path, &why)
                                           : HG_OK;
    if (s != HG_OK && in->store.n_files == 0) return hg_fail(e, s, "%s", why.msg);
    if (s != HG_OK) in->info.no_tokenizer = reason(in, &why);
    if (in->dir != NULL) HG_TRY(hg_chat_template_of_folder(&in->chat_template, in->dir, e));
    if (in->is_gguf) (void)hg_gguf_text(&in->gguf, "tokenizer.chat_template", &text, NULL);
    if (text.p != NULL) {
        in->chat_template = hg_strndup(text.p, text.n);
        if (in->chat_template == NULL) return hg_fail(e, HG_E_NOMEM, "no room for a template");
    }
    in->info.chat_template = in->chat_template;
    return HG_OK;
}

static hg_status look(hg_inspection *in, bool check, const hg_watch *w, hg_err *e)
{
    if (!hg_path_exists(in->path))
        return hg_fail(e, HG_E_MISSING, "%s: no such folder or file", in->path);
    HG_TRY(hg_path_is_dir(in->path) ? open_folder(in, e) : open_file(in, e));
    HG_TRY(hg_inspect_tensors(in, e));
    try_model(in);
    HG_TRY(find_tokenizer(in, e));
    if (in->tokenizer != NULL) HG_TRY(hg_inspect_tokens(in, e));
    return check ? hg_inspect_values(in, w, e) : HG_OK;
}

hg_status hg_model_inspect(hg_model_info **out, const char *path, bool check, const hg_watch *w,
                           hg_err *e)
{
    *out = NULL;
    hg_inspection *in = hg_alloc(1, sizeof *in);
    if (in == NULL) return hg_fail(e, HG_E_NOMEM, "no room to inspect %s", path);
    hg_arena_init(&in->mem, (size_t)1 << 16);
    hg_store_init(&in->store);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    in->path = hg_arena_strndup(&in->mem, path, n);
    in->info.name = in->path == NULL ? NULL : hg_path_base(in->path);
    hg_status s = in->path == NULL ? hg_fail(e, HG_E_NOMEM, "no room to inspect %s", path)
                                   : look(in, check, w, e);
    if (s != HG_OK) {
        hg_model_info_free(&in->info);
        return s;
    }
    *out = &in->info;
    return HG_OK;
}

void hg_model_info_free(hg_model_info *info)
{
    hg_inspection *in = (hg_inspection *)(void *)info;
    if (in == NULL) return;
    if (in->model == NULL) hg_tokenizer_free(in->tokenizer);
    hg_model_free(in->model);
    hg_free(in->chat_template);
    hg_free(in->key);
    hg_store_free(&in->store);
    hg_arena_free(&in->mem);
    hg_free(in);
}

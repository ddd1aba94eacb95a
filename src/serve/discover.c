/* From folders to offers. A folder with config.json and weights is a model, one with
 * adapter_config.json an adapter, a .gguf either; what lies in a run's folder "model" is named
 * after the run. Folders between the given one and the model give its owner and its name. */
#include "serve/models_internal.h"
#include "base/file.h"

#include <higgins/inspect.h>

#include <stdio.h>
#include <string.h>

typedef struct finding {
    hg_models *ms;
    const char *root;
    const hg_watch *w;
    size_t n;
} finding;

/* Letters, digits and - . _ stay; the rest becomes "-". */
static void put_name(char *out, size_t size, hg_bytes part)
{
    size_t n = strlen(out);

    for (size_t i = 0; i < part.n && n + 1 < size; i++) {
        const char c = part.p[i];
        const bool ok = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                        (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '_';
        out[n++] = ok ? c : '-';
    }
    out[n] = '\0';
}

static hg_bytes last_part(hg_bytes path)
{
    size_t begin = path.n;

    while (begin > 0 && path.p[begin - 1] != '/') begin--;
    return (hg_bytes){path.p + begin, path.n - begin};
}

static bool is_model_word(hg_bytes b)
{
    return b.n == 5 && memcmp(b.p, "model", 5) == 0;
}

static hg_bytes trimmed(const char *path)
{
    hg_bytes b = {path, strlen(path)};

    while (b.n > 1 && b.p[b.n - 1] == '/') b.n--;
    if (hg_path_ends(path, ".gguf")) b.n -= 5;
    return b;
}

/* "models/tiny/" is "tiny", "tiny.gguf" too. */
static void name_of(const char *path, char *out, size_t size)
{
    out[0] = '\0';
    put_name(out, size, last_part(trimmed(path)));
}

/* Below `root`: its one folder, or owner and the rest. */
static void name_below(const char *root, const char *path, char *out, size_t size)
{
    const size_t n_root = trimmed(root).n;
    hg_bytes rest = trimmed(path);

    if (is_model_word(last_part(rest)) && rest.n > n_root + 6) rest.n -= 6;
    if (rest.n <= n_root) {
        name_of(path, out, size);
        return;
    }
    rest = (hg_bytes){rest.p + n_root + 1, rest.n - n_root - 1};
    const char *slash = memchr(rest.p, '/', rest.n);
    out[0] = '\0';
    if (slash != NULL) {
        put_name(out, size - 1, (hg_bytes){rest.p, (size_t)(slash - rest.p)});
        (void)snprintf(out + strlen(out), 2, "/");
        rest.n -= (size_t)(slash + 1 - rest.p);
        rest.p = slash + 1;
    }
    put_name(out, size, rest);
}

/* What an adapter says that it was made for. */
static char *base_of(const hg_model_info *info)
{
    for (size_t i = 0; i < info->n_keys; i++) {
        const hg_key_info *k = &info->key[i];
        if (strcmp(k->key, "base_model_name_or_path") == 0) return hg_strdup(k->value);
    }
    return hg_strdup("");
}

static hg_status describe(hg_offer *o, const hg_model_info *info, const char *path)
{
    char about[256];

    o->card.n_ctx = info->config.n_ctx;
    o->card.n_vocab = info->config.n_vocab;
    o->card.can_call = o->card.can_embed = o->card.tells_tokens = true;
    o->n_bytes = info->n_bytes;
    o->is_adapter = strcmp(info->kind, "adapter") == 0;
    (void)snprintf(about, sizeof about, "%s, %.3g million parameters, %s",
                   info->arch != NULL ? info->arch : info->kind, (double)info->n_params / 1e6,
                   info->format);
    o->about = hg_strdup(about);
    o->path = hg_strdup(path);
    if (o->is_adapter) o->base_name = base_of(info);
    if (o->about != NULL) o->card.description = o->about;
    return o->path != NULL ? HG_OK : HG_E_NOMEM;
}

/* What is at `path`, if it can be served. */
static hg_status look_into(hg_model_info **info, const char *path, hg_err *e)
{
    hg_status s = hg_model_inspect(info, path, false, NULL, e);

    if (s != HG_OK) return s;
    const bool is_adapter = strcmp((*info)->kind, "adapter") == 0;
    if (!is_adapter && (strcmp((*info)->kind, "model") != 0 || !(*info)->is_known))
        s = hg_fail(e, HG_E_UNSUPPORTED, "%s: %s", path,
                    (*info)->problem != NULL ? (*info)->problem : "it holds no model");
    else if (!is_adapter && (*info)->tokenizer == NULL)
        s = hg_fail(e, HG_E_MISSING, "%s has no tokenizer, so it cannot read text", path);
    if (s == HG_OK) return s;
    hg_model_info_free(*info);
    *info = NULL;
    return s;
}

hg_status hg_offer_describe(hg_offer *o, const char *path, hg_err *e)
{
    hg_model_info *info = NULL;

    HG_TRY(look_into(&info, path, e));
    const hg_status s = describe(o, info, path);
    hg_model_info_free(info);
    return s == HG_OK ? s : hg_fail(e, s, "no room for the card of %s", path);
}

static hg_status offer(hg_models *ms, const char *path, const char *id, hg_err *e)
{
    hg_model_info *info = NULL;
    hg_offer *o = NULL;

    HG_TRY(look_into(&info, path, e));
    hg_status s = hg_models_add(ms, id, &o, e);
    if (s == HG_OK) s = describe(o, info, path);
    hg_model_info_free(info);
    return s == HG_E_NOMEM ? hg_fail(e, s, "no room for the card of %s", path) : s;
}

static hg_status try_offer(finding *f, const char *path, hg_err *e)
{
    char id[128];
    hg_err why = {0};

    name_below(f->root, path, id, sizeof id);
    const hg_status s = offer(f->ms, path, id, &why);
    if (s == HG_E_NOMEM || s == HG_E_LIMIT) return hg_fail(e, s, "%s", why.msg);
    if (s != HG_OK)
        hg_watch_log(f->w, HG_WARN, "passed over: %s", why.msg);
    else
        f->n++;
    return HG_OK;
}

/* The first file of several stands for all. */
static bool is_later_part(const char *base)
{
    const char *of = strstr(base, "-of-");

    return of != NULL && of - base >= 6 && strncmp(of - 6, "-00001", 6) != 0 &&
           strspn(of - 5, "0123456789") == 5;
}

static hg_status look_at(void *ctx, const char *path, uint64_t size, int64_t mtime, hg_err *e)
{
    finding *f = ctx;
    const char *base = hg_path_base(path);
    char folder[4096];

    (void)size;
    (void)mtime;
    if (strstr(path + strlen(f->root), "/checkpoints/") != NULL) return HG_OK;
    if (hg_path_ends(base, ".gguf"))
        return is_later_part(base) || strncmp(base, "mmproj", 6) == 0 ? HG_OK
                                                                      : try_offer(f, path, e);
    if (strcmp(base, "config.json") != 0 && strcmp(base, "adapter_config.json") != 0) return HG_OK;
    const size_t n = (size_t)(base - path) - 1;
    if (n >= sizeof folder) return HG_OK;
    (void)snprintf(folder, sizeof folder, "%.*s", (int)n, path);
    return try_offer(f, folder, e);
}

static bool holds(const char *folder, const char *name)
{
    char *path = hg_path_join(folder, name);
    const bool is_there = path != NULL && hg_path_exists(path);

    hg_free(path);
    return is_there;
}

hg_status hg_models_discover(hg_models *ms, const char *path, const char *name, const hg_watch *w,
                             size_t *n, hg_err *e)
{
    finding f = {.ms = ms, .root = path, .w = w};
    char id[128];

    if (!hg_path_exists(path))
        return hg_fail(e, HG_E_MISSING, "%s is not there; name a model's folder or file", path);
    if (!hg_path_is_dir(path) || holds(path, "config.json") || holds(path, "adapter_config.json")) {
        name_of(path, id, sizeof id);
        HG_TRY(offer(ms, path, name != NULL ? name : id, e));
        f.n = 1;
    } else {
        HG_TRY(hg_walk(path, look_at, &f, e));
        if (f.n == 0)
            return hg_fail(e, HG_E_MISSING,
                           "%s holds no model: neither a folder with config.json nor a .gguf",
                           path);
    }
    *n += f.n;
    return HG_OK;
}

/* ---- adapters ---- */
static hg_offer *find_base(const hg_models *ms, const hg_offer *a)
{
    const char *want = a->base_name != NULL ? a->base_name : "";
    const hg_bytes last = last_part(trimmed(want));
    hg_offer *only = NULL;
    size_t n_models = 0;

    for (size_t i = 0; i < hg_models_count(ms); i++) {
        hg_offer *o = hg_models_get(ms, i);
        if (o->path == NULL || o->is_adapter) continue;
        const hg_bytes own = last_part((hg_bytes){o->card.id, strlen(o->card.id)});
        if (strcmp(o->card.id, want) == 0 || strcmp(o->path, want) == 0) return o;
        if (last.n > 0 && own.n == last.n && memcmp(own.p, last.p, own.n) == 0) return o;
        only = o;
        n_models++;
    }
    return n_models == 1 ? only : NULL;
}

void hg_offer_stand_on(hg_offer *o, hg_offer *base)
{
    o->base = base;
    o->card.n_ctx = base->card.n_ctx;
    o->card.n_vocab = base->card.n_vocab;
    o->card.can_embed = false;
}

void hg_models_bind_adapters(hg_models *ms, const hg_watch *w)
{
    for (size_t i = 0; i < hg_models_count(ms); i++) {
        hg_offer *o = hg_models_get(ms, i);
        if (!o->is_adapter || o->base != NULL) continue;
        o->base = find_base(ms, o);
        if (o->base == NULL) {
            hg_watch_log(w, HG_WARN, "passed over: %s was made for \"%.200s\", which is not here",
                         o->path, o->base_name != NULL ? o->base_name : "");
            hg_free(o->path);
            o->path = NULL;
            o->card.is_unlisted = true;
            continue;
        }
        hg_offer_stand_on(o, o->base);
        hg_watch_log(w, HG_DEBUG, "%s stands on %s", o->card.id, o->base->card.id);
    }
}

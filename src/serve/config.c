/* serve.yaml: what models are called beside their own names, and what is told of them.
 *
 *   aliases:
 *     meta/meta-llama-3-70b-instruct: tiny
 *   descriptions:
 *     tiny: a model of our own
 *   moderation: judge    # a model that is asked; the lexicon where there is none
 *   kept_days: 30        # of responses and stored chat completions
 *   kept_mib: 1024       # of them, for each owner
 */
#include "serve/config.h"
#include "serve/models.h"
#include "serve/openai/kept.h"
#include "text/yaml.h"

#include <string.h>

static const char *const known[] = {"aliases",  "descriptions", "kept_days",
                                    "kept_mib", "moderation",   NULL};

static hg_status read_aliases(hg_models *ms, hg_yaml *map, hg_err *e)
{
    for (hg_yaml *v = map != NULL ? map->first : NULL; v != NULL; v = v->next) {
        const char *target = NULL;
        hg_err why = {0};
        HG_TRY(hg_yaml_text(map, v->key, &target, e));
        if (target == NULL) return hg_yaml_fail(v, e, "%s needs the name of a model", v->key);
        if (hg_models_alias(ms, v->key, target, &why) != HG_OK)
            return hg_yaml_fail(v, e, "%s", why.msg);
    }
    return HG_OK;
}

static hg_status read_descriptions(hg_models *ms, hg_yaml *map, hg_err *e)
{
    for (hg_yaml *v = map != NULL ? map->first : NULL; v != NULL; v = v->next) {
        const char *text = NULL;
        hg_offer *o = hg_models_find(ms, (hg_bytes){v->key, strlen(v->key)});
        HG_TRY(hg_yaml_text(map, v->key, &text, e));
        if (o == NULL) return hg_yaml_fail(v, e, "there is no model %s to describe", v->key);
        if (text == NULL) continue;
        char *copy = hg_strdup(text);
        if (copy == NULL) return hg_fail(e, HG_E_NOMEM, "no room for the configuration");
        hg_free(o->about);
        o->card.description = o->about = copy;
    }
    return HG_OK;
}

static hg_status read_moderation(hg_server *s, hg_yaml *root, hg_err *e)
{
    const char *id = NULL;

    HG_TRY(hg_yaml_text(root, "moderation", &id, e));
    if (id == NULL) return HG_OK;
    const hg_card *m = hg_server_find(s, (hg_bytes){id, strlen(id)});
    if (m == NULL)
        return hg_yaml_fail(hg_yaml_find(root, "moderation"), e, "there is no model %s to ask", id);
    hg_server_set_moderator(s, m->id);
    return HG_OK;
}

static hg_status read_tree(hg_server *s, hg_yaml *root, hg_err *e)
{
    hg_models *ms = hg_server_models(s);
    int64_t days = HG_KEPT_DAYS, mib = HG_KEPT_MIB;
    hg_yaml *aliases = NULL, *descriptions = NULL;

    if (root->kind != HG_YAML_MAP) return hg_yaml_fail(root, e, "a configuration is a map of keys");
    HG_TRY(hg_yaml_map(root, "aliases", &aliases, e));
    HG_TRY(hg_yaml_map(root, "descriptions", &descriptions, e));
    HG_TRY(read_aliases(ms, aliases, e));
    HG_TRY(read_descriptions(ms, descriptions, e));
    HG_TRY(hg_yaml_int(root, "kept_days", 1, 3650, &days, e));
    HG_TRY(hg_yaml_int(root, "kept_mib", HG_KEPT_LEAST_MIB, 1 << 24, &mib, e));
    HG_TRY(read_moderation(s, root, e));
    hg_keeper_set_days(hg_server_keeper(s), (uint32_t)days);
    hg_keeper_set_bytes(hg_server_keeper(s), (uint64_t)mib << 20);
    return hg_yaml_no_others(root, known, e);
}

hg_status hg_config_read(hg_server *s, const char *path, hg_err *e)
{
    hg_arena mem;
    hg_yaml *root = NULL;

    hg_arena_init(&mem, 0);
    hg_status r = hg_yaml_read(&root, &mem, path, e);
    if (r == HG_OK) r = read_tree(s, root, e);
    hg_arena_free(&mem);
    return r;
}

/* The keys that a recipe may have: one table makes the parser, the defaults, the documentation
 * (`--keys`) and the text by which a resumed run is compared with its checkpoint. */
#ifndef HG_TRAIN_RECIPE_KEYS_H
#define HG_TRAIN_RECIPE_KEYS_H

#include "train/recipe.h"

typedef enum hg_key_kind {
    HG_KEY_TEXT,
    HG_KEY_LIST,
    HG_KEY_INT,
    HG_KEY_COUNT, /* may be written with a factor: 10k, 1.5M */
    HG_KEY_REAL,
    HG_KEY_BOOL,
    HG_KEY_CHOICE
} hg_key_kind;

/* Flags: the stages that know a key; FREE: a resumed run may change it. */
enum { HG_KEY_TRAIN = 1, HG_KEY_TUNE = 2, HG_KEY_FREE = 4 };

typedef struct hg_recipe_key {
    const char *name;
    hg_key_kind kind;
    int flags;
    size_t offset;                  /* of the member of hg_recipe */
    const char *value, *tune_value; /* defaults; the second NULL: the same */
    double min, max;
    const char *choices; /* "cosine|wsd|..." */
    const char *also;    /* other people's names for it, for suggestions */
    const char *help;
} hg_recipe_key;

enum { HG_N_RECIPE_KEYS = 88 };
_Static_assert(HG_N_RECIPE_KEYS <= 64 * HG_RECIPE_GIVEN, "hg_recipe.given has one bit a key");
extern const hg_recipe_key hg_recipe_keys[HG_N_RECIPE_KEYS];

#endif

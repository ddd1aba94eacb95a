/* What the files of this folder share: parameters by role, tensors as files store them, the two
 * file formats. */
#ifndef HG_MODEL_INNER_H
#define HG_MODEL_INNER_H

#include "model/model.h"
#include "base/file.h"
#include "text/json.h"

struct json_t;

enum {
    HG_MAX_STORED = 1 << 17,      /* tensors in a model's files */
    HG_MAX_NAME = 256,            /* bytes of a tensor's name, with the NUL */
    HG_MAX_ALL_EXPERTS = 1 << 15, /* of a model */
    HG_MAX_SHARDS = 1024,         /* files of a sharded model */
    HG_MAX_CONFIG = 1 << 22,      /* bytes of config.json and its neighbours */
    HG_MAX_HEADER = 100 << 20     /* bytes of a safetensors header: what its reference allows */
};

/* ---- parameters (params.c) ---- */
/* Checks and completes `c`, then makes the model's tensors with their shapes and names and without
 * data. `row` (copied) is the architecture with config.json's switches. */
hg_status hg_model_make(hg_model **out, const hg_model_config *c, const hg_arch *row, hg_err *e);
hg_status hg_config_check(hg_model_config *c, const hg_arch *row, hg_err *e);
/* One more token that ends an answer, if it is of the vocabulary; and those that a JSON object
 * names as eos_token_id, a number or a list. */
void hg_config_add_end(hg_model_config *c, int32_t id);
void hg_config_add_ends(hg_model_config *c, const struct json_t *o);
/* Those of dir/generation_config.json, if it is there. */
hg_status hg_config_add_generation(hg_model_config *c, const char *dir, hg_err *e);
/* The parameter of a role, or NULL when the model has none. layer and expert are 0 outside them. */
hg_tensor *hg_model_at(const hg_model *m, hg_role s, size_t layer, size_t expert);
bool hg_role_is_per_layer(hg_role s);
bool hg_role_is_per_expert(hg_role s);
/* `pattern` with the layer's number for '#' and the expert's for '@'. */
void hg_name_at(char out[HG_MAX_NAME], const char *pattern, size_t layer, size_t expert);
/* Float32 data for every parameter, and gradients unless it is frozen. */
hg_status hg_model_make_trainable(hg_model *m, bool is_frozen, hg_err *e);

/* ---- rotary frequencies (rope.c) ---- */
/* Fills m->rope from the configuration. False when there is no room. */
bool hg_rope_fill(hg_model *m);
/* The frequency of pair i: unscaled, and as the configuration scales it. */
double hg_rope_plain(const hg_model_config *c, double theta, size_t i);
double hg_rope_scaled(const hg_model_config *c, size_t i, bool is_long);
/* What queries and keys are multiplied by where the configuration does not say. */
double hg_rope_usual_attention(const hg_model_config *c);

/* ---- tensors in files (store.c) ---- */
typedef struct hg_entry {
    const char *name; /* NUL-terminated */
    hg_type type;     /* HG_N_TYPES: one that Higgins does not compute with */
    const char *type_name;
    int n_dims;
    uint64_t dim[HG_MAX_DIMS]; /* the last is contiguous */
    const unsigned char *p;    /* in the mapping; aligned to nothing */
    uint64_t n_bytes;
    const unsigned char *scales; /* of MXFP4 in safetensors, where p is 16 bytes a block; or NULL */
    uint64_t offset;             /* as a GGUF says it */
    uint32_t number;             /* ggml's, of the type in a GGUF */
    bool is_used;
} hg_entry;

typedef struct hg_store_file {
    hg_map map;
    const char *path;
} hg_store_file;

typedef struct hg_store {
    hg_entry *entry; /* [n], in the byte order of their names once sorted */
    size_t n, cap;
    hg_store_file *file; /* [n_files] */
    size_t n_files, file_cap;
    hg_arena mem; /* names */
} hg_store;

void hg_store_init(hg_store *s);
void hg_store_free(hg_store *s);
hg_status hg_store_map(hg_store *s, const char *path, hg_map *out, hg_err *e);
/* Adds a tensor; the name is copied. */
hg_status hg_store_add(hg_store *s, const char *name, size_t n_name, const hg_entry *entry,
                       hg_err *e);
/* HG_E_FORMAT when two of the entries from `first` on, all of one file, overlap. Reorders them. */
hg_status hg_store_part(hg_store *s, size_t first, const char *path, hg_err *e);
/* Sorts by name. HG_E_FORMAT when a name comes twice. */
hg_status hg_store_sort(hg_store *s, const char *path, hg_err *e);
hg_entry *hg_store_find(const hg_store *s, const char *name); /* NULL when there is none */

/* ---- parameters as a format stores them (stored.c) ---- */
typedef enum hg_format { HG_FORMAT_SAFETENSORS, HG_FORMAT_GGUF } hg_format;

/* A parameter in a stored tensor: its row r is row row0 + r / group * stride + r % group there,
 * counted over all experts. */
typedef struct hg_part {
    hg_tensor *t;
    size_t row0, group, stride;
} hg_part;

/* One tensor of a file: one parameter, or several that share its rows. */
typedef struct hg_stored {
    char name[HG_MAX_NAME];
    hg_part *part; /* [n_parts] */
    size_t n_parts;
    size_t rows, cols;  /* [rows][cols] as the model sees it; cols 0: a vector of `rows` */
    size_t n_experts;   /* that the tensor has as its first dimension; 0: it has none */
    bool is_transposed; /* the matrix, or that of each expert */
    size_t n_heads; /* of rows that a GGUF orders for interleaved rotary pairs; 0: as the model */
    size_t d_head;
    float less; /* stored values are less by this (Gemma's norms) */
} hg_stored;

/* All of them, in file order; the caller frees with hg_free. */
hg_status hg_stored_list(const hg_model *m, hg_format f, hg_stored **out, size_t *n, hg_err *e);
/* The stored tensor's shape in its file; returns the number of dimensions. */
int hg_stored_shape(const hg_stored *st, uint64_t dim[HG_MAX_DIMS]);
/* The part's row that is first, second ... in the file, and the place of row r there. */
size_t hg_stored_row(const hg_stored *st, size_t file_row);
size_t hg_stored_place(const hg_stored *st, const hg_part *p, size_t r);
/* The part that a row of the tensor belongs to, and (*r) which of the parameter's rows it is;
 * `near` is looked at first. */
const hg_part *hg_stored_part(const hg_stored *st, size_t row, const hg_part *near, size_t *r);

/* Where a parameter's values lie in the files. */
typedef struct hg_source {
    const hg_entry *entry;
    size_t row0, group, stride; /* as hg_part */
    size_t file_rows;           /* of the stored tensor, or of each expert in it */
    size_t rows, cols;          /* of the parameter; a vector is one column of rows */
    bool is_transposed;         /* the file holds [cols][file_rows] */
    size_t n_heads, d_head;
    float less; /* stored values are less by this */
} hg_source;

typedef struct hg_files {
    hg_store store;
    hg_format format;
    hg_source *source; /* [n_params] */
} hg_files;

/* Finds every parameter's place in the files. */
hg_status hg_files_bind(hg_model *m, hg_files *f, hg_err *e);

/* Values [begin, end), counted as the model orders them, in the file's type, into out; both are
 * multiples of the type's block. */
void hg_source_copy(const hg_source *s, size_t begin, size_t end, void *out);
/* The source's values where they lie, when they lie as the model wants them and are aligned; else
 * NULL. */
const void *hg_source_direct(const hg_source *s);

/* ---- safetensors (safetensors.c) ---- */
/* Adds the tensors of a mapped file. `path` is for sentences. */
hg_status hg_safetensors_parse(hg_store *s, const unsigned char *p, size_t n, const char *path,
                               hg_err *e);
/* A file, or the shards that `dir`/model.safetensors.index.json names. */
hg_status hg_safetensors_open(hg_store *s, const char *dir, hg_err *e);
/* MXFP4 (mxfp4.c): joins each pair of byte tensors X_blocks and X_scales of a sorted store into one
 * tensor X, which is added. HG_E_FORMAT when they do not belong together. */
hg_status hg_mxfp4_join(hg_store *s, const char *path, hg_err *e);
/* 32 values as safetensors have them (16 bytes), as GGUF does (17). */
void hg_mxfp4_block(unsigned char *out, unsigned char scale, const unsigned char *in);
/* The header of a file's bytes as JSON; *begin is where its values begin. */
hg_status hg_safetensors_header(json_t **out, size_t *begin, const unsigned char *p, size_t n,
                                const char *path, hg_err *e);
hg_status hg_safetensors_write(const char *path, const hg_model *m, hg_weights as, hg_err *e);

/* ---- GGUF (gguf.c) ---- */
typedef enum hg_gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_N_TYPES
} hg_gguf_type;

typedef struct hg_gguf_kv {
    hg_bytes key;
    hg_gguf_type type, item; /* item: of an array */
    uint64_t n;              /* items; 1 when it is no array */
    const unsigned char *p;  /* the value, or the array's first item */
    size_t n_bytes;          /* from p to the end of the value */
} hg_gguf_kv;

typedef struct hg_gguf {
    hg_gguf_kv *kv;
    size_t n_kv;
} hg_gguf;

/* Reads the header: metadata into g (kv in `mem`), tensors into s. */
hg_status hg_gguf_parse(hg_gguf *g, hg_store *s, hg_arena *mem, const unsigned char *p, size_t n,
                        const char *path, hg_err *e);
/* Maps the file, and the others of its set when it is the first of several (name-00001-of-00003
 * .gguf); their tensors go into s, the first one's metadata into g. */
hg_status hg_gguf_open(hg_gguf *g, hg_store *s, hg_arena *mem, const char *path, hg_err *e);
uint32_t hg_gguf_type_number(hg_type t); /* ggml's, of one that a GGUF can hold */
const hg_gguf_kv *hg_gguf_find(const hg_gguf *g, const char *key);
/* These leave *out alone when the key is missing and fail when its value has another type.
 * Sentences from here on do not name the file: who opened it does. */
hg_status hg_gguf_uint(const hg_gguf *g, const char *key, uint64_t max, uint64_t *out, hg_err *e);
hg_status hg_gguf_float(const hg_gguf *g, const char *key, double *out, hg_err *e);
hg_status hg_gguf_bool(const hg_gguf *g, const char *key, bool *out, hg_err *e);
hg_status hg_gguf_id(const hg_gguf *g, const char *key, int32_t *out, hg_err *e); /* or -1 */
hg_status hg_gguf_text(const hg_gguf *g, const char *key, hg_bytes *out, hg_err *e);
/* The strings of an array, into mem. *out is NULL when the key is missing. */
hg_status hg_gguf_strings(const hg_gguf *g, const char *key, size_t max, hg_arena *mem,
                          hg_bytes **out, size_t *n, hg_err *e);
hg_status hg_gguf_config(const hg_gguf *g, const hg_store *s, hg_model_config *c, hg_arch *row,
                         hg_err *e);
/* *out is NULL when there is none. */
hg_status hg_tokenizer_of_folder(hg_tokenizer **out, const char *dir, hg_err *e);
/* *out is NULL when the file carries none. */
hg_status hg_gguf_tokenizer(const hg_gguf *g, hg_tokenizer **out, hg_err *e);
/* The metadata of a model and its tokenizer, for the writer: bytes and number of pairs. */
hg_status hg_gguf_put_metadata(hg_buf *b, uint64_t *n_kv, const hg_model *m, uint32_t file_type,
                               hg_err *e);

/* ---- config.json (hf_config.c) ---- */
hg_status hg_config_parse(hg_model_config *c, hg_arch *row, hg_bytes json, hg_err *e);
hg_status hg_config_write(hg_buf *out, const hg_model *m, hg_weights as, hg_err *e);

/* ---- chat templates beside a folder's tokenizer (load.c) ---- */
/* chat_template.jinja, or what tokenizer_config.json says; the caller frees. NULL: there is none.
 */
hg_status hg_chat_template_of_folder(char **out, const char *dir, hg_err *e);

/* ---- values (load.c) ---- */
/* The type that a parameter of the model is stored in. */
hg_type hg_param_type(const hg_model *m, const hg_tensor *t);
/* The type that `as` makes of it. */
hg_type hg_type_as(hg_type stored, hg_weights as);
/* The same, but what it can be computed with today: blocks become float32. */
hg_type hg_type_plain(hg_type stored, hg_weights as);
void hg_to_f32(const hg_kernels *k, float *to, const void *from, hg_type type, size_t n);
void hg_from_f32(const hg_kernels *k, void *to, hg_type type, const float *from, size_t n);

/* ---- writing (save.c) ---- */
/* A stored tensor's values in `type`, row after row as the format has them. */
hg_status hg_stored_write(hg_writer *w, const hg_model *m, const hg_stored *st, hg_type type,
                          hg_err *e);

#endif

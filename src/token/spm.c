/* SentencePiece's tokenizer.model (Kudo & Richardson 2018), a protobuf message: pieces with scores
 * and kinds, the trainer's settings of which a few matter, and the normaliser with its compiled
 * table. The wire format is small (a key and a length before each field); every length is held
 * against what is left. */
#include "token/token.h"
#include <string.h>

enum { PIECE_NORMAL = 1, PIECE_UNKNOWN, PIECE_CONTROL, PIECE_USER, PIECE_UNUSED, PIECE_BYTE };
enum { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_32 = 5 };

typedef struct field {
    uint32_t number;
    unsigned wire;
    uint64_t value;
    hg_bytes bytes;
} field;

typedef struct spm {
    hg_arena mem;
    hg_bytes *token;
    uint8_t *flags;
    double *score;
    size_t n, n_found;
    uint64_t model; /* 1: unigram, 2: BPE */
    bool byte_fallback, as_suffix;
    bool dummy_prefix, one_space, escape;
    hg_bytes charsmap;
    int32_t unk;
    hg_normal normal[4];
    hg_token_parts parts;
} spm;

static hg_status cut_off(hg_err *e)
{
    return hg_fail(e, HG_E_FORMAT, "no SentencePiece model: it is cut off or no protobuf");
}

static bool varint(hg_bytes *in, uint64_t *v)
{
    *v = 0;
    for (unsigned i = 0; i < 10 && i < in->n; i++) {
        unsigned char c = (unsigned char)in->p[i];
        *v |= (uint64_t)(c & 0x7F) << (7 * i);
        if (c >= 0x80) continue;
        *in = (hg_bytes){in->p + i + 1, in->n - i - 1};
        return true;
    }
    return false;
}

/* Takes the next field off `in`. */
static hg_status next_field(hg_bytes *in, field *f, hg_err *e)
{
    uint64_t key, n;
    if (!varint(in, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX) return cut_off(e);
    *f = (field){.number = (uint32_t)(key >> 3), .wire = (unsigned)(key & 7)};
    if (f->wire == WIRE_VARINT) return varint(in, &f->value) ? HG_OK : cut_off(e);
    if (f->wire == WIRE_BYTES) {
        if (!varint(in, &n)) return cut_off(e);
    } else if (f->wire == WIRE_32 || f->wire == WIRE_64) {
        n = f->wire == WIRE_32 ? 4 : 8;
    } else {
        return cut_off(e);
    }
    if (n > in->n) return cut_off(e);
    f->bytes = (hg_bytes){in->p, (size_t)n};
    *in = (hg_bytes){in->p + n, in->n - (size_t)n};
    return HG_OK;
}

static double float_of(hg_bytes b)
{
    const unsigned char *u = (const unsigned char *)b.p;
    uint32_t bits = u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
    float f;
    memcpy(&f, &bits, 4);
    return (double)f;
}

/* ---- pieces ---- */

static hg_status read_piece(spm *m, hg_bytes in, hg_err *e)
{
    size_t id = m->n_found++;
    uint64_t kind = PIECE_NORMAL;
    field f;
    while (in.n > 0) {
        HG_TRY(next_field(&in, &f, e));
        if (f.number == 1 && f.wire == WIRE_BYTES) m->token[id] = f.bytes;
        if (f.number == 2 && f.wire == WIRE_32) m->score[id] = float_of(f.bytes);
        if (f.number == 3 && f.wire == WIRE_VARINT) kind = f.value;
    }
    if (m->token[id].n == 0) return hg_fail(e, HG_E_FORMAT, "piece %zu has no text", id);
    if (kind == PIECE_UNKNOWN) m->unk = (int32_t)id;
    if (kind == PIECE_CONTROL || kind == PIECE_UNKNOWN)
        m->flags[id] = HG_TOKEN_ADDED | HG_TOKEN_SPECIAL;
    if (kind == PIECE_USER) m->flags[id] = HG_TOKEN_ADDED | HG_TOKEN_NORMALIZED;
    /* No text is written with an unused piece; its place in the list stays taken. */
    if (kind == PIECE_UNUSED) m->token[id] = (hg_bytes){"", 0};
    return HG_OK;
}

static hg_status read_trainer(spm *m, hg_bytes in, hg_err *e)
{
    field f;
    while (in.n > 0) {
        HG_TRY(next_field(&in, &f, e));
        if (f.wire != WIRE_VARINT) continue;
        if (f.number == 3) m->model = f.value;
        if (f.number == 24) m->as_suffix = f.value != 0;
        if (f.number == 35) m->byte_fallback = f.value != 0;
    }
    return HG_OK;
}

static hg_status read_normalizer(spm *m, hg_bytes in, hg_err *e)
{
    field f;
    while (in.n > 0) {
        HG_TRY(next_field(&in, &f, e));
        if (f.number == 2 && f.wire == WIRE_BYTES) m->charsmap = f.bytes;
        if (f.wire != WIRE_VARINT) continue;
        if (f.number == 3) m->dummy_prefix = f.value != 0;
        if (f.number == 4) m->one_space = f.value != 0;
        if (f.number == 5) m->escape = f.value != 0;
    }
    return HG_OK;
}

static hg_status read_all(spm *m, hg_bytes in, hg_err *e)
{
    hg_bytes rest = in;
    field f;
    while (rest.n > 0) {
        HG_TRY(next_field(&rest, &f, e));
        m->n += f.number == 1 && f.wire == WIRE_BYTES;
    }
    if (m->n == 0) return hg_fail(e, HG_E_FORMAT, "no SentencePiece model: it has no pieces");
    if (m->n > HG_MAX_TOKENS)
        return hg_fail(e, HG_E_LIMIT, "%zu pieces; at most %d allowed", m->n, HG_MAX_TOKENS);
    m->token = HG_NEW(&m->mem, hg_bytes, m->n);
    m->flags = HG_NEW(&m->mem, uint8_t, m->n);
    m->score = HG_NEW(&m->mem, double, m->n);
    if (m->token == NULL || m->flags == NULL || m->score == NULL)
        return hg_fail(e, HG_E_NOMEM, "no room for %zu pieces", m->n);
    while (in.n > 0) {
        HG_TRY(next_field(&in, &f, e));
        if (f.wire != WIRE_BYTES) continue;
        if (f.number == 1) HG_TRY(read_piece(m, f.bytes, e));
        if (f.number == 2) HG_TRY(read_trainer(m, f.bytes, e));
        if (f.number == 3) HG_TRY(read_normalizer(m, f.bytes, e));
    }
    return HG_OK;
}

/* ---- as a description ---- */

size_t hg_spm_steps(hg_normal step[4], hg_bytes charsmap, bool one_space, bool prefix, bool escape)
{
    size_t n = 0;
    const char *space = escape ? HG_META : " ";
    if (charsmap.n > 0) step[n++] = (hg_normal){.kind = HG_NORMAL_CHARSMAP, .map = charsmap};
    if (one_space) step[n++] = (hg_normal){.kind = HG_NORMAL_SPACES};
    if (prefix) step[n++] = (hg_normal){.kind = HG_NORMAL_PREPEND, .to = space};
    if (escape) step[n++] = (hg_normal){.kind = HG_NORMAL_REPLACE, .from = " ", .to = HG_META};
    return n;
}

/* bos and eos are no part of the model: who encodes asks for them. Their usual names say which they
 * are. */
static int32_t find_special(const spm *m, const char *text)
{
    for (size_t i = 0; i < m->n; i++)
        if ((m->flags[i] & HG_TOKEN_SPECIAL) != 0 && m->token[i].n == strlen(text) &&
            memcmp(m->token[i].p, text, m->token[i].n) == 0)
            return (int32_t)i;
    return -1;
}

static hg_status describe(spm *m, hg_err *e)
{
    hg_token_parts *p = &m->parts;
    if (m->model != 1 && m->model != 2)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "a SentencePiece model of kind %llu; Higgins reads unigram (1) and BPE (2)",
                       (unsigned long long)m->model);
    if (m->as_suffix)
        return hg_fail(e, HG_E_UNSUPPORTED,
                       "a SentencePiece model that writes spaces behind words; Higgins reads those "
                       "that write them before");
    hg_token_parts_init(p);
    p->model = m->model == 1 ? HG_TOKEN_UNIGRAM : HG_TOKEN_SCORES;
    p->is_text = p->fuse_unk = p->single_sums = true;
    p->meta_is_space = m->escape;
    p->drop_space = m->dummy_prefix;
    p->byte_fallback = m->byte_fallback;
    p->token = m->token;
    p->flags = m->flags;
    p->score = m->score;
    p->n = m->n;
    p->unk = m->unk;
    p->bos = find_special(m, "<s>");
    if (p->bos < 0) p->bos = find_special(m, "<bos>");
    p->normal = m->normal;
    p->n_normal = hg_spm_steps(m->normal, m->charsmap, m->one_space, m->dummy_prefix, m->escape);
    return HG_OK;
}

hg_status hg_tokenizer_parse_spm(hg_tokenizer **out, hg_bytes file, hg_err *e)
{
    /* What a message leaves out has these values. */
    spm m = {.model = 1, .dummy_prefix = true, .one_space = true, .escape = true, .unk = -1};
    *out = NULL;
    if (file.n > HG_MAX_TOKEN_FILE)
        return hg_fail(e, HG_E_LIMIT, "a SentencePiece model of %zu bytes; at most %d allowed",
                       file.n, HG_MAX_TOKEN_FILE);
    hg_arena_init(&m.mem, 0);
    hg_status status = read_all(&m, file, e);
    if (status == HG_OK) status = describe(&m, e);
    if (status == HG_OK) status = hg_tokenizer_from_parts(out, &m.parts, e);
    hg_arena_free(&m.mem);
    return status;
}

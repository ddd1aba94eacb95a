/* How ELIZA takes a sentence apart. A pattern is cut before each 0 into segments; a segment is a
 * run of any length and then items that take a fixed number of words. Each run takes as few words
 * as it can behind what stands left of it; the last segment ends with the last word. As with file
 * name patterns nothing is gained by coming back to an earlier segment, so a match costs at most
 * words times items. (YMATCH of SLIP had faults with two runs side by side; they are not here.) */
#include "app/eliza_inner.h"

#include <string.h>

/* The machine of 1965 compared one cell of six letters with the cells of the list. */
static bool fits_cells(hg_bytes listed, const eliza_word *w)
{
    const size_t n = w->n < 6 ? w->n : 6;
    for (size_t i = 0; i < listed.n; i += 6) {
        const size_t left = listed.n - i < 6 ? listed.n - i : 6;
        if (left == n && memcmp(listed.p + i, w->p, n) == 0) return true;
    }
    return false;
}

static bool is_one_of(const hg_eliza_script *s, eliza_range list, const eliza_word *w,
                      bool six_letters)
{
    for (uint32_t i = 0; i < list.n; i++) {
        const uint32_t id = s->list_id[list.first + i];
        if ((int32_t)id == w->id) return true;
        if (six_letters && fits_cells(eliza_symbol_text(s, id), w)) return true;
    }
    return false;
}

static bool has_tag(const hg_eliza_script *s, const eliza_tag *tag, int32_t id)
{
    size_t low = 0, high = tag->words.n;
    while (low < high) {
        const size_t mid = (low + high) / 2;
        const int32_t at = (int32_t)s->tag_word[tag->words.first + mid];
        if (at == id) return true;
        if (at < id)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

static bool is_tagged(const hg_eliza_script *s, eliza_range list, const eliza_word *w)
{
    if (w->id < 0) return false;
    for (uint32_t i = 0; i < list.n; i++)
        if (has_tag(s, &s->tag[s->list_id[list.first + i]], w->id)) return true;
    return false;
}

static void spend(uint64_t *left, uint64_t n)
{
    *left -= *left < n ? *left : n;
}

/* Whether one word fits an item that is no number. */
static bool fits(const hg_eliza_script *s, const eliza_item *it, const eliza_word *w, bool six,
                 uint64_t *left)
{
    switch ((eliza_item_kind)it->kind) {
    case ITEM_WORD:
        return w->id == (int32_t)it->n;
    case ITEM_ONE_OF:
        spend(left, s->list[it->n].n);
        return is_one_of(s, s->list[it->n], w, six);
    case ITEM_TAGGED:
        spend(left, s->list[it->n].n);
        return is_tagged(s, s->list[it->n], w);
    case ITEM_NUMBER:
    case ITEM_NEVER:
        break;
    }
    return false;
}

/* Whether the fixed items [p, end) fit the words from `at` on; there are enough words. */
static bool fits_at(const hg_eliza_script *s, eliza_range fixed, const eliza_word *w, size_t at,
                    bool six, eliza_range *part, uint64_t *left)
{
    spend(left, 1);
    for (uint32_t i = 0; i < fixed.n; i++) {
        const eliza_item *it = &s->item[fixed.first + i];
        const uint32_t n = it->kind == ITEM_NUMBER ? it->n : 1;
        if (it->kind != ITEM_NUMBER && !fits(s, it, &w[at], six, left)) return false;
        part[i] = (eliza_range){(uint32_t)at, n};
        at += n;
        spend(left, 1);
    }
    return *left > 0;
}

bool eliza_match(const hg_eliza_script *s, eliza_range pattern, const eliza_word *w, size_t n,
                 bool six_letters, eliza_range *part, uint64_t *left)
{
    if (pattern.n == 0) return n == 0;
    const eliza_item *item = s->item + pattern.first;
    size_t at = 0;
    for (uint32_t p = 0; p < pattern.n;) {
        const uint32_t begin = p;
        const bool is_open = item[p].kind == ITEM_NUMBER && item[p].n == 0;
        uint64_t length = 0;
        for (p += is_open; p < pattern.n && !(item[p].kind == ITEM_NUMBER && item[p].n == 0); p++)
            length += item[p].kind == ITEM_NUMBER ? item[p].n : 1;
        if (length > n - at) return false;
        const eliza_range fixed = {pattern.first + begin + is_open, p - begin - is_open};
        const size_t last = n - (size_t)length;
        size_t try = is_open && p == pattern.n ? last : at;
        while (!fits_at(s, fixed, w, try, six_letters, part + begin + is_open, left))
            if (!is_open || *left == 0 || try++ == last) return false;
        if (is_open) part[begin] = (eliza_range){(uint32_t)at, (uint32_t)(try - at)};
        at = try + (size_t)length;
    }
    return at == n;
}

/* ---- showing patterns ---- */
static void put_list(hg_buf *b, const hg_eliza_script *s, const eliza_item *it)
{
    const eliza_range list = s->list[it->n];
    hg_buf_puts(b, it->kind == ITEM_ONE_OF ? "(*" : "(/");
    for (uint32_t i = 0; i < list.n; i++) {
        const uint32_t id = s->list_id[list.first + i];
        const hg_bytes t = eliza_symbol_text(s, it->kind == ITEM_ONE_OF ? id : s->tag[id].name);
        if (i > 0) hg_buf_putc(b, ' ');
        hg_buf_put(b, t.p, t.n);
    }
    hg_buf_putc(b, ')');
}

void eliza_put_items(hg_buf *b, const hg_eliza_script *s, eliza_range items)
{
    for (uint32_t i = 0; i < items.n; i++) {
        const eliza_item *it = &s->item[items.first + i];
        if (i > 0) hg_buf_putc(b, ' ');
        if (it->kind == ITEM_NUMBER) {
            hg_buf_printf(b, "%u", it->n);
        } else if (it->kind == ITEM_ONE_OF || it->kind == ITEM_TAGGED) {
            put_list(b, s, it);
        } else {
            const hg_bytes t = eliza_symbol_text(s, it->n);
            hg_buf_put(b, t.p, t.n);
        }
    }
}

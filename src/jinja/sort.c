/* Merge sort over values: stable, and the same for every order of failing. */
#include "jinja/sort.h"
#include <string.h>

typedef struct sorter {
    jrun *r;
    jv *item, *key, *item_room, *key_room;
    int sign;
} sorter;

static void merge(sorter *s, size_t from, size_t middle, size_t to)
{
    size_t a = from, b = middle, w = from;
    while (w < to && hg_jr_step(s->r, 1)) {
        bool right =
            a == middle || (b < to && s->sign * hg_jv_compare(s->r, s->key[b], s->key[a]) < 0);
        size_t take = right ? b++ : a++;
        s->item_room[w] = s->item[take];
        s->key_room[w++] = s->key[take];
    }
    if (s->r->failed != HG_OK) return;
    memcpy(s->item + from, s->item_room + from, (to - from) * sizeof(jv));
    memcpy(s->key + from, s->key_room + from, (to - from) * sizeof(jv));
}

void hg_jv_sort(jrun *r, jv *items, jv *keys, size_t n, bool reverse)
{
    if (n < 2) return;
    jv *room = hg_jr_room(r, 3 * n, sizeof *room);
    if (room == NULL) return;
    memcpy(room + 2 * n, keys, n * sizeof *keys); /* keys may be the items themselves */
    sorter s = {r, items, room + 2 * n, room, room + n, reverse ? -1 : 1};
    for (size_t width = 1; width < n; width *= 2)
        for (size_t at = 0; at + width < n; at += 2 * width)
            merge(&s, at, at + width, at + 2 * width < n ? at + 2 * width : n);
}

/* TensorBoard's event files, written by hand: four fields of one message are all that curves need.
 *
 *   Event   { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5;
 *             SessionLog session_log = 7 }
 *   Summary { repeated Value { string tag = 1; float simple_value = 2 } value = 1 }
 *
 * The first record of a file holds the version "brain.Event:2". A session log that says START makes
 * a reader drop what earlier files hold of later steps, so that a run that was killed and resumed
 * has one curve. Sources: TensorFlow's event.proto and summary.proto, its record_writer.cc; RFC
 * 3720 for the checksum. */
#include "train/events.h"
#include "base/file.h"
#include <math.h>
#include <string.h>

/* ---- records ---- */

static void fill_table(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = (c >> 1) ^ (c & 1 ? 0x82f63b78u : 0);
        table[i] = c;
    }
}

/* Masked: a checksum of data that holds checksums would else be weak. */
uint32_t hg_events_crc(const hg_events *v, const void *p, size_t n)
{
    const unsigned char *b = p;
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++) c = v->crc[(c ^ b[i]) & 0xff] ^ (c >> 8);
    c = ~c;
    return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

static void put_little(hg_buf *b, uint64_t x, size_t n)
{
    for (size_t i = 0; i < n; i++) hg_buf_putc(b, (char)(unsigned char)(x >> (8 * i)));
}

static hg_status write_record(hg_events *v, hg_err *e)
{
    hg_buf *r = &v->record;
    HG_TRY(hg_buf_status(&v->event, e));
    hg_buf_clear(r);
    put_little(r, v->event.n, 8);
    uint32_t crc = hg_events_crc(v, r->p, 8);
    put_little(r, crc, 4);
    hg_buf_put(r, v->event.p, v->event.n);
    put_little(r, hg_events_crc(v, v->event.p, v->event.n), 4);
    HG_TRY(hg_buf_status(r, e));
    if (fwrite(r->p, 1, r->n, v->file) != r->n || fflush(v->file) != 0)
        return hg_fail(e, hg_os_status(), "cannot write %s: %s", v->path, hg_os_error());
    return HG_OK;
}

/* ---- messages ---- */

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static void put_varint(hg_buf *b, uint64_t x)
{
    for (; x >= 0x80; x >>= 7) hg_buf_putc(b, (char)(unsigned char)(x | 0x80));
    hg_buf_putc(b, (char)x);
}

static void put_key(hg_buf *b, unsigned field, unsigned wire)
{
    put_varint(b, field << 3 | wire);
}

static void put_bytes(hg_buf *b, unsigned field, const char *p, size_t n)
{
    put_key(b, field, BYTES);
    put_varint(b, n);
    hg_buf_put(b, p, n);
}

static void begin_event(hg_events *v, double wall_time, uint64_t step)
{
    uint64_t bits;
    memcpy(&bits, &wall_time, sizeof bits);
    hg_buf_clear(&v->event);
    put_key(&v->event, 1, FIXED64);
    put_little(&v->event, bits, 8);
    put_key(&v->event, 2, VARINT);
    put_varint(&v->event, step);
}

static void put_value(hg_buf *b, const hg_scalar *s)
{
    uint32_t bits;
    memcpy(&bits, &s->value, sizeof bits);
    put_bytes(b, 1, s->tag, strlen(s->tag));
    put_key(b, 2, FIXED32);
    put_little(b, bits, 4);
}

hg_status hg_events_put(hg_events *v, double wall_time, uint64_t step, const hg_scalar *scalar,
                        size_t n, hg_err *e)
{
    hg_buf value = {0}, summary = {0};
    if (v->file == NULL) return HG_OK;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(scalar[i].value)) continue;
        hg_buf_clear(&value);
        put_value(&value, &scalar[i]);
        put_bytes(&summary, 1, value.p, value.n);
    }
    begin_event(v, wall_time, step);
    if (summary.n > 0) put_bytes(&v->event, 5, summary.p, summary.n);
    hg_status s = hg_buf_status(&value, e);
    if (s == HG_OK) s = hg_buf_status(&summary, e);
    if (s == HG_OK && summary.n > 0) s = write_record(v, e);
    hg_buf_free(&value);
    hg_buf_free(&summary);
    return s;
}

/* ---- the file ---- */

static hg_status put_start(hg_events *v, double wall_time, uint64_t step, hg_err *e)
{
    static const char version[] = "brain.Event:2", start[] = {1 << 3 | VARINT, 1};
    begin_event(v, wall_time, 0);
    put_bytes(&v->event, 3, version, sizeof version - 1);
    HG_TRY(write_record(v, e));
    if (step == 0) return HG_OK;
    begin_event(v, wall_time, step + 1);
    put_bytes(&v->event, 7, start, sizeof start);
    return write_record(v, e);
}

hg_status hg_events_open(hg_events *v, const char *folder, double wall_time, uint64_t step,
                         hg_err *e)
{
    memset(v, 0, sizeof *v);
    fill_table(v->crc);
    (void)snprintf(v->path, sizeof v->path, "%.1000s/events.out.tfevents.%.0f.%llu.higgins", folder,
                   wall_time, (unsigned long long)step);
    v->file = fopen(v->path, "wbe");
    if (v->file == NULL)
        return hg_fail(e, hg_os_status(), "cannot write %s: %s", v->path, hg_os_error());
    return put_start(v, wall_time, step, e);
}

void hg_events_close(hg_events *v)
{
    if (v->file != NULL) (void)fclose(v->file);
    hg_buf_free(&v->event);
    hg_buf_free(&v->record);
    v->file = NULL;
}

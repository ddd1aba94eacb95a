/* ELIZA: microseconds a reply by the script of the paper (from the test data) and by our own, over
 * the recorded conversation; the goal is 15 on the paper's script. */
#include "base/file.h"
#include "bench.h"

#include <higgins/eliza.h>
#include <stdbool.h>
#include <string.h>

enum { REPEATS = 15, ROUNDS = 200, MAX_INPUTS = 256 };
static const double GOAL_US = 15;

typedef struct setting {
    hg_eliza_script *script;
    hg_bytes input[MAX_INPUTS];
    size_t n_inputs;
    hg_buf text;
    bool failed, traces;
} setting;

/* The first column of a recorded conversation. */
static hg_status read_inputs(setting *s, const char *path, hg_err *e)
{
    HG_TRY(hg_file_read(&s->text, path, 1 << 20, e));
    char *line = s->text.p;
    for (char *next; line != NULL && *line != '\0' && s->n_inputs < MAX_INPUTS; line = next) {
        next = strchr(line, '\n');
        if (next != NULL) *next++ = '\0';
        if (line[0] != '#') s->input[s->n_inputs++] = (hg_bytes){line, strcspn(line, "\t")};
    }
    return HG_OK;
}

/* Conversations from their beginning, again and again. */
static void converse(void *ctx)
{
    setting *s = ctx;
    hg_eliza_options o;
    hg_bytes reply;
    hg_eliza_options_init(&o);
    o.trace = s->traces;
    for (int r = 0; r < ROUNDS; r++) {
        hg_eliza *el;
        if (hg_eliza_new(&el, s->script, &o, NULL) != HG_OK) {
            s->failed = true;
            return;
        }
        for (size_t i = 0; i < s->n_inputs; i++)
            if (hg_eliza_reply(el, s->input[i], &reply, NULL) != HG_OK) s->failed = true;
        hg_eliza_free(el);
    }
}

static hg_status measure(bench *b, setting *s, const char *row, const char *script, bool traces,
                         double goal, hg_err *e)
{
    double seconds;
    bench_fn *const fn[] = {converse};
    HG_TRY(hg_eliza_script_open(&s->script, script, e));
    s->traces = traces;
    bench_time(fn, s, 1, REPEATS, &seconds);
    hg_eliza_script_free(s->script);
    if (s->failed) return hg_fail(e, HG_E_STATE, "%s: a conversation failed", row);
    const double us = 1e6 * seconds / (double)(ROUNDS * s->n_inputs);
    bench_add(b, (bench_row){row, "replies/s", 1e6 / us, (double)NAN,
                             goal > 0 ? 1e6 / goal : (double)NAN, goal > 0 ? 1.0 : (double)NAN});
    printf("    %.2f microseconds a reply\n", us);
    return HG_OK;
}

int main(void)
{
    const char *data = getenv("HG_TEST_DATA");
    char path[4096], doctor[4096];
    setting s = {0};
    bench b = {.name = "eliza"};
    hg_err e = {0};
    if (data == NULL) data = "../shared/data";
    (void)snprintf(path, sizeof path, "%s/eliza/conversations/comprehensive_convo.tsv", data);
    (void)snprintf(doctor, sizeof doctor,
                   "eliza:%s/eliza/scripts/ELIZA-script-DOCTOR-original-1966-CACM-appendix.txt",
                   data);
    hg_status st = read_inputs(&s, path, &e);
    if (st == HG_OK) st = measure(&b, &s, "DOCTOR of 1966", doctor, false, GOAL_US, &e);
    if (st == HG_OK) st = measure(&b, &s, "DOCTOR of 1966, traced", doctor, true, 0, &e);
    if (st == HG_OK) st = measure(&b, &s, "our script", "eliza", false, 0, &e);
    if (st != HG_OK) {
        fprintf(stderr, "bench_eliza: %s\n", e.msg);
        return 1;
    }
    bench_end(&b);
    hg_buf_free(&s.text);
    return 0;
}

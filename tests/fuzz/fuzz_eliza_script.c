/* Scripts from strangers: one that is read holds a conversation within its bounds. */
#include <higgins/eliza.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void talk(const hg_eliza_script *s, hg_bytes script)
{
    static const char *const inputs[] = {"", "I am sad, but my A B 1", "a b c . d"};
    hg_eliza_options o;
    hg_eliza *el = NULL;
    hg_bytes reply;
    hg_err e;
    hg_eliza_options_init(&o);
    o.max_steps = 50;
    o.max_work = 20000;
    o.trace = true;
    o.six_letters = script.n % 2 == 0;
    if (hg_eliza_new(&el, s, &o, &e) != HG_OK) abort();
    for (size_t i = 0; i < 3; i++)
        (void)hg_eliza_reply(el, (hg_bytes){inputs[i], strlen(inputs[i])}, &reply, &e);
    /* Its own words, so that its keywords come. */
    const hg_status st = hg_eliza_reply(el, script, &reply, &e);
    if (st != HG_OK && st != HG_E_LIMIT) abort();
    hg_eliza_free(el);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hg_eliza_script *s = NULL;
    hg_eliza_flaw flaw;
    hg_err e = {0};
    const hg_bytes in = {(const char *)data, size};
    if (size > 16384) return 0;
    const hg_status st = hg_eliza_script_parse(&s, in, &flaw, &e);
    if ((st == HG_OK) != (s != NULL)) abort();
    if (st != HG_OK) {
        if (e.msg[0] == '\0' || flaw.remedy[0] == '\0') abort();
        return 0;
    }
    for (size_t i = 0; i < hg_eliza_n_keywords(s); i++)
        if (hg_eliza_keyword(s, i).n == 0) abort();
    talk(s, in);
    hg_eliza_script_free(s);
    return 0;
}

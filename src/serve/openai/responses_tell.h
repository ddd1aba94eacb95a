/* How answers of the Responses API are told and kept; what the teller remembers of the request. */
#ifndef HG_SERVE_RESPONSES_TELL_H
#define HG_SERVE_RESPONSES_TELL_H

#include "serve/answer.h"
#include "serve/openai/kept.h"
#include "text/json.h"

enum { HG_RESPONSES_ECHO = 9 };
#define HG_RESPONSES_PREFIX "resp_"

/* In the exchange's memory, as all it points to. */
typedef struct hg_responses_note {
    hg_bytes echo[HG_RESPONSES_ECHO]; /* members that are told back, in JSON */
    char id[HG_KEPT_ID_ROOM];
    int64_t created;
    const char *model; /* as it is called before it answers */
    double temperature, top_p;
    hg_keeper *keeper;
    bool keeps, is_background;
    hg_bytes input; /* its items, in JSON */
    hg_bytes talk;  /* the conversation before the answer, in chat's form: an array in JSON */
    /* the teller's own */
    bool is_open; /* the item of text is */
    size_t n_items;
    int64_t n_events; /* 2 in the background: created and queued were told when it was asked */
} hg_responses_note;

extern const hg_teller hg_responses_teller;
/* Copies what is told back out of the request. False: no room. */
bool hg_responses_note_echo(hg_responses_note *n, const json_t *body, hg_arena *mem);
/* The response before anything has run. */
void hg_responses_put_queued(hg_json_out *o, const char *key, const hg_responses_note *n);

#endif

/* From a checked question to a finished answer, the same for every protocol: submits one job for
 * each choice, gathers or streams what they say, cancels them when the client is gone. */
#ifndef HG_SERVE_ANSWER_H
#define HG_SERVE_ANSWER_H

#include "serve/server.h"

#include <pthread.h>

typedef struct hg_answer hg_answer;

typedef struct hg_choice {
    hg_answer *answer;
    uint32_t index; /* prompt-major */
    hg_buf text;    /* all of it; empty when it was streamed and is not kept */
    hg_buf room[4]; /* the protocol's own, for what it tells of tokens */
    size_t n_chars; /* likewise */
    /* With tools: the calls in it, [{"name", "arguments"}], once it has ended (NULL before); its
     * own words are the first n_words bytes of the text. */
    struct json_t *calls;
    size_t n_words;
    hg_finish finish;
    hg_usage usage;
    hg_job job;
    bool told; /* its beginning was streamed */
} hg_choice;

/* How a protocol writes. Each appends to `out`; called one at a time. */
typedef struct hg_teller {
    const hg_protocol *protocol;
    hg_stream_kind kind;
    void (*begin)(hg_answer *a, hg_choice *c, hg_buf *out); /* a choice's first event */
    void (*piece)(hg_answer *a, hg_choice *c, hg_bytes text, hg_buf *out);
    /* A token before its text, when the question wants them: into the choice's rooms. */
    void (*token)(hg_answer *a, hg_choice *c, const hg_token_report *t);
    void (*finish)(hg_answer *a, hg_choice *c, hg_buf *out);         /* its last */
    void (*end)(hg_answer *a, hg_buf *out);                          /* after all choices */
    void (*failure)(hg_answer *a, const hg_problem *p, hg_buf *out); /* once, instead of the end */
    void (*whole)(hg_answer *a, hg_buf *out); /* without a stream: the body */
} hg_teller;

typedef struct hg_question {
    const hg_backend *model; /* the caller's hold of it becomes the answer's */
    const hg_ids *prompts;   /* [n_prompts] */
    size_t n_prompts;
    uint32_t n;           /* choices for each */
    uint32_t max_tokens;  /* 0: what the context leaves */
    hg_sampling sampling; /* the seed of choice i of a prompt is sampling.seed + i */
    const char *const *stop;
    size_t n_stop;
    struct json_t *tools; /* that the answer may call; kept by the answer; NULL: none */
    bool must_call;       /* the opening of a call ends the prompts */
    hg_form *form;        /* what the answer is held to, or NULL; released by the answer */
    bool tells_tokens;    /* with their log-probabilities... */
    uint32_t n_top;       /* ...and so many others */
    bool stream;
    bool keeps_text; /* the texts are gathered although they are streamed */
} hg_question;

struct hg_answer {
    hg_exchange *x;
    const hg_teller *teller;
    void *note; /* the protocol's own, in the exchange's memory */
    const hg_backend *model;
    char id[40];
    int64_t created;
    hg_choice *choices; /* [n_choices] */
    uint32_t n_choices, n_per_prompt;
    size_t n_prompt_tokens; /* of all prompts */
    bool stream, keeps_text;
    hg_form *form;
    struct json_t *tools;
    bool must_call;
    /* answer.c's own */
    pthread_mutex_t lock; /* guards what follows and the choices */
    uint32_t n_left;      /* jobs that have not ended, and one while submitting */
    uint32_t n_submitted;
    bool begun, failed, gone;
    hg_buf scratch;
};

/* `id_prefix` is "chatcmpl-". Everything q points at is copied or used up before it returns. */
void hg_answer_start(hg_exchange *x, const hg_question *q, const hg_teller *t,
                     const char *id_prefix, void *note);
/* Prompts once each, completions of all choices. */
hg_usage hg_answer_usage(const hg_answer *a);

#endif

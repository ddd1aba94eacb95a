/* Ollama's requests, brought into OpenAI's form. */
#ifndef HG_SERVE_OLLAMA_H
#define HG_SERVE_OLLAMA_H

#include "serve/openai/openai.h"

/* Reads and checks a body of /api/chat, or of /api/generate (is_generate). *only_load: it asks for
 * nothing but that the model be there (no messages, an empty prompt), and of the call nothing but
 * the model is set. A stream unless it says otherwise; ":latest" behind a name is left out. Free
 * the call in either case. */
bool hg_ollama_parse(hg_openai_call *c, hg_bytes body, bool is_generate, bool *only_load,
                     hg_arena *mem, hg_problem *p);
/* A model's name without the ":latest" that clients may put behind it. */
hg_bytes hg_ollama_name(hg_bytes name);

#endif

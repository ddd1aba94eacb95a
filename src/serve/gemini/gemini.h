/* Gemini's requests, brought into OpenAI's form. */
#ifndef HG_SERVE_GEMINI_H
#define HG_SERVE_GEMINI_H

#include "serve/openai/openai.h"

/* Reads and checks a body of generateContent for `model`, or of countTokens (is_count), where it
 * may lie in generateContentRequest. Names are taken in both of their spellings (topP, top_p).
 * Refusals name the field as Gemini does. Free the call in either case. */
bool hg_gemini_parse(hg_openai_call *c, hg_bytes body, hg_bytes model, bool is_count,
                     bool is_stream, hg_arena *mem, hg_problem *p);

#endif

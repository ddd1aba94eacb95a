#!/usr/bin/env bash
# tokenizer train, encode, decode and chat as users run them.
. "$(dirname "$0")/../harness/golden.sh"

printf 'The cat sat on the mat.\nThe cat and the dog sat on the mat.\n' >"$TMP/text.txt"
TOK="$TMP/tokenizer.json"

golden_case train_writes_a_tokenizer_and_says_what_it_found
run "$HIGGINS" tokenizer train "$TMP/text.txt" --vocab 273 -o "$TOK"
expect_code 0
expect_out "$TOK: 273 tokens (13 merges)"
expect_out "bytes a token"
expect_file "$TOK"

golden_case train_is_the_same_every_time
run "$HIGGINS" tokenizer train "$TMP/text.txt" --vocab 273 -o "$TMP/again.json"
expect cmp "$TOK" "$TMP/again.json"

golden_case train_prints_json
run "$HIGGINS" tokenizer train "$TMP/text.txt" --vocab 273 -o "$TMP/again.json" --json
expect_code 0
expect_out '"vocab": 273, "merges": 13, "documents": 1'
expect_out '"peak_bytes": '

golden_case train_says_when_the_text_has_no_more_to_give
run "$HIGGINS" tokenizer train "$TMP/text.txt" --vocab 4000 -o "$TMP/again.json"
expect_code 0
expect_out "the text has no more pairs that occur twice"

golden_case train_refuses_a_missing_source_and_leaves_the_old_file
run "$HIGGINS" tokenizer train "$TMP/nowhere" --vocab 273 -o "$TOK"
expect_code 1
expect_sentence
expect_err "$TMP/nowhere"
expect cmp "$TOK" <("$HIGGINS" tokenizer train "$TMP/text.txt" --vocab 273 -o "$TMP/b.json" >/dev/null && cat "$TMP/b.json")

golden_case train_refuses_too_few_tokens
run "$HIGGINS" tokenizer train "$TMP/text.txt" --vocab 260 -o "$TOK"
expect_code 1
expect_err "a vocabulary of 260 tokens; 261 (256 bytes, 4 special tokens, one merge) to 1048576 allowed"

golden_case encode_lists_tokens_with_visible_spaces
run_in "The cat" "$HIGGINS" tokenizer encode - -k "$TOK"
expect_code 0
expect_out "The"
expect_out "·cat"
expect_out "2 tokens for 7 bytes, 3.50 bytes a token"

golden_case encode_shows_every_merge
run_in "The cat" "$HIGGINS" tokenizer encode - -k "$TOK" --steps
expect_out "h + e -> he"
expect_out "word  ·cat  ="

golden_case encode_prints_json
run_in "The cat" "$HIGGINS" tokenizer encode - -k "$TOK" --steps --json
expect_code 0
expect_out '"bytes": 7, "n": 2, "ids": ['
expect_out '"word": "The", "tokens": ['

golden_case any_bytes_go_there_and_back
head -c 5000 /dev/urandom >"$TMP/bytes"
"$HIGGINS" tokenizer encode "$TMP/bytes" -k "$TOK" --ids >"$TMP/ids"
"$HIGGINS" tokenizer decode "$TMP/ids" -k "$TOK" >"$TMP/back"
expect cmp "$TMP/bytes" "$TMP/back"
"$HIGGINS" tokenizer encode "$TMP/bytes" -k "$TOK" --json >"$TMP/ids.json"
"$HIGGINS" tokenizer decode "$TMP/ids.json" -k "$TOK" >"$TMP/back"
expect cmp "$TMP/bytes" "$TMP/back"

golden_case special_tokens_need_to_be_asked_for
run_in "<|im_end|>" "$HIGGINS" tokenizer encode - -k "$TOK" --ids --special
expect_equal "$OUT" 2
run_in "2" "$HIGGINS" tokenizer decode - -k "$TOK"
expect_equal "$OUT" ""
run_in "2" "$HIGGINS" tokenizer decode - -k "$TOK" --special
expect_equal "$OUT" "<|im_end|>"

golden_case a_folder_without_a_tokenizer_is_said_to_be_one
mkdir -p "$TMP/empty"
run_in "a" "$HIGGINS" tokenizer encode - -k "$TMP/empty"
expect_code 1
expect_sentence
expect_err "this folder has no tokenizer.json, no tokenizer.model and no vocab.json with merges.txt"

golden_case gpt2s_vocabulary_and_merges_are_a_tokenizer
mkdir -p "$TMP/pair"
SPLIT='import json, sys; t = json.load(open(sys.argv[1])); m = t["model"]; json.dump(m["vocab"], open(sys.argv[2] + "/vocab.json", "w")); open(sys.argv[2] + "/merges.txt", "w").write("#version: 0.2\n" + "".join((x if isinstance(x, str) else " ".join(x)) + "\n" for x in m["merges"]))'
python3 -c "$SPLIT" "$TOK" "$TMP/pair"
run_in "The cat and the dog" "$HIGGINS" tokenizer encode - -k "$TOK" --ids
WANT=$OUT
run_in "The cat and the dog" "$HIGGINS" tokenizer encode - -k "$TMP/pair" --ids
expect_code 0
expect_equal "$OUT" "$WANT"

golden_case sentencepiece_goes_there_and_back_without_its_first_space
if command -v spm_train >/dev/null; then
    yes "The cat and the dog sat on the mat, 12 times: zoe, vixen, quick jump by fox." | head -50 >"$TMP/spm.txt"
    spm_train --input="$TMP/spm.txt" --model_prefix="$TMP/spm" --vocab_size=300 --model_type=bpe --byte_fallback=true --hard_vocab_limit=false --minloglevel=2 2>/dev/null
    run_in "The cat sät" "$HIGGINS" tokenizer encode - -k "$TMP/spm.model" --ids
    expect_code 0
    expect_equal "$OUT" "$(printf 'The cat sät' | spm_encode --model="$TMP/spm.model" --output_format=id)"
    run_in "$OUT" "$HIGGINS" tokenizer decode - -k "$TMP/spm.model"
    expect_equal "$OUT" "The cat sät"
else
    skip "sentencepiece is not installed"
fi

golden_case a_rank_file_of_an_unknown_encoding_is_refused
printf 'YQ== 0\nYg== 1\n' >"$TMP/mine.tiktoken"
run_in "a" "$HIGGINS" tokenizer encode - -k "$TMP/mine.tiktoken"
expect_code 1
expect_sentence
expect_err "a rank file with 2 ranks says not how text is split"

golden_case decode_refuses_what_is_no_id
run_in "4 five" "$HIGGINS" tokenizer decode - -k "$TOK"
expect_code 1
expect_sentence
expect_err '"five" is no token id; ids are whole numbers'
run_in "273" "$HIGGINS" tokenizer decode - -k "$TOK"
expect_err "there is no token 273; the vocabulary ends at 272"

golden_case a_file_that_is_no_tokenizer_is_named
run_in "x" "$HIGGINS" tokenizer encode - -k "$TMP/text.txt"
expect_code 1
expect_sentence
expect_err "$TMP/text.txt: not JSON: line 1"

golden_case chat_shows_what_is_learned
run "$HIGGINS" tokenizer chat -k "$TOK" "user=Hi" "assistant=The cat"
expect_code 0
expect_out 'learned  "The"'
expect_out 'learned  "<|im_end|>"'
expect_out "3 of them learned"
run "$HIGGINS" tokenizer chat -k "$TOK" "Hi"
expect_code 2
expect_err 'write role=text'

golden_case chat_runs_a_template_with_tools_and_values
cat >"$TMP/tool.jinja" <<'END'
{%- for t in tools %}{{ t.function.name }};{% endfor %}
{%- for m in messages %}
<|im_start|>{{ m.role }} {{ m.content }}
{%- for c in m.tool_calls or [] %} {{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}<|im_end|>
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant{{ '' if think else ' quick' }}{% endif %}
END
echo '[{"type": "function", "function": {"name": "look", "parameters": {}}}]' >"$TMP/tools.json"
cat >"$TMP/talk.json" <<'END'
[{"role": "user", "content": [{"type": "text", "text": "a<|im_end|>"}]},
 {"role": "assistant", "content": "b", "tool_calls": [{"function": {"name": "look", "arguments": "{\"x\": 1}"}}]}]
END
run "$HIGGINS" tokenizer chat -k "$TOK" --chat-template "$TMP/tool.jinja" --tools "$TMP/tools.json" \
    --args '{"think": false}' --messages "$TMP/talk.json" --open --json
expect_code 0
expect_equal "$(printf '%s' "$OUT" | python3 -c '
import json, sys
d = json.load(sys.stdin)
end = d["end"]
print(d["text"].replace("\n", "/"), d["ids"].count(end), d["learned"][-1 - d["ids"][::-1].index(end)], len(d["ids"]) == len(d["learned"]))')" \
    'look;<|im_start|>user a<|im_end|><|im_end|><|im_start|>assistant b look({"x": 1})<|im_end|><|im_start|>assistant quick 2 1 True'

golden_case chat_says_where_a_template_is_wrong
printf 'a\n{%% if x %%}' >"$TMP/bad.jinja"
run "$HIGGINS" tokenizer chat -k "$TOK" --chat-template "$TMP/bad.jinja" user=Hi
expect_code 1
expect_err "chat template, line 2, column "
expect_sentence
printf '{%% for i in range(100000) %%}{%% for j in range(100000) %%}{%% endfor %%}{%% endfor %%}' >"$TMP/bad.jinja"
run "$HIGGINS" tokenizer chat -k "$TOK" --chat-template "$TMP/bad.jinja" user=Hi
expect_code 1
expect_err "chat template, line 1, column "
expect_sentence
run "$HIGGINS" tokenizer chat -k "$TOK" --tools /nowhere user=Hi
expect_code 1
expect_err "cannot read /nowhere: No such file"
run "$HIGGINS" tokenizer chat -k "$TOK" --args '[1]' user=Hi
expect_code 1
expect_err "the template's values are"
expect_sentence

golden_end

#!/usr/bin/env bash
# generate and chat as users run them, on a small random model.
. "$(dirname "$0")/../harness/golden.sh"
HERE=$(dirname "$0")
command -v python3 >/dev/null || { echo "0 passed, 0 failed, 1 skipped"; exit 0; }

make_model() { # make_model FOLDER CONTEXT [OPTION]
    mkdir -p "$1"
    cp "$TMP/tokenizer.json" "$1/"
    python3 "$HERE/tiny_model.py" "$1" 320 "$2" ${3:-}
}
for i in 1 2 3 4 5 6 7 8; do
    echo "the quick brown fox jumps over the lazy dog and runs home to its warm bed while the rain falls on the roof"
    echo "a story about a fox that ran away from the rain, over the roof and into the warm house of a lazy dog"
done >"$TMP/text.txt"
"$HIGGINS" tokenizer train "$TMP/text.txt" --vocab 320 -o "$TMP/tokenizer.json" --quiet >/dev/null 2>&1
make_model "$TMP/m" 256
make_model "$TMP/long" 131072
NO_END="--logit-bias 0:-100 --logit-bias 1:-100 --logit-bias 2:-100 --logit-bias 3:-100" # the special tokens
make_model "$TMP/plain" 256 --no-template
M=$TMP/m

golden_case generate_goes_on_with_a_text
run "$HIGGINS" generate "$M" "the quick" --max-tokens 12 --seed 3
expect_code 0
first=$OUT
expect [ -n "$OUT" ]
run "$HIGGINS" generate "$M" "the quick" --max-tokens 12 --seed 3 --threads 1
expect_equal "$OUT" "$first"
run "$HIGGINS" generate "$M" "the quick" --max-tokens 12 --seed 4
expect [ "$OUT" != "$first" ]

golden_case generate_reads_its_prompt_from_stdin
run_in "the quick" "$HIGGINS" generate "$M" - --max-tokens 12 --seed 3
expect_code 0
expect_equal "$OUT" "$first"

golden_case a_context_that_memory_does_not_hold_is_refused_with_what_would_fit
make_model "$TMP/huge" 4194304
limited() { (ulimit -v 400000 && "$HIGGINS" "$@"); } # KiB
for command in generate chat serve; do
    run limited $command "$TMP/huge" $([ $command = generate ] && echo fox) --context 4194304
    expect_code 1
    expect_err "a context of 4194304 tokens takes 0."
    expect_err "GB are free; ask for "
done
fits=$(printf '%s' "$ERR" | sed -n 's/.*ask for \([0-9]*\) tokens.*/\1/p')
run limited generate "$TMP/huge" "the quick" --max-tokens 3 --context $((fits / 2))
expect_code 0

golden_case a_context_that_is_not_asked_for_is_what_memory_holds
run limited generate "$TMP/huge" "the quick" --max-tokens 3
expect_code 0
expect_err "tokens of the model's context of 4194304; --context asks for another"
run limited embed "$TMP/huge" "the quick" --json
expect_code 0

golden_case generate_prints_json
run "$HIGGINS" generate "$M" "the quick" --max-tokens 12 --seed 3 --json
expect_code 0
expect_equal "$(printf '%s' "$OUT" | python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["finish"], d["usage"]["completion_tokens"], d["usage"]["prompt_tokens"] > 0, d["tokens_per_second"] > 0)')" "length 12 True True"

golden_case generate_holds_its_answer_to_a_form
printf '{"type":"object","properties":{"n":{"type":"integer","minimum":3,"maximum":70},"tags":{"type":"array","items":{"enum":["fox","dog"]},"minItems":1}},"required":["n","tags"]}' >"$TMP/schema.json"
for seed in 1 2 3 4 5 6; do
    run "$HIGGINS" generate "$M" "the quick" --json-schema "$TMP/schema.json" --max-tokens 60 --seed $seed --temperature 2 --top-k 0 --lookup
    expect_code 0
    expect_equal "$(printf '%s' "$OUT" | python3 -c 'import json,sys; d=json.load(sys.stdin); print(list(d) == ["n", "tags"], 3 <= d["n"] <= 70, len(d["tags"]) > 0 and set(d["tags"]) <= {"fox", "dog"})')" "True True True"
    run "$HIGGINS" generate "$M" "the quick" --json-object --max-tokens 30 --seed $seed --temperature 2 --top-k 0
    expect_equal "$(printf '%s' "$OUT" | python3 -c 'import json,sys; print(type(json.load(sys.stdin)).__name__)')" dict
done
run "$HIGGINS" generate "$M" "the quick" --regex "[a-f]{4}-[0-9]{2}" --max-tokens 20
expect [ "$(printf '%s' "$OUT" | grep -cE '^[a-f]{4}-[0-9]{2}$')" = 1 ]
printf 'root ::= ("fox" | "dog") " " ("runs" | "sleeps")\n' >"$TMP/form.gbnf"
run "$HIGGINS" generate "$M" "the quick" --grammar "$TMP/form.gbnf" --max-tokens 20
expect [ "$(printf '%s' "$OUT" | grep -cE '^(fox|dog) (runs|sleeps)$')" = 1 ]

golden_case generate_refuses_a_form_that_cannot_be_held
printf '{"properties":{"a":{"not":{}}}}' >"$TMP/bad.json"
run "$HIGGINS" generate "$M" "x" --json-schema "$TMP/bad.json"
expect_code 1
expect_err "bad.json: #/properties/a: \"not\" is not held; write what may come instead"
run "$HIGGINS" generate "$M" "x" --json-schema "$TMP/bad.json" --json-object
expect_err "exclude each other"

golden_case generate_ends_before_a_stop_string
run "$HIGGINS" generate "$M" "the quick" --max-tokens 60 --temperature 0 --repetition-penalty 1
whole=$OUT
stop=$(printf '%s' "$whole" | tr -cd 'a-z' | cut -c4-5 | cut -c1)
run "$HIGGINS" generate "$M" "the quick" --max-tokens 60 --temperature 0 --repetition-penalty 1 --stop "$stop" --json
expect_out '"finish": "stop"'
expect_equal "$(printf '%s' "$OUT" | S=$stop python3 -c 'import json,os,sys; print(os.environ["S"] in json.load(sys.stdin)["text"])')" False

golden_case generate_stops_when_its_reader_goes
"$HIGGINS" generate "$TMP/long" "the quick" 2>/dev/null | head -c 20 >"$TMP/head"
expect_file "$TMP/head"

# The answer holds more than its pipe, and nothing ends it: it is under way until the signal, however fast the machine.
golden_case generate_stops_cleanly_on_ctrl_c
mkfifo "$TMP/pipe"
"$HIGGINS" generate "$TMP/long" "the quick" $NO_END >"$TMP/pipe" 2>"$TMP/.err" &
job=$!
exec 4<"$TMP/pipe"
head -c 1 <&4 >"$TMP/begun"
expect_file "$TMP/begun"
kill -INT $job
cat <&4 >"$TMP/rest"
wait $job
CODE=$? ERR=$(cat "$TMP/.err")
exec 4<&-
expect_code 1
expect_equal "$ERR" ""
expect_equal "$(tail -c 1 "$TMP/rest" | od -An -c | tr -d ' ')" '\n'

golden_case generate_says_what_is_wrong
run "$HIGGINS" generate "$M" "x" --top-p 2
expect_code 2
expect_sentence
run "$HIGGINS" generate "$M" "x" --dtype q9
expect_code 2
expect_err 'higgins: --dtype: "q9" is no type; stored, f32, f16 or bf16 allowed'
run "$HIGGINS" generate /nowhere x
expect_code 1
expect_sentence
run "$HIGGINS" generate "$M" "x" --context 257
expect_code 1
expect_err "higgins: a context of 257 tokens was asked for; the model has 256"
run "$HIGGINS" generate "$M" "the quick brown fox jumps over" --context 4
expect_code 1
expect_err "tokens and the context holds 4 with the answer; shorten it"
expect_sentence

golden_case chat_answers_each_line_of_a_script
run_in $'hello\nand then\\\nwhat?\n' "$HIGGINS" chat "$M" --max-tokens 6 --json
expect_code 0
expect_equal "$(printf '%s' "$OUT" | python3 -c 'import json,sys; a=json.load(sys.stdin)["answers"]; print(len(a), a[0]["finish"], a[1]["usage"]["cached_tokens"] > 0)')" "2 length True"
run_in $'hello\n' "$HIGGINS" chat "$M" --max-tokens 6
expect_code 0
expect_err "[cut at 6 tokens; /set max-tokens 0 lifts the limit]"

golden_case chat_takes_commands
run_in $'hello\n/retry\n/system Be kind.\n/set temperature 0\nagain\n/save '"$TMP/saved.jsonl"$'\n/quit\nnever\n' "$HIGGINS" chat "$M" --max-tokens 4
expect_code 0
expect_equal "$(python3 -c 'import json,sys; print([m["role"] for m in json.loads(open(sys.argv[1]).readline())["messages"]])' "$TMP/saved.jsonl")" "['system', 'user', 'assistant']"
run_in $'/nope\n' "$HIGGINS" chat "$M"
expect_code 1
expect_err 'higgins: no command "/nope"; /help lists them, // begins a message with a slash'
run_in $'/set warmth 3\n' "$HIGGINS" chat "$M"
expect_code 1
expect_sentence

golden_case a_full_context_is_shifted_only_when_asked
run "$HIGGINS" generate "$M" "the quick" --context 48 --json
expect_equal "$(printf '%s' "$OUT" | python3 -c 'import json,sys; d=json.load(sys.stdin); u=d["usage"]; print(d["finish"], u["prompt_tokens"] + u["completion_tokens"])')" "length 48"
run "$HIGGINS" generate "$M" "the quick" --context 48 --context-shift --max-tokens 200 --json
expect_equal "$(printf '%s' "$OUT" | python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["finish"], d["usage"]["completion_tokens"])')" "length 200"
run "$HIGGINS" generate "$M" "the quick" --context 48 --context-shift --keep 30
expect_code 1
expect_err "30 tokens are to be kept of a context of 48; at most half of it can be"
run_in "the quick brown fox
jumps over the lazy dog
and runs home" "$HIGGINS" chat "$M" --context 80 --max-tokens 30 --context-shift
expect_code 0
expect_err "[the context is full: the oldest messages are forgotten]"

golden_case chat_says_when_the_context_is_full
run_in $'hello\nhello again\n' "$HIGGINS" chat "$M" --context 48
expect_code 1
expect_err "[the context of 48 tokens is full; /reset begins a new conversation]"
expect_err "higgins: the context is full: the conversation has"

golden_case chat_needs_a_model_that_was_tuned_to_converse
run_in "hello" "$HIGGINS" chat "$TMP/plain"
expect_code 1
expect_err "has no chat template, so it was not tuned to converse; higgins generate lets it go on with a text"
expect_sentence

golden_case chat_takes_a_template_of_its_own
printf '%s' "{% for m in messages %}{{ '<|im_start|>' + m['role'] + ': ' + m['content'] + '<|im_end|>' }}{% endfor %}{{ '<|im_start|>' }}" >"$TMP/own.jinja"
run_in $'hello\n' "$HIGGINS" chat "$TMP/plain" --chat-template "$TMP/own.jinja" --max-tokens 6 --json $NO_END
expect_code 0
own=$OUT
expect_equal "$(printf '%s' "$OUT" | python3 -c 'import json,sys; a=json.load(sys.stdin)["answers"]; print(len(a), a[0]["finish"], a[0]["usage"]["completion_tokens"])')" "1 length 6"
run_in $'hello\n' "$HIGGINS" chat "$M" --max-tokens 6 --json $NO_END
expect [ "$(printf '%s' "$OUT" | grep prompt_tokens)" != "$(printf '%s' "$own" | grep prompt_tokens)" ]
printf '%s' "{% for m in messages %}{{ m['content']" >"$TMP/torn.jinja"
run_in $'hello\n' "$HIGGINS" chat "$M" --chat-template "$TMP/torn.jinja"
expect_code 1
expect_sentence
expect_err "chat template, line 1"
run_in $'hello\n' "$HIGGINS" chat "$M" --chat-template /nowhere.jinja
expect_code 1
expect_sentence

golden_case chat_on_a_terminal_edits_remembers_and_survives_ctrl_c
run python3 "$HERE/terminal.py" "$HIGGINS" "$TMP/long" "$TMP/state" $NO_END
expect_equal "$OUT$ERR" ""
expect_code 0

golden_case generate_goes_on_from_a_session_file_without_reading_it_again
run "$HIGGINS" generate "$M" "Once upon" -T 0 -n 16
WHOLE=$OUT
run "$HIGGINS" generate "$M" "Once upon" -T 0 -n 7 --session "$TMP/story.hgs"
expect_code 0
FIRST=$OUT
run "$HIGGINS" generate "$M" "" -T 0 -n 9 --session "$TMP/story.hgs" --verbose
expect_code 0
expect_err "tokens, not read again"
expect_equal "$FIRST$OUT" "$WHOLE"

golden_case generate_says_when_a_session_is_of_another_kind
run "$HIGGINS" generate "$M" "x" --session "$TMP/story.hgs" --cache-type f32
expect_code 1
expect_sentence
expect_err "saved with another type of cache; open it as it was saved"

golden_case generate_says_the_same_with_guesses_as_without
for how in "-T 0 --repetition-penalty 1" "--seed 5 --dry-multiplier 0.8 --typical-p 0.9" "--seed 6 --mirostat-tau 4"; do
    run "$HIGGINS" generate "$M" "the fox ran and the fox ran and the fox" -n 60 $how
    expect_code 0
    plain=$OUT
    run "$HIGGINS" generate "$M" "the fox ran and the fox ran and the fox" -n 60 $how --lookup
    expect_equal "$OUT" "$plain"
    run "$HIGGINS" generate "$M" "the fox ran and the fox ran and the fox" -n 60 $how --draft "$M" --verbose
    expect_equal "$OUT" "$plain"
    expect_err "guesses came true"
done
run "$HIGGINS" generate "$M" "the fox" -n 4 --draft /nowhere
expect_code 1
expect_sentence

golden_case generate_tells_log_probabilities
run "$HIGGINS" generate "$M" "the quick" -n 3 -T 0 --repetition-penalty 1 --logprobs 2 --json
expect_code 0
expect_equal "$(printf '%s' "$OUT" | python3 -c 'import json,sys; d=json.load(sys.stdin); l=d["logprobs"]; print(len(l), all(t["top"][0]["id"] == t["id"] and t["top"][0]["logprob"] == t["logprob"] < 0 and len(t["top"]) == 2 for t in l), bytes(sum((t["bytes"] for t in l), [])).decode(errors="replace") == d["text"])')" "3 True True"
run "$HIGGINS" generate "$M" "the quick" -n 3 -T 0 --logprobs 2
expect_code 0
expect_equal "$(printf '%s\n' "$OUT" | wc -l)" 3

golden_case generate_takes_every_sampler
run "$HIGGINS" generate "$M" "the quick" -n 12 --seed 3 --samplers penalties,dry,top-k,typical,top-p,min-p,xtc,temperature
expect_equal "$OUT" "$first"
for o in "--typical-p 0.3" "--xtc-chance 1 --xtc-share 0.01" "--samplers top-k" "--mirostat-tau 2 --mirostat-eta 0.2" \
    "--logit-bias 70:100"; do
    run "$HIGGINS" generate "$M" "the quick" -n 12 --seed 3 $o
    expect_code 0
    expect [ "$OUT" != "$first" ]
done
run "$HIGGINS" generate "$M" "the quick" -n 60 -T 0 --repetition-penalty 1
looped=$OUT
run "$HIGGINS" generate "$M" "the quick" -n 60 -T 0 --repetition-penalty 1 --dry-multiplier 50 --dry-base 2 --dry-length 1 --dry-window 40 --dry-breaker ÿÿ
expect [ "$OUT" != "$looped" ]
run "$HIGGINS" generate "$M" "x" --samplers top-k,nucleus
expect_code 2
expect_err 'higgins: --samplers: "nucleus" is no sampler; penalties, dry, top-k, typical, top-p, min-p, xtc and temperature are'
run "$HIGGINS" generate "$M" "x" --logit-bias 7
expect_code 2
expect_err "higgins: --logit-bias: \"7\" is not a token's number, a colon and a bias, as in 318:-5"
run "$HIGGINS" generate "$M" "x" --logit-bias 7:101
expect_code 2
expect_err "the bias of token 7 is 101; tokens are not negative and a bias is from -100 to 100"
run "$HIGGINS" generate "$M" "x" --logit-bias 9999:1
expect_code 1
expect_err "a bias of token 9999; the vocabulary has"
run_in $'/set typical-p 0.5\n/set dry-multiplier 0.8\nhello\n' "$HIGGINS" chat "$M" -n 4 --lookup
expect_code 0
golden_case generate_takes_adapters
mkdir -p "$TMP/lora"
python3 - "$M" "$TMP/lora" <<'PY'
import json, struct, sys
c = json.load(open(sys.argv[1] + "/config.json"))
d, n = c["hidden_size"], c["num_attention_heads"] * c.get("head_dim", c["hidden_size"] // c["num_attention_heads"])
a, b = [((i * 7) % 11 - 5) / 5 for i in range(2 * d)], [((i * 5) % 13 - 6) / 5 for i in range(2 * n)]
name = "base_model.model.model.layers.0.self_attn.q_proj.lora_%s.weight"
head = {name % "A": {"dtype": "F32", "shape": [2, d], "data_offsets": [0, 8 * d]},
        name % "B": {"dtype": "F32", "shape": [n, 2], "data_offsets": [8 * d, 8 * d + 8 * n]}}
head = json.dumps(head).encode()
with open(sys.argv[2] + "/adapter_model.safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(head)) + head + struct.pack(f"<{2 * d + 2 * n}f", *a, *b))
json.dump({"peft_type": "LORA", "r": 2, "lora_alpha": 64}, open(sys.argv[2] + "/adapter_config.json", "w"))
PY
run "$HIGGINS" generate "$M" "the quick" -T 0 -n 12
bare=$OUT
run "$HIGGINS" generate "$M" "the quick" -T 0 -n 12 --lora "$TMP/lora"
expect_code 0
expect [ "$OUT" != "$bare" ]
run "$HIGGINS" generate "$M" "the quick" -T 0 -n 12 --lora "$TMP/lora:0.75" --lora "$TMP/lora:-0.75"
expect_equal "$OUT" "$bare"
run_in "hi" "$HIGGINS" chat "$M" --lora "$TMP/lora:0.5" -n 4
expect_code 0
run "$HIGGINS" generate "$M" "x" --lora "$M:2"
expect_code 1
expect_err "adapter_config.json and adapter_model.safetensors are not both there"

golden_case embed_tells_how_near_texts_are
run "$HIGGINS" embed "$M" "the mouse sang" "the mouse sang" "1 2 3"
expect_code 0
expect_out "     1   1.000  1.000"
run "$HIGGINS" embed "$M" "the mouse sang" --pooling last --json
expect_code 0
expect_equal "$(printf '%s' "$OUT" | python3 -c 'import json, sys; d = json.load(sys.stdin); v = d["embeddings"][0]["vector"]; print(len(v) == d["dimensions"], round(sum(x * x for x in v), 5))')" "True 1.0"
run "$HIGGINS" embed "$M" ""
expect_code 1
expect_err "a text is empty; give at least a word"

golden_end

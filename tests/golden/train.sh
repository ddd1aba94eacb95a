#!/usr/bin/env bash
# train and tune as users run them: recipes, a whole small life, Ctrl-C, kill -9 at random moments.
. "$(dirname "$0")/../harness/golden.sh"

# A corpus of some hundred short documents, a tokenizer, conversations.
words=(the fox hen runs sleeps under a hill and sees old red barn moon sings to his friend river house)
for d in $(seq 1 120); do
    text="Story $d."
    for s in 1 2 3 4 5 6; do
        for w in 1 2 3 4 5 6 7; do text="$text ${words[$(((d * 7 + s * 13 + w * w * 5 + s * w) % 20))]}"; done
        text="$text."
    done
    printf '{"text": "%s"}\n' "$text"
done >"$TMP/corpus.jsonl"
for i in $(seq 1 40); do
    printf '{"messages": [{"role": "user", "content": "fox %d?"}, {"role": "assistant", "content": "the hen %d"}]}\n' $i $((i % 7))
done >"$TMP/chat.jsonl"
"$HIGGINS" tokenizer train "$TMP/corpus.jsonl" --vocab 320 -o "$TMP/tok.json" >/dev/null 2>&1
cat >"$TMP/r.yaml" <<END
corpus: $TMP/corpus.jsonl
tokenizer: $TMP/tok.json
out: $TMP/run
depth: 2
d_model: 32
n_heads: 2
seq_len: 32
batch_size: 4
steps: 40
val_rows: 4
sample_tokens: 8
END
model_sum() { sha256sum <"$1/model/model.safetensors"; }

golden_case train_lists_its_keys
run "$HIGGINS" train --keys
expect_code 0
expect_out "weight_decay"
expect_out "cosine|wsd|linear|constant"

golden_case every_key_is_in_the_documentation
# With the defaults of both stages: "X", or "X (tuning Y)".
cell() { sed -n "s/^| \`$1\` | \([^|]*[^| ]\|\) *|.*/\1/p" "$ROOT/docs/training.md"; }
for stage in train tune; do
    while IFS= read -r line; do
        key=$(echo ${line:0:20}) is=$(echo ${line:32:20})
        [ "$is" != - ] || is=
        grep -q "^| \`$key\` |" "$ROOT/docs/training.md" || fail "docs/training.md has no row for $key"
        told=$(cell "$key")
        case $stage$told in
        tune*' (tuning '*) told=${told#*' (tuning '} told=${told%)} ;;
        train*' (tuning '*) told=${told%' (tuning '*} ;;
        esac
        [ "$told" = "$is" ] || fail "docs/training.md says \"$told\" is the default of $key when it is \"$is\" in $stage"
    done < <("$HIGGINS" $stage --keys | tail -n +2)
done

golden_case train_names_file_line_and_nearest_key
printf 'corpus: x\nbatchsize: 3\n' >"$TMP/bad.yaml"
run "$HIGGINS" train "$TMP/bad.yaml"
expect_code 1
expect_sentence
expect_err "bad.yaml, line 2: there is no key \"batchsize\"; did you mean \"batch_size\"?"

golden_case train_refuses_a_missing_recipe
run "$HIGGINS" train "$TMP/none.yaml"
expect_code 1
expect_sentence
run "$HIGGINS" train
expect_code 2

golden_case train_needs_a_tokenizer
run "$HIGGINS" train --set corpus="$TMP/corpus.jsonl" -o "$TMP/x"
expect_code 1
expect_err "no tokenizer; make one with"

golden_case train_states_its_needs_with_plan
run "$HIGGINS" train "$TMP/r.yaml" --plan
expect_code 0
expect_err "memory: "
expect_no_file "$TMP/run/log.jsonl"

golden_case train_makes_a_model_and_its_papers
run "$HIGGINS" train "$TMP/r.yaml"
expect_code 0
expect_out "40 steps"
for f in model/model.safetensors model/config.json model/tokenizer.json report.html log.jsonl run.json tokens.hgt; do
    expect_file "$TMP/run/$f"
done
expect_equal "$(grep -c '"loss":' "$TMP/run/log.jsonl")" 40
whole=$(model_sum "$TMP/run")

# A report is to be shown to others: it has no more of this machine's folders than was given.
golden_case papers_of_a_run_have_paths_as_they_were_given
run env -C "$TMP" "$HIGGINS" train --set corpus=corpus.jsonl --set tokenizer=tok.json -o given/run/ --set depth=2 --set d_model=32 --set seq_len=32 --set steps=3 --json
expect_code 0
expect_out '"out": "given/run"'
expect_out '"model": "given/run/model"'
run env -C "$TMP" "$HIGGINS" tune given/run/model --data chat.jsonl -o given/chat --set steps=2 --lora
expect_code 0
expect grep -q 'corpus: \[&quot;corpus.jsonl&quot;\]' "$TMP/given/run/report.html"
expect grep -q 'base: &quot;given/run/model&quot;' "$TMP/given/chat/report.html"
expect grep -q '^# run$' "$TMP/given/run/model/README.md"
run env -C "$TMP" "$HIGGINS" runs given/ --page given/page.html
expect_code 0
expect_out ' given/run '
expect_equal "$(grep -rlF "$TMP" "$TMP/given" --include=*.html --include=*.json --include=*.jsonl --include=*.md)" ""

golden_case a_run_tells_the_memory_that_it_took
need=$(jq .need_bytes "$TMP/run/run.json") peak=$(jq .peak_bytes "$TMP/run/run.json")
expect [ "$peak" -gt $((1 << 20)) ]
expect [ "$peak" -lt "$need" ]

golden_case train_shows_how_it_goes_on_one_line_of_a_terminal
on_terminal() { run python3 "$ROOT/tests/golden/on_terminal.py" "$@"; }
on_terminal 200 "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/shown" --set steps=600
expect_code 0
line=$(printf '%s\n' "$OUT" | grep -a '^^\[\[Ktraining  .* left  ' | tail -1)
for part in ' of 600 steps  ' '%  ' '/s  ' ' left  ' 'loss ' ' (' ', lr ' ', norm ' ' tokens/s, ' '% of peak, ' ' J'; do
    case $line in *"$part"*) ;; *) fail "the line lacks \"$part\": $line" ;; esac
done
# Where it is narrow, what the training says of itself stays longest.
on_terminal 120 "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/shown2" --set steps=600
line=$(printf '%s\n' "$OUT" | grep -a '^^\[\[Ktraining  .* left  ' | tail -1)
case $line in *'/s  '*' left  '*) fail "the line keeps the rate: $line" ;; esac
case $line in *' J') ;; *) fail "the line is cut: $line" ;; esac

golden_case train_does_not_run_over_a_finished_run
run "$HIGGINS" train "$TMP/r.yaml"
expect_code 1
expect_sentence_last() { case $ERR in *"already holds a run"*"--resume"*) ;; *) fail "stderr: $ERR" ;; esac; }
expect_sentence_last
run "$HIGGINS" train "$TMP/r.yaml" --resume
expect_code 0
expect_err "is already finished; nothing to do"

golden_case train_prints_one_json_document
run "$HIGGINS" train "$TMP/r.yaml" --resume --json
expect_code 0
expect_out '"finished": true'
expect_out '"steps": 40'

golden_case train_stops_cleanly_on_an_interrupt_and_goes_on
"$HIGGINS" train "$TMP/r.yaml" -o "$TMP/int" --set steps=100000 >"$TMP/.o" 2>"$TMP/.e" &
pid=$!
for i in $(seq 1 100); do
    grep -q '"step":5,' "$TMP/int/log.jsonl" 2>/dev/null && break
    sleep 0.1
done
kill -INT $pid
wait $pid
CODE=$? ERR=$(cat "$TMP/.e")
expect_code 1
expect_err "of 100000, with a checkpoint; go on with --resume"
expect [ -n "$(ls "$TMP/int/checkpoints" | grep hgc)" ]
expect_file "$TMP/int/report.html"

golden_case kill_9_at_random_moments_leaves_a_run_that_goes_on_to_the_same_model
for i in $(seq 1 12); do
    "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/killed" --set checkpoint_every=1 --resume >/dev/null 2>&1 &
    pid=$!
    sleep 0.$((RANDOM % 4))$((RANDOM % 10))
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    [ -d "$TMP/killed/model" ] && { expect_file "$TMP/killed/model/model.safetensors"; expect_file "$TMP/killed/model/config.json"; }
done
run "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/killed" --set checkpoint_every=1 --resume
expect_code 0
expect_equal "$(model_sum "$TMP/killed")" "$whole"
expect_equal "$(grep -c '"loss":' "$TMP/killed/log.jsonl")" 40

golden_case tune_learns_answers_from_conversations
run "$HIGGINS" tune "$TMP/run/model" --data "$TMP/chat.jsonl" -o "$TMP/tuned" --epochs 2 --batch 2
expect_code 0
expect_err "40 conversations: 40 learnt from or held out, 0 of them cut, 0 left out"
expect_file "$TMP/tuned/model/model.safetensors"
expect grep -q im_start "$TMP/tuned/model/tokenizer_config.json" "$TMP/tuned/model/tokenizer.json"

golden_case a_comma_in_the_name_of_a_file_is_part_of_it
cp "$TMP/chat.jsonl" "$TMP/chat,1.jsonl"
cp "$TMP/corpus.jsonl" "$TMP/corpus,1.jsonl"
run "$HIGGINS" tune "$TMP/run/model" "$TMP/chat,1.jsonl" --data "$TMP/chat.jsonl" --valid "$TMP/chat,1.jsonl" -o "$TMP/comma" --plan
expect_code 0
expect_err "120 conversations: 120 learnt"
run "$HIGGINS" train "$TMP/corpus,1.jsonl" --depth 2 --tokenizer "$TMP/tok.json" -o "$TMP/comma2" --plan
expect_code 0

golden_case tune_survives_kill_9
for i in 1 2 3 4 5 6; do
    "$HIGGINS" tune "$TMP/run/model" --data "$TMP/chat.jsonl" -o "$TMP/tk" --epochs 2 --batch 2 --set checkpoint_every=1 --resume >/dev/null 2>&1 &
    pid=$!
    sleep 0.$((RANDOM % 3))$((RANDOM % 10))
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
run "$HIGGINS" tune "$TMP/run/model" --data "$TMP/chat.jsonl" -o "$TMP/tk" --epochs 2 --batch 2 --set checkpoint_every=1 --resume
expect_code 0
expect_equal "$(model_sum "$TMP/tk")" "$(model_sum "$TMP/tuned")"

golden_case tune_shows_what_is_learnt_from
run "$HIGGINS" tune "$TMP/run/model" --data "$TMP/chat.jsonl" --show-mask 1
expect_code 0
expect_out "<|im_start|>user"
expect_out "[[the hen 1<|im_end|>"

on_terminal 80 "$HIGGINS" tune "$TMP/run/model" --data "$TMP/chat.jsonl" --show-mask 1
expect_code 0
expect_out "^[[32mthe hen 1<|im_end|>"
expect_out "^[[0m"

golden_case tune_shows_calls_weights_and_what_teaches_nothing
cat >"$TMP/tools.jsonl" <<'DATA'
{"messages": [{"role": "user", "content": "hens?"}, {"role": "assistant", "tool_calls": [{"function": {"name": "count", "arguments": {"of": "hens"}}}]}, {"role": "tool", "content": "7"}, {"role": "assistant", "content": "seven", "weight": 0.5}], "tools": [{"type": "function", "function": {"name": "count"}}]}
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bad", "weight": 0}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "good"}]}
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "worse", "weight": 0}]}
DATA
run "$HIGGINS" tune "$TMP/run/model" --data "$TMP/tools.jsonl" --show-mask 3
expect_code 0
expect_out '[[<tool_call>'
expect_out '</tool_call><|im_end|>]]'
expect_out '[0.5[seven<|im_end|>]]'
expect_out '<tool_response>'
expect_out '[[good<|im_end|>]]'
expect_out '(nothing to learn: tuning leaves this line out)'
case $OUT in *'[bad'*) fail 'what has weight 0 is shown as learnt' ;; esac
{ head -3 "$TMP/chat.jsonl"; tail -1 "$TMP/tools.jsonl"; } >"$TMP/weights.jsonl"
run "$HIGGINS" tune "$TMP/run/model" --data "$TMP/weights.jsonl" -o "$TMP/tools" --set steps=2
expect_code 0
expect_err "weights.jsonl, line 4: all that the assistant says has weight 0, so there is nothing to learn; left out"
echo '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 2}]}' >"$TMP/heavy.jsonl"
run "$HIGGINS" tune "$TMP/run/model" --data "$TMP/heavy.jsonl" -o "$TMP/y"
expect_code 1
expect_sentence
expect_err "heavy.jsonl, line 1: turn 2 has the weight 2; 0 to 1 is right"

golden_case tune_learns_preferences
for i in 1 2 3 4 5 6; do echo "{\"prompt\": \"fox $i?\", \"chosen\": \"yes\", \"rejected\": \"no\"}"; done >"$TMP/pairs.jsonl"
run "$HIGGINS" tune "$TMP/run/model" --method dpo --data "$TMP/pairs.jsonl" -o "$TMP/dpo" --epochs 1 --batch 2
expect_code 0
expect grep -q '"margin":' "$TMP/dpo/log.jsonl"
expect_file "$TMP/dpo/reference.hgr"
run "$HIGGINS" tune "$TMP/run/model" --method dpo --data "$TMP/pairs.jsonl" --show-mask 1
expect_code 0
expect_out "[[yes<|im_end|>"
expect_out "[[no<|im_end|>"

golden_case tune_measures_a_task_before_and_after
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "fox $i,sly"; echo "hen $i,kind"; done >"$TMP/labels.csv"
"$HIGGINS" train "$TMP/r.yaml" --set seq_len=128 --set steps=5 --set sample_tokens=0 -o "$TMP/long" >/dev/null 2>&1
run "$HIGGINS" tune "$TMP/long/model" "$TMP/labels.csv" --task sentiment -o "$TMP/task" --epochs 2 --batch 2 --instruction "Label:" --set val_share=0.3
expect_code 0
expect_err "labels.csv: no header row; column 1 is the input, column 2 is the answer"
expect_err "held out (0.3 of them, by a hash of the row)"
expect_out "before (95%)"
expect_out "change (95%)"
expect_out "accuracy"
expect_out "macro-F1"
expect_out 'right \ after'
expect grep -q '"task": "sentiment"' "$TMP/task/task.json"
expect grep -q '<h2>Task: sentiment</h2>' "$TMP/task/report.html"
run "$HIGGINS" eval "$TMP/task/model" --task sentiment --task-data "$TMP/labels.csv" --instruction "Label:" --html "$TMP/task.html" -o "$TMP/task-eval.json"
expect_code 0
expect_out "sentiment, 24 rows held out"
expect_file "$TMP/task.html"
expect grep -q '"confusion": \[' "$TMP/task-eval.json"
printf 'fox\tFuchs\nhen\tHenne\nmoon\tMond\n' >"$TMP/words.tsv"
run "$HIGGINS" eval "$TMP/long/model" --task translation --task-data "$TMP/words.tsv" --instruction "To:" --answer-tokens 4 --json
expect_code 0
expect_out '"metric": "BLEU"'
expect_out 'case:mixed|eff:no|tok:13a|smooth:exp'
expect_out '"decoding": "greedy"'
expect_out '"answer_tokens": 4'
run "$HIGGINS" eval "$TMP/long/model" --task translation
expect_code 2
expect_err "--task NAME and --task-data FILE go together"
run "$HIGGINS" eval "$TMP/long/model" --task poetry --task-data "$TMP/words.tsv"
expect_code 2
printf 'a,b\nc\n' >"$TMP/ragged.csv"
run "$HIGGINS" tune "$TMP/long/model" "$TMP/ragged.csv" --task summary -o "$TMP/y"
expect_code 1
expect_err "ragged.csv, line 2: 1 columns; the first row has 2"

golden_case tune_names_the_line_of_a_mistake
printf '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n{"messages": 3}\n' >"$TMP/bad.jsonl"
run "$HIGGINS" tune "$TMP/run/model" --data "$TMP/bad.jsonl" -o "$TMP/y"
expect_code 1
expect_sentence
expect_err "bad.jsonl, line 2: the conversation is not a list of turns"

golden_case tune_tells_what_teaches_nothing
printf '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n{"messages": [{"role": "user", "content": "a"}]}\n' >"$TMP/half.jsonl"
run "$HIGGINS" tune "$TMP/run/model" --data "$TMP/half.jsonl" -o "$TMP/z" --set steps=1
expect_code 0
expect_err "half.jsonl, line 2: the assistant says nothing, so there is nothing to learn; left out"
expect_err "1 left out"

golden_case train_chooses_all_from_one_dial
run "$HIGGINS" train "$TMP/corpus.jsonl" --depth 1 -o "$TMP/dial" --plan --json
expect_code 0
for part in "no tokenizer: making one of 2048 pieces" "compute-optimal: " "which limits the run" "batch of " "learning rate " " minutes" "memory: "; do expect_err "$part"; done
expect_out '"plan_seconds": '
# What a plan for another text left in the folder is not taken for this one's; what this one's plan left is.
sed 's/the/thou/g' "$TMP/corpus.jsonl" >"$TMP/other.jsonl"
run "$HIGGINS" train "$TMP/other.jsonl" --depth 1 -o "$TMP/dial" --plan
expect_err "no tokenizer: making one"
run "$HIGGINS" train "$TMP/corpus.jsonl" --depth 1 -o "$TMP/dial" --plan
expect_err "no tokenizer: making one"
run "$HIGGINS" train "$TMP/corpus.jsonl" --depth 1 -o "$TMP/dial" --set steps=12 --set sample_tokens=0
expect_code 0
case $ERR in *"no tokenizer"*) fail "the corpus's own tokenizer was made again" ;; esac
expect_out "12 steps"
expect_file "$TMP/dial/model/model.safetensors"

golden_case train_writes_events_that_a_reader_of_its_own_opens
run "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/events" --set tensorboard=true --set checkpoint_every=7 --set max_minutes=0
expect_code 0
run /usr/bin/python3 "$ROOT/tests/harness/read_events.py" "$TMP/events"
expect_code 0
expect_equal "$(printf '%s\n' "$OUT" | grep -c ' loss/training ')" 40
expect_equal "$(printf '%s\n' "$OUT" | awk '$1 == 17 && $2 == "loss/training" { printf "%.3f", $3 }')" \
    "$(sed -n 's/^{"step":17,"loss":\([0-9.]*\).*/\1/p' "$TMP/events/log.jsonl" | awk '{ printf "%.3f", $1 }')"
expect_out "loss/held out"

golden_case runs_compares_runs_in_a_table_and_a_plot
mkdir -p "$TMP/both"
cp -r "$TMP/run" "$TMP/both/a"
cp -r "$TMP/events" "$TMP/both/b"
run "$HIGGINS" runs "$TMP/both" --page "$TMP/both/page.html"
expect_code 0
expect_out "held out"
expect_out "$TMP/both/a"
expect_out "$TMP/both/b"
expect_out " tokens"
expect grep -q '<svg' "$TMP/both/page.html"
for title in 'Loss, smoothed' 'Held-out loss' 'Held-out loss over time'; do expect grep -q ">$title<" "$TMP/both/page.html"; done
run "$HIGGINS" runs "$TMP/both/a" "$TMP/both/b" --json
expect_code 0
expect_out '"steps": 40, "total_steps": 40'
mkdir -p "$TMP/no-runs"
run "$HIGGINS" runs "$TMP/no-runs"
expect_code 1
expect_sentence
expect_err "no run in it (a run has a log.jsonl)"

golden_case a_checkpoint_can_be_exported_at_any_step
run "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/steps" --set checkpoint_every=10 --set keep_every=20 --set save_type=f32
expect_code 0
run "$HIGGINS" export "$TMP/steps" -o "$TMP/at40" --type f32
expect_code 0
expect_err "the model at step 40"
expect cmp "$TMP/at40/model.safetensors" "$TMP/steps/model/model.safetensors"
run "$HIGGINS" export "$TMP/steps" --step 20 -o "$TMP/at20.gguf"
expect_code 0
run "$HIGGINS" generate "$TMP/at20.gguf" "the fox" --max-tokens 4 --temperature 0
expect_code 0
run "$HIGGINS" export "$TMP/steps" --step 10 -o "$TMP/at10"
expect_code 1
expect_sentence
run "$HIGGINS" export "$TMP/steps/model" --step 10 -o "$TMP/x.gguf"
expect_code 2

golden_case corpora_are_mixed_by_weights
head -40 "$TMP/corpus.jsonl" >"$TMP/one.jsonl"
tail -80 "$TMP/corpus.jsonl" >"$TMP/two.jsonl"
run "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/mixed" --set corpus="$TMP/one.jsonl,$TMP/two.jsonl" --set weights=3,1 --set steps=6
expect_code 0
expect_file "$TMP/mixed/tokens.hgt.1"
expect_file "$TMP/mixed/tokens.hgt.2"
run "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/mixed2" --set weights=3,1 --set steps=6
expect_code 1
expect_sentence
expect_err "weights: 2 of them for 1 corpora; one for each is needed"


golden_case runs_of_damaged_logs_are_shown_as_far_as_they_go
mkdir -p "$TMP/damaged/a" "$TMP/many"
printf '{"step":10,"loss":2,"tokens":1e308}\n{"step":-20,"loss":-1.7e308,"tokens":1e308}\n{"step":1e300,"loss":1.7e308}\n' >"$TMP/damaged/a/log.jsonl"
run "$HIGGINS" runs "$TMP/damaged"
expect_code 0
expect_out "damaged/a"
for i in $(seq 65); do mkdir "$TMP/many/$i" && echo '{"step":1,"loss":2}' >"$TMP/many/$i/log.jsonl"; done
run "$HIGGINS" runs "$TMP/many"
expect_code 1
expect_sentence
expect_err "many: more than 64 runs; name those to compare"

golden_end

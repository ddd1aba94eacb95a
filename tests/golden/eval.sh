#!/usr/bin/env bash
# eval as users run it: a tiny model, sets of each form, text, reports, malformed rows.
. "$(dirname "$0")/../harness/golden.sh"

for i in $(seq 1 60); do
    printf '{"text": "Story %d. The cat sat on the mat and the dog %d ran. The old man saw the red barn."}\n' "$i" $((i % 7))
done >"$TMP/corpus.jsonl"
"$HIGGINS" tokenizer train "$TMP/corpus.jsonl" --vocab 300 -o "$TMP/tok.json" >/dev/null 2>&1
"$HIGGINS" train --set corpus="$TMP/corpus.jsonl" --set tokenizer="$TMP/tok.json" --set out="$TMP/run" --set depth=1 \
    --set d_model=32 --set n_heads=2 --set seq_len=64 --set batch_size=4 --set steps=30 --set val_rows=2 --set sample_tokens=0 \
    -q >/dev/null 2>"$TMP/train.err"
MODEL="$TMP/run/model"

golden_case there_is_a_model_to_evaluate
expect_file "$MODEL/model.safetensors"

golden_case eval_prints_a_table_with_intervals_and_chance
run "$HIGGINS" eval "$MODEL" --text "$TMP/corpus.jsonl"
expect_code 0
expect_out "bits per byte"
expect_out "perplexity per token"
expect_out "minimal pairs"
expect_out "accuracy by byte"
expect_out "50.0%"
expect_out "tokens/s"

golden_case eval_is_the_same_for_the_same_seed_and_any_number_of_threads
figures() { grep -E '"(task|value|low|high|n_correct)"'; }
"$HIGGINS" eval "$MODEL" --text "$TMP/corpus.jsonl" --seed 3 --limit 9 --threads 1 --json | figures >"$TMP/a"
"$HIGGINS" eval "$MODEL" --text "$TMP/corpus.jsonl" --seed 3 --limit 9 --threads 2 --json | figures >"$TMP/b"
expect_file "$TMP/a"
expect cmp "$TMP/a" "$TMP/b"

golden_case eval_writes_json_and_a_page
run "$HIGGINS" eval "$MODEL" --limit 5 --json -o "$TMP/out.json" --html "$TMP/out.html"
expect_code 0
expect_equal "$OUT" "$(cat "$TMP/out.json")"
expect_out '"task": "answers"'
expect grep -q "How each was measured" "$TMP/out.html"

golden_case eval_reads_sets_of_a_folder
mkdir -p "$TMP/sets/blimp" "$TMP/sets/hellaswag"
printf '{"sentence_good": "The cat sat.", "sentence_bad": "Cat the sat."}\n' >"$TMP/sets/blimp/order.jsonl"
printf '{"sentence_good": "The dog ran.", "sentence_bad": "Dog the ran."}\n' | gzip >"$TMP/sets/blimp/more.jsonl.gz"
printf 'A man sits. he\n1\nruns.\nsits.\nflies.\nis.\n' >"$TMP/sets/hellaswag/hellaswag_val.txt"
printf '{"question": "Who sat?", "answer": ["the cat", "cat"]}\n' >"$TMP/sets/questions.jsonl"
run "$HIGGINS" eval "$MODEL" --no-builtin --data "$TMP/sets" --json
expect_code 0
expect_out '"task": "blimp"'
expect_out '"n": 2'
expect_out '"task": "hellaswag"'
expect_out '"task": "questions"'

golden_case a_malformed_row_is_named_by_file_and_line
printf '{"prompt": "a", "answer": "b"}\n{"prompt": "a", "answer": \n' >"$TMP/sets/questions.jsonl"
run "$HIGGINS" eval "$MODEL" --no-builtin --data "$TMP/sets"
expect_code 1
expect_sentence
expect_err "questions.jsonl:2: line 1"

golden_case what_is_not_there_is_said
run "$HIGGINS" eval "$MODEL" --suite huge
expect_code 1
expect_err 'no suite "huge"; there are quick and full'
run "$HIGGINS" eval "$MODEL" --text "$TMP/nowhere"
expect_code 1
expect_sentence
run "$HIGGINS" eval "$TMP/nowhere"
expect_code 1
expect_sentence

golden_end

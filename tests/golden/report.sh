#!/usr/bin/env bash
# higgins report: one page from what the stages leave in a folder.
. "$(dirname "$0")/../harness/golden.sh"

golden_case report_refuses_a_folder_without_a_life
mkdir "$TMP/empty"
run "$HIGGINS" report "$TMP/empty"
expect_code 1
expect_sentence
expect_err "holds nothing of a model's life"

golden_case report_tells_each_stage_that_is_there
L=$TMP/life
mkdir -p "$L/corpus" "$L/base" "$L/samples"
printf '{"documents": 12, "chars": 3456, "sources": [{"source": "notes", "documents": 12}], "dropped_by_reason": [{"reason": "near_empty", "meaning": "too short", "count": 3}]}' >"$L/corpus/card.json"
printf '{"step": 1, "loss": 5.5, "lr": 0.1, "tokens": 64, "time": 1, "joules": 2}\n{"step": 1, "prompt": "Once", "sample": " upon <b>a time"}\n{"step": 2, "loss": 4.5, "val_loss": 4.75, "time": 2}\n{"step": 3, "lo' >"$L/base/log.jsonl"
printf '{"params": 4000000}' >"$L/base.json"
printf '{"text": "gibberish"}' >"$L/samples/1-before.json"
printf '{"text": "an answer"}' >"$L/samples/1-after.json"
printf 'Who are you?' >"$L/samples/1.txt"
printf '{"results": [{"task": "pairs", "metric": "accuracy", "value": 0.5, "low": 0.4, "high": 0.6, "chance": 0.5, "n": 60}, {"task": "sense", "metric": "accuracy", "value": 0.3, "low": 0.2, "high": 0.4, "n": 41}]}' >"$L/eval-base.json"
printf '{"results": [{"task": "pairs", "metric": "accuracy", "value": 0.7, "low": 0.6, "high": 0.8, "chance": 0.5, "n": 60}, {"task": "sense", "metric": "accuracy", "value": 0.4, "low": 0.3, "high": 0.5, "n": 41}]}' >"$L/eval-chat.json"
run "$HIGGINS" report "$L"
expect_code 0
expect_equal "$OUT" "$L/report.html"
OUT=$(cat "$L/report.html")
for part in 'near_empty' '4.00 M' 'Loss in training' 'after step 1: Once' 'upon &lt;b&gt;a time' 'Who are you?' 'gibberish' 'an answer' \
    'pairs' '0.500 [0.400, 0.600]' '0.700 [0.600, 0.800]' '0.300 [0.200, 0.400]' '0.400 [0.300, 0.500]'; do expect_out "$part"; done
case $OUT in *'<script'* | *'src="http'*) fail "the page is not self-contained" ;; esac

golden_case report_names_the_line_of_a_broken_log
printf 'nonsense\n' >"$L/base/log.jsonl"
cp "$L/report.html" "$TMP/before.html"
run "$HIGGINS" report "$L"
expect_code 1
expect_sentence
expect_err "log.jsonl line 1"
expect cmp -s "$L/report.html" "$TMP/before.html"

golden_end

#!/usr/bin/env bash
# How fast a model runs, as users and programs read it. Nothing here is held to a time.
. "$(dirname "$0")/../harness/golden.sh"

"$ROOT/build/release/tests/make_model" "$TMP/model" || exit 1
field() { printf '%s' "$1" | python3 -c "import json, sys; print(json.load(sys.stdin)$2)"; }

golden_case bench_shows_each_job_beside_the_machine
run "$HIGGINS" bench "$TMP/model" --prompt 64 --decode 8 --depth 0,32 --sessions 2 --repeat 1
expect_code 0
expect_out "read a prompt of 64"
expect_out "answer 8 behind 32"
expect_out "answer 2 at once, 8 each"
expect_out "share"

golden_case bench_as_json_has_a_row_for_each_job
run "$HIGGINS" bench "$TMP/model" --prompt 64 --decode 8 --depth 0,32 --sessions 0 --repeat 1 --json
expect_code 0
expect_equal "$(field "$OUT" "['rows'][2]['past']")" 32
expect_equal "$(field "$OUT" "['rows'][0]['kind']")" prefill
expect_equal "$(python3 -c "import json, sys; print(all(r['tokens_per_second'] > 0 and r['limit'] > 0 for r in json.loads(sys.argv[1])['rows']))" "$OUT")" True

golden_case bench_refuses_what_is_no_list_of_numbers
run "$HIGGINS" bench "$TMP/model" --depth 1,x
expect_code 2
expect_sentence
expect_err "--depth 1,x: numbers with commas between"

golden_case bench_says_when_the_context_is_too_short
run "$HIGGINS" bench "$TMP/model" --prompt 4000
expect_code 1
expect_sentence
expect_err "a context of 4000 tokens was asked for; the model has 1024"
golden_end

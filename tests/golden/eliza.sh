#!/usr/bin/env bash
# ELIZA as users meet it: its own command, and wherever a model is asked for.
. "$(dirname "$0")/../harness/golden.sh"

cat >"$TMP/small.script" <<'END'
(WHAT IS NEW)
(CAT 3 ((0 MY CAT 0) (YOUR CAT 4) (AND THE CAT)) ((0) (WHICH CAT)))
(ROUND ((0) (PRE (1 ROUND) (=ROUND))))
(MY = YOUR ((0 YOUR 0) (WHY YOUR 3)))
(NONE ((0) (GO ON) (AND THEN)))
(MEMORY MY (0 YOUR 0 = A 3) (0 YOUR 0 = B 3) (0 YOUR 0 = C 3) (0 YOUR 0 = D 3))
END

golden_case eliza_answers_each_line_of_stdin_with_a_line
run_in $'my hat fell\nhm, and so on\n\nmy shoe' "$HIGGINS" eliza --script "$TMP/small.script"
expect_code 0
expect_equal "$OUT" $'WHY YOUR HAT FELL\nGO ON'
expect_equal "$ERR" 'WHAT IS NEW'

golden_case eliza_speaks_english_and_french_of_its_own
run_in $'I am sad\n' "$HIGGINS" eliza
expect_code 0
expect_equal "$OUT" 'WHEN DID YOU FIRST NOTICE THAT YOU WERE SAD'
run_in $'Je suis triste\n' "$HIGGINS" eliza --lang fr
expect_equal "$OUT" 'QUAND AVEZ-VOUS REMARQUÉ QUE VOUS ÉTIEZ TRISTE'
run "$HIGGINS" eliza --lang de
expect_code 2
expect_err '--lang: "de" is not en or fr; --script takes a file'

golden_case eliza_shows_each_step_of_its_thought
run_in $'well, my hat, it fell\n' "$HIGGINS" eliza --script "$TMP/small.script" --trace
expect_code 0
expect_out '  reads      WELL , MY HAT , IT FELL  LIMIT is 2 of 4'
expect_out '  drops      WELL  at ,'
expect_out '  turns      MY into YOUR'
expect_out '  keystack   MY'
expect_out '  fits       0 YOUR 0  decomposition 1 of 1'
expect_out '  pieces     1 -  2 YOUR  3 HAT'
expect_out '  uses       WHY YOUR 3  reassembly 1 of 1'
expect_out '  remembers  '
expect_equal "$(printf '%s\n' "$OUT" | grep -v '^  ')" 'WHY YOUR HAT'

golden_case eliza_tells_rules_when_asked_with_a_star
run_in $'*key\n*key none\n*key dog\nmy hat\n*\n*help\n' "$HIGGINS" eliza --script "$TMP/small.script" --quiet
expect_code 0
expect_out 'CAT ROUND MY'
expect_out '(NONE ((0) (GO ON) (AND THEN)))'
expect_out 'no rule is for dog'
expect_out '  replies    WHY YOUR HAT'
expect_out '*key WORD'

golden_case eliza_prints_json
run_in $'my hat\n' "$HIGGINS" eliza --script "$TMP/small.script" --json --trace
expect_code 0
expect_equal "$(printf '%s' "$OUT" | python3 -c 'import json,sys
d = json.load(sys.stdin); t = d["turns"][0]
print(d["opening"], "|", t["input"], "|", t["reply"], "|", [e["parts"] for e in t["trace"] if e["step"] == "match"], t["trace"][-1]["step"])')" "WHAT IS NEW | my hat | WHY YOUR HAT | [['', 'YOUR', 'HAT']] reply"

golden_case eliza_writes_a_page
run_in $'my <hat>\n' "$HIGGINS" eliza --script "$TMP/small.script" --html "$TMP/page.html"
expect_code 0
expect_file "$TMP/page.html"
expect grep -q '<p class="you">my &lt;hat&gt;</p>' "$TMP/page.html"
expect grep -q 'Script small.script: 5 rules' "$TMP/page.html"
expect grep -q '<span class="p q3">&lt;HAT&gt;</span>' "$TMP/page.html"
[ -z "$(grep -E '<script|https?://' "$TMP/page.html")" ] || fail "the page asks for something outside"

golden_case eliza_compares_with_recorded_replies
printf '# a remark\nmy hat\tWHY YOUR HAT\nhm\tGO ON\n' >"$TMP/a.tsv"
printf 'hm\tA HAT\nhm\tno\n' >"$TMP/b.tsv"
run "$HIGGINS" eliza --script "$TMP/small.script" --replay "$TMP/a.tsv"
expect_code 0
expect_equal "$ERR" '2 of 2 replies are as recorded'
run "$HIGGINS" eliza --script "$TMP/small.script" --replay "$TMP/a.tsv" --replay "$TMP/b.tsv"
expect_code 1
expect_err "b.tsv, line 2: the reply is \"AND THEN\", not \"no\""

golden_case eliza_holds_the_recorded_conversations
E=$DATA/eliza
if [ -d "$E" ]; then
    run "$HIGGINS" eliza --script "$E/scripts/ELIZA-script-DOCTOR-original-1966-CACM-appendix.txt" \
        --replay "$E/conversations/weizenbaum_1966_cacm_conversation.tsv" --replay "$E/conversations/imagined_continuation_hay_2023.tsv"
    expect_code 0
    expect_equal "$ERR" '36 of 36 replies are as recorded'
    run "$HIGGINS" eliza --script "$E/scripts/ELIZA-script-02-000311051-1965-03-06-TAPE-100.txt" --replay "$E/conversations/real_7094_tape100.tsv"
    expect_code 0
    expect_err '1 more differ in a space before a comma alone'
    run "$HIGGINS" eliza --script "$E/scripts/ELIZA-script-02-000311051-1965-03-06-TAPE-100.txt" --replay "$E/conversations/real_7094_tape100.tsv" --commas-apart
    expect_equal "$ERR" '15 of 15 replies are as recorded'
else
    skip "needs the data folder eliza"
fi

golden_case eliza_names_line_rule_and_remedy
printf '()\n(NONE ((0) (SO)))\n(K ((0 K 0)\n  (SAY 4)))\n' >"$TMP/bad.script"
run "$HIGGINS" eliza --script "$TMP/bad.script"
expect_code 1
expect_sentence
expect_err "bad.script: Script error on line 4: reassembly index '4' out of range [1..3]; in the rule K: a number in a reply names an item of its pattern, the first is 1"
run "$HIGGINS" eliza --script /nowhere/x
expect_code 1
expect_sentence

golden_case eliza_stops_a_script_that_never_ends
run_in $'round\nhm\n' "$HIGGINS" eliza --script "$TMP/small.script" --quiet
expect_code 1
expect_equal "$OUT" 'GO ON'
expect_err 'the script does not end: after '
expect_err ' transformations it is still at the keyword ROUND'

golden_case chat_and_generate_take_eliza_for_a_model
run_in $'my hat\nhm\n/retry\n' "$HIGGINS" chat "eliza:$TMP/small.script"
expect_code 0
expect_equal "$OUT" $'WHY YOUR HAT\nGO ON\nGO ON'
run_in $'my hat\n' "$HIGGINS" chat "eliza:$TMP/small.script" --json
expect_out '"prompt_tokens": 2'
expect_out '"completion_tokens": 3'
run "$HIGGINS" generate "eliza:$TMP/small.script" "my hat" --max-tokens 2
expect_equal "$OUT" 'WHY YOUR'
for extra in "--logprobs 2" "--json-object" "--lora x" "--session $TMP/s"; do
    run "$HIGGINS" generate eliza "my hat" $extra
    expect_code 1
    expect_sentence
    expect_err ELIZA
done
run "$HIGGINS" eval eliza
expect_code 1
expect_err 'eliza: the sets ask how likely a text is, and ELIZA has no probabilities'

golden_case serve_takes_eliza_for_a_model
"$HIGGINS" serve "eliza:$TMP/small.script" --name small --port 0 --json --quiet --no-token --data "$TMP/data" >"$TMP/ready" 2>"$TMP/told" &
SERVER=$!
for _ in $(seq 1200); do [ -s "$TMP/ready" ] && break; sleep 0.05; done
URL=$(sed 's/.*"url": "\([^"]*\)".*/\1/' "$TMP/ready")
run curl -s "$URL/v1/models"
expect_out '"data":[{"id":"small","object":"model"'
run curl -s "$URL/v1/chat/completions" -d '{"model":"small","messages":[{"role":"user","content":"my hat"},{"role":"assistant","content":"WHY YOUR HAT"},{"role":"user","content":"hm"},{"role":"assistant","content":"GO ON"},{"role":"user","content":"hm"}]}'
expect_out '"content":"A HAT"'
expect_out '"finish_reason":"stop"'
expect_out '"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11'
run curl -sN "$URL/v1/chat/completions" -d '{"model":"small","stream":true,"messages":[{"role":"user","content":"my hat"}]}'
expect_out '"delta":{"content":"WHY"}'
expect_out '"delta":{"content":" YOUR"}'
expect_out 'data: [DONE]'
run curl -s "$URL/v1/completions" -d '{"model":"small","prompt":"my hat"}'
expect_out '"text":"WHY YOUR HAT"'
run curl -s "$URL/v1/chat/completions" -d '{"model":"small","messages":[{"role":"user","content":"round"}]}'
expect_out 'the script does not end'
run curl -s "$URL/v1/chat/completions" -d '{"model":"weizenbaum/eliza","messages":[{"role":"system","content":"be kind"}]}'
expect_out '"content":"GOOD EVENING. SIT WHERE YOU LIKE AND TELL ME ABOUT YOUR DAY"'
kill -TERM $SERVER
wait $SERVER
golden_end

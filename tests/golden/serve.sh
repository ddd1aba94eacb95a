#!/usr/bin/env bash
# higgins serve as it is started and ended; what programs and people do with it is tested under tests/node.
. "$(dirname "$0")/../harness/golden.sh"
M=$TMP/tiny
"$ROOT/build/release/tests/make_model" "$M" || exit 1

# start ARGS...: runs the server in the background; its first line is in $READY, its address in $URL.
start() {
    rm -f "$TMP/ready" # what an earlier server wrote is no sign of this one
    "$HIGGINS" serve --data "$TMP/data" "$@" >"$TMP/ready" 2>"$TMP/told" &
    SERVER=$!
    for _ in $(seq 1200); do
        [ -s "$TMP/ready" ] && break
        kill -0 $SERVER 2>/dev/null || break
        sleep 0.05
    done
    READY=$(cat "$TMP/ready" 2>/dev/null)
    URL=$(grep -o 'http://[0-9a-z.:]*' "$TMP/ready" 2>/dev/null | head -1)
}
stop() { # stop [SIGNAL]: the exit code is in $CODE, all of stderr in $ERR
    kill -"${1:-TERM}" $SERVER
    wait $SERVER
    CODE=$?
    ERR=$(cat "$TMP/told")
}

golden_case serve_tells_where_it_is_and_how_it_is_used
start "$M" --port 0 --no-token
OUT=$READY
expect_out "tiny is served at http://127.0.0.1:"
expect_out "/v1 (OpenAI's API)"
run curl -s "$URL/health"
expect_equal "$OUT" '{"status":"ok"}'
stop TERM
expect_code 0
expect_err "curl $URL/v1/chat/completions -H 'Content-Type: application/json'"
expect_err "new OpenAI({ baseURL: '$URL/v1', apiKey: 'none' })"
expect_err "OpenAI(base_url=\"$URL/v1\", api_key=\"none\")"
expect_err "Anthropic({ baseURL: '$URL' }), GoogleGenAI({ httpOptions: { baseUrl: '$URL' } }),"
expect_err "Ollama({ host: '$URL' })"
expect_err "higgins: ended; every answer was finished"

golden_case serve_the_curl_line_it_prints_works
start "$M" --port 0 --api-key sesame
LINE=$(sed -n '/^  curl /,/}'"'"'$/p' "$TMP/told" | sed 's/^  curl    //; s/YOUR-KEY/sesame/')
OUT=$(eval "$LINE" 2>/dev/null)
expect_out '"object":"chat.completion"'
stop INT
expect_code 0

golden_case serve_answers_in_json_when_asked
start "$M" --port 0 --no-token --json --name owner/bird
expect_equal "$READY" "{\"url\": \"$URL\", \"base_url\": \"$URL/v1\", \"model\": \"owner/bird\", \"api_key\": false}"
run curl -s "$URL/v1/models"
expect_out '"id":"owner/bird"'
stop

golden_case serve_takes_its_key_from_the_environment
HIGGINS_API_KEY=sesame start "$M" --port 0 --json
run curl -s "$URL/v1/models"
expect_out 'this server asks for its key: Authorization: Bearer KEY'
run curl -s -H 'Authorization: Bearer sesame' "$URL/v1/models"
expect_out '"id":"tiny"'
stop

golden_case serve_says_when_a_port_is_taken
start "$M" --port 0
run "$HIGGINS" serve "$M" --port "${URL##*:}" --quiet --data "$TMP/other"
expect_code 1
expect_sentence
expect_err "cannot listen on 127.0.0.1, port ${URL##*:}: Address already in use; --port 0 takes any free port"
stop

golden_case serve_lets_nobody_in_without_a_token
start "$M" --port 0 --json --data "$TMP/fresh"
TOKEN=$(sed 's/.*"token": "\([^"]*\)".*/\1/' "$TMP/ready")
OUT=$READY
expect_out '"api_key": true, "token": "hg_'
run curl -s "$URL/v1/models"
expect_out 'this server asks for a token: Authorization: Bearer TOKEN'
run curl -s -H "Authorization: Bearer $TOKEN" "$URL/v1/models"
expect_out '"id":"tiny"'
stop
start "$M" --port 0 --data "$TMP/fresh"
OUT=$READY
case $OUT in *hg_*) OUT="a second start shows a token" ;; *) OUT="" ;; esac
expect_equal "$OUT" ""
run curl -s -H "Authorization: Bearer $TOKEN" "$URL/v1/models"
expect_out '"id":"tiny"'
stop

golden_case token_is_made_listed_and_revoked
run "$HIGGINS" token add anna --data "$TMP/data" --quiet
expect_code 0
TOKEN=$OUT
run "$HIGGINS" token list --data "$TMP/data"
expect_out "anna"
expect_out "600"
start "$M" --port 0
run curl -s -H "Authorization: Bearer $TOKEN" "$URL/v1/models"
expect_out '"id":"tiny"'
run "$HIGGINS" token revoke anna --data "$TMP/data"
expect_code 0
run curl -s -H "Authorization: Bearer $TOKEN" "$URL/v1/models"
expect_out "the token is not one of this server's"
stop
run "$HIGGINS" token revoke anna --data "$TMP/data"
expect_code 1
expect_err "there is no token anna; higgins token list shows them"
run "$HIGGINS" token add anna --scopes everything --data "$TMP/data"
expect_code 2
expect_err "--scopes everything: run, metrics, or all"
run env -u XDG_DATA_HOME -u HOME "$HIGGINS" token list
expect_code 1
expect_err "no HOME says where to keep data; --data DIR does"

golden_case serve_loads_the_models_of_a_folder_on_demand
mkdir -p "$TMP/many/owner"
cp -r "$M" "$TMP/many/owner/a"
cp -r "$M" "$TMP/many/b"
printf 'aliases:\n  meta/meta-llama-3-70b-instruct: b\n' >"$TMP/serve.yaml"
start "$TMP/many" --port 0 --no-token --config "$TMP/serve.yaml" --memory 1
run curl -s "$URL/v1/completions" -d '{"model":"meta/meta-llama-3-70b-instruct","prompt":"Once","max_tokens":4}'
expect_out '"model":"b"'
run curl -s "$URL/v1/completions" -d '{"model":"owner/a","prompt":"Once","max_tokens":4}'
expect_out '"model":"owner/a"'
stop
expect_err "2 models, loaded when they are asked for, in 1"
run "$HIGGINS" serve "$TMP/many" --config "$TMP/nowhere.yaml" --data "$TMP/data" --quiet
expect_code 1
expect_sentence

golden_case serve_without_tokens_is_for_this_machine_alone
run "$HIGGINS" serve "$M" --port 0 --host 0.0.0.0 --no-token --data "$TMP/data"
expect_code 2
expect_err "--no-token is for this machine alone; 0.0.0.0 can be reached by others"

golden_case serve_finishes_an_open_answer_when_it_is_ended
start "$M" --port 0 --no-token
rm -f "$TMP/stream"
curl -sN "$URL/v1/completions" -d '{"model":"tiny","prompt":"Once","max_tokens":400,"stream":true}' >"$TMP/stream" &
CURL=$!
for _ in $(seq 6000); do [ -s "$TMP/stream" ] && break; sleep 0.01; done
stop
wait $CURL
expect_code 0
OUT=$(tail -2 "$TMP/stream")
expect_out 'data: [DONE]'

golden_case serve_refuses_what_makes_no_sense
run "$HIGGINS" serve
expect_code 2
run "$HIGGINS" serve /nowhere --data "$TMP/data"
expect_code 1
expect_sentence
run "$HIGGINS" serve "$M" --port 70000
expect_code 2
run "$HIGGINS" serve "$M" --context 100000 --data "$TMP/data" --quiet
expect_code 1
expect_sentence
expect_err "a context of 100000 tokens; the model has been made for 1024"
run "$HIGGINS" serve "$M" --name 'no spaces' --data "$TMP/data" --quiet
expect_code 1
expect_err '"no spaces" cannot name a model; use 1 to 127 letters, digits and - . _ / :'
run "$HIGGINS" serve "$M" --api-key '' --data "$TMP/data" --quiet
expect_code 1
expect_err "the API key is empty; give one, or leave the option out"
run "$HIGGINS" serve "$M" --host no.such.host.invalid --data "$TMP/data" --quiet
expect_code 1
expect_err "cannot listen on no.such.host.invalid: "

golden_end

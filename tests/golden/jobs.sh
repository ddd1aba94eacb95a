#!/usr/bin/env bash
# Training jobs of the server over its end: kill -9 in their middle, SIGTERM, and what a start makes of it. The client's side is tested under tests/node.
. "$(dirname "$0")/../harness/golden.sh"
M=$TMP/tiny
"$ROOT/build/release/tests/make_model" "$M" || exit 1
for i in $(seq 40); do
    printf '{"messages": [{"role": "user", "content": "What is %d?"}, {"role": "assistant", "content": "It is a number, my dear, and no small one."}]}\n' "$i"
done >"$TMP/data.jsonl"

# start DATA: a server over the data folder DATA.
start() {
    rm -f "$TMP/ready"
    "$HIGGINS" serve "$M" --port 0 --no-token --quiet --data "$1" >"$TMP/ready" 2>"$TMP/told" &
    SERVER=$!
    for _ in $(seq 1200); do
        [ -s "$TMP/ready" ] && break
        kill -0 $SERVER 2>/dev/null || break
        sleep 0.05
    done
    URL=$(grep -o 'http://[0-9a-z.:]*' "$TMP/ready" | head -1)/v1
}
end() { # end SIGNAL
    kill -"$1" $SERVER
    wait $SERVER 2>/dev/null
    CODE=$?
}
field() { # field NAME < JSON: the first member of that name
    sed -n 's/.*"'"$1"'":"\{0,1\}\([^",}]*\).*/\1/p' | head -1
}
upload() { curl -s "$URL/files" -F purpose=fine-tune -F "file=@$TMP/data.jsonl" | sed 's/{"id":"\([^"]*\)".*/\1/'; }
create() { # create EPOCHS [FILE]: the job's id
    curl -s "$URL/fine_tuning/jobs" -H 'Content-Type: application/json' \
        -d "{\"model\": \"tiny\", \"training_file\": \"${2:-$(upload)}\", \"seed\": 3, \"hyperparameters\": {\"n_epochs\": $1, \"batch_size\": 1}}" | field id
}
job() { curl -s "$URL/fine_tuning/jobs/$1"; }
# The greatest step that a metrics event tells.
step() { curl -s "$URL/fine_tuning/jobs/$1/events?limit=5" | grep -o '"data":{"step":[0-9]*' | head -1 | grep -o '[0-9]*$'; }
wait_for() { # wait_for ID STATUS
    for _ in $(seq 2400); do
        STATUS=$(job "$1" | grep -o '"status":"[a-z_]*"' | head -1 | cut -d'"' -f4)
        [ "$STATUS" = "$2" ] && return
        case $STATUS in failed | succeeded | cancelled) break ;; esac
        sleep 0.05
    done
    fail "the job is $STATUS, not $2: $(job "$1")"
}
wait_for_step() { # wait_for_step ID N
    for _ in $(seq 2400); do
        [ "$(step "$1" 2>/dev/null || echo 0)" -ge "$2" ] 2>/dev/null && return
        sleep 0.02
    done
    fail "the job does not come to step $2"
}
sum_of_model() { # sum_of_model DATA: of the adapter that came last, without its name
    find "$1/models" -name adapter_model.safetensors | sort | tail -1 | xargs sha256sum | cut -d' ' -f1
}
# What of the table does not depend on the clock: steps and losses.
table() { curl -s "$URL/files/$(job "$1" | sed -n 's/.*"result_files":\["\([^"]*\)".*/\1/p')/content" | cut -d, -f1,2; }

golden_case a_job_that_nothing_stops_is_the_measure
start "$TMP/whole"
J=$(create 30)
wait_for "$J" succeeded
WHOLE=$(sum_of_model "$TMP/whole")
TABLE=$(table "$J")
OUT=$TABLE
expect_out "step,train_loss"
end TERM
expect_code 0

golden_case a_job_survives_kill_9_and_comes_to_the_same_model
start "$TMP/killed"
J=$(create 30)
N=$(printf '%s\n' "$TABLE" | tail -1 | cut -d, -f1)
for at in $((N / 6 + 1)) $((N / 2)) $((N * 4 / 5)); do
    wait_for_step "$J" "$at"
    end KILL
    start "$TMP/killed"
done
wait_for "$J" succeeded
OUT=$(curl -s "$URL/fine_tuning/jobs/$J/events?limit=100")
while case $OUT in *'"has_more":true'*) true ;; *) false ;; esac; do
    ALL=${ALL:-}$OUT
    OUT=$(curl -s "$URL/fine_tuning/jobs/$J/events?limit=100&after=$(printf '%s' "$OUT" | sed -n 's/.*"last_id":"\([^"]*\)".*/\1/p')")
done
OUT=${ALL:-}$OUT
expect_out "The job goes on from its last checkpoint"
expect_equal "$(printf '%s' "$OUT" | grep -o '"type":"metrics"' | wc -l)" "$N"
expect_equal "$(table "$J")" "$TABLE"
expect_equal "$(sum_of_model "$TMP/killed")" "$WHOLE"
expect_no_file "$TMP/killed/trainings/$J"

golden_case the_model_of_a_job_answers_after_a_restart
MODEL=$(job "$J" | field fine_tuned_model)
end KILL
start "$TMP/killed"
run curl -s "$URL/chat/completions" -H 'Content-Type: application/json' -d "{\"model\": \"$MODEL\", \"max_tokens\": 3, \"messages\": [{\"role\": \"user\", \"content\": \"What is 3?\"}]}"
expect_out '"completion_tokens":' # how many are the model's affair
run curl -s -X DELETE "$URL/models/$MODEL"
expect_out '"deleted":true'
end TERM
start "$TMP/killed"
run curl -s "$URL/models/$MODEL"
expect_out 'model_not_found'
end TERM

golden_case a_server_that_ends_leaves_its_job_to_the_next
start "$TMP/ended"
J=$(create 400)
wait_for_step "$J" 3
end TERM
expect_code 0
start "$TMP/ended"
wait_for "$J" running
S=$(step "$J")
wait_for_step "$J" $((S + 2))

golden_case a_job_that_was_cancelled_stays_so_over_a_kill
run curl -s -X POST "$URL/fine_tuning/jobs/$J/cancel"
end KILL
start "$TMP/ended"
wait_for "$J" cancelled
for _ in $(seq 100); do [ -e "$TMP/ended/trainings/$J" ] && sleep 0.05; done
expect_no_file "$TMP/ended/trainings/$J"
end TERM

# A small file system of its own, where the rights are there to mount one.
golden_case a_full_disk_is_told_and_the_server_goes_on
mkdir -p "$TMP/small"
if mount -t tmpfs -o size=6m tmpfs "$TMP/small" 2>/dev/null; then
    start "$TMP/small/data"
    head -c 8000000 /dev/zero >"$TMP/big"
    run curl -s "$URL/files" -F purpose=user_data -F "file=@$TMP/big"
    expect_out "the disk of the server is full; nothing was kept"
    ID=$(upload)
    head -c $(($(df --output=avail -B1 "$TMP/small" | tail -1) - 200000)) /dev/zero >"$TMP/small/filler"
    J=$(create 2 "$ID")
    wait_for "$J" running
    sleep 3 # it meets the full disk, and waits where its end cannot be kept
    job "$J" | grep -q '"status":"succeeded"' && fail "the end is told before it can be kept"
    rm "$TMP/small/filler"
    for _ in $(seq 600); do
        case $(job "$J") in *'"status":"succeeded"'* | *'No space left on device'*) break ;; esac
        sleep 0.05
    done
    job "$J" | grep -qE '"status":"succeeded"|No space left on device' || fail "it does not end: $(job "$J")"
    J=$(create 1 "$ID")
    wait_for "$J" succeeded
    run curl -s "$URL/files"
    expect_out '"filename":"data.jsonl"'
    end TERM
    expect_code 0
    umount "$TMP/small"
else
    skip "no file system can be mounted here"
fi

golden_end

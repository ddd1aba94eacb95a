#!/usr/bin/env bash
# Training over several processes as users launch it: mpirun of Open MPI and of MPICH, ranks that are killed, launchers that disagree.
. "$(dirname "$0")/../harness/golden.sh"

# Debian has both beside each other under these names; a plug-in is built for what is installed.
have() { command -v "mpirun.$1" >/dev/null && [ -e "$(dirname "$HIGGINS")/higgins-$1.so" ]; }
unset OMPI_COMM_WORLD_SIZE PMI_SIZE PMI_RANK PMIX_RANK SLURM_STEP_NUM_TASKS SLURM_PROCID
as_root=
[ "$(id -u)" != 0 ] || as_root=--allow-run-as-root
openmpi() { local n=$1; shift; run timeout 100 mpirun.openmpi $as_root --oversubscribe -np "$n" "$HIGGINS" "$@"; }
mpich() { local n=$1; shift; run timeout 100 mpirun.mpich -np "$n" "$HIGGINS" "$@"; }
needs() { have "$1" || skip "no $1 here"; }

words=(the fox hen runs sleeps under a hill and sees old red barn moon sings to his friend river house)
for d in $(seq 1 120); do
    text="Story $d."
    for s in 1 2 3 4; do
        for w in 1 2 3 4 5 6 7; do text="$text ${words[$(((d * 7 + s * 13 + w * w * 5 + s * w) % 20))]}"; done
        text="$text."
    done
    printf '{"text": "%s"}\n' "$text"
done >"$TMP/corpus.jsonl"
"$HIGGINS" tokenizer train "$TMP/corpus.jsonl" --vocab 320 -o "$TMP/tok.json" >/dev/null 2>&1
cat >"$TMP/r.yaml" <<END
corpus: $TMP/corpus.jsonl
tokenizer: $TMP/tok.json
depth: 2
d_model: 32
n_heads: 2
seq_len: 32
batch_size: 6
steps: 40
precision: f32
save_type: f32
val_rows: 4
sample_tokens: 4
checkpoint_minutes: 0
END
model_sum() { sha256sum <"$1/model/model.safetensors"; }
near() { awk -v a="$1" -v b="$2" 'BEGIN { d = (a - b) / a; exit !(d < 1e-5 && d > -1e-5) }'; }
val_loss() { printf '%s' "$OUT" | jq -r .val_loss; }

golden_case ranks_are_named_by_version
run "$HIGGINS" version
expect_out "MPI plug-ins"

run "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/one" --json
one=$(val_loss)

golden_case two_ranks_of_open_mpi_learn_what_one_learns
needs openmpi
openmpi 2 train "$TMP/r.yaml" -o "$TMP/two" --json
expect_code 0
expect_err "2 ranks over Open MPI"
expect near "$one" "$(val_loss)"
expect_equal "$(printf '%s\n' "$OUT" | grep -c finished)" 1
expect_equal "$(grep -c '"loss":' "$TMP/two/log.jsonl")" 40
expect_equal "$(grep -c '"ring_s":' "$TMP/two/log.jsonl")" 40

golden_case mpich_gives_the_bits_of_open_mpi
needs mpich
needs openmpi
mpich 2 train "$TMP/r.yaml" -o "$TMP/two-b" --json
expect_code 0
expect_err "2 ranks over MPICH"
expect_equal "$(model_sum "$TMP/two")" "$(model_sum "$TMP/two-b")"

golden_case ranks_have_threads_of_their_own_whatever_the_launcher_binds
needs openmpi
openmpi 1 train "$TMP/r.yaml" -o "$TMP/x" --plan
expect_code 0
run timeout 60 mpirun.openmpi $as_root --oversubscribe --bind-to core -np 2 "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/x" --plan
expect_code 0
cores=$(($(nproc) / 2))
expect_err "2 on this machine, $((cores > 0 ? cores : 1)) thread"

golden_case two_ranks_go_on_bit_for_bit_after_a_stop
needs openmpi
openmpi 2 train "$TMP/r.yaml" -o "$TMP/whole" --set steps=3000 --set checkpoint_every=1000
expect_code 0
mpirun.openmpi $as_root --oversubscribe -np 2 "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/parts" --set steps=3000 >/dev/null 2>"$TMP/err" &
pid=$!
for _ in $(seq 200); do [ "$(wc -l 2>/dev/null <"$TMP/parts/log.jsonl")" -gt 100 ] 2>/dev/null && break; sleep 0.05; done
kill -USR1 $pid # mpirun hands it on to the ranks
wait $pid
[ $? != 0 ] || fail "the stop gave exit code 0"
expect_equal "$(grep -c 'stopped after step .* go on with --resume' "$TMP/err")" 1
expect_no_file "$TMP/parts/model"
openmpi 2 train "$TMP/r.yaml" -o "$TMP/parts" --set steps=3000 --resume
expect_code 0
expect_err "going on from step"
expect_equal "$(model_sum "$TMP/whole")" "$(model_sum "$TMP/parts")"

golden_case the_loss_of_a_rank_ends_all_and_another_number_goes_on
needs openmpi
mpirun.openmpi $as_root --oversubscribe -np 3 "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/lost" --set steps=3000 --set checkpoint_every=50 >/dev/null 2>"$TMP/err" &
pid=$!
for _ in $(seq 200); do [ -e "$TMP/lost/checkpoints/step-000000100.hgc" ] && break; sleep 0.05; done
victim=$(pgrep -P $pid -f "train $TMP/r.yaml" | tail -1)
kill -9 "$victim"
wait $pid
[ $? != 0 ] || fail "the loss of a rank gave exit code 0"
expect grep -q "Killed" "$TMP/err"
expect_equal "$(pgrep -f -c "train $TMP/r.yaml -o $TMP/lost")" 0
openmpi 2 train "$TMP/r.yaml" -o "$TMP/lost" --set steps=3000 --resume --json
expect_code 0
expect_err "going on from step"
expect_equal "$(printf '%s' "$OUT" | jq -r .steps)" 3000
expect_file "$TMP/lost/model/model.safetensors"

golden_case a_rank_that_hangs_ends_all_with_one_sentence
needs openmpi
mpirun.openmpi $as_root --oversubscribe -np 3 "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/hung" --set steps=100000 --set checkpoint_every=50 >/dev/null 2>"$TMP/err" &
pid=$!
for _ in $(seq 200); do [ -e "$TMP/hung/checkpoints/step-000000100.hgc" ] && break; sleep 0.05; done
victim=
for p in $(pgrep -P $pid -f "train $TMP/r.yaml"); do grep -qz '^OMPI_COMM_WORLD_RANK=1$' "/proc/$p/environ" && victim=$p; done
kill -STOP "$victim"
kill -USR1 $pid # from then on 20 s of silence are enough
wait $pid
[ $? != 0 ] || fail "the loss of a rank gave exit code 0"
expect_equal "$(grep -c 'higgins: .*is lost' "$TMP/err")" 1
expect grep -q 'rank 2: rank 1 is lost (no sign of life from it); all ranks end, go on from the last checkpoint with --resume' "$TMP/err"
expect_equal "$(pgrep -f -c "train $TMP/r.yaml -o $TMP/hung")" 0

golden_case a_fault_of_all_ranks_is_told_once
needs openmpi
openmpi 3 train "$TMP/r.yaml" -o "$TMP/x" --set corpus=/nowhere
[ "$CODE" != 0 ] || fail "exit code 0"
expect_equal "$(printf '%s\n' "$ERR" | grep -c '^higgins: ')" 1
expect_err "/nowhere"

golden_case launcher_and_communicator_must_agree
needs openmpi
needs mpich
openmpi 2 train "$TMP/r.yaml" -o "$TMP/x" --mpi mpich
[ "$CODE" != 0 ] || fail "exit code 0"
expect_err "the launcher started 2 tasks, MPICH"
expect_err "sees 1: each would train alone"
expect_no_file "$TMP/x/log.jsonl"

golden_case srun_without_mpi_is_refused
run env SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=0 "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/x"
expect_code 1
expect_sentence
expect_err "srun started 2 tasks without MPI: each would train alone; give srun --mpi=pmix"
run env SLURM_STEP_NUM_TASKS=2 "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/x" --mpi none --plan
expect_code 0

golden_case train_names_the_kinds_of_mpi
run "$HIGGINS" train "$TMP/r.yaml" -o "$TMP/x" --mpi lam
expect_code 1
expect_err "--mpi: \"lam\" is none of auto, none, openmpi, mpich"

golden_case ranks_without_a_plug_in_are_refused
mkdir "$TMP/bare"
cp "$HIGGINS" "$TMP/bare/higgins"
run env OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0 "$TMP/bare/higgins" train "$TMP/r.yaml" -o "$TMP/x"
expect_code 1
expect_err "one of 2 tasks, but there is no plug-in for openmpi (there: none)"

golden_case two_ranks_tune_with_bfloat16_on_the_wire
needs openmpi
for i in $(seq 1 40); do
    printf '{"messages": [{"role": "user", "content": "fox %d?"}, {"role": "assistant", "content": "the hen %d"}]}\n' $i $((i % 7))
done >"$TMP/chat.jsonl"
openmpi 2 tune "$TMP/one/model" --data "$TMP/chat.jsonl" -o "$TMP/chat" --set wire=bf16 --set steps=20 --json
expect_code 0
expect awk -v a="$(val_loss)" 'BEGIN { exit !(a > 0 && a < 5) }'

golden_end

#!/usr/bin/env bash
# Training under Slurm as its users launch it: a cluster of one node with two processors, whose daemons run here for as long as the cases do, with a
# configuration, ports and folders of their own and without a service of the system's.
. "$(dirname "$0")/../harness/golden.sh"

unset OMPI_COMM_WORLD_SIZE PMI_SIZE PMI_RANK PMIX_RANK SLURM_STEP_NUM_TASKS SLURM_PROCID SLURM_JOB_ID
PATH=$PATH:/usr/sbin:/sbin
S=$TMP/slurm
WHY= # why there is no cluster
end_cluster() { # the daemons write into $TMP until they end
    kill $(jobs -p) 2>/dev/null
    for _ in $(seq 50); do [ -z "$(jobs -rp)" ] && break; sleep 0.1; done
    rm -rf "$TMP"
}
trap end_cluster EXIT
mkdir -p "$S/state" "$S/spool"

free_ports() { # prints so many
    /usr/bin/python3 -c '
import socket, sys
s = [socket.socket() for i in range(int(sys.argv[1]))]
for x in s: x.bind(("127.0.0.1", 0))
print(*(x.getsockname()[1] for x in s))' "$1"
}
configure() {
    local host ports
    host=$(hostname -s) ports=($(free_ports 2))
    cat >"$S/slurm.conf" <<END
ClusterName=higgins
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
StateSaveLocation=$S/state
SlurmdSpoolDir=$S/spool
SlurmctldPidFile=$S/slurmctld.pid
SlurmdPidFile=$S/slurmd.pid
SlurmctldLogFile=$S/slurmctld.log
SlurmdLogFile=$S/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
}
begin_cluster() {
    for p in slurmctld slurmd srun sbatch; do command -v $p >/dev/null || { WHY="no $p here (slurm-wlm)"; return; }; done
    configure
    export SLURM_CONF=$S/slurm.conf
    slurmctld -D >"$S/slurmctld.out" 2>&1 &
    slurmd -D >"$S/slurmd.out" 2>&1 &
    for _ in $(seq 300); do
        [ "$(sinfo -h -o %t 2>/dev/null)" = idle ] && return
        sleep 0.1
    done
    WHY="no node of the cluster gets ready: $(cat "$S"/*.out "$S"/*.log 2>/dev/null | grep -i error | tail -1)"
}
begin_cluster
needs_cluster() { [ -z "$WHY" ] || { skip "$WHY"; return 1; }; }

words=(the fox hen runs sleeps under a hill and sees old red barn moon sings to his friend river house)
for d in $(seq 1 120); do
    text="Story $d."
    for w in $(seq 1 28); do text="$text ${words[$(((d * 7 + w * w * 5 + d * w) % 20))]}"; done
    printf '{"text": "%s."}\n' "$text"
done >"$TMP/corpus.jsonl"
"$HIGGINS" tokenizer train "$TMP/corpus.jsonl" --vocab 320 -o "$TMP/tok.json" >/dev/null 2>&1
recipe() { # recipe NAME STEPS: for a run of that name
    cat >"$TMP/$1.yaml" <<END
corpus: $TMP/corpus.jsonl
tokenizer: $TMP/tok.json
out: "$TMP/$1" # as some write it
depth: 2
d_model: 32
n_heads: 2
seq_len: 32
batch_size: 6
steps: $2
precision: f32
save_type: f32
val_rows: 4
sample_tokens: 4
checkpoint_minutes: 0
END
}
model_sum() { sha256sum <"$1/model/model.safetensors"; }
val_loss() { jq -r .val_loss "$1/run.json"; }
near() { awk -v a="$1" -v b="$2" 'BEGIN { d = (a - b) / a; exit !(d < 1e-5 && d > -1e-5) }'; }
have() { [ -e "$(dirname "$HIGGINS")/higgins-$1.so" ]; }
needs() { have "$1" || { skip "no plug-in for $1"; return 1; }; }
export HIGGINS
submit() { # submit SCRIPT NAME: a job of two ranks on the one node; prints its number
    sbatch --parsable --nodes=1 --ntasks-per-node=2 -o "$TMP/$2.out" "$ROOT/recipes/slurm/$1" "$TMP/$2.yaml"
}
end_of() { # end_of JOB NAME: waits for it, which takes sbatch --wait many seconds
    local state=
    for _ in $(seq 600); do
        state=$(squeue -h -t all -o %T -j "$1" 2>/dev/null)
        case $state in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL | OUT_OF_MEMORY) break ;; esac
        sleep 0.1
    done
    ERR=$(cat "$TMP/$2.out" 2>/dev/null)
    [ "$state" = COMPLETED ] || fail "the job is $state: $(printf '%s' "$ERR" | tail -3)"
}

recipe one 40
run "$HIGGINS" train "$TMP/one.yaml"

golden_case two_ranks_of_a_job_learn_what_one_process_learns
needs_cluster && needs openmpi && {
    recipe two 40
    end_of "$(submit train.sbatch two)" two
    expect_err "2 ranks over Open MPI"
    expect near "$(val_loss "$TMP/one")" "$(val_loss "$TMP/two")"
    expect_equal "$(grep -c '"ring_s":' "$TMP/two/log.jsonl")" 40
}

golden_case a_job_over_mpich_gives_the_bits_of_open_mpi
needs_cluster && needs mpich && needs openmpi && {
    recipe mpich 40
    end_of "$(submit train-mpich.sbatch mpich)" mpich
    expect_err "2 ranks over MPICH"
    expect_equal "$(model_sum "$TMP/two")" "$(model_sum "$TMP/mpich")"
}

golden_case a_job_that_is_asked_to_end_goes_on_by_itself_bit_for_bit
needs_cluster && needs openmpi && {
    recipe whole 1000
    run timeout 100 srun -n 2 --mpi=pmix "$HIGGINS" train "$TMP/whole.yaml"
    expect_code 0
    recipe parts 1000
    id=$(submit train.sbatch parts)
    for _ in $(seq 200); do [ "$(wc -l 2>/dev/null <"$TMP/parts/log.jsonl")" -gt 50 ] 2>/dev/null && break; sleep 0.05; done
    scancel --signal=USR1 "$id"
    end_of "$id" parts
    expect_err "go on with --resume"
    expect_err "going on from step"
    expect_equal "$(model_sum "$TMP/whole")" "$(model_sum "$TMP/parts")"
}

golden_case srun_without_mpi_is_refused_before_anything_is_trained
needs_cluster && {
    recipe alone 40
    run timeout 100 srun -n 2 --mpi=none "$HIGGINS" train "$TMP/alone.yaml"
    [ "$CODE" != 0 ] || fail "exit code 0"
    expect_equal "$(printf '%s\n' "$ERR" | grep -c '^higgins: ')" 1
    expect_err "srun started 2 tasks without MPI: each would train alone; give srun --mpi=pmix"
    expect_no_file "$TMP/alone"
}

golden_case srun_with_the_other_mpis_way_is_refused
needs_cluster && needs openmpi && needs mpich && {
    recipe other 40
    run timeout 100 srun -n 2 --mpi=pmix "$HIGGINS" train "$TMP/other.yaml" --mpi mpich
    [ "$CODE" != 0 ] || fail "exit code 0"
    expect_err "the launcher started 2 tasks, MPICH"
    expect_err "sees 1: each would train alone"
    expect_no_file "$TMP/other/log.jsonl"
}

golden_end

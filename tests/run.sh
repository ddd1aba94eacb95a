#!/usr/bin/env bash
# Everything that a change must pass. Builds what it tests; the last line is `N passed, N failed, N skipped`.
#   tests/run.sh              all
#   tests/run.sh unit golden  only these suites
# Suites: house (the tree's own rules), c (every C test under AddressSanitizer and UndefinedBehaviorSanitizer), isa (kernels, gradients and the trainer again
# as released), arm (cross-built for aarch64, run by qemu), threads (ThreadSanitizer), fuzz (corpora replayed; all built with clang too), golden, parity, node.
# As many programs run at a time as there are cores, or HG_TEST_JOBS.
set -u
cd "$(dirname "$0")/.."
ALL="house c isa arm threads fuzz golden parity node"
SUITES=${*:-$ALL}
export HG_TEST_DATA=${HG_TEST_DATA:-$PWD/../shared/data}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0} UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
JOBS=${HG_TEST_JOBS:-$(nproc)}
START=$SECONDS
mkdir -p build
COUNTS=build/test-counts # a line for each program: passed failed skipped
: >"$COUNTS"
count() { echo "$1 $2 $3" >>"$COUNTS"; }

tally() { # tally NAME LOG EXIT: adds the closing line of a program's output
    local line
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$2" | tail -1)
    if [ -z "$line" ]; then
        echo "FAILED $1: ended without its closing line (exit code $3)"
        tail -15 "$2"
        count 0 1 0
        return
    fi
    set -- "$1" "$2" "$3" $line
    count "$4" "$6" "$8"
    # A clean count with a bad exit code is a failure of the program itself (a leak found at exit, say).
    if [ "$3" != 0 ] && [ "$6" = 0 ]; then
        echo "FAILED $1: exit code $3 after \"$4 passed\""
        count 0 1 0
    fi
    printf '%-34s %4d passed %3d failed %3d skipped  %4d s\n' "$1" "$4" "$6" "$8" $((SECONDS - T0))
}

# A command that hangs fails and does not keep the others from running.
run_one() { # run_one NAME COMMAND...
    local name=$1 log T0=$SECONDS
    shift
    log=build/test-$(echo "$name" | tr -c 'a-zA-Z0-9\n' '-').log
    timeout -k 10 1200 "$@" >"$log" 2>&1
    local code=$?
    [ "$code" != 124 ] || echo "FAILED $name: still running after 20 minutes"
    grep -E '^(FAILED|skipped|  slow:)' "$log" | head -40
    [ "$code" = 0 ] || grep -A12 -E '^  [^ ]+:[0-9]+: |ERROR: |WARNING: ThreadSanitizer|runtime error' "$log" | head -60
    tally "$name" "$log" "$code"
}

# run NAME COMMAND...: beside up to JOBS - 1 others; its report comes in one piece when it ends.
run() {
    while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n; done
    (report=$(run_one "$@"); printf '%s\n' "$report") &
}

build() { # build PRESET, with the whole machine
    local log=build/test-build-$1.log T0
    wait
    T0=$SECONDS
    if ! { cmake --preset "$1" && cmake --build --preset "$1"; } >"$log" 2>&1; then
        grep -E 'error|FAILED' "$log" | head -20
        echo "FAILED build of preset $1"
        count 0 1 0
        return 1
    fi
    printf '%-34s %s  %4d s\n' "build $1" built $((SECONDS - T0))
}

wanted() { case " $SUITES " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

close() { # the closing line; false: something failed, or nothing ran
    wait
    echo "took $((SECONDS - START)) s"
    awk '{ p += $1; f += $2; s += $3 } END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' "$COUNTS"
}

wanted house && run "house" tests/house.sh
build release || { close; exit 1; }
if wanted c || wanted fuzz; then
    build asan && {
        if wanted c; then
            for t in build/asan/tests/test_*; do
                [ -x "$t" ] && [ -f "$t" ] && run "asan $(basename "$t")" "$t"
            done
        fi
        if wanted fuzz; then
            for t in build/asan/fuzz/fuzz_*; do
                name=$(basename "$t")
                [ -f "$t" ] && run "asan $name" "$t" "tests/fuzz/corpus/${name#fuzz_}"
            done
        fi
    }
fi
# The other compiler, and what `make fuzz` needs: it would else break unseen.
wanted fuzz && build fuzz
if wanted isa; then
    for t in kernels grad unit_train; do run "release test_$t" build/release/tests/test_$t; done
fi
# The emulator and ThreadSanitizer are ten times slower than what the limits of the cases are made for.
if wanted arm; then
    # What differs there is in the kernels and in what stands on them at once.
    build arm64 && for t in kernels unit_tensor; do
        HG_TEST_PATIENCE=5 run "arm64 test_$t" qemu-aarch64 build/arm64/tests/test_$t
    done
fi
if wanted threads; then
    build tsan && for t in $(cat tests/threaded.txt); do HG_TEST_PATIENCE=5 run "tsan $t" build/tsan/tests/$t; done
fi
if wanted golden; then
    for t in tests/golden/*.sh; do run "golden $(basename "$t" .sh)" bash "$t"; done
fi
if wanted parity; then
    for t in tests/parity/*.py; do
        [ -f "$t" ] && run "parity $(basename "$t" .py)" /usr/bin/python3 "$t"
    done
fi
if wanted node; then
    for t in tests/node/*.test.mjs; do
        [ -f "$t" ] && run "node $(basename "$t" .test.mjs)" node tests/harness/node.mjs "$t"
    done
fi
close

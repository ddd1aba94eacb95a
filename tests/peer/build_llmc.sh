#!/usr/bin/env bash
# Builds build/peer/llmc, llm.c behind a program of ours, over the checkout of llm.c that HG_LLMC names. Prints the program's path; exits with 77 and one
# sentence when there is none.
set -eu
cd "$(dirname "$0")/../.."
if [ ! -f "${HG_LLMC:-}/train_gpt2.c" ]; then
    echo "peer: HG_LLMC names no folder with llm.c's train_gpt2.c" >&2
    exit 77
fi
mkdir -p build/peer
cc -w -Ofast -march=native -fopenmp -DOMP -I "$HG_LLMC" -o build/peer/llmc.new tests/peer/llmc.c -lm
mv build/peer/llmc.new build/peer/llmc
echo "$PWD/build/peer/llmc"

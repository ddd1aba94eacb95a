#!/usr/bin/env bash
# Builds build/peer/llama, llama.cpp behind a program of ours, from what npm's node-llama-cpp brings: its shared objects, and the headers of the same
# release. HG_LLAMA_BINS names another folder of shared objects of that release, a build for this very machine for example. Prints the program's path;
# exits with 77 and one sentence when something is missing.
set -eu
cd "$(dirname "$0")/../.."
modules=tests/node/node_modules
case $(uname -m) in aarch64 | arm64) arch=linux-arm64 ;; *) arch=linux-x64 ;; esac
bins=${HG_LLAMA_BINS:-$(echo "$PWD/$modules"/@node-llama-cpp/$arch/bins/linux-*)}
bundle=$modules/node-llama-cpp/llama/gitRelease.bundle
lib=$(ls "$bins"/libllama.v*.so "$bins"/libllama.so 2>/dev/null | head -1 || true)
if [ -z "$lib" ] || [ ! -f "$bundle" ]; then
    echo "peer: node-llama-cpp is not installed for this machine; tools/setup.sh test installs it" >&2
    exit 77
fi
out=build/peer${HG_LLAMA_BINS:+-$(echo "$HG_LLAMA_BINS" | cksum | cut -d" " -f1)}
if [ ! -x $out/llama ] || [ tests/peer/llama.c -nt $out/llama ] || [ "$lib" -nt $out/llama ]; then
    mkdir -p $out
    work=$(mktemp -d $out/new.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    git clone -q --bare "$bundle" "$work/git" 2>/dev/null
    git --git-dir="$work/git" archive HEAD include ggml/include | tar -x -C "$work"
    cc -O2 -o "$work/llama" tests/peer/llama.c -I"$work/include" -I"$work/ggml/include" "$lib" \
        $(ls "$bins"/libggml.v*.so "$bins"/libggml.so 2>/dev/null | head -1) "$bins"/libggml-base.so -Wl,-rpath,"$bins" -Wl,-rpath-link,"$bins" -DPEER_BACKENDS="\"$bins\""
    mv "$work/llama" $out/llama
fi
echo "$PWD/$out/llama"

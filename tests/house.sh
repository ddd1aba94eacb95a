#!/usr/bin/env bash
# The rules of the house that a machine can check: who may include whom, what library code may not call, how code is laid out.
set -u
cd "$(dirname "$0")/.."
PASSED=0 FAILED=0
case_() { # case_ NAME OUTPUT: passes when there is no output
    if [ -z "$2" ]; then
        PASSED=$((PASSED + 1))
    else
        FAILED=$((FAILED + 1))
        printf 'FAILED %s:\n%s\n' "$1" "$(printf '%s\n' "$2" | head -20)"
    fi
}

# Floors: a module includes itself and lower floors; these pairs on one floor may see each other.
floors='base 0 ranks 1 store 1 http 1 fetch 1 text 1 jinja 1 kernels 1 data 2 token 2 tensor 2 model 3 grammar 3 infer 4 train 4 eval 5 report 5 app 5 serve 6 cli 7'
public='base 0 ranks 1 machine 1 collect 2 tokenizer 2 model 3 quantize 3 grammar 3 adapter 3 inspect 3 infer 4 train 4 eval 5 task 5 speed 5 report 5 eliza 5 serve 6'
# jinja reads values through text's doors; token trains on what data reads; train runs sessions of infer for its samples.
allowed='jinja>text token>data train>infer'
bad=$(grep -rnE '^#include ["<]' src --include='*.[ch]' | awk -v floors="$floors" -v public="$public" -v allowed="$allowed" '
BEGIN {
    n = split(floors, f, " "); for (i = 1; i < n; i += 2) floor[f[i]] = f[i + 1]
    n = split(public, p, " "); for (i = 1; i < n; i += 2) pub[p[i]] = p[i + 1]
    n = split(allowed, a, " "); for (i = 1; i <= n; i++) may[a[i]] = 1
}
{
    split($0, part, ":"); file = part[1]; line = $0; sub(/^[^:]*:[^:]*:/, "", line)
    split(file, dir, "/"); from = dir[2]
    if (from == "cli") {
        if (line ~ /^#include "[a-z0-9]+\//) print file ": " line " (the program sees <higgins/...> and its own folder only)"
        next
    }
    if (match(line, /<higgins\/[a-z]+\.h>/)) {
        name = substr(line, RSTART + 9, RLENGTH - 12)
        if (!(name in pub)) print file ": " line " (a public header without a floor)"
        else if (pub[name] + 0 > floor[from] + 0) print file ": " line " (a higher floor)"
    } else if (match(line, /"[a-z0-9]+\//)) {
        to = substr(line, RSTART + 1, RLENGTH - 2)
        if (!(to in floor)) print file ": " line " (no such module)"
        else if (to != from && floor[to] + 0 >= floor[from] + 0 && !((from ">" to) in may)) print file ": " line " (not a lower floor)"
    }
}')
case_ "modules include lower floors only" "$bad"

code() { grep -rnE "$1" src --include='*.[ch]' "${@:2}" | grep -vE '^[^:]+:[0-9]+:[[:space:]]*(/?\*|//)'; }
case_ "library code never exits, prints or reads the environment" \
    "$(code '(^|[^_a-zA-Z0-9>.])(exit|abort|printf|fprintf|puts|perror|getenv)[[:space:]]*\(' | grep -v '^src/cli/')"
case_ "nothing calls what cannot be used safely" \
    "$(code '(^|[^_a-zA-Z0-9>.])(gets|strcpy|strcat|sprintf|strtok|atoi|atof|scanf|sscanf|fscanf|alloca)[[:space:]]*\(')"
case_ "only base takes memory from the heap" \
    "$(code '(^|[^_a-zA-Z0-9>.])(malloc|calloc|realloc|free|aligned_alloc|posix_memalign)[[:space:]]*\(' | grep -vE '^src/(base|cli)/')"
case_ "nothing waits by the clock of the day, which may be set" \
    "$(code 'CLOCK_REALTIME' | grep -vE '^src/(base/clock.c|cli/access_log.c):')"
case_ "no instruction set but in kernels, no fast math" \
    "$(grep -nE 'ffast-math|march=native' CMakeLists.txt CMakePresets.json cmake/*.cmake src/CMakeLists.txt tests/CMakeLists.txt bench/CMakeLists.txt; code 'immintrin|arm_neon' | grep -v '^src/kernels/')"
case_ "nothing is left for later in the code" "$(grep -rnE --exclude-dir=node_modules 'TODO|FIXME|XXX' src include tests/unit tests/harness bench web docs recipes README.md 2>/dev/null | grep -v 'XXXXXX' | head)"
case_ "texts speak of the project alone" "$(grep -rnIE --exclude-dir=node_modules '/work/|\.\./shared|/tmp/bash_jobs' README.md docs include src web recipes 2>/dev/null | head)"
if command -v clang-format >/dev/null; then
    case_ "code is laid out by clang-format" "$(git ls-files '*.c' '*.h' 2>/dev/null | xargs -r clang-format --dry-run 2>&1 | grep -E 'warning' | cut -d: -f1 | sort | uniq -c | head)"
fi
case_ "headers have guards" "$(for h in $(git ls-files 'src/*.h' 'include/*.h'); do grep -q '^#ifndef' "$h" || echo "$h"; done)"
case_ "every fuzz target has a corpus" "$(for f in tests/fuzz/fuzz_*.c; do n=$(basename "$f" .c); [ -n "$(ls -A "tests/fuzz/corpus/${n#fuzz_}" 2>/dev/null)" ] || echo "$f"; done)"
printf '%d passed, %d failed, 0 skipped\n' "$PASSED" "$FAILED"
[ "$FAILED" = 0 ]

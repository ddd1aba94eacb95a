# The frame of the golden tests: the program as users run it. Source it, write cases, end with `golden_end`.
#
#   golden_case collect_refuses_a_missing_source
#   run "$HIGGINS" collect /nowhere -o "$TMP/c"
#   expect_code 1
#   expect_err "cannot read /nowhere"
#
# `run` keeps stdout in $OUT, stderr in $ERR and the exit code in $CODE. A case fails at its first unmet expectation.
set -u
HIGGINS=${HIGGINS:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/release/higgins}
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DATA=${HG_TEST_DATA:-$ROOT/../shared/data}
TMP=$(mktemp -d "${TMPDIR:-/tmp}/higgins-golden-XXXXXX")
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$TMP"' EXIT
N_PASSED=0 N_FAILED=0 N_SKIPPED=0 CASE= CASE_BAD=
OUT= ERR= CODE=

golden_close() {
    [ -n "$CASE" ] || return 0
    case $CASE_BAD in
    '') N_PASSED=$((N_PASSED + 1)) ;;
    skip) N_SKIPPED=$((N_SKIPPED + 1)) ;;
    *) N_FAILED=$((N_FAILED + 1)) ;;
    esac
    CASE=
}
golden_case() { golden_close; CASE=$1 CASE_BAD=; }
# Marks the case; what follows in it still runs but can no longer change the verdict.
fail() { [ -n "$CASE_BAD" ] || { CASE_BAD=yes; printf 'FAILED %s: %s\n' "$CASE" "$*"; }; }
skip() { [ -n "$CASE_BAD" ] || { CASE_BAD=skip; printf 'skipped %s: %s\n' "$CASE" "$*"; }; }
run() {
    "$@" >"$TMP/.out" 2>"$TMP/.err" </dev/null
    CODE=$?
    OUT=$(cat "$TMP/.out") ERR=$(cat "$TMP/.err")
}
run_in() { # run_in TEXT COMMAND...: with TEXT on stdin
    local text=$1
    shift
    printf '%s' "$text" | "$@" >"$TMP/.out" 2>"$TMP/.err"
    CODE=$?
    OUT=$(cat "$TMP/.out") ERR=$(cat "$TMP/.err")
}
expect_code() { [ "$CODE" = "$1" ] || fail "exit code $CODE, not $1; stderr: $(printf '%s' "$ERR" | tail -3)"; }
expect_out() { case $OUT in *"$1"*) ;; *) fail "stdout lacks \"$1\": $(printf '%s' "$OUT" | head -c 300)" ;; esac; }
expect_err() { case $ERR in *"$1"*) ;; *) fail "stderr lacks \"$1\": $(printf '%s' "$ERR" | head -c 300)" ;; esac; }
expect_file() { [ -s "$1" ] || fail "no file $1"; }
expect_no_file() { [ ! -e "$1" ] || fail "$1 is there"; }
expect_equal() { [ "$1" = "$2" ] || fail "\"$(printf '%s' "$1" | head -c 200)\" is not \"$(printf '%s' "$2" | head -c 200)\""; }
expect() { "$@" || fail "not so: $*"; }
# One sentence: a single line on stderr that begins with `higgins: `.
expect_sentence() {
    [ "$(printf '%s\n' "$ERR" | wc -l)" = 1 ] || fail "stderr is not one line: $ERR"
    case $ERR in 'higgins: '*) ;; *) fail "stderr does not begin with \"higgins: \": $ERR" ;; esac
}
golden_end() {
    golden_close
    printf '%d passed, %d failed, %d skipped\n' "$N_PASSED" "$N_FAILED" "$N_SKIPPED"
    [ "$N_FAILED" = 0 ] && [ $((N_PASSED + N_SKIPPED)) -gt 0 ]
}

#!/usr/bin/env bash
# How the page comes into the program, and what is said where it cannot; what people do with it is tested under tests/node.
. "$(dirname "$0")/../harness/golden.sh"
mkdir -p "$TMP/web" "$TMP/bin"
(cd "$ROOT/web" && tar -c --exclude node_modules .) | tar -x -C "$TMP/web"
for tool in bash env cat cmp cut dirname find flock mkdir mv realpath rm sha256sum sort timeout xargs; do
    ln -s "$(command -v $tool)" "$TMP/bin/$tool"
done

# compiled: whether what was written is C that says how many files there are.
compiled() { gcc -std=c17 -Wall -Werror -I"$ROOT/src" -c "$TMP/out/pages.c" -o "$TMP/pages.o"; }

golden_case without_npm_the_build_says_so_and_goes_on
run env PATH="$TMP/bin" "$TMP/web/build.sh" "$TMP/out"
expect_code 0
expect_out "the page is left out: npm is missing (apt-get install npm); the server is made without it"
run grep -c 'hg_n_page_files = 0' "$TMP/out/pages.c"
expect_equal "$OUT" "1"
run compiled
expect_code 0

if command -v npm >/dev/null; then
    golden_case without_a_registry_the_build_says_so_and_goes_on
    run env npm_config_registry=http://127.0.0.1:9 npm_config_cache="$TMP/cache" npm_config_fetch_retries=0 "$TMP/web/build.sh" "$TMP/out"
    expect_code 0
    expect_out "the page is left out: npm could not install its parts"
fi

if [ -d "$ROOT/web/node_modules/esbuild" ]; then
    golden_case the_page_is_bundled_once_for_each_state_of_its_sources
    ln -s "$ROOT/web/node_modules" "$TMP/web/node_modules"
    run "$TMP/web/build.sh" "$TMP/out"
    expect_code 0
    expect_out "KiB in the program"
    run compiled
    expect_code 0
    run "$TMP/web/build.sh" "$TMP/out"
    expect_code 0
    expect_equal "$OUT" ""
    echo "/* changed */" >>"$TMP/web/src/styles/base.css"
    run "$TMP/web/build.sh" "$TMP/out"
    expect_out "KiB in the program"

    golden_case what_is_wrong_in_its_sources_stops_the_build
    echo "import './none.js';" >>"$TMP/web/src/main.jsx"
    run "$TMP/web/build.sh" "$TMP/out"
    expect_code 1
    expect_err "none.js"
fi
golden_end

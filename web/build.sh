#!/usr/bin/env bash
# Bundles the page into DIR/pages.c, once for each state of web/. Where that cannot be done (no npm, no way to its registry) it says so, and the server
# is made without its page; the next build tries again.
#   web/build.sh DIR
set -u
mkdir -p "$1"
DIR=$(realpath "$1")
cd "$(dirname "$0")" || exit 1
STATE=$(find . -path ./node_modules -prune -o -type f -print | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-32)
LOCK=$(sha256sum package-lock.json | cut -c1-32)
LOG=$DIR/npm.log

without() { # without WHY: a server that has no page
    echo "the page is left out: $1; the server is made without it"
    rm -f "$DIR/state"
    cat >"$DIR/pages.c.new" <<'C'
/* Made by web/build.sh: there is no page. */
#include "serve/page/files.h"
const hg_page_file hg_page_files[] = {{0}};
const size_t hg_n_page_files = 0;
C
    cmp -s "$DIR/pages.c.new" "$DIR/pages.c" && rm -f "$DIR/pages.c.new" || mv "$DIR/pages.c.new" "$DIR/pages.c"
    exit 0
}

# Builds of several kinds may come here at a time.
exec 9>"$DIR/lock"
flock 9
[ -s "$DIR/pages.c" ] && [ "$(cat "$DIR/state" 2>/dev/null)" = "$STATE" ] && exit 0
command -v node >/dev/null && command -v npm >/dev/null || without "npm is missing (apt-get install npm)"
if [ "$(cat node_modules/.state 2>/dev/null)" != "$LOCK" ]; then
    timeout 300 npm ci --ignore-scripts --no-audit --no-fund --fetch-retries 1 >"$LOG" 2>&1 || without "npm could not install its parts ($LOG says why)"
    echo "$LOCK" >node_modules/.state
fi
node -e 'import("esbuild").then((e) => e.transform("1"))' >"$LOG" 2>&1 || without "esbuild does not run here ($LOG says why)"
# What is wrong in our own sources stops the build, as it does in C.
node build.mjs "$DIR/pages.c" || exit 1
echo "$STATE" >"$DIR/state"

#!/usr/bin/env bash
# Installs what is missing, by name, from Debian (and from npm for some tests). Asks for root only when something is missing.
#   tools/setup.sh build   what it takes to build
#   tools/setup.sh run     ... and the free texts that the first model is trained on
#   tools/setup.sh test    ... and what the tests need: reference implementations, a browser, sanitizers
set -eu
cd "$(dirname "$0")/.."

BUILD="gcc make cmake ninja-build pkg-config libc6-dev libjansson-dev libyaml-dev libgumbo-dev libpcre2-dev
 libutf8proc-dev zlib1g-dev libzstd-dev libxxhash-dev libsodium-dev libmicrohttpd-dev libedit-dev libsqlite3-dev libcurl4-openssl-dev"
# The page is bundled by npm; without it the server is made without its page.
PAGE="nodejs npm"
# English prose with clear free licences; docs/first-model.md says which and why.
RUN="bible-kjv sqlite3-doc debian-reference-en developers-reference"
TEST="libopenmpi-dev openmpi-bin libmpich-dev mpich clang clang-format sentencepiece libclang-rt-14-dev python3 python3-torch libopenblas0-pthread python3-numpy python3-jinja2 nodejs npm chromium curl jq zstd gzip git nginx-light openssl systemd libfaketime"
# A cluster of one node for tests/golden/slurm.sh, which starts it itself.
SLURM="slurm-wlm"

# The same libraries for aarch64, its compiler, and what runs its programs here: on an amd64 machine the Arm kernels are tested too.
ARM="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user libjansson-dev:arm64 libyaml-dev:arm64 libgumbo-dev:arm64 libpcre2-dev:arm64
 libutf8proc-dev:arm64 zlib1g-dev:arm64 libzstd-dev:arm64 libxxhash-dev:arm64 libsodium-dev:arm64 libmicrohttpd-dev:arm64 libedit-dev:arm64
 libsqlite3-dev:arm64"

missing() { # prints the packages of its arguments that are not installed
    for p in "$@"; do
        # A package that is there for two architectures says so twice.
        case $(dpkg-query -W -f '${db:Status-Status} ' "$p" 2>/dev/null) in installed*) continue ;; esac
        # A command that came another way (a Node.js of one's own, say) is as good.
        case $p in nodejs) command -v node >/dev/null && continue ;; npm | clang | clang-format | cmake | git | python3) command -v "$p" >/dev/null && continue ;; esac
        echo "$p"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else
        echo "setup: root is needed to install: $NEED" >&2
        echo "setup: run as root, or install sudo, or: apt-get install $NEED" >&2
        exit 1
    fi
}

# What is not needed for all: when it cannot be had, the work goes on.
install_wanted() {
    [ -n "$(missing "$@")" ] || return 0
    (install_packages "$@") || echo "setup: going on without $*" >&2
}

install_packages() {
    NEED=$(missing "$@" | tr '\n' ' ')
    [ -n "${NEED// /}" ] || return 0
    command -v apt-get >/dev/null || { echo "setup: no apt-get here; install by hand what Debian calls: $NEED" >&2; exit 1; }
    echo "setup: installing $NEED" >&2
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    if ! { as_root apt-get update -q && as_root apt-get install -y -q --no-install-recommends $NEED; } >"$log" 2>&1; then
        tail -20 "$log" >&2
        echo "setup: apt-get could not install them" >&2
        exit 1
    fi
    rm -f "$log"
}

# The npm packages of the tests, once for each lock file. `npm ci` would do, but it refuses a lock that leaves out
# the packages that node-llama-cpp has for other systems.
install_npm() {
    stamp=build/npm-$(sha256sum tests/node/package-lock.json | cut -c1-16)
    [ -e "$stamp" ] && [ -d tests/node/node_modules ] && return 0
    echo "setup: installing the tests' npm packages" >&2
    log=$(mktemp)
    if ! (cd tests/node && npm install --no-save --ignore-scripts --omit=optional --no-audit --no-fund) >"$log" 2>&1; then
        tail -20 "$log" >&2
        echo "setup: npm could not install them; tests that need them will say skipped" >&2
        return 0
    fi
    rm -f "$log"
    touch "$stamp"
}

mkdir -p build
case ${1:-} in
build) install_packages $BUILD && install_wanted $PAGE ;;
run) install_packages $BUILD $RUN && install_wanted $PAGE ;;
test)
    if [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ]; then
        TEST="$TEST $ARM"
        dpkg --print-foreign-architectures | grep -qx arm64 || { NEED="the architecture arm64" && as_root dpkg --add-architecture arm64; }
    fi
    install_packages $BUILD $TEST
    install_wanted $SLURM
    install_npm
    ;;
*)
    echo "usage: tools/setup.sh build|run|test" >&2
    exit 2
    ;;
esac

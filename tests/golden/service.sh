#!/usr/bin/env bash
# `higgins serve` as a service: what it tells systemd, the log of its requests, and nginx with TLS before it.
set -u
cd "$(dirname "$0")/../.."
HIGGINS=${HIGGINS:-$PWD/build/release/higgins}
TMP=$(mktemp -d)
PASSED=0 FAILED=0 SKIPPED=0
pass() { PASSED=$((PASSED + 1)); }
fail() { FAILED=$((FAILED + 1)); echo "FAILED $1: $2"; }
check() { # check NAME COMMAND...: passes when it succeeds
    local name=$1
    shift
    if "$@" >"$TMP/out" 2>&1; then pass; else fail "$name" "$(tail -3 "$TMP/out")"; fi
}
skip() { SKIPPED=$((SKIPPED + 1)); echo "skipped $1"; }
end() {
    [ -z "${SERVER:-}" ] || kill "$SERVER" 2>/dev/null
    [ ! -s "$TMP/nginx.pid" ] || kill "$(cat "$TMP/nginx.pid")" 2>/dev/null
    wait 2>/dev/null
    rm -rf "$TMP"
}
trap end EXIT

build/release/tests/make_model "$TMP/model" || exit 1
# What systemd would hear.
/usr/bin/python3 - "$TMP/notify" >"$TMP/heard" <<'END' &
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(60)
while True:
    m = s.recv(200).decode()
    print(m, flush=True)
    if m == 'STOPPING=1': break
END
LISTENER=$!
for _ in $(seq 100); do [ -S "$TMP/notify" ] && break; sleep 0.05; done
NOTIFY_SOCKET=$TMP/notify "$HIGGINS" serve "$TMP/model" --port 0 --json --no-token --data "$TMP/data" --log json \
    --allow-host models.example.org >"$TMP/ready" 2>"$TMP/log" &
SERVER=$!
for _ in $(seq 200); do [ -s "$TMP/ready" ] && break; sleep 0.05; done
URL=$(sed -n 's/.*"url": "\([^"]*\)".*/\1/p' "$TMP/ready")
PORT=${URL##*:}
for _ in $(seq 100); do grep -q READY=1 "$TMP/heard" && break; sleep 0.05; done
check "systemd hears that it is ready" grep -qx READY=1 "$TMP/heard"

# ---- the log ----
curl -s "$URL/v1/completions?key=SECRETKEY" -d '{"model": "model", "prompt": "SECRETPROMPT", "max_tokens": 3, "seed": 1}' >/dev/null
curl -s "$URL/v1/streams/SECRETLINK" >/dev/null
curl -s "$URL/nowhere" >/dev/null
for _ in $(seq 100); do [ "$(wc -l <"$TMP/log")" -ge 3 ] && break; sleep 0.05; done
line() { sed -n "$1p" "$TMP/log"; }
check "a line a request, as JSON" test "$(jq -r .status <"$TMP/log" | tr '\n' ' ')" = "200 404 404 "
check "it names path, model and tokens" test "$(line 1 | jq -r '[.method, .path, .model, .completion_tokens, .owner] | join(" ")')" = "POST /v1/completions model 3 local"
check "no prompt, no key, no link is in it" sh -c "! grep -q SECRET '$TMP/log'"
check "a foreign host is refused, a named one is not" test "$(curl -s -o /dev/null -w '%{http_code}' -H 'Host: evil.example' "$URL/health") $(curl -s -o /dev/null -w '%{http_code}' -H 'Host: models.example.org' "$URL/health")" = "403 200"

# ---- nginx with TLS ----
NGINX=$(command -v nginx || ls /usr/sbin/nginx 2>/dev/null)
if [ -z "$NGINX" ] || ! command -v openssl >/dev/null; then
    skip "nginx or openssl is not here"
else
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=models.example.org -keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null
    FRONT=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    {
        echo "pid $TMP/nginx.pid; error_log $TMP/nginx.log; events {} http { access_log off; client_body_temp_path $TMP/body; proxy_temp_path $TMP/proxy;"
        echo "fastcgi_temp_path $TMP/f; uwsgi_temp_path $TMP/u; scgi_temp_path $TMP/s;"
        sed -e "s#listen 443 ssl#listen 127.0.0.1:$FRONT ssl#; s#/etc/ssl/certs/models.example.org.pem#$TMP/cert.pem#; s#/etc/ssl/private/models.example.org.key#$TMP/key.pem#; s#127.0.0.1:8080#127.0.0.1:$PORT#" recipes/serve/nginx.conf
        echo "}"
    } >"$TMP/nginx.conf"
    check "nginx takes the example" "$NGINX" -t -q -c "$TMP/nginx.conf"
    "$NGINX" -c "$TMP/nginx.conf" 2>/dev/null
    front() { curl -s --cacert "$TMP/cert.pem" --resolve "models.example.org:$FRONT:127.0.0.1" "$@"; }
    SITE=https://models.example.org:$FRONT
    for _ in $(seq 100); do front "$SITE/health" >/dev/null && break; sleep 0.05; done
    check "the server is reached over TLS" test "$(front -o /dev/null -w '%{http_code}' "$SITE/health")" = 200
    check "a slash that was encoded stays so" test "$(front "$SITE/v1/models/weizenbaum%2Feliza" | jq -r .id)" = weizenbaum/eliza
    check "other methods pass" test "$(front -X QUERY -d eliza "$SITE/v1/models" | jq -r '.results[0].name')" = eliza
    front -N "$SITE/v1/chat/completions" -d '{"model": "model", "stream": true, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}' >"$TMP/stream"
    check "a stream comes whole" grep -q '^data: \[DONE\]' "$TMP/stream"
    check "links name the site" test "$(front "$SITE/v1/models/weizenbaum/eliza/predictions" -H 'Prefer: wait' -d '{"input": {"prompt": "Hello"}}' | jq -r .urls.get | cut -d/ -f1-3)" = "$SITE"
    head -c 20000000 /dev/zero | tr '\0' 'x' >"$TMP/big.txt"
    check "a large upload passes" test "$(front "$SITE/v1/files" -F purpose=user_data -F "file=@$TMP/big.txt" | jq -r .bytes)" = 20000000
fi

# ---- the end ----
kill -TERM "$SERVER"
wait "$SERVER"
code=$?
SERVER=
check "SIGTERM ends it well" test "$code" = 0
wait "$LISTENER"
check "systemd hears that it stops" grep -qx STOPPING=1 "$TMP/heard"

# ---- the unit ----
if command -v systemd-analyze >/dev/null; then
    sed "s#/usr/bin/higgins#$HIGGINS#" recipes/serve/higgins.service >"$TMP/higgins.service"
    check "systemd takes the unit" systemd-analyze verify --man=no "$TMP/higgins.service"
    score=$(systemd-analyze security --offline=true "$TMP/higgins.service" 2>/dev/null | sed -n 's/.*exposure level for [^:]*: \([0-9.]*\).*/\1/p')
    check "and finds little to attack (3.0 of 10 at the most)" /usr/bin/python3 -c "import sys; sys.exit(0 if 0 < float('${score:-99}') <= 3.0 else 1)"
else
    skip "systemd-analyze is not here"
fi
echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
[ "$FAILED" = 0 ]

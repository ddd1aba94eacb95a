#!/usr/bin/env bash
# higgins collect, as users run it: every form of document, what is left out, what is refused, Ctrl-C and kill -9, and memory.
. "$(dirname "$0")/../harness/golden.sh"

# ---- a small tree with everything in it ----
IN=$TMP/in
mkdir -p "$IN/usr/share/doc/pkg" "$IN/mail"
words() { # words SEED N: N sentences of prose-like text, different for each seed
    awk -v seed="$1" -v n="$2" 'BEGIN {
        srand(seed)
        k = split("river stone evening letter garden morning sailor window copper silence market winter harbour lantern orchard shadow thunder village whisper meadow engine pocket candle mirror summer island bridge feather teacher anchor", w, " ")
        v = split("found carried followed remembered painted opened watched mended crossed answered borrowed", verb, " ")
        for (i = 0; i < n; i++) printf "The %s %s the %s while a %s near the %s %s its %s. ", w[1+int(rand()*k)], verb[1+int(rand()*v)], w[1+int(rand()*k)], w[1+int(rand()*k)], w[1+int(rand()*k)], verb[1+int(rand()*v)], w[1+int(rand()*k)]
        print "" }'
}
words 1 8 >"$IN/plain.txt"
{ echo '# Notes'; echo; words 2 8; } >"$IN/notes.md"
{ printf '<!doctype html><html lang="en"><head><title>A page</title><link rel="license" href="https://creativecommons.org/licenses/by/4.0/"></head><body><nav><a href="/">Home</a></nav><h1>Head</h1><p>'; words 3 8; printf '<script>var hidden = 1;</script></body></html>'; } >"$IN/page.html"
words 4 8 | gzip -n >"$IN/packed.txt.gz"
words 5 8 | zstd -q >"$IN/packed.md.zst"
{ printf '{"text": "%s", "url": "https://example.org/1", "license": "CC0-1.0"}\n' "$(words 6 8)"; printf '{"text": \n'; printf '{"other": "x"}\n'; printf '{"text": "%s"}\n' "$(words 7 8)"; } >"$IN/rows.jsonl"
{ printf 'From a@b Mon Jan  1 00:00:00 2024\nFrom: a@b\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nMessage-ID: <m1@b>\nDate: Mon, 1 Jan 2024 10:00:00 +0000\n\n'; words 8 8; printf '\nFrom a@b Tue Jan  2 00:00:00 2024\nFrom: a@b\nSubject: two\nContent-Type: text/html\n\n<p>'; words 9 8; } >"$IN/mail/in.mbox"
words 10 8 >"$IN/usr/share/doc/pkg/README"
printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: nobody\nLicense: GFDL-1.3+\n' >"$IN/usr/share/doc/pkg/copyright"
cp "$IN/plain.txt" "$IN/plain-again.txt"
echo 'too short' >"$IN/short.txt"
yes 'Share this page with all of your friends today.' | head -50 >"$IN/menu.txt"
head -c 3000 /dev/urandom >"$IN/noise.bin"
echo 'int main(void) { return 0; }' >"$IN/main.c"
gzip -nc "$IN/notes.md" | head -c 100 >"$IN/torn.txt.gz"
C=$TMP/corpus
docs() { zstdcat "$1"/shard-*.jsonl.zst; }

golden_case collect_reads_every_form_and_says_what_it_left_out
run "$HIGGINS" collect "$IN" -o "$C"
expect_code 0
expect_out "corpus: 10 documents"
expect_file "$C/card.html"
expect_equal "$(docs "$C" | wc -l)" 10
run python3 - "$C" <<'PY'
import hashlib, json, subprocess, sys
folder = sys.argv[1]
card = json.load(open(folder + '/card.json'))
raw = open(folder + '/' + card['shards'][0]['name'], 'rb').read()
assert hashlib.sha256(raw).hexdigest() == card['shards'][0]['sha256'] and len(raw) == card['shards'][0]['bytes']
docs = [json.loads(l) for l in subprocess.run(['zstd', '-dc'], input=raw, capture_output=True, check=True).stdout.splitlines()]
by = {d['source'].split('/in/')[-1]: d for d in docs}
assert card['documents'] == len(docs) == len({d['id'] for d in docs}) == 10
assert card['chars'] == sum(len(d['text']) for d in docs) == sum(d['n_chars'] for d in docs)
assert card['text_bytes'] == sum(len(d['text'].encode()) for d in docs)
for d in docs:
    assert hashlib.sha256(d['text'].encode()).hexdigest() == d['sha256']
page = by['page.html']
assert page['title'] == 'A page' and page['lang'] == 'en' and page['licence'].endswith('/by/4.0/') and page['licence_from'] == 'document'
assert 'hidden' not in page['text'] and 'Home' not in page['text'] and page['text'].startswith('Head\n\nThe')
assert by['https://example.org/1']['licence'] == 'CC0-1.0'
assert by['mail/in.mbox#m1@b']['title'] == 'Gr\u00fc\u00dfe' and by['mail/in.mbox#m1@b']['date'] == '2024-01-01T10:00:00Z'
assert by['usr/share/doc/pkg/README']['licence'] == 'GFDL-1.3+' and by['usr/share/doc/pkg/README']['licence_from'] == 'package'
assert 'licence' not in by['notes.md']
why = {r['reason']: r for r in card['dropped_by_reason']}
assert {k: v['count'] for k, v in why.items()} == {'binary': 1, 'not_for_reading': 1, 'unreadable': 1, 'malformed': 2, 'near_empty': 3,
    'duplicate': 1, 'repeated_lines': 1}, {k: v['count'] for k, v in why.items()}
assert any('rows.jsonl, line 2' in x for x in why['malformed']['examples'])
assert card['dropped'] == 10 and card['format'] == 'higgins-corpus-1' and card['scripts'].keys() == {'Latin'}
PY
[ "$CODE" = 0 ] || fail "the corpus is not what it should be: $ERR"

golden_case the_same_sources_give_the_same_bytes
cp "$C"/shard-00000.jsonl.zst "$TMP/first.zst"
run "$HIGGINS" collect "$IN" -o "$C"
expect_code 0
expect cmp -s "$TMP/first.zst" "$C/shard-00000.jsonl.zst"

golden_case json_prints_the_card
run "$HIGGINS" collect "$IN" -o "$C" --json
expect_code 0
expect_equal "$OUT" "$(cat "$C/card.json")"

golden_case a_corpus_can_be_collected_again
run "$HIGGINS" collect "$C" -o "$TMP/second"
expect_code 0
expect_out "second: 10 documents"
expect_equal "$(docs "$TMP/second" | python3 -c 'import json,sys; print(sorted(json.loads(l)["id"] for l in sys.stdin))')" \
    "$(docs "$C" | python3 -c 'import json,sys; print(sorted(json.loads(l)["id"] for l in sys.stdin))')"

golden_case patterns_fields_licences_and_rules_can_be_given
run "$HIGGINS" collect "$IN" -o "$TMP/few" --include '*.txt' --exclude '*again*' --licence 'CC0-1.0' --keep repeated_lines --keep repeated_line_chars \
    --keep top_2_gram --keep top_3_gram --keep top_4_gram --keep repeated_paragraphs --keep repeated_5_grams --keep repeated_10_grams --min-chars 5
expect_code 0
expect_out "few: 3 documents"
expect_equal "$(docs "$TMP/few" | grep -c '"licence":"CC0-1.0","licence_from":"user"')" 3

golden_case shards_are_rotated
mkdir -p "$TMP/many"
head -c 6000000 /dev/urandom | base64 -w 60 | awk '{print "{\"text\": \"" $0 "\"}"}' >"$TMP/many/rows.jsonl"
run "$HIGGINS" collect "$TMP/many" -o "$TMP/rotated" --shard-mb 1 --min-chars 10 --keep long_words --keep few_letters
expect_code 0
expect [ -s "$TMP/rotated/shard-00004.jsonl.zst" ]
expect_equal "$(docs "$TMP/rotated" | wc -l)" "$(wc -l <"$TMP/many/rows.jsonl")"

golden_case what_must_not_be_replaced_stays
mkdir -p "$TMP/mine" && echo precious >"$TMP/mine/file"
run "$HIGGINS" collect "$IN" -o "$TMP/mine" --force
expect_code 1
expect_sentence
expect_err "is there and is no corpus; name another folder"
expect_file "$TMP/mine/file"
run "$HIGGINS" collect "$IN" -o "$C" --min-chars 300
expect_code 1
expect_err "--force replaces it"

golden_case bad_use_ends_in_a_sentence
run "$HIGGINS" collect "$TMP/nowhere" -o "$TMP/x"
expect_code 1
expect_sentence
expect_err "nowhere"
run "$HIGGINS" collect -o "$TMP/x"
expect_code 2
run "$HIGGINS" collect "$IN" -o "$TMP/x" --keep nonsense
expect_code 2
expect_err 'there is no rule "nonsense"'
run "$HIGGINS" collect "$IN/noise.bin" -o "$TMP/x"
expect_code 1
expect_err "no document was kept: 1 dropped, most as binary"
expect_no_file "$TMP/x"

golden_case hostile_files_are_left_out_one_by_one
H=$TMP/hostile
mkdir -p "$H"
words 20 8 >"$H/good.txt"
awk 'BEGIN { for (i = 0; i < 200000; i++) printf "<div>" }' >"$H/deep.html"
awk 'BEGIN { for (i = 0; i < 100000; i++) printf "<b><table><td>" }' >"$H/odd.html"
awk 'BEGIN { for (i = 0; i < 100000; i++) printf "[" }' >"$H/deep.jsonl"
head -c 20000000 /dev/zero | tr '\0' 'a' >"$H/line.jsonl"
head -c 40000000 /dev/zero | gzip -n >"$H/bomb.txt.gz"
printf '\x28\xb5\x2f\xfd\x00\xff\xff\xff\xff' >"$H/bad.txt.zst"
printf 'Content-Type: multipart/mixed; boundary=x\nReceived: y\n\n--x\n--x\n--x' >"$H/mail.eml"
ln -s "$H/loop" "$H/loop"
mkfifo "$H/pipe"
run timeout 120 "$HIGGINS" collect "$H" -o "$TMP/safe"
expect_code 0
expect_out "safe: 1 documents"

golden_case ctrl_c_leaves_the_old_corpus
cp "$C/card.json" "$TMP/card.before"
B=$TMP/big
mkdir -p "$B"
for i in $(seq 1 12); do words "$((100 + i))" 20000; done >"$B/text.txt"
"$HIGGINS" collect "$B" -o "$C" --force >"$TMP/.out" 2>"$TMP/.err" </dev/null &
for _ in $(seq 1000); do [ -n "$(ls -d "$C".tmp-* 2>/dev/null)" ] && break; sleep 0.01; done # it is at work
kill -INT $! && wait $!
expect_equal "$?" 1
expect grep -q "stopped; .*corpus is as it was before" "$TMP/.err"
expect cmp -s "$TMP/card.before" "$C/card.json"
expect_equal "$(ls -d "$C".tmp-* 2>/dev/null | wc -l)" 0

golden_case kill_9_at_any_moment_leaves_the_old_or_the_new
K=$TMP/killed
run "$HIGGINS" collect "$IN" -o "$K"
OLD=$(sha256sum <"$K/shard-00000.jsonl.zst")
run "$HIGGINS" collect "$IN" "$IN/../big/text.txt" -o "$TMP/new"
NEW=$(sha256sum <"$TMP/new/shard-00000.jsonl.zst")
START=$(date +%s%N)
run "$HIGGINS" collect "$IN" "$IN/../big/text.txt" -o "$TMP/new"
TOOK=$((($(date +%s%N) - START) / 1000000))
for i in $(seq 1 20); do
    "$HIGGINS" collect "$IN" "$IN/../big/text.txt" -o "$K" --force >/dev/null 2>&1 </dev/null &
    PID=$!
    sleep "$(awk -v t="$TOOK" -v s="$i$$" 'BEGIN { srand(s); printf "%.3f", rand() * t * 1.2 / 1000 }')"
    kill -9 $PID 2>/dev/null
    wait $PID 2>/dev/null
    NOW=$(sha256sum <"$K/shard-00000.jsonl.zst")
    [ "$NOW" = "$OLD" ] || [ "$NOW" = "$NEW" ] || fail "round $i: neither the old corpus nor the new one"
    SAID=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["shards"][0]["sha256"] + "  -")' "$K/card.json")
    expect_equal "$SAID" "$NOW"
    OLD=$NOW
done
run "$HIGGINS" collect "$IN" "$IN/../big/text.txt" -o "$K" --force
expect_code 0
expect_equal "$(ls -d "$K".tmp-* 2>/dev/null | wc -l)" 0

# A hundred times the input, the same memory: text, JSON lines packed with gzip, and many documents.
golden_case memory_does_not_grow_with_the_input
peak() { # peak SOURCE: kB of the run's largest resident set
    python3 - "$HIGGINS" "$1" "$TMP/mem" <<'PY'
import resource, shutil, subprocess, sys
shutil.rmtree(sys.argv[3], ignore_errors=True)
subprocess.run([sys.argv[1], 'collect', sys.argv[2], '-o', sys.argv[3], '--quiet'], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
PY
}
words 77 30000 | fold -s -w 2000 | awk '{print; print ""}' >"$TMP/base.txt"
mkdir -p "$TMP/m3" "$TMP/m300"
head -c 3000000 "$TMP/base.txt" >"$TMP/m3/a.txt"
for i in $(seq 1 75); do awk -v i="$i" '{ if (NF) print "Round " i " line " NR ": " $0; else print }' "$TMP/m3/a.txt"; done | head -c 200000000 >"$TMP/m300/a.txt"
awk 'NF {gsub(/"/, ""); print "{\"text\": \"" $0 "\"}"}' "$TMP/m3/a.txt" | gzip -1 >"$TMP/m3/b.jsonl.gz"
awk 'NF {gsub(/"/, ""); print "{\"text\": \"" $0 "\"}"}' "$TMP/m300/a.txt" | head -c 100000000 | gzip -1 >"$TMP/m300/b.jsonl.gz"
SMALL=$(peak "$TMP/m3") LARGE=$(peak "$TMP/m300")
echo "peak: $SMALL kB for 6 MB, $LARGE kB for 300 MB"
# 50,000 documents more make an index of 2.4 MB at the most; the rest is the allocator's.
[ "$LARGE" -le $((SMALL + 8192)) ] || fail "300 MB took $LARGE kB, 6 MB took $SMALL kB"

golden_end

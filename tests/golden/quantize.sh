#!/usr/bin/env bash
# Models made smaller, as users do it.
. "$(dirname "$0")/../harness/golden.sh"

"$ROOT/build/release/tests/make_model" "$TMP/model" || exit 1
field() { printf '%s' "$1" | python3 -c "import json, sys; print(json.load(sys.stdin)$2)"; }

golden_case quantize_writes_a_gguf_that_talks
for type in q8_0 q5_1 q4_0 mxfp4; do
    run "$HIGGINS" quantize "$TMP/model" -o "$TMP/$type.gguf" --type $type --json
    expect_code 0
    expect_equal "$(field "$OUT" "['bits_per_weight'] < 10")" True
    run "$HIGGINS" generate "$TMP/$type.gguf" "Once upon" --max-tokens 4
    expect_code 0
done

golden_case quantize_says_which_rows_got_another_type
run "$HIGGINS" quantize "$TMP/model" -o "$TMP/k.gguf" --type q4_k_m
expect_code 0
expect_err "blk.0.attn_q.weight and 10 more: rows of 64 are no multiple of 256: q5_0 instead of q4_k"
expect_equal "$(printf '%s\n' "$ERR" | grep -c 'no multiple')" 4
expect_out "15 of 20 tensors quantised"

golden_case quantize_refuses_to_round_twice_unless_asked
run "$HIGGINS" quantize "$TMP/q8_0.gguf" -o "$TMP/again.gguf" --type q4_0
expect_code 1
expect_sentence
expect_err "is quantised already (q8_0); start from float32, float16 or bfloat16, or ask for it again"
expect [ ! -e "$TMP/again.gguf" ]
run "$HIGGINS" quantize "$TMP/q8_0.gguf" -o "$TMP/again.gguf" --type q4_0 --again
expect_code 0

golden_case quantize_refuses_a_file_of_a_vocabulary_alone
python3 -c 'import struct, sys
def text(s): return struct.pack("<Q", len(s)) + s
sys.stdout.buffer.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama"))' >"$TMP/vocab.gguf"
run "$HIGGINS" quantize "$TMP/vocab.gguf" -o "$TMP/x.gguf" --type q4_0
expect_code 1
expect_sentence
expect_err "vocab.gguf: holds no tensors; give a model with weights"
expect [ ! -e "$TMP/x.gguf" ]

golden_case quantize_lists_the_types_it_knows
run "$HIGGINS" quantize "$TMP/model" -o "$TMP/x.gguf" --type q9
expect_code 1
expect_sentence
expect_err "type q9 is not known; q4_0, q4_1,"

golden_case importance_is_measured_and_used
seq 1 400 | sed 's/$/ mice went over the fields and sang./' >"$TMP/text"
run "$HIGGINS" importance "$TMP/model" --text "$TMP/text" -o "$TMP/im.gguf" --context 128 --max-tokens 1000
expect_code 0
expect_out "im.gguf: 14 matrices measured on 1000 tokens"
run "$HIGGINS" quantize "$TMP/model" -o "$TMP/w.gguf" --type q4_0 --importance "$TMP/im.gguf" --json
expect_code 0
expect_equal "$(field "$OUT" "['weighted']")" 14
run "$HIGGINS" generate "$TMP/w.gguf" "Once upon" --max-tokens 4
expect_code 0

golden_case importance_of_something_else_is_one_sentence
run "$HIGGINS" quantize "$TMP/model" -o "$TMP/x.gguf" --type q4_0 --importance "$TMP/q8_0.gguf"
expect_code 1
expect_sentence
expect_err "q8_0.gguf: holds no importance; higgins importance makes it"
run "$HIGGINS" quantize "$TMP/model" -o "$TMP/x.gguf" --type q4_0 --importance "$TMP/text"
expect_code 1
expect_sentence
expect_err "it is no importance file"
run "$HIGGINS" importance "$TMP/model" --text "$TMP/none" -o "$TMP/im.gguf"
expect_code 1
expect_sentence
run "$HIGGINS" importance "$TMP/model" -o "$TMP/im.gguf"
expect_code 2
expect_err "on what text? give --text FILE"
golden_end

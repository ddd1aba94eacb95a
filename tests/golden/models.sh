#!/usr/bin/env bash
# inspect and export as users run them, on a small random model.
. "$(dirname "$0")/../harness/golden.sh"
MAKE=$(dirname "$HIGGINS")/tests/make_model
"$MAKE" "$TMP/m" >/dev/null 2>&1 || { echo "make_model failed"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }

golden_case inspect_tells_what_is_in_a_folder
run "$HIGGINS" inspect "$TMP/m"
expect_code 0
expect_out "architecture   llama, from safetensors"
expect_out "byte-level BPE, "
expect_out "chat template  yes"
expect_equal "$ERR" ""

golden_case inspect_lists_tensors_as_json
run "$HIGGINS" inspect "$TMP/m" --json
expect_code 0
expect_equal "$(printf '%s' "$OUT" | python3 -c 'import json, sys
d = json.load(sys.stdin)
print(d["format"], len(d["tensors"]) > 10, sum(t["n_bytes"] for t in d["tensors"]) == d["n_bytes"])')" "safetensors True True"

golden_case export_writes_a_gguf_that_speaks_the_same
run "$HIGGINS" export "$TMP/m" -o "$TMP/m.gguf" --quiet
expect_code 0
expect_out "m.gguf: "
expect_file "$TMP/m.gguf"
run "$HIGGINS" generate "$TMP/m" "Once upon" --temperature 0 --max-tokens 16
folder=$OUT
run "$HIGGINS" generate "$TMP/m.gguf" "Once upon" --temperature 0 --max-tokens 16
expect_code 0
expect_equal "$OUT" "$folder"
expect [ -n "$OUT" ]

golden_case export_in_half_precision_is_about_half_as_large
run "$HIGGINS" export "$TMP/m" -o "$TMP/half.gguf" --type f16 --quiet
expect_code 0
expect [ "$(stat -c %s "$TMP/half.gguf")" -lt $(($(stat -c %s "$TMP/m.gguf") * 3 / 4)) ]
run "$HIGGINS" inspect "$TMP/half.gguf" --tensors
expect_out "f16"

golden_case import_gives_the_folder_back
run "$HIGGINS" import "$TMP/m.gguf" -o "$TMP/back" --quiet
expect_code 0
expect_out "back: written"
for f in model.safetensors tokenizer.json chat_template.jinja; do
    expect cmp "$TMP/m/$f" "$TMP/back/$f"
done
for f in config.json generation_config.json tokenizer_config.json; do expect_file "$TMP/back/$f"; done
run "$HIGGINS" generate "$TMP/back" "Once upon" --temperature 0 --max-tokens 16
expect_equal "$OUT" "$folder"

golden_case import_of_blocks_says_what_they_say
run "$HIGGINS" quantize "$TMP/m" -o "$TMP/q.gguf" --type q8_0 --quiet
run "$HIGGINS" import "$TMP/q.gguf" -o "$TMP/unpacked" --quiet
expect_code 0
run "$HIGGINS" export "$TMP/q.gguf" -o "$TMP/q32.gguf" --type f32 --quiet
run "$HIGGINS" export "$TMP/unpacked" -o "$TMP/u32.gguf" --type f32 --quiet
expect_code 0
run "$HIGGINS" generate "$TMP/q32.gguf" "Once upon" --temperature 0 --max-tokens 16
unpacked=$OUT
run "$HIGGINS" generate "$TMP/u32.gguf" "Once upon" --temperature 0 --max-tokens 16
expect_equal "$OUT" "$unpacked"
run "$HIGGINS" import "$TMP/q.gguf" -o "$TMP/half" --type bf16 --json
expect_code 0
run "$HIGGINS" inspect "$TMP/half" --tensors
expect_out "bf16"

golden_case import_asks_where_to
run "$HIGGINS" import "$TMP/m.gguf"
expect_code 2
expect_err "give -o DIR"

golden_case export_asks_where_to
run "$HIGGINS" export "$TMP/m"
expect_code 2
expect_err "give -o FILE.gguf"

golden_case export_refuses_a_type_it_does_not_know
run "$HIGGINS" export "$TMP/m" -o "$TMP/x.gguf" --type q4
expect_code 2
expect_err "--type q4 is not known; f32, f16 and bf16 are"
expect_no_file "$TMP/x.gguf"

golden_case a_folder_without_a_model_is_one_sentence
mkdir -p "$TMP/empty"
run "$HIGGINS" inspect "$TMP/empty"
expect_code 1
expect_sentence
expect_err "config.json"

golden_case a_file_that_is_no_gguf_is_one_sentence
echo "hello" >"$TMP/no.gguf"
run "$HIGGINS" export "$TMP/no.gguf" -o "$TMP/x.gguf"
expect_code 1
expect_sentence
expect_err "does not begin with GGUF"
expect_no_file "$TMP/x.gguf"

golden_end

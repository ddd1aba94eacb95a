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

golden_case inspect_shows_metadata_sizes_tensors_and_vocabulary
run "$HIGGINS" inspect "$TMP/m"
expect_out "metadata of config.json"
expect_out "  num_hidden_layers                            2"
expect_out "  0 to 1, each         148 kB  attention 49.2 kB, feed-forward 98.3 kB, norms 512 B"
expect_out "  model.layers.#.mlp.down_proj.weight             2x f32            64 x 128    65.5 kB"
expect_out "  special  <|endoftext|> <|im_start|> <|im_end|> <|pad|>"
expect_out "chat template
  {% for message in messages %}"

golden_case inspect_writes_a_page_that_needs_nothing_else
run "$HIGGINS" inspect "$TMP/m" --html "$TMP/m.html" --check
expect_code 0
expect_out "checked        20 of 20 tensors, 0 bad"
expect_file "$TMP/m.html"
expect [ "$(grep -c '<script\|http' "$TMP/m.html")" = 0 ]
expect grep -q '<h2>Vocabulary</h2>' "$TMP/m.html"

golden_case inspect_names_what_is_no_number
python3 - "$TMP/m" "$TMP/nan" <<'END'
import json, shutil, struct, sys
shutil.copytree(sys.argv[1], sys.argv[2])
path = sys.argv[2] + "/model.safetensors"
data = bytearray(open(path, "rb").read())
n = struct.unpack("<Q", data[:8])[0]
at = 8 + n + json.loads(data[8:8 + n])["model.layers.1.mlp.up_proj.weight"]["data_offsets"][0]
data[at + 40:at + 48] = struct.pack("<2f", float("nan"), float("inf"))
open(path, "wb").write(data)
END
run "$HIGGINS" inspect "$TMP/nan" --check
expect_code 1
expect_sentence
expect_err "model.safetensors: tensor model.layers.1.mlp.up_proj.weight: 1 of its 8192 values are NaN and 1 infinite, the first is value 10; weights are finite numbers"
expect_out "bad            model.safetensors: model.layers.1.mlp.up_proj.weight: 1 NaN, 1 infinite of 8192 values"
run "$HIGGINS" inspect "$TMP/nan"
expect_code 0

golden_case a_model_of_no_numbers_is_one_sentence
run "$HIGGINS" generate "$TMP/nan" "Once upon" --max-tokens 3
expect_code 1
expect_sentence
expect_err "the score NaN; its weights are damaged or overflow"

golden_case tensors_that_overlap_or_end_behind_the_file_are_one_sentence
python3 - "$TMP" <<'END'
import json, struct, sys
def safetensors(name, second):
    header = {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "b": {"dtype": "F32", "shape": [4], "data_offsets": second}}
    text = json.dumps(header).encode()
    open(sys.argv[1] + "/" + name, "wb").write(struct.pack("<Q", len(text)) + text + bytes(28))
def text(s):
    return struct.pack("<Q", len(s)) + s
def gguf(name, second):
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 1) + text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
    for tensor, at in ((b"a", 0), (b"b", second)):
        head += text(tensor) + struct.pack("<IQIQ", 1, 16, 0, at)
    open(sys.argv[1] + "/" + name, "wb").write(head + bytes(-len(head) % 32) + bytes(96))
safetensors("overlap.safetensors", [12, 28])
safetensors("behind.safetensors", [16, 32])
gguf("overlap.gguf", 32)
gguf("behind.gguf", 64)
END
for kind in safetensors gguf; do
    run "$HIGGINS" inspect "$TMP/overlap.$kind"
    expect_code 1
    expect_sentence
    expect_err "overlap.$kind: tensors a and b overlap"
    run "$HIGGINS" inspect "$TMP/behind.$kind"
    expect_code 1
    expect_sentence
    expect_err "behind.$kind: tensor b"
done

golden_case inspect_tells_why_a_model_cannot_be_run
cp -r "$TMP/m" "$TMP/other"
sed -i 's/"llama"/"rwkv"/' "$TMP/other/config.json"
run "$HIGGINS" inspect "$TMP/other"
expect_code 0
expect_out 'architecture   "rwkv", from safetensors'
expect_out 'cannot be run  config.json: no architecture "rwkv"; Higgins knows llama'
expect_out "byte-level BPE, 384 tokens"

golden_case inspect_knows_a_vocabulary
file=$DATA/tokenizers/llamacpp-vocab/ggml-vocab-llama-spm.gguf
if [ -f "$file" ]; then
    run "$HIGGINS" inspect "$file"
    expect_code 0
    expect_out "kind           vocabulary"
    expect_out "vocabulary: 3 special, 0 added, 256 single bytes, 31741 plain, 0 without a text"
else
    skip "no vocabularies of llama.cpp"
fi

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

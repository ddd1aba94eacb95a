#!/usr/bin/env bash
# What the machine is and what the program is made of, as users and programs read it.
. "$(dirname "$0")/../harness/golden.sh"

# field JSON PATH: a value of the document, by python's own parser.
field() { printf '%s' "$1" | python3 -c "import json, sys; print(json.load(sys.stdin)$2)"; }

golden_case version_names_compiler_sets_and_libraries
run "$HIGGINS" version
expect_code 0
expect_out "higgins 0."
expect_out "compiler "
expect_out "instruction sets  c"
expect_out "pcre2 "

golden_case version_as_json_is_one_document
run "$HIGGINS" version --json
expect_code 0
expect_equal "$(field "$OUT" "['isa']['built'][0]")" c
expect_equal "$(field "$OUT" "['libraries']['zstd'].split('.')[0]")" 1

golden_case version_says_which_set_a_cap_leaves
run "$HIGGINS" version --isa c
expect_code 0
expect_out "in use: c)"

golden_case no_letter_means_two_options_of_one_command
run "$HIGGINS" --help
for c in $(printf '%s\n' "$OUT" | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
    run "$HIGGINS" "$c" --help
    expect_equal "$c $(printf '%s\n' "$OUT" | grep -oE '^  -[a-zA-Z],' | sort | uniq -d | tr -d '\n')" "$c "
done

golden_case an_unknown_instruction_set_is_wrong_use
run "$HIGGINS" version --isa mmx
expect_code 2
expect_sentence
expect_err '"mmx" is no instruction set; c, avx2, avx512, amx or neon allowed'

golden_case doctor_measures_and_says_what_fits
run "$HIGGINS" doctor --seconds 0.3
expect_code 0
expect_out "reading memory"
expect_out "talking to a model"
expect_out "largest that fits"
expect_out "training a model"

golden_case doctor_as_json_holds_positive_rates
run "$HIGGINS" doctor --seconds 0.3 --json --threads 1
expect_code 0
expect_equal "$(field "$OUT" "['read_gbs'] > 0.1")" True
expect_equal "$(field "$OUT" "['bf16_gflops'] > 0.1")" True
expect_equal "$(field "$OUT" "['int8_gops'] > 0.1")" True
expect_equal "$(field "$OUT" "['threads']")" 1
expect_equal "$(field "$OUT" "['cores'] >= 1")" True
expect_equal "$(field "$OUT" "['answering']['sizes'][0]['fits']")" True

golden_case doctor_refuses_a_measure_of_no_time
run "$HIGGINS" doctor --seconds 0
expect_code 2
expect_sentence
expect_err "--seconds: 0 is out of range; 0.1 to 600 allowed"

golden_end

#!/usr/bin/env bash
# The life of a model in about ten minutes: what `make run` does once the program is built. Each stage is one command that
# you can run yourself; a stage whose result is already there is not run again. docs/first-model.md tells the story.
#   recipes/first-model/run.sh HIGGINS [FOLDER]
set -eu
HIGGINS=$(realpath "$1")
RUN=${2:-runs/first-model}
HERE=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$RUN"
export HIGGINS

bold() { if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi; }
stage() { # stage RESULT TITLE COMMAND...: runs it unless its result is there
    local result=$1 title=$2
    shift 2
    bold "$title"
    if [ -e "$result" ]; then
        echo "already made: $result"
        return 0
    fi
    echo "+ $*"
    "$@"
}

bold "Higgins: the life of a small language model"
"$HIGGINS" version | head -1

# The King James Bible lies in its package in a form of its own; its reader writes it out, here a file a book, a paragraph a chapter.
if [ ! -d "$RUN/texts" ]; then
    rm -rf "$RUN/texts.tmp"
    mkdir -p "$RUN/texts.tmp"
    bible -f 'gen1:1-rev22:21' 2>/dev/null | awk -v dir="$RUN/texts.tmp" '
        {
            split($1, ref, ":"); chapter = ref[1]; $1 = ""; sub(/^ +/, "")
            book = chapter; sub(/[0-9]+$/, "", book)
            file = dir "/king-james-bible-" book ".txt"
            if (chapter == last) printf " " > file
            else if (book == last_book) printf "\n\n" > file
            printf "%s", $0 > file
            last = chapter; last_book = book
        }'
    mv "$RUN/texts.tmp" "$RUN/texts"
fi

stage "$RUN/corpus/card.json" "1. Collect: free English texts from Debian's packages" \
    "$HIGGINS" collect "$RUN/texts" /usr/share/doc/anarchism/html /usr/share/doc/debian-reference-en/docs \
    /usr/share/doc/developers-reference/docs --exclude '*.txt.gz' --exclude '*.rst.txt' --exclude '*/developers-reference.html' --licence 'public domain' -o "$RUN/corpus"
stage "$RUN/tokenizer.json" "2. Tokenizer: a vocabulary of 4096 pieces" \
    "$HIGGINS" tokenizer train "$RUN/corpus" --vocab 4096 -o "$RUN/tokenizer.json"
# What the model says before and after tuning, to the same questions.
ask() { # ask before|after MODEL
    local when=$1 model=$2 n=1 prompt
    mkdir -p "$RUN/samples"
    for prompt in "${PROMPTS[@]}"; do
        [ -e "$RUN/samples/$n-$when.json" ] || {
            "$HIGGINS" generate "$model" "<|im_start|>user
$prompt<|im_end|>
<|im_start|>assistant
" --special --max-tokens 48 --seed 1 --json >"$RUN/samples/$n-$when.tmp"
            mv "$RUN/samples/$n-$when.tmp" "$RUN/samples/$n-$when.json"
        }
        n=$((n + 1))
    done
}

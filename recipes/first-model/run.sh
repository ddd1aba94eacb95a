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
    if [ "$1" = keep ]; then echo "+ ${*:3} > $2"; else echo "+ $*"; fi
    "$@"
}

# All of it in a function: bash has then read the whole script before it begins.
live() {
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

# Some of every source is set aside and never trained on: what the evaluation reads.
HELD_OUT=(king-james-bible-Ruth.txt king-james-bible-Jonah.txt whentouse.html beyond-pkging.html)
if [ ! -d "$RUN/heldout" ]; then
    rm -rf "$RUN/heldout.tmp"
    mkdir -p "$RUN/heldout.tmp"
    cp "$RUN/texts/${HELD_OUT[0]}" "$RUN/texts/${HELD_OUT[1]}" "/usr/share/doc/sqlite3/${HELD_OUT[2]}" \
        "/usr/share/doc/developers-reference/docs/${HELD_OUT[3]}" "$RUN/heldout.tmp"
    mv "$RUN/heldout.tmp" "$RUN/heldout"
fi
OUT=()
# Reference lists and second copies of a text are no prose.
for file in "${HELD_OUT[@]}" '*.txt.gz' '*.rst.txt' developers-reference.html '*/c3ref/*' '*/releaselog/*' '*/syntax/*'; do OUT+=(--exclude "$file"); done

stage "$RUN/corpus/card.json" "1. Collect: free English texts from Debian's packages" \
    "$HIGGINS" collect "$RUN/texts" /usr/share/doc/sqlite3 /usr/share/doc/debian-reference-en/docs \
    /usr/share/doc/developers-reference/docs "${OUT[@]}" --licence public-domain -o "$RUN/corpus"

keep() { # keep FILE COMMAND...: what the command prints, in FILE, once it has ended well
    local file=$1
    shift
    "$@" >"$file.tmp" && mv "$file.tmp" "$file"
}

stage "$RUN/tokenizer-stats.json" "2. Tokenizer: a vocabulary of 4096 pieces" \
    keep "$RUN/tokenizer-stats.json" "$HIGGINS" tokenizer train "$RUN/corpus" --vocab 4096 -o "$RUN/tokenizer.json" --json

# --resume: a run that was stopped goes on where it was.
stage "$RUN/base.json" "3. Train: a transformer from random weights, for about four minutes" \
    keep "$RUN/base.json" "$HIGGINS" train "$HERE/train.yaml" --set corpus="$RUN/corpus" --set tokenizer="$RUN/tokenizer.json" \
    -o "$RUN/base" --resume --json

stage "$RUN/chat.json" "4. Tune: teach it to answer, from a small set of conversations" \
    keep "$RUN/chat.json" "$HIGGINS" tune "$RUN/base/model" --recipe "$HERE/tune.yaml" --data "$HERE/chat.jsonl" -o "$RUN/chat" --resume --json

# The same questions before and after tuning: the base model is given the same form of a talk.
QUESTIONS=("Who are you?" "What is a language model?" "Tell me about Debian.")
ask() { # ask before|after MODEL
    local n=0 question
    mkdir -p "$RUN/samples"
    for question in "${QUESTIONS[@]}"; do
        n=$((n + 1))
        printf '%s' "$question" >"$RUN/samples/$n.txt"
        [ -e "$RUN/samples/$n-$1.json" ] || keep "$RUN/samples/$n-$1.json" "$HIGGINS" generate "$2" \
            "<|im_start|>user"$'\n'"$question<|im_end|>"$'\n'"<|im_start|>assistant"$'\n' --max-tokens 60 --temperature 0.3 --seed 1 --json
    done
}
ask before "$RUN/base/model"
ask after "$RUN/chat/model"

stage "$RUN/eval-base.json" "5. Evaluate: before tuning" \
    keep "$RUN/eval-base.json" "$HIGGINS" eval "$RUN/base/model" --suite quick --text "$RUN/heldout" --json
stage "$RUN/eval-chat.json" "   ... and after" \
    keep "$RUN/eval-chat.json" "$HIGGINS" eval "$RUN/chat/model" --suite quick --text "$RUN/heldout" --json

bold "6. Report"
"$HIGGINS" report "$RUN"

bold "7. Talk"
cat <<TEXT
A model this small writes in the manner of what it read, answers what its few hundred conversations taught it, and
invents the rest: it knows next to nothing. More text, more layers and more hours make better ones, with the same commands.
TEXT
if [ -t 0 ] && [ -t 1 ]; then
    exec "$HIGGINS" chat "$RUN/chat/model" --temperature 0.3
fi
for question in "${QUESTIONS[@]}"; do
    printf '\nyou    %s\nmodel  ' "$question"
    printf '%s\n' "$question" | "$HIGGINS" chat "$RUN/chat/model" --temperature 0.3 --seed 1
done
printf '\nTalk to it:     %s chat %s\nServe it:       %s serve %s\nLook at it:     %s\n' "$HIGGINS" "$RUN/chat/model" "$HIGGINS" "$RUN/chat/model" "$RUN/report.html"
}
live

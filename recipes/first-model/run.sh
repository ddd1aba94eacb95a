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

# The King James Bible lies in its package in a form of its own; its reader writes it out, here as plain chapters.
if [ ! -s "$RUN/texts/king-james-bible.txt" ]; then
    mkdir -p "$RUN/texts"
    bible -f 'gen1:1-rev22:21' 2>/dev/null | awk '
        { ref = $1; $1 = ""; sub(/^ +/, ""); split(ref, part, ":"); if (part[1] != chapter) { if (chapter != "") printf "\n\n"; chapter = part[1] } else printf " "; printf "%s", $0 }
        END { printf "\n" }' >"$RUN/texts/king-james-bible.tmp"
    mv "$RUN/texts/king-james-bible.tmp" "$RUN/texts/king-james-bible.txt"
fi

stage "$RUN/corpus/card.json" "1. Collect: free English texts from Debian's packages" \
    "$HIGGINS" collect "$RUN/texts" /usr/share/doc/anarchism/html /usr/share/doc/debian-handbook/html/en-US \
    /usr/share/debian-reference /usr/share/developers-reference -o "$RUN/corpus"
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

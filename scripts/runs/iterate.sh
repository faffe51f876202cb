#!/usr/bin/env bash
# Thumbs in, a new model out: scripts/runs/iterate.sh FEEDBACK DRAFT WORK
#
#   feedback -> corpus -> adapter -> merged -> model.gguf -> runs -> gate -> WORK/models/<name>/
#
# FEEDBACK is the file of scripts/feedback.py, DRAFT a card without [[files]] (scripts/pack.py), WORK a folder for
# everything that is made. Each arrow is one script, done again only where what it is made from is newer, so this
# can be stopped at any point and run again. A model that is worse than the default ends here, with exit code 7.
# FEEDBACK holds passages of documents, and so does WORK/corpus: both belong where the documents may lie.
set -euo pipefail
umask 077  # passages of documents go into WORK
cd "$(dirname "$0")/../.."
usage="usage: scripts/runs/iterate.sh FEEDBACK DRAFT WORK"
feedback=${1:?"$usage"} draft=${2:?"$usage"} work=${3:?"$usage"}

# Where things are; another place is named in the environment.
python=${PYTHON:-.venv/bin/python}           # all but the training
trainer=${TRAINER:-.cache/train/bin/python}  # has torch (requirements/train.in)
data=${DATA:-../shared/data}                 # published questions, so that what is known is not forgotten
base=${BASE:-.cache/models/smollm2/published.gguf}  # the published weights that the adapter is for
default=${DEFAULT:-.venv/share/appliance/models/smollm2-135m-cited}  # as it is installed
sets=${SETS:-.cache/frozen}                  # of scripts/questions.py: those of models/gate/frozen.toml
frozen=${FROZEN:-models/gate/frozen.toml}
board=${LEADERBOARD:-models/gate/leaderboard.jsonl}
adapter=$work/adapter/adapter_model.safetensors
importance=$work/importance.safetensors

step() { echo "==> $*" >&2; }
need() { [ -e "$1" ] || { step "there is no $1: $2"; exit 2; }; }

# stage TITLE TARGET SOURCES... -- COMMAND: run COMMAND unless it ended well before and no SOURCE is newer.
# A TARGET that was cut off stays for a COMMAND that goes on with it; one made from something older does not.
stage() {
  local title=$1 target=$2 stamp=$work/done/${1// /-}
  shift 2
  while [ "$1" != -- ]; do
    [ -e "$1" ] || { step "$title: there is no $1"; exit 2; }
    if [ "$1" -nt "$stamp" ]; then rm -f "$stamp"; fi
    if [ "$1" -nt "$target" ]; then rm -f "$target"; fi
    shift
  done
  shift
  if [ -e "$stamp" ] && [ -e "$target" ]; then
    step "$title: done before"
    return
  fi
  step "$title"
  "$@" || { local code=$?; step "$title failed ($code): mend that and run this again, it goes on here"; exit "$code"; }
  touch "$stamp"
}

# First in float, then for the 4-bit file, with the importance of the float weights' columns. Where `stage` removed
# the adapter, the checkpoint is of another corpus or base.
train() {
  [ -e "$adapter" ] || rm -f "$work/corpus/checkpoint.safetensors" "$work/corpus/train.log" "$importance"
  lora --until 0.6 || return
  [ -e "$importance" ] || {
    merge && "$python" -m scripts.importance "$work/merged.gguf" "$importance" "$work/corpus/train.jsonl" || return
  }
  lora --grid "$importance"
}
merge() {
  "$python" -m scripts.convert "$work/adapter" "$work/merged.gguf" --kind merged --base "$base" --type f16
}
lora() { "$trainer" -m scripts.train_lora --model "$base" --work "$work/corpus" --out "$work/adapter" "$@"; }

asked() { "$python" -m scripts.trial --card "$1" --model "$2" "${@:3}"; }

# Said before hours are spent.
names=$(sed -n 's/^name = "\(.*\)".*/\1/p' "$frozen")
need "$draft" "scripts/pack.py says what a draft is"
template='import sys, tomllib; print(tomllib.load(open(sys.argv[1], "rb")).get("template"))'
[ "$(python3 -c "$template" "$draft")" = chatml-brief ] || {
  step "$draft has not template = \"chatml-brief\", and the training is on prompts of that one"
  exit 2
}
need "$(type -P "$trainer" || echo "$trainer")" \
  "python3 -m venv .cache/train, then its pip installs -r requirements/train.in; or TRAINER names another"
need "$base" "make models fetches it"
need "$default/model.gguf" "make models builds it"
for name in $names; do
  need "$sets/$name" "$python -m scripts.questions --data $data --out $sets writes the sets"
done

mkdir -p "$work/runs" "$work/done"
step "feedback"
"$python" -m scripts.feedback check "$feedback"
stage corpus "$work/corpus/card.json" "$feedback" "$data" "$default/model.gguf" -- \
  "$python" -m scripts.corpus --data "$data" --feedback "$feedback" --model "$default/model.gguf" --out "$work/corpus"
[ -e "$importance" ] || rm -f "$work/done/training"
stage training "$adapter" "$work/corpus/card.json" "$base" -- \
  train
stage merging "$work/merged.gguf" "$adapter" "$base" -- \
  merge
stage quantizing "$work/model.gguf" "$work/merged.gguf" "$importance" -- \
  "$python" -m scripts.quantize "$work/merged.gguf" "$work/model.gguf" --importance "$importance"

candidates=() defaults=()
for name in $names; do
  set=$sets/$name
  stage "answers of the new model to $name" "$work/runs/new-$name" "$work/model.gguf" "$draft" "$set" -- \
    asked "$draft" "$work/model.gguf" --set "$set" --out "$work/runs/new-$name"
  stage "answers of the default to $name" "$work/runs/old-$name" \
    "$default/model.gguf" "$default/card.toml" "$set" -- \
    asked "$default/card.toml" "$default/model.gguf" --set "$set" --out "$work/runs/old-$name"
  candidates+=("$work/runs/new-$name") defaults+=("$work/runs/old-$name")
done

step "gate"
"$python" -m scripts.gate --candidate "${candidates[@]}" --default "${defaults[@]}" \
  --model "$work/model.gguf" --leaderboard "$board" --frozen "$frozen"
step "packing"
"$python" -m scripts.pack --card "$draft" --leaderboard "$board" --out "$work/models" --frozen "$frozen" \
  "$work/model.gguf"

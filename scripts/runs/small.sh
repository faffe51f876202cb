#!/usr/bin/env bash
# A generator of half the layers: scripts/runs/small.sh DATA [MINUTES] [TEACHER.gguf] [ADAPTER]
#
#   merged.gguf -> folder -> layers -> cut -> distill -> adapter -> model.gguf -> distilled, answers
#                                 corpus (-> taught) ---^
#
# The teacher is the adapted model of 30 layers that `make models` leaves. TEACHER.gguf, where named, is any
# larger model whose checked answers are learned in place of the corpus's own. Sixteen layers: the 4-bit file is
# 64 MB, .70 of the teacher's, and .63 of the parameters; eighteen would be 68 MB. As in generator.sh the first part
# of the time trains in float, the rest for the 4-bit file. Each step is done again only where what it is made from
# is newer; the training goes on from its last checkpoint. So this can be stopped and run again.
# ADAPTER, where named, is the folder of one for the same layers, with their list and the importance of their columns.
# It is trained on by itself: the teacher's part was to make good for the layers that are gone, and that is done.
set -euo pipefail
cd "$(dirname "$0")/../.."
usage="usage: scripts/runs/small.sh DATA [MINUTES] [TEACHER.gguf] [ADAPTER]"
data=${1:?"$usage"} minutes=${2:-64} large=${3:-} start=${4:-}
python=.venv/bin/python trainer=.cache/train/bin/python
source=.cache/models/cited corpus=.cache/generator work=.cache/small keep=16 examples=$corpus
teacher=$work/teacher importance=$work/importance.safetensors

for needed in "$source/merged.gguf" "$source/model.gguf" "$corpus/dev.safetensors" "$trainer"; do
  [ -e "$needed" ] || { echo "there is no $needed: run make models, scripts/runs/generator.sh DATA" >&2; exit 2; }
done
mkdir -p "$work"
newer() { [ ! -e "$1" ] || [ "$2" -nt "$1" ]; }

if newer "$teacher/config.json" "$source/merged.gguf"; then
  "$python" -m scripts.from_gguf "$source/merged.gguf" "$teacher"
fi
if [ -n "$large" ]; then
  examples=$work/taught
  "$python" -m scripts.taught \
    --teacher "$large" --examples "$corpus" --words "$source/merged.gguf" --out "$examples"
fi
room=$(awk '/MemAvailable/ {print int($2 / 10000000)}' /proc/meminfo)  # a worker takes 7 to 10 GB
. scripts/runs/training.sh
if [ "$workers" -gt "$room" ]; then workers=$((room > 1 ? room : 1)); fi
if [ -n "$start" ]; then
  cmp -s "$start/layers.json" "$work/layers.json" || cp "$start/layers.json" "$work/layers.json"
elif newer "$work/layers.json" "$teacher/config.json"; then
  nice -n 10 "$trainer" -m scripts.layers \
    --model "$teacher" --examples "$corpus" --keep "$keep" --out "$work/layers.json"
fi
if newer "$work/cut/config.json" "$work/layers.json" || newer "$work/cut/config.json" "$teacher/config.json"; then
  rm -f "$work/checkpoint.safetensors" "$work/train.log" "$importance"  # of another student
  "$python" -m scripts.cut "$teacher" "$work/cut" --layers "$work/layers.json"
fi
distill() {
  nice -n 10 "$trainer" -m scripts.distill --teacher "$teacher" --student "$work/cut" \
    --examples "$examples" --work "$work" --minutes "$minutes" --workers "$workers" "$@"
}
[ -e "$work/checkpoint.safetensors" ] || rm -f "$importance"  # of a training that is begun anew
merge() { "$python" -m scripts.convert "$1" "$work/merged.gguf" --kind merged --base "$work/cut.gguf" --type f16; }
[ -n "$start" ] || distill --until 0.6
"$python" -m scripts.convert "$work/cut" "$work/cut.gguf" --kind generator --type f16
if [ -n "$start" ]; then
  cp "$start/importance.safetensors" "$importance"
  cp "$examples"/{train,dev}.safetensors "$work"
  nice -n 10 "$trainer" -m scripts.train_lora --model "$work/cut" --work "$work" --start "$start" \
    --grid "$importance" --minutes "$minutes" --workers "$workers"
else
  if [ ! -e "$importance" ]; then  # of the float weights; later the adapter is another
    merge "$work/adapter"
    "$python" -m scripts.importance "$work/merged.gguf" "$importance" "$corpus/train.jsonl"
  fi
  distill --grid "$importance"
fi
unset OMP_NUM_THREADS
"$python" -m scripts.keep_adapter "$work/adapter" "$work/kept" --base "$(basename "$source") cut to $keep layers"
merge "$work/kept"
"$python" -m scripts.quantize "$work/merged.gguf" "$work/model.gguf" --importance "$importance"
"$python" -m scripts.distilled "$source/model.gguf" "$work/model.gguf" --examples "$corpus"
model=$(sha256sum "$work/model.gguf")  # each model has answers of its own
"$python" -m scripts.answers --data "$data" --model "$work/model.gguf" --likelihood 0.05 \
  --out "$work/answers-${model:0:12}.jsonl"  # as its card has it

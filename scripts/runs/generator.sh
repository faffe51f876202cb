#!/usr/bin/env bash
# Train the generator on the CPU: scripts/runs/generator.sh DATA [MINUTES] [ADAPTER]. It can be stopped and run
# again: the training goes on from its last checkpoint, and a larger MINUTES trains one on whose time was up (not one
# that no longer got better). The first part of the time trains in float, the rest for the 4-bit file, from the best
# float weights and with the importance of their columns; then adapter and base become that file. Its hash belongs on
# a card. ADAPTER is the folder of one to train on: that is done for the 4-bit file from the first minute.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${1:?"usage: scripts/runs/generator.sh DATA [MINUTES] [ADAPTER]"}
minutes=${2:-81} start=${3:-}
work=.cache/generator base=.cache/models/smollm2/published.gguf

make --silent models
[ -e "$work/card.json" ] ||
  .venv/bin/python -m scripts.corpus --data "$data" --model "$base" --out "$work"
. scripts/runs/training.sh
lora() {
  nice -n 10 "$train/bin/python" -m scripts.train_lora \
    --model "$base" --work "$work" --minutes "$minutes" --workers "$workers" "$@"
}
python=.venv/bin/python name=smollm2-135m-cited importance=$work/importance.safetensors
[ -e "$work/checkpoint.safetensors" ] || rm -f "$importance"  # of a training that is begun anew
[ -n "$start" ] || lora --until 0.6
if [ ! -e "$importance" ]; then  # of the float weights; later the adapter is another
  from=${start:-$work/adapter}
  "$python" -m scripts.convert "$from" "$work/merged.gguf" --kind merged --base "$base" --type f16
  "$python" -m scripts.importance "$work/merged.gguf" "$importance" "$work/train.jsonl"
fi
lora --grid "$importance" ${start:+--start "$start"}
"$python" -m scripts.keep_adapter "$work/adapter" "$work/$name" --base SmolLM2-135M-Instruct
"$python" -m scripts.convert "$work/$name" "$work/merged.gguf" --kind merged --base "$base" --type f16
"$python" -m scripts.quantize "$work/merged.gguf" "$work/model.gguf" --importance "$importance"
model=$(sha256sum "$work/model.gguf")  # each model has answers of its own
"$python" -m scripts.answers --data "$data" --model "$work/model.gguf" --out "$work/answers-${model:0:12}.jsonl"

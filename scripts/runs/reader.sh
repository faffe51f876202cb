#!/usr/bin/env bash
# Train the reader on the CPU and convert it: scripts/runs/reader.sh DATA [MINUTES] [READER.onnx]. It can be stopped
# and run again: the training goes on from its last checkpoint; a larger MINUTES trains a finished one on. With
# READER.onnx (models/reader-minilm-l6.onnx) it begins with the weights of that reader instead of the body's.
# The hash printed last belongs on a card; card, model.onnx and the embedding's tokenizer.json make a model folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${1:?"usage: scripts/runs/reader.sh DATA [MINUTES] [READER.onnx]"}
minutes=${2:-36} reader=${3:-}
work=.cache/reader body=.cache/models/minilm

make --silent models
. scripts/runs/training.sh
start=()
if [ -n "$reader" ]; then
  start=(--start "$work/start.safetensors")
  mkdir -p "$work"
  [ "$work/start.safetensors" -nt "$reader" ] ||
    .venv/bin/python -m scripts.graft restore "$reader" "$body" "$work/start.safetensors"
fi
if older "$work/dev.safetensors" scripts/authored/*.jsonl scripts/reader_*.py; then
  "$train/bin/python" -m scripts.reader_data --data "$data" --model "$body" --out "$work"
fi
nice -n 10 "$train/bin/python" -m scripts.train_reader \
  --model "$body" --work "$work" --minutes "$minutes" --workers "$workers" "${start[@]}"
.venv/bin/python -m scripts.convert "$work" "$work/model.onnx" --kind reader

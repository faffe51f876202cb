#!/usr/bin/env bash
# Train the reader on the CPU and convert it: scripts/runs/reader.sh DATA [MINUTES] [READER.onnx]. It can be stopped
# and run again: the training goes on from its last checkpoint; a larger MINUTES trains a finished one on. With
# READER.onnx (models/reader-minilm-l6.onnx) it begins with the weights of that reader instead of the body's.
# The hash printed last belongs on a card; card, model.onnx and the embedding's tokenizer.json make a model folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${1:?"usage: scripts/runs/reader.sh DATA [MINUTES] [READER.onnx]"}
minutes=${2:-36} reader=${3:-}
train=.cache/train work=.cache/reader body=.cache/models/minilm

make --silent models
if [ ! -e "$train/.installed" ]; then
  echo "==> installing torch (CPU) into $train" >&2
  [ -x "$train/bin/python" ] || "${PYTHON:-python3}" -m venv "$train"
  "$train/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements/train.in
  touch "$train/.installed"
fi
workers=$(nproc)  # before the next line: nproc answers what OMP_NUM_THREADS says
# One thread a worker, and memory that is kept instead of mapped anew for every tensor.
export OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296
start=()
if [ -n "$reader" ]; then
  start=(--start "$work/start.safetensors")
  mkdir -p "$work"
  [ "$work/start.safetensors" -nt "$reader" ] ||
    .venv/bin/python -m scripts.graft restore "$reader" "$body" "$work/start.safetensors"
fi
[ -e "$work/dev.safetensors" ] ||
  "$train/bin/python" -m scripts.reader_data --data "$data" --model "$body" --out "$work"
nice -n 10 "$train/bin/python" -m scripts.train_reader \
  --model "$body" --work "$work" --minutes "$minutes" --workers "$workers" "${start[@]}"
.venv/bin/python -m scripts.convert "$work" "$work/model.onnx" --kind reader

#!/usr/bin/env bash
# Train an adapter for the encoder on the CPU and lay it on: scripts/runs/encoder.sh DATA [MINUTES]. It can be stopped and
# run again: the training goes on from its last checkpoint. The hash printed last is model.onnx's and belongs on a
# card; .cache/encoder/minilm-l6-cited is the adapter.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${1:?"usage: scripts/runs/encoder.sh DATA [MINUTES]"}
minutes=${2:-18}
work=.cache/encoder base=.cache/models/minilm

make --silent models
. scripts/runs/training.sh
if older "$work/dev.jsonl" scripts/authored/*.jsonl scripts/encoder_data.py scripts/reader_*.py; then
  "$train/bin/python" -m scripts.encoder_data --data "$data" --out "$work"
fi
nice -n 10 "$train/bin/python" -m scripts.train_encoder \
  --model "$base" --work "$work" --minutes "$minutes" --workers "$workers"
kept=$work/minilm-l6-cited
.venv/bin/python -m scripts.keep_adapter "$work/adapter" "$kept" --base all-MiniLM-L6-v2
.venv/bin/python -m scripts.convert "$kept" "$work/model.onnx" --base "$base"

#!/usr/bin/env bash
# Have questions written for the reader's training: scripts/runs/asker.sh DATA [MINUTES]. The base of the generator
# learns in MINUTES to ask about a passage what people asked, is made a 4-bit file, and asks about the passages of the
# training sets; the reader that is installed keeps what it can answer. Stopped and run again, it goes on.
# Then: scripts/runs/reader.sh DATA MINUTES READER.onnx .cache/asker/asked.jsonl
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${1:?"usage: scripts/runs/asker.sh DATA [MINUTES]"}
minutes=${2:-22}
train=.cache/train work=.cache/asker base=.cache/models/smollm2/published.gguf

make --silent models
if [ ! -e "$train/.installed" ] || [ requirements/train.in -nt "$train/.installed" ]; then
  echo "==> installing torch (CPU) into $train" >&2
  [ -x "$train/bin/python" ] || "${PYTHON:-python3}" -m venv "$train"
  "$train/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements/train.in
  touch "$train/.installed"
fi
python=.venv/bin/python
[ -e "$work/dev.safetensors" ] ||
  "$python" -m scripts.asker_data --data "$data" --model "$base" --out "$work"
workers=$(nproc)  # before the next line: nproc answers what OMP_NUM_THREADS says
export OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296
if [ ! -e "$work/model.gguf" ]; then
  nice -n 10 "$train/bin/python" -m scripts.train_lora \
    --model "$base" --work "$work" --minutes "$minutes" --workers "$workers"
  "$python" -m scripts.convert "$work/adapter" "$work/merged.gguf" --kind merged --base "$base" --type f16
  "$python" -m scripts.quantize "$work/merged.gguf" "$work/model.gguf"
fi
nice -n 10 "$python" -m scripts.asker --data "$data" --model "$work/model.gguf" \
  --reader .venv/share/appliance/models/reader-minilm-l6 --out "$work/asked.jsonl" --workers "$workers"

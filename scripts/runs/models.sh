#!/usr/bin/env bash
# The default models: fetched by hash, converted, quantized, and installed only if they are what their cards
# say. Every step looks first whether its work is done, so it can be stopped at any point and run again.
set -euo pipefail
cd "$(dirname "$0")/../.."
destination=${1:?"usage: scripts/runs/models.sh DESTINATION"}
python=$PWD/.venv/bin/python
cache=.cache/models

step() { echo "==> $*"; }
finished() { "$python" -m scripts.install --check "models/$1.toml" "$destination"; }
install_model() { "$python" -m scripts.install "models/$1.toml" "$destination" "${@:2}"; }

if finished all-minilm-l6-v2-int8 && finished reader-minilm-l6 && finished smollm2-135m-cited &&
  finished smollm2-85m-cited; then
  step "the default models are there"
  exit 0
fi

# What an earlier run left when it was killed.
rm -rf "$destination"/.install-* "$cache"/.download-* "$cache"/*/.*.tmp

step "fetching the published weights (180 MB, once)"
"$python" -m scripts.fetch "$cache"

if ! finished all-minilm-l6-v2-int8; then
  step "embedding: MiniLM to ONNX, INT8"
  "$python" -m scripts.convert "$cache/minilm" "$cache/minilm/model.onnx"
  install_model all-minilm-l6-v2-int8 "$cache/minilm/model.onnx" "$cache/minilm/tokenizer.json"
fi
if ! finished reader-minilm-l6; then
  step "reader: what was trained here, joined with MiniLM's table of words"
  mkdir -p "$cache/reader"
  "$python" -m scripts.graft join models/reader-minilm-l6.onnx "$cache/minilm" "$cache/reader/model.onnx"
  install_model reader-minilm-l6 "$cache/reader/model.onnx" "$cache/minilm/tokenizer.json"
fi
merged() {  # of both generators
  mkdir -p "$cache/cited"
  "$python" -m scripts.convert models/smollm2-135m-cited "$cache/cited/merged.gguf" \
    --kind merged --base "$cache/smollm2/published.gguf" --type f16
}
if ! finished smollm2-135m-cited; then
  step "generator: SmolLM2 with the adapter that was trained here, to 4 bits"
  merged
  "$python" -m scripts.quantize "$cache/cited/merged.gguf" "$cache/cited/model.gguf" \
    --importance models/smollm2-135m-cited/importance.safetensors
  install_model smollm2-135m-cited "$cache/cited/model.gguf"
fi
if ! finished smollm2-85m-cited; then
  step "small generator: 16 of its 30 layers with the adapter that was distilled here, to 4 bits"
  small=$cache/small own=models/smollm2-85m-cited
  merged  # again: what lies there may be of another adapter
  "$python" -m scripts.from_gguf "$cache/cited/merged.gguf" "$small/teacher"
  "$python" -m scripts.cut "$small/teacher" "$small/cut" --layers "$own/layers.json"
  "$python" -m scripts.convert "$small/cut" "$small/cut.gguf" --kind generator --type f16
  "$python" -m scripts.convert "$own" "$small/merged.gguf" --kind merged --base "$small/cut.gguf" --type f16
  "$python" -m scripts.quantize "$small/merged.gguf" "$small/model.gguf" --importance "$own/importance.safetensors"
  rm -r "$small/teacher" "$small/cut"
  install_model smollm2-85m-cited "$small/model.gguf"
fi
step "models in $destination"

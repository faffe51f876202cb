#!/usr/bin/env bash
# Measure the appliance, and beside it the same job done with LangChain, Chroma and sentence-transformers.
# Arguments go to scripts/bench.py; with --quick everything is tried once on little, which proves nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
peer=.cache/peer

make --silent models
if [ ! -e "$peer/.installed" ] || [ requirements/peer.lock -nt "$peer/.installed" ]; then
  echo "==> installing the peer into $peer (1.8 GB)" >&2
  [ -x "$peer/bin/python" ] || "${PYTHON:-python3}" -m venv "$peer"
  pip=("$peer/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps)
  torch=$(grep '^torch==' requirements/peer.in)
  # A torch for GPUs would bring gigabytes of CUDA: here it is asked for by its CPU build's own version, and the
  # lock, installed without looking at dependencies, names no package of CUDA.
  [ "$(uname -m)" != x86_64 ] || torch+=+cpu
  if ! "${pip[@]}" "$torch"; then
    echo "pip finds no $torch: name a place that has it in PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL." >&2
    exit 2
  fi
  "${pip[@]}" --require-hashes -r requirements/peer.lock
  touch "$peer/.installed"
fi
exec .venv/bin/python -m scripts.bench "$@"

#!/usr/bin/env bash
# Every check, cheapest first, so that a mistake shows early.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=.venv/bin
step() { echo "==> $*"; }

step "format";  "$bin/ruff" format --check --quiet .
step "lint";    "$bin/ruff" check --quiet .
step "types";   "$bin/mypy"
step "layers";  "$bin/lint-imports"
step "tests";   "$bin/python" -m pytest "$@"

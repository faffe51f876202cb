# Two commands: `make run` and `make test`. Each says what it does, can be stopped, and goes on where it was.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
PYTHON ?= python3
# ONNX Runtime uploads events otherwise (appliance/__init__.py says it too, for what imports that first).
export ORT_DISABLE_TELEMETRY := 1
VENV := .venv
BIN := $(VENV)/bin
MODELS := $(VENV)/share/appliance/models
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-build-isolation
# No pip cache for it: a wheel cached there may have been built with other flags.
# Only the inference library: no server, no tools, no multimodal loader, no HTTP client is compiled.
LLAMA := -DLLAVA_BUILD=OFF -DCMAKE_PROJECT_llama_cpp_INCLUDE=$(abspath requirements/llama.cmake)
MAKES_MODELS := $(wildcard scripts/*.py) scripts/runs/models.sh

.PHONY: help run test security sbom models install dev clean
help: ## say what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

run: models ## install, build the default models, make the demo vault, open it
	@scripts/runs/demo.sh

test: models $(VENV)/.dev ## install, then check and test everything
	@scripts/runs/test.sh

security: models $(VENV)/.dev ## try every row of the security checklist, as a reviewer would (half an hour)
	@$(BIN)/python -m tests.security

sbom: $(VENV)/.dev ## write appliance/sbom.json anew: what the program is made of, and its cryptography
	@$(BIN)/python -m scripts.sbom

install: $(VENV)/.run ## only install
models: $(MODELS)/.built ## install and build the default models
dev: $(VENV)/.dev ## install the tools for development

$(VENV)/.build: requirements/build.lock
	@echo "==> making $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name one with PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -r requirements/build.lock
	@touch $@

$(VENV)/.run: $(VENV)/.build requirements/run.lock pyproject.toml
	@echo "==> installing the runtime (compiles llama.cpp: two to six minutes)"
	@PATH="$(abspath $(BIN)):$$PATH" CMAKE_ARGS="$(LLAMA)" $(PIP) --no-cache-dir -r requirements/run.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.factory: $(VENV)/.run requirements/factory.lock
	@echo "==> installing what builds the models"
	@$(PIP) -r requirements/factory.lock
	@touch $@

$(VENV)/.dev: $(VENV)/.factory requirements/dev.lock
	@echo "==> installing what checks and tests"
	@$(PIP) -r requirements/dev.lock
	@touch $@

$(MODELS)/.built: $(VENV)/.factory $(MAKES_MODELS) $(wildcard models/*.toml models/*.onnx models/*/*.json models/*/*.safetensors)
	@echo "==> building the default models"
	@scripts/runs/models.sh $(MODELS)
	@touch $@

clean: ## remove everything that was built here (vaults are not touched)
	rm -rf $(VENV) build .cache

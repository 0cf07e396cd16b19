# Plain `make` prints the targets. Every target sets up what it needs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := crypto learning protocol consortium workers bank_node
OUT ?= out
DATA ?=
ARGS ?=

.PHONY: help setup servers demo test test-fast test-slow lint bench images clean

help:  ## print the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(STAMP)  ## create .venv with everything pinned

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "setup: Python 3.11 or newer is needed, $$($(PYTHON) --version) was found; name another with PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || docker/need-packages.sh python3-venv
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@# Where the environment forbids Python to write bytecode, pip leaves none either, and every process compiles pandas anew.
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m compileall -q -j 0 $(VENV)/lib $(PACKAGES)
	touch $@

servers: setup  # the system's own Redis and PostgreSQL, for the tests
	docker/need-packages.sh redis-server postgresql

demo: setup  ## train together with five banks, encrypted; DATA=file.csv ARGS='--label NAME' for your own table
	$(BIN)/python -m examples.demo --out $(OUT) $(if $(DATA),--data $(DATA)) $(ARGS)

test: setup servers  ## every test but the long ones, with real servers
	$(BIN)/python -m pytest -q -m "not slow"

test-fast: setup  ## no servers, under two minutes
	$(BIN)/python -m pytest -q -m "not slow and not server"

test-slow: setup servers  ## the long runs: many kills, images, large tables
	$(BIN)/python -m pytest -q -m slow

lint: setup  ## ruff, mypy, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup servers  ## the figures of docs/performance.md, measured here
	mkdir -p $(OUT)
	$(BIN)/python -m benchmarks.secure_sum --banks 5 --threshold 3 --values 1000000 --json $(OUT)/secure_sum.json
	$(BIN)/python -m benchmarks.secure_sum --sweep --json $(OUT)/sweep.json
	$(BIN)/python -m benchmarks.learning --synthetic 200000x30 --no-peers --json $(OUT)/learning.json
	$(BIN)/python -m benchmarks.bank_memory --json $(OUT)/bank_memory.json
	$(BIN)/python -m benchmarks.service --case all --json $(OUT)/service.json

images:  ## build the service, worker and node images
	docker/build-images.sh

clean:  ## remove what the targets made
	rm -rf $(OUT) .pytest_cache .mypy_cache .ruff_cache .hypothesis

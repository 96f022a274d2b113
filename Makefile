# Two commands on a fresh machine: `make demo` and `make test`. Both set everything up by themselves.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-dev
BASE := $(VENV)/.installed
SHELL := /bin/bash

.PHONY: help demo test test-extras check bench clean
.DEFAULT_GOAL := help

help: ## Show what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BASE): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Shoal into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(STAMP): $(BASE)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(BASE) ## Four simulated weeks through the whole engine, then a report
	@$(BIN)/shoal demo

test: $(STAMP) ## The tests; needs Python wheels alone
	@$(BIN)/python -m pytest -q -n 2

test-extras: $(STAMP) ## The tests that start real parts of the extras
	@bash .ci/extras $(BIN)/python

check: $(STAMP) ## Lint, types, layers, sizes
	@$(BIN)/ruff check src tests benchmarks
	@$(BIN)/ruff format --check src tests benchmarks
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tests/sizes.py
	@$(BIN)/shoal pack fmt --check src/shoal/packs/builtin/*

bench: $(STAMP) ## All benchmarks, quick
	@for name in decode enrich expressions features simulate pipeline cloudlogs closed_loop takeover anomaly scoring learn behaviour segments coordination graph; do $(BIN)/python -m benchmarks.$$name --quick || exit 1; done

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

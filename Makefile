# Everything runs in .venv, which the first target that needs it makes from constraints.txt.

PYTHON ?= python3
# Test processes. Each keeps to one thread, so that they do not fight over the cores.
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
# Written last: an interrupted installation leaves none and is taken up again by the next make.
INSTALLED := $(VENV)/.installed
ROOMS := modeling_ftfv processing training evaluation hub_upload
# What others build on is type-checked; the rest is glue around libraries that say little about their types.
TYPED_ROOMS := modeling_ftfv processing
# mypy reads no package-dir map; here the folders lie as they do once installed.
AS_INSTALLED := $(VENV)/as_installed

TEST_ENVIRONMENT := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 MPLBACKEND=Agg

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo miniature test test-slow hf-suite lmms-eval bench style quality

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv and install everything into it (about 6 GB, once)

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || { echo "'$(PYTHON)' was not found; install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import platform, sys; sys.version_info >= (3, 11) or sys.exit("FTFV needs Python 3.11 or newer, but $(PYTHON) is " + platform.python_version() + "; name another one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED) ## train a tiny FTFV on generated clips and report what it learned (6 minutes measured)
	$(BIN)/ftfv demo

miniature: $(INSTALLED) ## rebuild the shipped tiny model from nothing through all recipes (over an hour)
	$(BIN)/ftfv miniature

test: $(INSTALLED) ## run the tests
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-slow: $(INSTALLED) ## run the tests that take minutes or download packages
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest -m slow --timeout 3600

hf-suite: $(INSTALLED) ## run the common tests of Hugging Face, downloaded from the package index
	$(TEST_ENVIRONMENT) $(BIN)/python tests/hf_suite/run.py $(VENV)/hf_suite

lmms-eval: $(INSTALLED) ## run lmms-eval with FTFV on toy data, in an environment of its own, and compare its scores with ours
	$(TEST_ENVIRONMENT) PYTHONPATH=. $(BIN)/python tests/lmms_eval/run.py $(VENV)/lmms_eval

bench: $(INSTALLED) ## measure decoders, adapter, questions, FTFV beside other video models, and training (half an hour)
	$(BIN)/python tests/benchmarks/bench_decoding.py
	PYTHONPATH=. $(BIN)/python tests/benchmarks/bench_sampler.py
	PYTHONPATH=. $(BIN)/python tests/benchmarks/bench_questions.py
	PYTHONPATH=. $(BIN)/python tests/benchmarks/bench_models.py --output bench/models.json
	PYTHONPATH=. $(BIN)/python tests/benchmarks/bench_training.py padding
	PYTHONPATH=. $(BIN)/python tests/benchmarks/bench_training.py waiting

style: $(INSTALLED) ## mend imports and formatting, then check as `quality` does
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(MAKE) quality

quality: $(INSTALLED) ## check style, model structure and types, changing nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mlinter --no-progress --no-cache modeling_ftfv processing
	@rm -rf $(AS_INSTALLED)/ftfv && mkdir -p $(AS_INSTALLED)/ftfv
	@ln -s $(CURDIR)/ftfv/* $(addprefix $(CURDIR)/,$(ROOMS)) $(AS_INSTALLED)/ftfv
	cd $(AS_INSTALLED) && ../bin/mypy --config-file ../../pyproject.toml $(addprefix --package ftfv.,$(TYPED_ROOMS))

# Two commands on a fresh machine: `make search` and `make test`. Each first makes what it needs.
#
#   PYTHON       the interpreter that makes the virtual environment, 3.11 or newer
#   VENV         where the virtual environment lives
#   CONSTRAINTS  tested versions; CONSTRAINTS=/dev/null takes what pip finds (GPU builds of torch)
#   WORKERS      test processes
#   ARGS         handed on to the command or to pytest: make search ARGS=--help
PYTHON      ?= python3
VENV        ?= .venv
CONSTRAINTS ?= constraints.txt
WORKERS     ?= 2
BIN         := $(VENV)/bin
RUN         := $(VENV)/.ready-run
DEV         := $(VENV)/.ready-dev
INSTALL     := $(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable
# One thread per process: the workers share the cores. Each takes a half of the tests in their order,
# so that what a file makes once is made once, and at the end some of what the other has left. Bytecode
# is kept, also where the environment says otherwise: pytest rewrites 250 files for each worker.
PYTEST      := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help search test test-slow test-experiments fuzz check docs constraints

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

search: $(RUN)  ## run the main job: search a quantization under a budget (ARGS=--help shows the settings)
	$(BIN)/python -m rlquant search $(ARGS)

test: $(DEV)  ## run the product's tests and one tiny experiment, without those marked slow
	$(PYTEST) $(ARGS)

test-experiments: $(DEV)  ## run the tests of experiments/, which only make pages of docs/results
	$(PYTEST) experiments/tests $(ARGS)

test-slow: $(DEV)  ## run the tests marked slow
	$(PYTEST) -m slow tests experiments/tests $(ARGS)

fuzz: $(DEV)  ## try for 10 minutes to break what is promised (ARGS="--minutes 2 --seed 5"; --help shows more)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/fuzz.py $(ARGS)

check: $(DEV)  ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(RUN)  ## build the site of docs/ into build/site; what is wrong with it ends the build
	$(INSTALL) '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict $(ARGS)

# Pins that are there stay; start from an empty VENV with CONSTRAINTS=/dev/null to take new versions.
# The local part of a version (2.13.0+cpu) is cut: it names one build, and would lock out the others.
constraints: $(DEV)  ## write constraints.txt: the versions in VENV, with every extra installed
	$(INSTALL) '.[dev,docs,onnx,dashboard,hf,vision]'
	$(BIN)/python -m pip freeze --exclude-editable > $(VENV)/frozen.txt
	sed 's/+[^ ]*$$//' $(VENV)/frozen.txt > constraints.txt

# Debian's Python has no ensurepip without python3-venv; its pip puts pip there then.
$(RUN): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rlquant needs Python 3.11 or newer and '$(PYTHON)' is not: name one, as in make PYTHON=python3.11" >&2; exit 1; }
	@echo "installing into $(VENV): 1.4 GB, or 5.9 GB with CUDA (docs/how-to/install.md), some minutes the first time"
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(VENV); else \
	  $(PYTHON) -m venv --without-pip $(VENV) && \
	  $(PYTHON) -m pip --python $(BIN)/python install --quiet pip || \
	  { echo "'$(PYTHON)' can neither make a virtual environment with pip nor install pip into one: on Debian, apt-get install python3-venv" >&2; exit 1; }; fi
	@$(INSTALL) .
	@touch $@

# After RUN and not beside it, so that two pips never write to one environment under make -j.
$(DEV): $(RUN)
	@$(INSTALL) '.[dev]'
	@touch $@

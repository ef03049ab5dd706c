# Few verbs, the same here and in the gate. Each sets up .venv by itself and is quick when nothing changed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# How many processes `make test` uses; 0 runs the tests one after the other in a single one.
JOBS ?= 2
# A heavy group with a lock of its own (tests/heavy/GROUP.lock) has an environment of its own; the others use .venv.
HEAVY := $(if $(wildcard tests/heavy/$(GROUP).lock),$(VENV)/heavy/$(GROUP),$(VENV))
# What the .wheels file beside a lock names is taken from the folders in PIP_FIND_LINKS, where there are any, without hashes.
WHEELS = test ! -e $(<:.lock=.wheels) \
  || $(BIN)/uv pip install --quiet --python $(@D)/bin/python --no-deps --compile-bytecode \
  $(foreach folder,$(PIP_FIND_LINKS),--find-links $(folder)) -r $(<:.lock=.wheels) \
  || { echo "Name a folder that holds the wheels of $(<:.lock=.wheels) in PIP_FIND_LINKS." >&2; exit 1; }
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.PHONY: help demo test test-heavy check bench bench-growth lock clean

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 20

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "prefect-ml needs Python 3.11 to 3.13; say which with 'make PYTHON=python3.11 ...'." >&2; exit 2; }
	@echo "Setting up $(VENV) (once; it takes a minute or two)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) 2>/dev/null || uv venv --quiet --python $(PYTHON) $(VENV) \
	  || { echo "No virtual environment can be made: install Python's venv module, or uv." >&2; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv 2>/dev/null \
	  || uv pip install --quiet --python $(BIN)/python uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $(READY)

demo: $(READY)  ## From nothing to a served model: services, project, best run, promotion, prediction
	@$(BIN)/python examples/demo.py

test: $(READY)  ## Every test that is not marked heavy
	@$(BIN)/python -m pytest -m "not heavy" -n $(JOBS)

test-heavy: $(HEAVY)/.ready  ## The heavy tests of one group: make test-heavy GROUP=name
	@$(HEAVY)/bin/python -m pytest -m "heavy" $(if $(GROUP),-k $(GROUP))

$(VENV)/heavy/%/.ready: tests/heavy/%.lock $(READY)
	@echo "Setting up $(@D) (once; the libraries are large)"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --compile-bytecode --no-deps \
	  --require-hashes -r requirements.lock -r $<
	@$(WHEELS)
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --no-deps --editable .
	@touch $@

check: $(READY)  ## Style, types, and links in the docs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Not formatted; run '$(BIN)/ruff format .'" >&2; exit 1; }
	@mkdir -p .types && ln -sfn .. .types/prefect_ml
	@$(BIN)/basedpyright
	@$(BIN)/python tests/check_links.py

bench: $(VENV)/bench/mlflow/.ready $(VENV)/bench/models/.ready  ## Measure beside MLflow, and print the table of docs/benchmarks.md
	@$(BIN)/python benchmarks/run.py

bench-growth: $(READY)  ## Measure how costs grow up to a million runs; takes a quarter of an hour
	@$(BIN)/python benchmarks/bench_growth.py

$(VENV)/bench/mlflow/.ready: benchmarks/mlflow.lock $(READY)
	@echo "Setting up MLflow, to compare with (once)"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --compile-bytecode --require-hashes -r $<
	@$(WHEELS)
	@touch $@

$(VENV)/bench/models/.ready: benchmarks/models.lock $(READY)
	@echo "Setting up the libraries whose models are measured (once)"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --compile-bytecode --no-deps \
	  --require-hashes -r requirements.lock -r $<
	@$(WHEELS)
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --no-deps --editable .
	@touch $@

lock: $(READY)  ## Resolve requirements.lock anew, and the locks of the heavy groups with it
	@$(BIN)/$(LOCK) --group dev pyproject.toml -o requirements.lock
	@$(BIN)/$(LOCK) --overrides tests/heavy/overrides.txt benchmarks/mlflow.in -o benchmarks/mlflow.lock
	@$(BIN)/$(LOCK) --constraints requirements.lock --overrides tests/heavy/overrides.txt benchmarks/models.in \
	  -o benchmarks/models.lock
	@for group in tests/heavy/*.in; do \
	  $(BIN)/$(LOCK) --constraints requirements.lock --overrides tests/heavy/overrides.txt $$group -o $${group%.in}.lock; done

clean:  ## Remove what was built; data under PREFECT_ML_HOME stays
	@rm -rf $(VENV) .types build dist *.egg-info .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# make demo | test | lint | bench | tables | clean: each sets up what it needs first (.venv), and reuses it.
# ARGS passes on to the program: make test ARGS="tests/embedded -k crash".
# PYTHON names the interpreter for a new .venv; by default the first of these that is 3.11 or newer and has venv.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
EXTRAS := embedded,train,dev
CANDIDATES := python3 python3.11 python3.12 python3.13 python3.14
# Processes that share the tests: those on brokers mostly wait.
JOBS := 4
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

# A virtual environment whose Python has gone (an upgrade of the system's) is made anew.
$(shell test -x $(BIN)/python || rm -f $(STAMP))

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench tables clean

help: ## Say what can be made
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) ## Make the virtual environment and install everything into it

# The stamp is written last: an interrupted installation is taken up again.
$(STAMP): pyproject.toml constraints.txt $(BIN)/python
	@echo "installing into $(VENV) (the first time takes a few minutes)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(BIN)/python -m pip install --quiet -e '.[$(EXTRAS)]' -c constraints.txt
	@touch $@

$(BIN)/python:
	@python="$(PYTHON)"; \
	for name in $(if $(PYTHON),,$(CANDIDATES)); do \
	  if "$$name" -c '$(SUITABLE)' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then echo "no Python 3.11 or newer with the module venv: install one, or name it with PYTHON=" >&2; exit 1; fi; \
	echo "$$python -m venv $(VENV)"; \
	"$$python" -m venv --clear $(VENV)

demo: $(STAMP) ## Run the whole pipeline on a simulated night, on this machine alone
	$(BIN)/fulgor demo $(ARGS)

test: $(STAMP) ## Run the tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

lint: $(STAMP) ## Check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## Put the code in format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## Measure throughput and latency
	$(BIN)/python benchmarks/run.py $(ARGS)

# A queue: what was measured before is not measured again. DATA holds the folder ztf of labelled alerts.
tables: $(STAMP) ## Run the ablations that are left, and print their tables (DATA=folder WORK=folder)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/ablation.py --data $(DATA) --work $(WORK)
	$(BIN)/python benchmarks/ablation.py --work $(WORK) --table

clean: ## Remove what was made here; databases and demo results elsewhere stay
	rm -rf $(VENV) build dist fulgor.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

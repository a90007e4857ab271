# Verbs for people: `make` lists them. Everything is made below .venv/, .triage/ and site/.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3.11
PORT ?= 8000
SAMPLE ?= 1
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export TRIAGE_HOME ?= $(CURDIR)/.triage
export HF_HUB_OFFLINE ?= 1
export MLFLOW_DISABLE_TELEMETRY := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install hooks lock run stop quick test coverage check docs screenshots bench clean

help:  ## List the verbs
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml requirements.lock constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found: install Python 3.11 or name another with PYTHON=…" >&2; exit 2; }
	@echo "· making the environment in $(VENV) (once, a few minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@log=$$($(BIN)/python -m pip install --quiet --upgrade "pip>=25.1" 2>&1) || { echo "$$log" >&2; exit 2; }
	@log=$$($(BIN)/python -m pip install --quiet -c requirements.lock -c constraints.txt \
		-e '.[train,postgres,mail,mcp,otel,ray]' --group dev --group docs 2>&1) || { echo "$$log" >&2; exit 2; }
	@touch $@

install: $(STAMP)  ## Make the environment, at the versions of requirements.lock

hooks: $(STAMP)  ## Run the checks before every commit (git hooks)
	@$(BIN)/pre-commit install

lock: $(STAMP)  ## Write the installed versions to requirements.lock
	@$(BIN)/python -P scripts/lock.py

run: $(STAMP)  ## Train on the shipped tickets (once), serve on 127.0.0.1:8000 (PORT=N: elsewhere), replay a sample day (SAMPLE=0: without)
	@PORT=$(PORT) BIN=$(BIN) SAMPLE=$(SAMPLE) bash scripts/run.sh

stop:  ## Stop what `make run` started
	@bash scripts/stop.sh

quick: $(STAMP)  ## Run the fast tests, in less than 90 seconds
	@$(BIN)/python -P -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not browser and not postgres" \
		tests/unit tests/data tests/service $(ARGS)

test: $(STAMP)  ## Run all tests
	@$(BIN)/python -P -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

coverage: $(STAMP)  ## Run all tests, and fail where fewer than 90 % of the lines were run
	@rm -rf .coverage
	@PYTHONSAFEPATH=1 $(BIN)/coverage run -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

check: $(STAMP)  ## Lint, spelling, types, import contracts, and what is generated
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/typos
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -P scripts/architecture.py --check
	@$(BIN)/python -P scripts/lock.py --check

docs: $(STAMP)  ## Build the documentation in site/; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@! grep -rlE '(src|data-src)="https?://|<link[^>]+stylesheet[^>]+https?://' site --include=*.html || { echo "make: these pages load something from elsewhere" >&2; exit 1; }

screenshots: $(STAMP)  ## Take the pictures of the docs anew, with the model that `make run` trained
	@$(BIN)/python scripts/screenshots.py

bench: $(STAMP)  ## Measure the service beside what one would build instead (ALL=1: run every other driver too, long)
	@$(BIN)/python bench/performance.py $(ARGS)
	@test -z "$(ALL)" || { failed=; for driver in $(filter-out bench/performance%,$(wildcard bench/*.py)); do \
		echo "· $$driver"; $(BIN)/python $$driver || failed="$$failed $$driver"; done; \
		test -z "$$failed" || { echo "make: these failed, or want arguments that their first lines name:$$failed" >&2; exit 1; }; }

clean: stop  ## Remove everything that make has made
	@rm -rf $(VENV) .peers .triage site build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# Verbs for people: make run | stop | test | check | bench | clean. Everything is made below .venv/ and .triage/.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3.11
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export TRIAGE_HOME ?= $(CURDIR)/.triage
export HF_HUB_OFFLINE ?= 1
export MLFLOW_DISABLE_TELEMETRY := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install run stop test check bench clean

help:  ## List the verbs
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found: install Python 3.11 or name another with PYTHON=…" >&2; exit 2; }
	@echo "· making the environment in $(VENV) (once, a few minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@log=$$($(BIN)/python -m pip install --quiet --upgrade "pip>=25.1" 2>&1) || { echo "$$log" >&2; exit 2; }
	@log=$$($(BIN)/python -m pip install --quiet -c constraints.txt -e '.[train,postgres]' --group dev 2>&1) || { echo "$$log" >&2; exit 2; }
	@touch $@

install: $(STAMP)  ## Make the environment

run: $(STAMP)  ## Train on the shipped tickets (once), serve API and page on 127.0.0.1:$(PORT)
	@PORT=$(PORT) BIN=$(BIN) bash scripts/run.sh

stop:  ## Stop what `make run` started
	@bash scripts/stop.sh

test: $(STAMP)  ## Run all tests
	@$(BIN)/python -P -m pytest $(ARGS)

check: $(STAMP)  ## Lint, types and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -P scripts/rooms.py --check

bench: $(STAMP)  ## Measure quality and load (long)
	@for driver in bench/*.py; do echo "· $$driver"; $(BIN)/python -P $$driver; done

clean: stop  ## Remove everything that make has made
	@rm -rf $(VENV) .triage build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

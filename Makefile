# Everything runs from .venv; nothing is installed outside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_DAYS ?= 31
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONDONTWRITEBYTECODE  # every process of the tests would compile us again

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test ci-check lint types contracts proofs chaos acceptance browser year bench requirements clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/installed  ## Create .venv with the pinned dependencies (a second run installs nothing)

$(VENV)/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) and "Python 3.11 to 3.14 is needed, this is " + sys.version.split()[0] + "; name another one with PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup  ## Run the flights project headless, to its summary (DEMO_DAYS=365 for the year)
	$(BIN)/metadata-assets demo --days $(DEMO_DAYS)

dev: setup  ## The same project in the Dagster UI on localhost:3000
	$(BIN)/metadata-assets dev

test: setup  ## The tests, but for the long ones below
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

lint: setup  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## mypy, strict
	$(BIN)/mypy

contracts: setup  ## The layers import downwards only
	$(BIN)/lint-imports

ci-check: lint contracts  ## All of the above
	@$(MAKE) --no-print-directory --jobs=2 types test

proofs: setup  ## The long tests: a minute of fire, every kill of the server's supervisor, mutants of the functions, exhaustive draws
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder -m proof

SECONDS ?= 60
TRIALS ?= 50
chaos: setup  ## Set a server on fire (SECONDS=60); kill -9 at every failpoint, on a disk and on S3 (TRIALS=50 each)
	$(BIN)/python -m pytest -m chaos
	$(BIN)/python -m pytest -m "not chaos" --hypothesis-profile thorough tests/identity tests/secrets tests/fire/test_fire_mutants.py tests/stores/test_names_model.py tests/stores/test_versions_model.py
	$(BIN)/python tests/fire/burning.py --seconds $(SECONDS)
	$(BIN)/python tests/files/failpoint_trials.py --trials $(TRIALS)

DAYS ?= 365
year: setup  ## A year of flights, backfilled while workers are killed, and read through a pin (DAYS=31 for a month)
	$(BIN)/python -W ignore tests/flights/year_under_kills.py --days $(DAYS)

acceptance: setup  ## As a new user meets it: the demo in a fresh clone, and a new project on the built wheel
	sh tests/acceptance/fresh_clone.sh
	$(BIN)/python tests/acceptance/new_project.py

PICTURES ?=
browser: setup  ## Look at the flights project in Dagster's UI with Chromium (PICTURES=docs/img keeps what it sees)
	@command -v chromium > /dev/null && command -v chromedriver > /dev/null || \
	  { apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends chromium chromium-driver; }
	PICTURES=$(PICTURES) $(BIN)/python -m pytest -m browser tests/browser

bench: setup  ## Ratios to a limit measured in the same run
	$(BIN)/python -m benchmarks

requirements:  ## Pin requirements.txt (with hashes) from pyproject.toml
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet 'uv>=0.9'
	.uv/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --upgrade \
	  --no-strip-extras --no-emit-index-url --no-emit-find-links --no-header --quiet --output-file requirements.txt
	rm -rf .uv

clean:  ## Remove .venv, caches and the local server with its data
	@if [ -x $(BIN)/metadata-assets ]; then $(BIN)/metadata-assets clean --yes || true; fi
	rm -rf $(VENV) .metadata build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info .tmp_dagster_home_*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

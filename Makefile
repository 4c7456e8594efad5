# Every target works in a fresh clone with only Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Each has servers of its own; a test waits more than it works.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test check bench chaos mutants schemas lock clean

help: ## List the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11.")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## Real Kafka, real Postgres, the four services, leads from form to rep, and the ledger
	$(BIN)/funnel demo $(DEMO)

test: $(READY) ## The whole suite against a real Kafka and Postgres
	$(BIN)/pytest -n $(WORKERS) --dist loadfile $(TESTS)

check: $(READY) ## Lint, types, import rules, schema drift
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m funnel.schemas.generate --check

bench: $(READY) ## Measure: one table, and the same as JSON
	$(BIN)/python -m bench $(BENCH)

chaos: $(READY) ## Faults under load on three brokers and two Postgres: nothing lost, nothing doubled
	$(BIN)/python -m chaos $(CHAOS)

mutants: $(READY) ## Take out one safeguard at a time: a test must notice each
	$(BIN)/python -m chaos.mutations $(MUTANTS)

schemas: $(READY) ## Generate types and docs from schemas/
	$(BIN)/python -m funnel.schemas.generate

lock: $(READY) ## Resolve the dependencies anew, with hashes
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --quiet -o requirements.lock

clean: ## Forget the environment and all local data
	rm -rf $(VENV) .funnel .pytest_cache .mypy_cache .ruff_cache .hypothesis

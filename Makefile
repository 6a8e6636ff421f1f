# Everything that a person or CI runs. `make` lists the targets.

.DEFAULT_GOAL := help
.PHONY: help install up down demo test test-fast test-long lint docs promtool

# uv from the path, else one of our own. All paths are relative, so the checkout may lie under a path with spaces.
OWN_UV := .finlake/tools/bin/uv
UV := $(or $(shell command -v uv 2>/dev/null),$(OWN_UV))
PYTHON ?= python3
RUN := .venv/bin/python -m

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' Makefile

# Modules are compiled once, here, and not by every process where Python is told not to write beside them.
install: $(if $(filter $(OWN_UV),$(UV)),$(OWN_UV)) ## Install Python packages, Java and jars. Quick when nothing is missing.
	"$(UV)" sync --frozen --quiet --compile-bytecode
	$(RUN) finlake_cli.main prepare

# Systems without ensurepip cannot make an environment with pip in it.
$(OWN_UV):
	$(PYTHON) -m venv .finlake/tools && .finlake/tools/bin/python -m pip install --quiet uv \
		|| { rm -rf .finlake/tools && $(PYTHON) -m pip install --quiet --target .finlake/tools uv; }

up: install ## Start the local stack.
	$(RUN) finlake_cli.main up

down: ## Stop the local stack.
	$(RUN) finlake_cli.main down

demo: install ## Install, start and fill the lakehouse with sample data, and show it.
	$(RUN) finlake_cli.main demo

lint: install ## Check style and types.
	$(RUN) ruff format --check --quiet .
	$(RUN) ruff check .
	$(RUN) mypy

docs: install ## Write the generated documents and the drawing of the graph anew.
	$(RUN) finlake_cli.documents
	$(RUN) finlake_code_locations.graph > tests/definitions/graph.txt

# Takes some minutes and 0.9 GB of Go modules, once. Without it, the tests that need it say that they are skipped.
promtool: install ## Build Prometheus's tool that tests the alert rules; needs Go.
	$(RUN) deploy.prometheus.checker

# Of the stack's tests those that share one stack run beside those that start their own.
test: lint ## Check style and types, then run all tests, those on a real local stack included.
	$(RUN) pytest -m "not stack and not long" -n 2
	$(RUN) pytest -m "stack and not long" -n 2 --dist loadscope

test-fast: install ## Run the quick tests among those that need no running service.
	$(RUN) pytest -m "not stack and not slow and not long" -n 2

test-long: install ## Run what takes too long for every change; docs/benchmarks.md has the last figures.
	$(RUN) pytest -m long -o faulthandler_timeout=4000

# Everything runs in .venv, which the first target that needs it sets up.
PYTHON ?= python3
BIN := .venv/bin
# Tests share the processors, so that each needs but one thread.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: help venv demo test test-all lint bench results

help:
	@echo "make demo      a bitstream of a digits network for an iCEBreaker, and the proof that it is right"
	@echo "make test      the tests; make test-all: the slow ones too"
	@echo "make lint      linter, formatter, types, floors"
	@echo "make bench     measurements beside their peers"
	@echo "make results   accuracies and costs of all networks, into docs/results.md and docs/results.json"
	@echo "make venv      nothing but the environment, .venv"

venv:
	@$(PYTHON) tools/make_venv.py

demo: venv
	@$(BIN)/spikeloom demo

test: venv
	@$(PYTEST) -m "not slow"

test-all: venv
	@$(PYTEST)

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: venv
	@$(BIN)/python -m benchmarks

# Data sets that are elsewhere: make results RESULTS="--data mnist=FOLDER"
results: venv
	@$(BIN)/spikeloom results $(RESULTS)

# The environment follows requirements.txt and pyproject.toml: it is made when missing and remade when they change.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers

.PHONY: help demo test lint bench clean

help:
	@echo "make demo   train a teacher, distil and compare students (under 3 minutes)"
	@echo "make test   run the tests"
	@echo "make lint   format check, lint, types"
	@echo "make bench  print every speed we claim"
	@echo "make clean  remove the environment and what the demo made"

$(READY): requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11, or make PYTHON=/path/to/python"; exit 1; }
	@echo "Setting up $(VENV): about 2 minutes and 7 GB, once."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

demo: $(READY)
	@$(BIN)/selkd demo

test: $(READY)
	@$(BIN)/python -m pytest --numprocesses logical

lint: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright

bench: $(PEERS)
	@$(BIN)/python -m benchmarks

$(PEERS): $(READY)
	@echo "Installing the libraries we compare with."
	@sed -n 's/^# bench: //p' requirements.txt | $(BIN)/pip install --quiet --disable-pip-version-check -c requirements.txt -r /dev/stdin
	@touch $@

clean:
	rm -rf $(VENV) .selkd build dist platform/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

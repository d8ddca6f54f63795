# Everything from a fresh clone with nothing but Python 3.11 and make:
#   make test   checks style and types and runs all tests
#   make demo   a hard prompt against a soft prompt on real movie reviews

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test defaults clean

demo: .venv/ready
	$(BIN)/softcloze compare

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

# measures the tables of docs/defaults.md; takes about an hour
defaults: .venv/ready
	$(BIN)/python benchmarks/defaults.py

clean:
	rm -rf .venv

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

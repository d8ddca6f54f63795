# Everything from a fresh clone with nothing but Python 3.11 and make:
#   make test        checks style and types and runs the tests, in at most six minutes on two cores
#   make test-slow   runs the slow tests, and properties on three times as many cases
#   make test-integrations   runs the tests with other libraries, each in an environment of its own
#   make fuzz SECONDS=600   tries the template language on random text, and parameters, label words, data and files of all
#                           kinds, and requests to the service, each for as long
#   make fuzz-readers SECONDS=600   tries all readers of files and templates on bytes that reach new lines of code
#   make architectures   compares every masked and causal architecture of transformers, and a hundred odd set-ups of models
#                        and tokenizers, with plain transformers, with soft slots at every layer too, in some minutes
#   make docs   builds the documentation as a site, build/site/index.html
#   make demo   a hard prompt against a soft prompt on real movie reviews, as a table and as a page, demo.html

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo docs test test-slow test-integrations fuzz fuzz-readers architectures bench defaults clean

demo: .venv/ready
	$(BIN)/softcloze compare --report demo.html

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -m "not slow"

test-slow: .venv/ready
	$(BIN)/pytest -m "slow or hypothesis" --hypothesis-profile=thorough

# each library is an extra of softcloze, or named here, with tests in a file of its name; Spark needs Java as well
INTEGRATIONS := dask langchain langgraph mlflow ray spark
LIBRARIES_dask := dask[dataframe,distributed]
LIBRARIES_spark := pandas pyspark
test-integrations: $(INTEGRATIONS:%=test-with-%)

test-with-%: .venv-%/ready
	.venv-$*/bin/pytest -o addopts="--import-mode=importlib -ra" tests/integrations/test_$*.py

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

SECONDS ?= 60
fuzz: .venv/ready
	$(BIN)/python fuzz/language.py $(SECONDS)
	$(BIN)/python fuzz/inputs.py $(SECONDS)
	$(BIN)/python fuzz/service.py $(SECONDS)

fuzz-readers: .venv/fuzz
	$(BIN)/python fuzz/readers.py $(SECONDS)

architectures: .venv/ready
	$(BIN)/python fuzz/odd_models.py
	$(BIN)/python fuzz/architectures.py

# speed, memory and accuracy beside PEFT's prompt tuning, on one core: docs/measurements/benchmarks.md; takes two hours, and
# `.venv/bin/python -m benchmarks.engine KIND` measures one kind
bench: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.engine --json build/engine.json

# measures the tables of docs/measurements/defaults.md; takes about an hour
defaults: .venv/ready
	$(BIN)/python benchmarks/defaults.py

clean:
	rm -rf .venv .venv-*

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# what an environment has in another version than constraints.txt, and what its tests need beside the library
.venv-langchain/ready .venv-langgraph/ready: UNPINNED := certifi
.venv-mlflow/ready: UNPINNED := pyarrow
.venv-langgraph/ready: ALSO := langgraph-checkpoint-sqlite

.PRECIOUS: .venv-%/ready
.venv-%/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-$*
	grep --invert-match --line-regexp '$(UNPINNED)==.*' constraints.txt > .venv-$*/constraints.txt
	.venv-$*/bin/pip install --quiet --constraint .venv-$*/constraints.txt --editable '.$(if $(LIBRARIES_$*),,[$*])' \
		$(LIBRARIES_$*) $(ALSO) hypothesis psutil pyarrow pytest
	touch $@

.venv/fuzz: .venv/ready
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[fuzz]'
	touch $@

.venv/docs: .venv/ready
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

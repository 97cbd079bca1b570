# Two commands do all the set-up on a machine that has Python 3.11+, pip and make: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO   ?= demo-run

.DEFAULT_GOAL := help
.PHONY: .bounds help demo test test-recipes test-docs test-all test-mlflow test-lowest test-newest check lint types docs bench fuzz mutants build image lock clean

help:          ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked versions into $(VENV) (TensorFlow is large: some minutes the first time)…"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)  ## render the demo corpus, extract, train, report, predict; prints the scores and where the report lies
	@$(BIN)/quintet run recipes/demo.toml -o $(DEMO)

test: $(READY)  ## the quick tests (under 5 minutes on 2 cores)
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-recipes: $(READY)  ## every published system from its recipe, at the small scale (minutes on 2 cores)
	@$(BIN)/python -m pytest -q -n 2 tests/e2e/test_recipes.py

test-docs: $(READY)  ## the notebook and the commands of README, tutorial and how-tos, as they stand there (minutes)
	@$(BIN)/python -m pytest -q tests/e2e/test_notebook.py tests/e2e/test_docs_run.py

test-all: $(READY)  ## every test, the slow ones too
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-mlflow: $(READY)  ## the tests of quintet.mlflow, the round trip through MLflow too
	@$(BIN)/python -m pytest -q tests/model/test_mlflow.py

test-lowest:   ## the quick tests with the lowest versions that pyproject.toml admits (needs uv)
	@$(MAKE) --no-print-directory .bounds BOUND=lowest RESOLUTION=lowest-direct

test-newest:   ## the quick tests with the newest versions (needs uv)
	@$(MAKE) --no-print-directory .bounds BOUND=newest RESOLUTION=highest

.bounds:
	@uv pip compile --quiet --resolution $(RESOLUTION) --python-version 3.11 --extra all --group dev -o $(VENV)-$(BOUND).txt pyproject.toml
	@uv venv --quiet --clear --python 3.11 $(VENV)-$(BOUND)
	@uv pip install --quiet --python $(VENV)-$(BOUND) -r $(VENV)-$(BOUND).txt
	@uv pip install --quiet --python $(VENV)-$(BOUND) --no-deps -e .
	@$(VENV)-$(BOUND)/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" -W default tests

check: $(READY) lint types docs  ## ruff, mypy and the docs build

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(READY)
	@$(BIN)/mypy

docs: $(READY)  ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(READY)  ## measure speed and memory side by side: ratios, a table and a JSON under benchmarks/results/ (BENCH=--quick: fewer cases)
	@$(BIN)/python -m benchmarks $(BENCH)

fuzz: $(READY)  ## feed mutated files of strangers to every reader, MINUTES=60 for each (FUZZ="--target model_folders" for one)
	@$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),60) $(FUZZ)

mutants: $(READY)  ## sabotage the code line by line: each sabotage must turn a named test red
	@$(BIN)/python -m tests.mutants

build: $(READY)  ## the wheel (pure Python) and the sdist, into dist/
	@$(BIN)/hatchling build

image:         ## the image of `quintet serve`, tried (needs docker)
	docker build -t quintet-serve .
	sh docker/check.sh quintet-serve

lock:          ## resolve the dependencies anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra all --group dev -o requirements.lock pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements.lock -o docker/requirements.lock docker/requirements.in

clean:         ## remove everything that make made, but the environment
	rm -rf $(DEMO) site dist build .pytest_cache .mypy_cache .ruff_cache

# Every target makes .venv where there is none and installs what it needs. Needs git, make and Python >= 3.12.
.PHONY: demo test lint docs package lowest bench mutation fuzz clean
.DEFAULT_GOAL := help

PYTHON ?= $(shell python3 -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo python3 || echo python3.12)
VENV   ?= .venv
BIN    := $(VENV)/bin
# Small networks on small batches do not profit from threads, and stall when threads outnumber free cores.
ENV    := OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 MPLBACKEND=Agg

help:
	@echo "make demo   run every method on 700 real cells: a table and a UMAP figure"
	@echo "make test   run the tests"
	@echo "make lint   ruff and mypy"
	@echo "make docs   build the documentation, warnings are errors"
	@echo "make package  build the wheel, and run the demo from it in an empty environment"
	@echo "make lowest  run the contract tests on the oldest allowed versions of all dependencies"
	@echo "make mutation  2,200 small changes to losses, clustering, metrics and guidance: does a test notice? (half an hour on one core)"
	@echo "make fuzz   10,000 AnnData objects of every dtype, storage and layout, against the contract (half an hour on one core)"
	@echo "make bench  run the benchmarks that have no row yet, and write their tables (set SCX_DATA to the folder of the datasets)"

$(BIN)/python:
	@if command -v uv >/dev/null 2>&1; then uv venv --python ">=3.12" $(VENV); \
	else $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"; fi

# One stamp per dependency group, renewed when pyproject.toml changes.
$(VENV)/.stamp-%: pyproject.toml | $(BIN)/python
	@if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(BIN)/python --editable . $(if $(filter-out base,$*),--group $*); \
	else $(BIN)/python -m pip install --quiet --editable . $(if $(filter-out base,$*),--group $*); fi
	@touch $@

demo: $(VENV)/.stamp-base
	$(ENV) $(BIN)/python -m scx.demo

test: $(VENV)/.stamp-test
	$(ENV) $(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

lint: $(VENV)/.stamp-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.stamp-doc
	$(ENV) $(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

# What users install: wheel and sdist, their contents, and the demo in an empty environment without the repository.
package: $(VENV)/.stamp-package
	rm -rf dist && $(BIN)/python -m build --installer $(if $(shell command -v uv),uv,pip)
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m zipfile -l dist/*.whl
	! $(BIN)/python -m zipfile -l dist/*.whl | tail -n +2 | grep -vE '^(scx/([a-z0-9_]+/)*([a-z0-9_]+\.py|py\.typed)|scx_tools-[^/]+\.dist-info/[^ ]+) '
	@if command -v uv >/dev/null 2>&1; then uv venv --quiet --python $(BIN)/python dist/venv && uv pip install --quiet --python dist/venv/bin/python dist/*.whl; \
	else $(BIN)/python -m venv dist/venv && dist/venv/bin/pip install --quiet dist/*.whl; fi
	cd dist && $(ENV) venv/bin/python -I -m scx.demo

# The lower bounds of pyproject.toml: the contract of all methods on the oldest versions that they allow. Needs uv.
lowest:
	uv venv --quiet --clear --python 3.12 .venv-lowest
	uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable . --group test
	$(ENV) .venv-lowest/bin/python -m pytest tests/test_contract.py tests/test_compat.py $(ARGS)

bench: $(VENV)/.stamp-test
	$(ENV) $(BIN)/python benchmarks/run.py $(ARGS)
	$(ENV) $(BIN)/python benchmarks/tables.py
	$(ENV) $(BIN)/python benchmarks/training_step.py

# In a copy whose functions are not decorated: mutmut leaves decorated ones as they are. Mutants are tested in forked processes,
# which numba ends unless its threads can be forked.
mutation: $(VENV)/.stamp-mutation
	rm -rf mutation && mkdir mutation && cp -R pyproject.toml src tests mutation
	find mutation/src -name '*.py' -exec sed -i.bak -E '/^@(typed|exclusively)$$/d' {} +
	cd mutation && $(ENV) NUMBA_THREADING_LAYER=workqueue $(abspath $(BIN))/mutmut run --max-children 1 $(ARGS)
	cd mutation && $(abspath $(BIN))/mutmut results

fuzz: $(VENV)/.stamp-test
	$(ENV) $(BIN)/python -m pytest tests/robustness/test_properties.py --hypothesis-profile=fuzz --hypothesis-show-statistics $(ARGS)

clean:
	rm -rf $(VENV) mutation docs/_build docs/generated docs/jupyter_execute

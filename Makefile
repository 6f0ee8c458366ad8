# make demo   sets up, then draws smears, trains on them and shows what comes of it
# make test   sets up, then runs all tests
# make check  formatting, lint, types, and which room may import which
# make docs   builds the documentation site into site/, warnings are errors
# make bench  timings, as ratios within one run, into docs/benchmarks.md

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo

.PHONY: demo test check docs bench clean
.DELETE_ON_ERROR:

$(VENV)/bin/pip:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)

$(VENV)/train.installed: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train]'
	touch $@

$(VENV)/dev.installed: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

$(VENV)/docs.installed: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	touch $@

demo: $(VENV)/train.installed
	PATH="$(abspath $(BIN)):$$PATH" sh scripts/demo.sh $(DEMO)

test: $(VENV)/dev.installed
	sh scripts/install_browser.sh
	$(BIN)/pytest --numprocesses 2 --dist loadfile

check: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/docs.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site

bench: $(VENV)/dev.installed
	$(BIN)/python benchmarks/speed.py $(BENCH)

clean:
	rm -rf $(VENV) $(DEMO)

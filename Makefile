# Thin targets: everything real is in the `assay` command and in pytest.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
STORES ?= auto

# Hundreds of processes are started: they share what the first of them compiled.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: install compare test dev load-test style types suite lint format test-unit test-integration test-concurrency test-ledger clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

compare: install
	$(RUN)/assay compare --stores $(STORES)

test: style
	@$(MAKE) --no-print-directory -j2 types suite

types: install
	$(RUN)/mypy

# Four at a time, since they mostly wait; each with a PostgreSQL and a Redis of its own.
suite: install
	$(RUN)/pytest -n 4 --dist loadfile

dev: install
	$(RUN)/assay serve --build hardened --stores $(STORES)

load-test: install
	$(RUN)/assay load --stores $(STORES)

test-unit: install
	$(RUN)/pytest tests/unit

test-integration: install
	$(RUN)/pytest tests/integration

test-concurrency: install
	$(RUN)/assay verify --build hardened --only double-spend --only deadlock --only read-skew --stores $(STORES)

test-ledger: install
	$(RUN)/assay verify --build hardened --only ledger --only persistence --only bad-amounts --stores $(STORES)

style: install
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

lint: style types

format: install
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

clean:
	rm -rf $(VENV) reports/out

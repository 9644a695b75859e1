# Thin targets: everything real is in the `assay` command and in pytest.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
STORES ?= auto

# Hundreds of processes are started: they share what the first of them compiled.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: install compare test dev load-test style lint format test-unit test-integration test-concurrency test-ledger clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

compare: install
	$(RUN)/assay compare --stores $(STORES)

# Four at a time, since they mostly wait; each with a PostgreSQL and a Redis of its own.
# The types are checked meanwhile, and told at the end.
test: style
	@$(RUN)/mypy >$(VENV)/mypy.log 2>&1 & types=$$!; trap "kill $$types" INT TERM; \
	echo $(RUN)/pytest -n 4 --dist loadfile; $(RUN)/pytest -n 4 --dist loadfile; tested=$$?; \
	wait $$types; typed=$$?; echo $(RUN)/mypy; cat $(VENV)/mypy.log; \
	exit $$((tested ? tested : typed))

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

lint: style
	$(RUN)/mypy

format: install
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

clean:
	rm -rf $(VENV) reports/out

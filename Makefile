# `make report` measures and writes the report; `make test` runs every check. Each does all of its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PLAN ?= quick
REQUIRE_ALL ?= 0
TEST_PROCESSES ?= 2

.PHONY: help report test bench docs lock format clean
.DEFAULT_GOAL := help

help:
	@echo "make report            measure (plan 'quick') and write results/<time>-quick/report.html"
	@echo "make report PLAN=full  the same with another plan"
	@echo "make test              lint, types and all tests; REQUIRE_ALL=1 makes a skip a failure"
	@echo "make bench             benchmarks of our own parts against their peers"
	@echo "make docs              write the figures of docs/sample-run into README.md and docs/deployments.md; the picture"
	@echo "make lock              pin all dependencies again"

report: $(VENV)/run.stamp
	$(BIN)/bench run $(PLAN)

test: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	REQUIRE_ALL=$(REQUIRE_ALL) $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks

docs: $(VENV)/dev.stamp
	$(BIN)/python -m harness.documents --picture docs/report.png docs/sample-run/quick docs/sample-run/matrix

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "https-digest-bench needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "installing what a report needs into $(VENV) (once)"
	$(PIP) install --require-hashes -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	@echo "installing what the tests need into $(VENV) (once)"
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

# Universal: one file serves every Python from 3.11 on and every platform. No index is named in it.
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --quiet
LOCK := $(COMPILE) pyproject.toml --group build
SSLYZE := tests/end_to_end/sslyze
lock:
	$(LOCK) --output-file requirements/run.txt
	$(LOCK) --group dev --constraints requirements/run.txt --output-file requirements/dev.txt
	echo setuptools | $(COMPILE) --no-annotate --output-file $(SSLYZE)-build-requirements.txt -
	echo sslyze | $(COMPILE) --no-annotate --output-file $(SSLYZE)-requirements.txt -

clean:
	rm -rf $(VENV)

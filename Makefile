# Works on a machine with Python 3.11, pip, make and Node; everything else goes into this checkout (.tools, .venv).
PYTHON ?= python3
UV := .tools/bin/uv
RUN := .venv/bin
UV_VERSION := 0.13.9

.PHONY: setup demo test check bench clean lock format

setup: .venv/.ready

.tools/.ready: Makefile
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "adtally needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	touch $@

.venv/.ready: .tools/.ready requirements.lock pyproject.toml
	test -d .venv || $(UV) venv --quiet --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python .venv/bin/python requirements.lock
	$(UV) pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	touch $@

# The lock names versions and hashes, for every platform; make lock LOCK_FLAGS=--upgrade takes newer versions.
lock: .tools/.ready
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --group dev --group build pyproject.toml --output-file requirements.lock $(LOCK_FLAGS)

format: setup
	$(RUN)/ruff format src tests bench
	$(RUN)/ruff check --fix src tests bench

check: setup
	$(RUN)/ruff format --check src tests bench
	$(RUN)/ruff check src tests bench
	$(RUN)/lint-imports --no-cache
	$(RUN)/mypy

test: check
	$(RUN)/python -m pytest

demo: setup
	$(RUN)/adtally demo $(DEMO_FLAGS)

bench: setup
	$(RUN)/python -m bench $(BENCH_FLAGS)

clean:
	rm -rf .venv .tools build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

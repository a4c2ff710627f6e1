# Works on a machine with Python 3.11, pip, make and Node; everything else goes into this checkout (.tools, .venv).
PYTHON ?= python3
UV := .tools/bin/uv
RUN := .venv/bin
UV_VERSION := 0.13.9
ZIG_VERSION := 0.15.2

PAGE := src/adtally/serve/static/index.html
WEB_SOURCES := $(wildcard web/src/*) web/build.mjs web/tsconfig.json

.PHONY: setup setup-cluster cluster cluster-down test-cluster web browser install-chromium screenshots demo test test-unit test-contracts test-simulation test-browser test-system \
  test-faults compiler chaos soak keep-folder check check-deploy bench clean lock format

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
	  --group dev --group build --extra cluster pyproject.toml --output-file requirements.lock $(LOCK_FLAGS)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --group servers --extra spark --constraint requirements.lock pyproject.toml \
	  --output-file deploy/local/requirements.lock $(LOCK_FLAGS)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --group pyproject.toml:deploy-check --output-file deploy/check.lock $(LOCK_FLAGS)

# Servers that come from PyPI, and the Spark that recounts; other servers are fetched when they are first started.
setup-cluster: .venv/.cluster-ready

.venv/.cluster-ready: .venv/.ready deploy/local/requirements.lock
	$(UV) pip install --quiet --python .venv/bin/python --requirements deploy/local/requirements.lock
	touch $@

format: setup
	$(RUN)/ruff format src tests bench deploy
	$(RUN)/ruff check --fix src tests bench deploy

check: setup
	$(RUN)/ruff format --check src tests bench deploy
	$(RUN)/ruff check src tests bench deploy
	$(RUN)/lint-imports --no-cache
	$(RUN)/mypy

# What operators are given, as far as it can be checked without running it.
DEPLOY_CHECK := .tools/deploy-check/bin

.tools/deploy-check/.ready: .tools/.ready deploy/check.lock
	$(UV) venv --quiet --clear --python $(PYTHON) .tools/deploy-check
	$(UV) pip sync --quiet --python $(DEPLOY_CHECK)/python deploy/check.lock
	touch $@

check-deploy: setup .tools/deploy-check/.ready
	$(RUN)/python -m deploy.check $(DEPLOY_CHECK)

# The page: its parts come from npm, locked; what is built goes into the package.
web: $(PAGE)

web/node_modules/.ready: web/package.json web/package-lock.json web/.npmrc
	cd web && npm ci --silent
	touch $@

$(PAGE): web/node_modules/.ready $(WEB_SOURCES)
	cd web && npm run --silent check && npm run --silent build

# The browser tests need a Chromium on PATH; where there is none and apt-get is, it is installed.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || $(MAKE) --no-print-directory install-chromium

install-chromium:
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null

PYTEST := $(RUN)/python -m pytest

test-unit: setup
	$(PYTEST) tests/unit tests/property tests/test_tidy.py

test-contracts: setup
	$(PYTEST) tests/contracts

test-simulation: setup
	$(PYTEST) tests/simulation

test-browser: setup web browser
	$(PYTEST) tests/browser

test-system: setup web
	$(PYTEST) -s tests/system tests/upgrade

# Faults are put under processes by a small library, made with a C compiler; where there is none, zig's is installed.
compiler: setup
	@command -v cc >/dev/null || $(UV) pip install --quiet --python .venv/bin/python ziglang==$(ZIG_VERSION)

test-faults: compiler web
	$(PYTEST) -s tests/faults

test: check test-unit test-contracts test-simulation test-browser test-system test-faults

# On the real servers of a cluster, which are fetched and started for it.
test-cluster: setup-cluster web
	$(PYTEST) -s --servers --durations=15 tests/contracts tests/property tests/cluster

# A whole cluster on this machine, as its operators would run it on many; left running until cluster-down.
cluster: setup-cluster web
	$(RUN)/python -m deploy.local up $(CLUSTER_FLAGS)

cluster-down: setup-cluster
	$(RUN)/python -m deploy.local down

# The data folder that later versions must open: made before a version is tagged, and kept.
keep-folder: setup
	PYTHONPATH=tests $(RUN)/python -m upgrade.make

# The long hunt: kills for ten minutes, freezes for five, thirty losses of power, damage fifty times over, thousands of
# new seeds of the simulation, and an overload that is held to its speed, on a machine that has nothing else to do.
chaos: compiler web
	$(PYTEST) -s tests/system/test_overload.py --overload-seconds 30 $(CHAOS_FLAGS)
	$(PYTEST) -s tests/system/test_kills.py --kill-seconds 600 $(CHAOS_FLAGS)
	$(PYTEST) -s tests/faults --freeze-seconds 300 --power-losses 30 --damages 50 $(CHAOS_FLAGS)
	$(PYTEST) tests/simulation tests/property/test_spool.py --simulations 3000 $(CHAOS_FLAGS)

# Half an hour of clicks, kills and pauses; SOAK_FLAGS="--soak-minutes 2 --soak-rate 1000" for a short one.
soak: setup web
	$(PYTEST) -s tests/soak --soak-minutes 30 $(SOAK_FLAGS)

demo: setup web
	$(RUN)/adtally demo $(DEMO_FLAGS)

# The README's pictures, made anew by the page itself.
screenshots: setup web browser
	PYTHONPATH=tests $(RUN)/python -m browser.screenshots docs/images

bench: setup web
	$(RUN)/python -m bench $(BENCH_FLAGS)

clean:
	rm -rf .venv .tools web/node_modules src/adtally/serve/static build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests bench deploy -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything a newcomer needs. The first target, help, prints the rest.

# The first Python that is new enough, unless the caller names one: make test PYTHON=/opt/python3.12/bin/python3
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	"$$p" -c '$(IS_NEW_ENOUGH)' 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
GREENLIGHT := $(BIN)/greenlight
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
LOCK_VENV := var/lock-venv
BESIDE_VENV := var/beside
# The requirements of the extra `bench`, which has a venv of its own: its numpy is older than that of the lock.
BENCH_EXTRA := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"])
# Locked although this Python may not want them: redis below 3.11.3, prefect from 3.13 on.
ALSO_LOCKED := async-timeout whenever
SPEED ?= 10
DAY ?= typical
SEED ?= 1
SEEDS ?= 50
FROM ?= 1
PYTEST_ARGS ?=

# Our processes start often: their modules are compiled once.
unexport PYTHONDONTWRITEBYTECODE
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT := false

.DEFAULT_GOAL := help
.PHONY: help rollout simulate rehearse test soak seed-faults check bench beside up lock clean

help: ## print this list
	@echo "usage: make TARGET [PYTHON=…] [SPEED=10] [DAY=typical] [SEED=1]"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' Makefile

rollout: $(VENV)/.installed ## set everything up, then rehearse phase2 on the local exchange over real sockets
	$(GREENLIGHT) run phase2 --venue local --speed $(SPEED) --day $(DAY) --seed $(SEED)

simulate: $(VENV)/.installed-dev ## whole sessions with random faults and kills: SEEDS=50, FROM=1 (a failing seed is printed)
	$(BIN)/python -m tests.chaos.simulate --seeds $(SEEDS) --from $(FROM)

rehearse: $(VENV)/.installed ## rollout in process, on a virtual clock: seconds instead of minutes
	$(GREENLIGHT) run phase2 --venue simulated --day $(DAY) --seed $(SEED)

test: $(VENV)/.installed-dev ## set everything up, then run the tests (PYTEST_ARGS=… for a part of them)
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

soak: $(VENV)/.installed-dev ## the long tests: whole days, a thousand seeds, kills (many minutes)
	$(BIN)/python -m pytest -m soak --override-ini timeout=3600 $(PYTEST_ARGS)

seed-faults: $(VENV)/.installed-dev ## take away each rule that guards money, one at a time: a test must notice (many minutes)
	$(BIN)/python -m tests.seeding

check: $(VENV)/.installed-dev ## lint, types and the directions of imports
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev ## measure the hot path; prints medians
	@test -x $(BESIDE_VENV)/bin/python || $(MAKE) --no-print-directory beside || echo "hftbacktest could not be installed"
	$(BIN)/python -m tests.benchmarks

beside: $(VENV)/.installed-dev ## install hftbacktest under var/beside, to be measured beside us
	$(BIN)/python -m venv $(BESIDE_VENV).part
	$(BESIDE_VENV).part/bin/python -m pip --disable-pip-version-check -qq install "$$($(BIN)/python -c '$(BENCH_EXTRA)')"
	mv $(BESIDE_VENV).part $(BESIDE_VENV)

up: $(VENV)/.installed ## Prefect's server and UI, worker, deployments, exchange, dashboard, watchdog; Ctrl+C stops all
	$(GREENLIGHT) up

lock: ## regenerate constraints.txt in a fresh venv (names and versions only)
	@$(call require-python)
	rm -rf $(LOCK_VENV)
	"$(PYTHON)" -m venv $(LOCK_VENV)
	$(LOCK_VENV)/bin/python -m pip --quiet install --upgrade "setuptools>=77"
	$(LOCK_VENV)/bin/python -m pip --quiet install --no-build-isolation -e '.[dev,scale]' $(ALSO_LOCKED)
	$(LOCK_VENV)/bin/python -m pip freeze --all --exclude-editable | grep -v '^pip==' > constraints.txt
	@if grep -nE '@|://' constraints.txt; then \
		echo "constraints.txt names an address: install that package by name and version, then rerun"; exit 1; fi

clean: ## remove the venv and the caches; artifacts/ and var/ stay, they are evidence
	rm -rf $(VENV) $(LOCK_VENV) $(BESIDE_VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ── the venv: a stamp file for each of its two states ───────────────────────────────────────────
$(BIN)/python:
	@$(call require-python)
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment: install its venv module (on Debian: python3-venv)"; exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing the locked versions into $(VENV) (some minutes the first time)"
	@$(PIP) install -c constraints.txt setuptools
	@$(PIP) install --no-build-isolation -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing the tools of tests and checks"
	@$(PIP) install --no-build-isolation -c constraints.txt -e '.[dev]'
	@touch $@

define require-python
test -n "$(PYTHON)" && "$(PYTHON)" -c '$(IS_NEW_ENOUGH)' 2>/dev/null || { \
	echo "Greenlight needs Python 3.11 or newer; found: $$({ "$(or $(PYTHON),python3)" --version || echo none; } 2>&1 | tail -n 1)." \
		"Install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
endef

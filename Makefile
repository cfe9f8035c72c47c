# Every target makes .venv and installs what it needs, once; then it costs nothing.
# Another Python:  make test PYTHON=python3.12

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install -qq --disable-pip-version-check

# Containers tend to forbid bytecode; then each process that is started compiles propkit anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo lab test check format bench clean

help: ## show this list
	@echo "propkit: make TARGET"
	@awk -F ':[^#]*## ' '/^[a-z]+:[^#]*## / { printf "  %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.run ## collect 200 parcels from a demo county into demo-output/
	@$(VENV)/bin/propkit demo --parcels 200 --out demo-output

lab: $(VENV)/.run $(VENV)/.browser ## open the notebooks in JupyterLab
	@[ "$$(id -u)" != 0 ] || root=--allow-root; exec $(PY) -m jupyterlab $$root \
		--ServerApp.jpserver_extensions="{'propkit.server': True}" notebooks

test: check $(VENV)/.browser $(VENV)/.curl ## check, then run all tests
	@$(PY) -m pytest -q -n auto --dist worksteal

check: $(VENV)/.test ## formatting, lint and types
	@$(PY) -m ruff format --check --output-format concise . || { echo "make: some files are not formatted; 'make format' does it." >&2; exit 1; }
	@$(PY) -m ruff check --quiet .
	@$(PY) -m mypy

format: $(VENV)/.test ## format the code and mend what lint can mend
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

bench: $(VENV)/.bench ## measure propkit against other ways of collecting (SCENARIO=latency: only one)
	@$(PY) -m tests.benchmarks $(SCENARIO)

clean: ## remove .venv, caches and demo-output
	@rm -rf $(VENV) demo-output build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name .git -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

# The stamps. A .venv whose Python is gone, or that was made for another folder (a copied or moved
# clone: its install points there), is made anew.

ifneq ($(shell [ -x $(PY) ] && cat $(VENV)/.made 2>/dev/null),$(CURDIR))
.PHONY: anew
$(VENV)/.made: anew
endif

$(VENV)/.made:
	@command -v "$(PYTHON)" >/dev/null || { echo "make: there is no '$(PYTHON)': install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: propkit needs Python 3.11 or newer and '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1); name a newer one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "make: '$(PYTHON)' cannot make a virtual environment; on Debian or Ubuntu: apt-get install -y python3-venv (as root)" >&2; exit 1; }
	@echo "Creating .venv ($$("$(PYTHON)" --version)) ..."
	@"$(PYTHON)" -m venv --clear $(VENV)
	@pwd -P > $@

$(VENV)/.run: pyproject.toml $(VENV)/.made
	@echo "Installing propkit (the first time this takes a minute or two) ..."
	@$(PIP) -e . || { echo "make: installing propkit failed; what pip says stands above." >&2; exit 1; }
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.made
	@echo "Installing propkit and its test tools (the first time this takes a minute or two) ..."
	@$(PIP) -e '.[test]' || { echo "make: installing propkit failed; what pip says stands above." >&2; exit 1; }
	@touch $(VENV)/.run $@

$(VENV)/.bench: pyproject.toml $(VENV)/.made
	@echo "Installing propkit and what it is measured against (the first time this takes a minute or two) ..."
	@$(PIP) -e '.[bench]' || { echo "make: installing propkit failed; what pip says stands above." >&2; exit 1; }
	@touch $(VENV)/.run $@

$(VENV)/.browser: | $(VENV)/.run
	@echo "Looking for a browser ..."
	@$(PY) -m propkit.browser
	@touch $@

$(VENV)/.curl: | $(VENV)/.run
	@command -v curl >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "Installing curl ..." && apt-get install -qq -y curl >/dev/null; } || { echo "make: the tests of the REST API use curl; install it, on Debian or Ubuntu: apt-get install -y curl (as root)" >&2; exit 1; }
	@touch $@

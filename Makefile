# Sets itself up in .venv once, with nothing but Python, pip and make. Another Python: `make test PYTHON=python3.13`.

PYTHON ?= python3
CONFIG ?= config/dummy.toml
VENV := .venv
PY := $(VENV)/bin/python
# Another version of Python makes another environment, from nothing: a mixture of two works in neither.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
READY := $(VENV)/.ready-$(VERSION)
# Tests run side by side: on 3 processes at least, on 4 at most, since many of them wait for disks and for other processes.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -lt 3 ] && n=3; [ $$n -gt 4 ] && n=4; echo $$n)

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_INPUT = 1
# Where Python keeps no compiled modules, each of the processes that tests start compiles all of cloudmon anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo run test lint bench

help:
	@echo "make demo    show and prove it all on the simulated cloud"
	@echo "make run     run the monitor (CONFIG=$(CONFIG))"
	@echo "make test    lint, types, contracts, every test"
	@echo "make lint    only the first three"
	@echo "make bench   the figures of README.md, measured here"

demo: $(READY)
	$(PY) -m cloudmon.testing.demo

run: $(READY)
	$(VENV)/bin/cloudmon run -c $(CONFIG)

test: lint
	$(PY) -m pytest -n $(WORKERS)

lint: $(READY)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(READY)
	$(PY) -m tests.benchmarks

setup: $(READY)

# `venv` may lack ensurepip (Debian), so the pip outside installs into the environment; that takes pip 22.3.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("cloudmon needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	@$(PYTHON) -c 'import importlib.util, sys; importlib.util.find_spec("pip") or sys.exit("cloudmon needs pip to set itself up: apt-get install python3-pip, or the like")'
	@$(PYTHON) -c 'import pip, re, sys; tuple(map(int, re.findall(r"\d+", pip.__version__)[:2])) >= (22, 3) or sys.exit("cloudmon needs pip 22.3 or newer to set itself up and found " + pip.__version__ + ": $(PYTHON) -m pip install --upgrade pip")'
	[ -e $@ ] || $(PYTHON) -m venv --clear --without-pip $(VENV)
	$(PYTHON) -m pip --python $(PY) install --quiet -c constraints.txt -e '.[test]'
	@touch $@

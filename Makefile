# `make demo` shows the tool, `make check` is the gate. Both set up .venv once and need nothing but make
# and Python 3.11 or later.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 2

ORACLES := $(shell sed 's/\#.*//' .ci/packages)

PYTEST := $(BIN)/python -m pytest
TYPED = $(wildcard analyzer emulator commands popek.py cli.py)

.PHONY: demo test test-slow oracles packages check golden bench clean

# 1 means findings, and is what ia32 deserves: it is not virtualizable.
demo: $(READY)
	@$(BIN)/popek check ia32 --scheme classic -j $(JOBS) || { status=$$?; test $$status -eq 1 || exit $$status; }

test: $(READY)
	$(PYTEST) -n $(JOBS) -m "not slow"

test-slow: $(READY)
	$(PYTEST) -n $(JOBS) -m slow

# Independent implementations, which the tests compare the specs with; without them they skip that.
oracles: packages
	@test "$$(id -u)" -ne 0 || apt-get install --yes --no-install-recommends $(ORACLES)
	@test "$$(id -u)" -eq 0 || echo "Now, as root: apt-get install $(ORACLES)"

packages: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[oracles]'

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(TYPED)
	$(MAKE) test

# Read the diff before you commit it.
golden: $(READY)
	POPEK_GOLDEN=1 $(PYTEST)

bench: $(READY)
	$(BIN)/popek bench

clean:
	rm -rf $(VENV) $(VENV)-bootstrap build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find analyzer emulator isa_specs tests -name __pycache__ -prune -exec rm -rf {} +
	rm -rf __pycache__

# Debian's python3 has no ensurepip unless python3-venv is installed; virtualenv brings its own pip.
$(READY): pyproject.toml
	@echo "Setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { \
	    $(PYTHON) -m pip install --quiet --target $(VENV)-bootstrap virtualenv \
	    && PYTHONPATH=$(VENV)-bootstrap $(PYTHON) -m virtualenv --quiet --clear $(VENV) \
	    && rm -rf $(VENV)-bootstrap; \
	} || { echo "No virtual environment: install python3-venv, or pip for $(PYTHON)." >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

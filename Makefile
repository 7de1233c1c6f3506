# Murmura: every command a person or CI needs; `make help` lists them.
#
# PYTHON            Python >= 3.11 that makes .venv                          (default python3)
# TORCH_INDEX_URL   another package index to take the pinned torch from: a CUDA or a CPU build
# JOBS              processes that test at once       (default: two for each core, for many only wait)
# ARGS              passed on to `murmura simulate`, e.g. make simulate ARGS="--rounds 20", to
#                   examples/federation.py, e.g. make federation ARGS="--folder /tmp/federation",
#                   and to the soak

PYTHON ?= python3
TORCH_INDEX_URL ?=
ARGS ?=
JOBS ?= $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')

VENV := .venv
BIN := $(VENV)/bin
# Beside the ordinary index: torch==2.13.0+cu130 satisfies the pin and counts as the newer of the two.
TORCH_INDEX := $(if $(TORCH_INDEX_URL),--extra-index-url "$(TORCH_INDEX_URL)")
TORCH_PIN := $(shell grep '^torch==' constraints.txt)
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: help simulate federation test tested check fix deep faults gpu soak fab ci clean

help:  ## what can be made
	@grep -E '^[a-z]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed 's/:.*##/\t/' | expand -t 12

simulate: $(VENV)/installed  ## install if need be, and run the default federation
	$(BIN)/murmura simulate $(ARGS)

federation: $(VENV)/installed  ## a server and three sites as processes of this machine: one run, every command shown
	$(BIN)/python examples/federation.py $(ARGS)

test: check tested  ## install if need be, and run every check and test

tested: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal --cov --cov-report=
	@$(call at_least,90,everything,)
	@$(call at_least,100,shared/,--include='shared/*')

check: $(VENV)/installed-dev  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy

fix: $(VENV)/installed-dev  ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

deep: $(VENV)/installed-dev  ## the tests with 5,000 random examples for each property
	HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest -q

faults: $(VENV)/installed-dev  ## kill -9, networks and hostile peers, the whole of it: over two hours, as root
	MURMURA_FAULTS=whole OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s \
	  tests/integration/faults tests/integration/faults/networks.py tests/integration/faults/processes.py

gpu: $(VENV)/installed-dev  ## what holds on the CPU holds on the GPU of this machine
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/on_gpu.py

soak: $(VENV)/installed-dev  ## round after round for two hours: does anything grow? ARGS="--hours 8"
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python benchmarks/soak.py $(ARGS)

fab: $(VENV)/installed  ## the app bundle that a SuperLink sends to its SuperNodes
	$(BIN)/flwr build --app .

ci: $(VENV)/installed-dev  ## what .ci/run runs: as test, with checks and tests at the same time
	$(MAKE) --no-print-directory -j 2 check tested

clean:  ## remove what was made here, the environment too; run folders stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage dist build *.fab

# at_least(percent, of what, options): one line where it is met, the missing lines where it is not.
define at_least
printf 'coverage with branches of %s (at least $(1) %%): ' '$(2)'; \
$(BIN)/python -m coverage report --fail-under=$(1) $(3) --format=total || \
  { $(BIN)/python -m coverage report $(3) --skip-covered --show-missing; exit 1; }
endef

# Each stamp is as new as the files it was installed from, so nothing is installed twice.
$(VENV)/torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "Murmura needs Python 3.11 or newer, and '$(PYTHON)' is not: make PYTHON=/path/to/python3.11"; \
	  exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing $(TORCH_PIN) into $(VENV); this takes a minute or more"
	@$(PIP_INSTALL) $(TORCH_INDEX) "$(TORCH_PIN)"
	@touch $@

$(VENV)/installed: $(VENV)/torch pyproject.toml
	@echo "installing murmura into $(VENV)"
	@$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "installing the tools of the tests into $(VENV)"
	@$(PIP_INSTALL) -e ".[dev]"
	@touch $@

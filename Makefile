# One command for each thing; every one sets up what it needs first.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SITE := hosting-a
export PATH := $(CURDIR)/$(BIN):$(PATH)

PACKAGES := python3 python3-venv podman runc netavark aardvark-dns iptables uidmap mmdebstrap \
            iproute2 btrfs-progs openssh-client openssh-server sudo busybox postgresql systemd \
            libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0

.PHONY: help setup demo test unit check faults drills bench clean

help:
	@echo "make demo   bring the lab up, cut its power, recover it, print the report"
	@echo "make test   all tests, the recovery on the lab included"
	@echo "make unit   the tests that run anywhere in seconds"
	@echo "make check  every linter"
	@echo "make faults the long tests of faults and the table of docs/reliability.md, an hour and more: LAB=no"
	@echo "make drills every scenario of the lab, and the table of their scores, an hour"
	@echo "make bench  the figures of docs/performance.md, an hour and more: ROUNDS=3 ONLY=NAME"
	@echo "make clean  take the lab down and remove what setup made here"

# Packages only where one is missing; all of it again when what is wanted changed.
setup: $(VENV)/.ready

$(VENV)/.ready: Makefile pyproject.toml playbooks/requirements.yml
	@.ci/packages $(PACKAGES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,lab,cluster]'
	$(BIN)/drcli collections
	@touch $@

demo: setup
	.ci/demo $(SITE)

unit: setup
	$(BIN)/pytest tests/unit

test: check
	$(BIN)/pytest -q -p no:cacheprovider -n $$(nproc) tests/unit

# What has a shebang and no suffix: no linter finds it by itself.
HOST_COMMANDS := playbooks/roles/database/files/database-evidence playbooks/roles/volumes/files/volumes-mirror
SHELL_SCRIPTS = $(shell find .ci benchmarks inventories orchestrator playbooks -type f ! -name '*.pyc' \
                  -exec awk '/^#!.*sh$$/ {print FILENAME} {nextfile}' {} +)
check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(foreach command,$(HOST_COMMANDS),$(BIN)/mypy $(command) &&) true
	$(BIN)/lint-imports
	$(BIN)/shellcheck $(SHELL_SCRIPTS)
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint
	$(BIN)/python .ci/audit

LAB := yes
faults: setup
	$(BIN)/pytest -p fault_figures -m "long and not lab" -n $$(nproc) --dist worksteal tests
	$(BIN)/pytest --fast -m "not lab and not long" -n $$(nproc) --dist worksteal tests/faults
	[ $(LAB) = no ] || $(BIN)/pytest -p fault_figures -m "long and lab" tests

drills: setup
	$(BIN)/drcli drill --site $(SITE) --all

ROUNDS := 3
bench: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench,cluster]'
	$(BIN)/python -m benchmarks --rounds $(ROUNDS) $(addprefix --only ,$(ONLY))

clean:
	-[ -x $(BIN)/drcli ] && $(BIN)/drcli lab down --images --site $(SITE)
	rm -rf $(VENV) $(VENV)-* collections

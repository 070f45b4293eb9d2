# One command for each thing; every one sets up what it needs first.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SITE := hosting-a
SCENARIO := network storage applications
export PATH := $(CURDIR)/$(BIN):$(PATH)

PACKAGES := python3 python3-venv podman runc mmdebstrap \
            iproute2 kmod btrfs-progs xfsprogs openssh-client openssh-server

.PHONY: help setup demo test unit check faults cuts molecule molecule-red pipeline clean

help:
	@echo "make demo          bring the lab up, cut its power, recover it, say what was lost, take it down"
	@echo "make test          every linter and every test, the recovery on a lab and Molecule's network scenario included"
	@echo "make unit          the unit tests alone, anywhere, in half a minute"
	@echo "make check         every linter"
	@echo "make faults        every fault of the lab's catalogue, every service stopped; three quarters of an hour, FAULT=name for one"
	@echo "make cuts          ten power cuts in a row under load, and what the database does not survive whole; CUT=part for one"
	@echo "make molecule      each layer's playbooks and gates on a lab of its own; SCENARIO=network: one layer"
	@echo "make molecule-red  regressions are planted in a copy, and Molecule has to end red at the right step"
	@echo "make pipeline      the commands of the pipelines in docs/ci.md, in a fresh clone"
	@echo "make clean         remove every lab and what setup made in this folder; Debian packages and drcli's journal stay"

# Packages only where one is missing; all of it again when what is wanted changed.
setup: $(VENV)/.ready

$(VENV)/.ready: Makefile pyproject.toml playbooks/requirements.yml
	@.ci/packages $(PACKAGES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/drcli collections
	@touch $@

demo: setup
	.ci/demo $(SITE)

unit: setup
	$(BIN)/pytest -q tests/unit

test: setup
	.ci/test

cuts: setup
	$(BIN)/python tests/reliability/cuts.py $(CUT)

# What has a shebang and no suffix: no linter finds it by itself.
HOST_COMMANDS := playbooks/roles/backups/files/backups-drill playbooks/roles/database/files/database-evidence playbooks/roles/volumes/files/volumes-mirror
SHELL_SCRIPTS = $(shell find .ci inventories orchestrator playbooks -type f ! -name '*.pyc' \
                  -exec awk '/^#!.*sh$$/ {print FILENAME} {nextfile}' {} +)
check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(foreach command,$(HOST_COMMANDS),$(BIN)/mypy $(command) &&) true
	$(BIN)/lint-imports --no-cache
	$(BIN)/shellcheck $(SHELL_SCRIPTS)
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint

# Goes on where it was interrupted: what is done stands in build/faults.json.
faults: setup
	PYTHONPATH=tests $(BIN)/python tests/reliability/faults.py $(FAULT)

molecule: setup
	.ci/molecule $(SCENARIO)

molecule-red: setup
	$(BIN)/python tests/reliability/molecule_red.py

pipeline: setup
	$(BIN)/python tests/reliability/pipeline.py

clean:
	-[ -x $(BIN)/drcli ] && $(BIN)/drcli lab purge --images
	rm -rf $(VENV) collections build

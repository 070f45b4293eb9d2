#!/usr/bin/env bash
# Runs gates on every host as most people do: testinfra's Ansible backend, nothing set.
# Usage, in the project's folder: verify-stock.sh INVENTORY GATE...
set -euo pipefail
inventory=$1
shift
ANSIBLE_CONFIG=$(realpath "$(dirname "$0")/stock.cfg")
export ANSIBLE_CONFIG
exec pytest -q -rA --hosts=ansible://all --ansible-inventory="$inventory" "$@"

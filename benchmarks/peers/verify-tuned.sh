#!/usr/bin/env bash
# Runs gates on every host as fast as pytest and testinfra can: one SSH connection a host, kept.
# Usage, in the project's folder: XDIST="-n 8" verify-tuned.sh INVENTORY GATE...
set -euo pipefail
inventory=$1
shift
ANSIBLE_CONFIG=$(realpath "$(dirname "$0")/tuned.cfg")
export ANSIBLE_CONFIG
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 # no plugin but what is used, no project's settings
export PYTEST_ADDOPTS="-p testinfra.plugin -p no:cacheprovider -c /dev/null --rootdir=$PWD"
install -d -m 700 ~/.ansible/cp
# shellcheck disable=SC2086 # XDIST is words, or none
exec pytest -q -rA ${XDIST:+-p xdist.plugin} ${XDIST:-} --hosts=ansible://all --ansible-inventory="$inventory" "$@"

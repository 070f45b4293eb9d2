#!/usr/bin/env bash
# Recovers a site as a good engineer's script does: as recover-plain.sh, with every setting for speed.
# Usage, in the project's folder: XDIST="-n 2" recover-tuned.sh INVENTORY < COMPONENTS
# A line of COMPONENTS, in order: PLAYBOOK GATE HOSTS
set -euo pipefail
inventory=$1
ANSIBLE_CONFIG=$(realpath "$(dirname "$0")/tuned.cfg")
export ANSIBLE_CONFIG
# In the file they would be taken from the file's own folder.
export ANSIBLE_ROLES_PATH=$PWD/playbooks/roles ANSIBLE_COLLECTIONS_PATH=$PWD/collections
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 # no plugin but what is used, no project's settings
export PYTEST_ADDOPTS="-p testinfra.plugin -p no:cacheprovider -c /dev/null --rootdir=$PWD"
install -d -m 700 ~/.ansible/cp
patience=${PATIENCE:-120} # seconds for a gate to become green

exec 3<&0 </dev/null
while read -r playbook gate hosts <&3; do
  begun=$EPOCHREALTIME
  ansible-playbook -i "$inventory" "$playbook"
  played=$EPOCHREALTIME
  deadline=$((SECONDS + patience))
  # shellcheck disable=SC2086 # XDIST is words, or none
  until pytest -q -rA ${XDIST:+-p xdist.plugin} ${XDIST:-} \
    --hosts="ansible://$hosts" --ansible-inventory="$inventory" "$gate"; do
    ((SECONDS < deadline)) || exit 1
    sleep 0.2
  done
  echo "step $playbook $begun $played $EPOCHREALTIME"
done

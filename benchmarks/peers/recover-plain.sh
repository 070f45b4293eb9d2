#!/usr/bin/env bash
# Recovers a site as a plain script does: each component's playbook, then its gate until it is green.
# Usage, in the project's folder: recover-plain.sh INVENTORY < COMPONENTS
# A line of COMPONENTS, in order: PLAYBOOK GATE HOSTS
set -euo pipefail
inventory=$1
ANSIBLE_CONFIG=$(realpath "$(dirname "$0")/stock.cfg")
export ANSIBLE_CONFIG
# In the file they would be taken from the file's own folder.
export ANSIBLE_ROLES_PATH=$PWD/playbooks/roles ANSIBLE_COLLECTIONS_PATH=$PWD/collections
patience=${PATIENCE:-120} # seconds for a gate to become green

exec 3<&0 </dev/null
while read -r playbook gate hosts <&3; do
  begun=$EPOCHREALTIME
  ansible-playbook -i "$inventory" "$playbook"
  played=$EPOCHREALTIME
  deadline=$((SECONDS + patience))
  until pytest -q -rA --hosts="ansible://$hosts" --ansible-inventory="$inventory" "$gate"; do
    ((SECONDS < deadline)) || exit 1
    sleep 1
  done
  echo "step $playbook $begun $played $EPOCHREALTIME"
done

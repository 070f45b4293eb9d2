"""A stand-in for a sudo that asks: it takes one password, then runs the command as anybody."""

from __future__ import annotations

from pathlib import Path

PASSWORD = "canary open sesame"
_SUDO = f"""\
#!/bin/sh
while [ $# -gt 0 ]; do case $1 in
  -p) prompt=$2; shift 2;;
  -u) shift 2;;
  -*) shift;;
  *) break;;
esac; done
for _ in 1 2 3; do
  printf %s "$prompt" >&2
  IFS= read -r given || break
  [ "$given" = "{PASSWORD}" ] && exec "$@"
  echo "Sorry, try again." >&2
done
exit 1
"""


def asking_sudo(folder: Path) -> dict[str, object]:
    """Put it into a folder; the variables that have a host use it."""
    path = folder / "asking-sudo"
    path.write_text(_SUDO)
    path.chmod(0o755)
    names = {"ansible_become_user": "operator", "ansible_become_exe": str(path)}
    return {"ansible_become": True, **names}

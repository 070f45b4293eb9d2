"""A reason not to start a recovery, or something to know before it: a value with its mend."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Whether a recovery must not start so; a warning is only shown."""

    BLOCKS = "blocks"
    WARNS = "warns"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding: `name` is one of NAMES, `where` is FILE:LINE or a host, `mend` what to do."""

    name: str
    severity: Severity
    where: str
    what: str
    mend: str

    def __str__(self) -> str:
        """On one line, as people read it."""
        return f"{self.severity} {self.name}: {self.where}: {self.what}; {self.mend}"


# What a finding is of; `--ignore` takes these names. docs/preflight.md says more of each.
NAMES = {
    "bootstrap-dns": "the controller asks name servers of the site",
    "bootstrap-time": "the controller takes its time from the site",
    "bootstrap-directory": "the controller's users stand in a directory of the site",
    "bootstrap-vault": "secrets lie in a vault of the site",
    "bootstrap-inventory": "the inventory must be asked, of the site or of who knows whom",
    "bootstrap-journal": "the journal lies in a database of the site",
    "bootstrap-cluster": "the scheduler of workers runs in the site",
    "bootstrap-registry": "images come from a registry of the site",
    "bootstrap-git": "the project comes from a Git server of the site",
    "bootstrap-mirror": "packages or collections come from a mirror of the site",
    "bootstrap-proxy": "the controller reaches the world through a proxy of the site",
    "bootstrap-jump": "hosts are reached through a host that is recovered after them",
    "bootstrap-router": "hosts are reached through a router that is recovered after them",
    "bootstrap-vpn": "hosts are reached through a tunnel that ends in the site",
    "bootstrap-storage": "the controller's own files lie in the site",
    "names": "hosts are reached by names",
    "inventory": "how a host is reached cannot be known",
    "collections": "a collection is missing",
    "roles": "a role is missing",
    "playbook": "a playbook or a role cannot be read",
    "vault-password": "there is no password for encrypted variables",
    "key": "an SSH key cannot be used",
    "certificate": "an SSH certificate is not valid now",
    "host-key": "a host shows another key than the known one, or none is known",
    "clock": "clocks are apart",
    "disk": "the state directory is nearly full",
    "unchecked-host": "no gate looks at a host",
    "gate": "a gate can never be green",
    "gate-import": "a gate imports what is not installed",
    "proof": "no green drill has proven a component as it is now",
    "version": "something installed is of a version that was not tried",
}

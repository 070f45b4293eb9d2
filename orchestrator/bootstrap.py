"""Bootstrap loops: what the controller needs to recover, and this very plan recovers. Pure.

A host that is reached through another one is no loop where the other is recovered before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.controller import Reliance
from orchestrator.finding import Finding, Severity
from orchestrator.plan import Plan
from orchestrator.reach import Reach, is_address, is_loopback

_BLOCKING = {"vault", "inventory", "journal", "cluster", "storage"}
_ROLE = {
    "dns": ("asks the name server", "name a server outside the site, or names in /etc/hosts"),
    "time": ("takes its time from", "name a time server outside the site as well"),
    "directory": ("has users in the directory", "work as a user of /etc/passwd"),
    "vault": ("takes secrets from the vault", "have a sealed copy here: --vault-password-file"),
    "inventory": ("asks for the hosts", "write the hosts themselves into hosts.yml"),
    "journal": ("keeps the journal at", "unset DRCLI_JOURNAL: the journal is then kept here"),
    "cluster": ("finds its workers through", "unset DRCLI_CLUSTER: this machine then works alone"),
    "registry": ("takes images from", "have the images here"),
    "git": ("takes the project from", "have a clone here; this one is not asked during a recovery"),
    "mirror": ("takes packages from", "install now, or have copies here; none is fetched later"),
    "proxy": ("speaks through the proxy", "unset it for the recovery"),
    "vpn": ("has a tunnel that ends at", "have a way in that does not end in the site"),
    "storage": ("keeps files on", "copy them to a disk of this machine; --state-dir for the state"),
}


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A host is reached through another machine: `kind` is jump or router."""

    kind: str
    host: str
    through: str
    where: str


class Owners:
    """Which hosts of a plan an address or a name belongs to, and what recovers them."""

    def __init__(self, plan: Plan, reaches: Iterable[Reach], names: Mapping[str, str]) -> None:
        self._names = names
        self.components: dict[str, list[str]] = {}
        for component in plan.components:
            for host in component.hosts:
                self.components.setdefault(host, []).append(component.name)
        self._of: dict[str, list[str]] = {}
        for reach in reaches:
            for own in reach.own:
                # Its own loopback is everybody's: it tells no machine from another.
                if reach.host in self.components and not is_loopback(own):
                    self._of.setdefault(own.lower(), []).append(reach.host)

    def of(self, target: str) -> tuple[str, ...]:
        """The hosts whose address or name this is; a name counts with what /etc/hosts says."""
        name = target.lower().rstrip(".")
        found = self._of.get(name) or self._of.get(self._names.get(name, ""), [])
        return tuple(found)

    def told(self, hosts: Iterable[str]) -> str:
        """Hosts with what recovers each."""
        return ", ".join(f"{h} (recovered by {', '.join(self.components[h])})" for h in hosts)


def reliance_findings(
    found: Iterable[Reliance], owners: Owners, *, needs_names: bool, local_user: bool
) -> Iterator[Finding]:
    """The loops among what the controller relies on.

    Name servers and a directory block where this recovery itself would ask them.
    """
    blocking = _BLOCKING | ({"dns"} if needs_names else set())
    blocking |= set() if local_user else {"directory"}
    for reliance in found:
        hosts = owners.of(reliance.target)
        if hosts:
            does, mend = _ROLE[reliance.kind]
            yield Finding(
                name=f"bootstrap-{reliance.kind}",
                severity=Severity.BLOCKS if reliance.kind in blocking else Severity.WARNS,
                where=reliance.where,
                what=f"the controller {does} {reliance.target}, which is {owners.told(hosts)}",
                mend=mend,
            )


def asked_findings(asked: str, path: Path) -> Iterator[Finding]:
    """An inventory that must be asked, `asked` being what: of what it asks itself files say little.

    None where the hosts stand in the file.
    """
    if asked:
        yield Finding(
            name="bootstrap-inventory",
            severity=Severity.WARNS,
            where=str(path),
            what=f"each playbook and each gate asks {asked} for the hosts: what that relies on "
            "must be up when the site is dark",
            mend="write the hosts themselves into it, as YAML, while all is up",
        )


def passage_findings(passages: Iterable[Passage], owners: Owners, plan: Plan) -> Iterator[Finding]:
    """The hosts that are reached through one which is not recovered before them."""
    stands_on = {component.name: set(component.stands_on) for component in plan.components}
    loops: dict[tuple[str, str, str], list[str]] = {}
    for passage in passages:
        hosts = [host for host in owners.of(passage.through) if host != passage.host]
        before = {name for host in hosts for name in owners.components[host]}
        own = owners.components.get(passage.host, ())
        if hosts and not all(before <= stands_on[name] for name in own):
            key = (passage.kind, passage.through, passage.where)
            loops.setdefault(key, []).append(passage.host)
    for (kind, through, where), reached in loops.items():
        yield Finding(
            name=f"bootstrap-{kind}",
            severity=Severity.BLOCKS,
            where=where,
            what=f"{', '.join(reached)} reached through {through}, which is "
            f"{owners.told(owners.of(through))} and not before them",
            mend="reach them another way (out of band), or recover it in a lower layer",
        )


def name_findings(
    reaches: Iterable[Reach], names: Mapping[str, str], found: Iterable[Reliance], owners: Owners
) -> Iterator[Finding]:
    """The hosts that are reached by a name which only a name server knows."""
    named = {
        reach.host: reach.address
        for reach in reaches
        if reach.over_ssh and reach.address and needs_dns(reach.address, names)
    }
    if named:
        loop = any(r.kind == "dns" and owners.of(r.target) for r in found)
        shown = ", ".join(f"{h} as {a}" if h != a else h for h, a in list(named.items())[:20])
        yield Finding(
            name="names",
            severity=Severity.BLOCKS if loop else Severity.WARNS,
            where="hosts.yml",
            what=f"reached by names that a name server must resolve: {shown}",
            mend="write `ansible_host: ADDRESS` for each, or the names into /etc/hosts",
        )


def needs_dns(address: str, names: Mapping[str, str]) -> bool:
    """Whether a name server is asked for it."""
    return not (is_address(address) or address == "localhost" or address.lower() in names)

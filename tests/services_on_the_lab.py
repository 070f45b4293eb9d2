"""The services of each component of hosting-a: what is stopped to see that its gate notices."""

from __future__ import annotations

# component -> unit -> the hosts that have it
SERVICES = {
    "routing": {"frr": ("r1", "r2"), "keepalived": ("r1", "r2"), "nftables": ("r1", "r2")},
    "dns": {"unbound": ("ns1", "ns2")},
    "time": {"chrony": ("r1", "r2")},
    "volumes": {"volumes-scrub": ("db1", "db2"), "volumes-witness.timer": ("db1", "db2")},
    "database": {"postgresql@15-main": ("db1", "db2")},
    "backups": {"backups.timer": ("bk1",), "backups-drill": ("bk1",)},
    "directory": {"slapd": ("ldap1",)},
    "imaging": {"orthanc": ("img1", "img2")},
    "frontend": {"haproxy": ("web1",), "nginx": ("web1",)},
}
MUTATIONS = [
    (component, unit, host)
    for component, units in SERVICES.items()
    for unit, hosts in units.items()
    for host in hosts
]

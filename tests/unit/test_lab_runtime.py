"""What a host has beyond its boot, as it is seen, and as it is given back."""

from orchestrator.lab.runtime import BOOTED, Seen, beyond, parse_seen, service_script, state_script

ADDRESSES = """[
 {"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8},
                                {"family": "inet", "local": "10.1.255.11", "prefixlen": 32}]},
 {"ifname": "mgmt", "addr_info": [{"family": "inet", "local": "10.78.0.11", "prefixlen": 24}]},
 {"ifname": "core", "addr_info": [
   {"family": "inet", "local": "10.1.1.11", "prefixlen": 24},
   {"family": "inet", "local": "10.1.1.1", "prefixlen": 24, "secondary": true}]}]"""
ROUTES = """[{"dst": "default", "gateway": "10.1.1.1", "dev": "core", "protocol": "boot"},
 {"dst": "10.1.2.0/24", "gateway": "10.1.1.12", "dev": "core", "protocol": "ospf", "metric": 20},
 {"dst": "10.1.1.0/24", "dev": "core", "protocol": "kernel"}]"""
PARTS = (
    ADDRESSES,
    ROUTES,
    "10.1.2.0/24 ospf\n10.1.1.0/24 kernel\ndefault boot\n",
    "net.ipv4.conf.all.rp_filter = 2\nnet.ipv4.ip_forward = 1\n",
    "table inet filter {\n}\n",
    "overlay / overlay rw 0 0\n/dev/data0 /srv/v btrfs rw,noatime 0 0\n",
    "nameserver 10.1.1.21\n",
    "ssh.service\nfrr.service\nuser@0.service\n",
    "\n0.0.0.0:22\n127.0.0.1:2601\n",
    "",
)
BOOT = Seen(
    addresses=("127.0.0.1/8 dev lo",),
    settings=("net.ipv4.ip_forward=0", "net.ipv4.conf.all.rp_filter=0"),
    units=("ssh.service",),
    listening=("0.0.0.0:22",),
)


def seen():
    return beyond(BOOT, parse_seen("\0".join(PARTS)))


def test_what_the_boot_gives_and_what_others_give_is_left_out():
    assert seen().addresses == ("10.1.255.11/32 dev lo", "10.1.1.11/24 dev core")
    assert seen().routes == ("default dev core via 10.1.1.1",)
    assert seen().units == ("frr.service",)
    assert seen().mounts == ("/dev/data0 /srv/v btrfs rw,noatime",)


def test_what_a_daemon_gives_is_waited_for():
    assert seen().learned == ("10.1.2.0/24 ospf",)
    assert seen().listening == ("127.0.0.1:2601",)
    script = service_script(seen())
    assert script.index("ping -c 1") < script.index("systemctl start frr.service")
    assert script.index("systemctl start") < script.index("'10.1.2.0/24 ospf'")


def test_the_network_is_filtered_before_it_forwards_and_forwarding_is_set_first():
    script = state_script(seen())
    steps = ("ip address", "ip route", "nft -f", "ip_forward=1", "all.rp_filter=2", "resolv.conf")
    places = [script.index(step) for step in steps]
    assert places == sorted(places)
    assert "mount -t btrfs -o rw,noatime /dev/data0 /srv/v" in script


def test_a_host_with_nothing_of_its_own_needs_nothing():
    assert service_script(Seen()).strip() == ""
    assert state_script(Seen()) == BOOTED


def test_nothing_is_given_to_a_host_before_its_boot_is_over():
    assert state_script(seen()).startswith(BOOTED)

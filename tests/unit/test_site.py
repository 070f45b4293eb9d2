"""site.yml: what it may say, and how each mistake is told."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import InputError
from orchestrator.site import Site, load_site
from orchestrator.site_types import parse_duration

EXAMPLE = """\
site: room-a
rto: 4h
order: dependencies
max_parallel: 3
layers:
  - name: network
    rto: 30m
    components:
      - name: routing
        hosts: routers:!r3
      - {name: dns, hosts: dns, needs: [routing], settle: 0s, timeout: 1h30m, rto: 90s}
  - name: applications
    components:
      - name: imaging
        hosts: imaging
        approval: "Primary chosen?"
        playbook: playbooks/shared/imaging.yml
        gate: playbooks/shared/test_imaging.py
        serves: [radiology]
services:
  radiology: {hospitals: [north, south], title: {en: Medical imaging, fr: Imagerie médicale}}
"""
NOT_A_NAME = "is not a name; use small letters, digits and hyphens, 63 at most"
PLAIN = {"site": "room-a", "layers": [{"name": "a", "components": [{"name": "b", "hosts": "c"}]}]}


@pytest.fixture
def load(make_project):
    project = make_project()

    def load_text(content):
        text = json.dumps(content) if isinstance(content, dict) else content
        (project / "inventories/room-a/site.yml").write_text(text)
        return load_site(project, "room-a")

    return load_text


def faults(load, content):
    with pytest.raises(InputError) as caught:
        load(content)
    assert caught.value.exit_code == 2
    lines = caught.value.message.splitlines()
    assert all("/inventories/room-a/site.yml:" in line for line in lines)
    return [line.partition("site.yml:")[2] for line in lines]


def outcome(load, content):
    try:
        return load(content)
    except InputError as error:
        return error


def with_component(**fields):
    component = {"name": "b", "hosts": "c", **fields}
    return {**PLAIN, "layers": [{"name": "a", "components": [component]}]}


def test_the_example_says_what_it_says(load):
    site = load(EXAMPLE)
    network, applications = site.layers
    routing, dns = network.components
    assert (site.site, site.rto, site.order, site.max_parallel) == (
        "room-a", timedelta(hours=4), "dependencies", 3,
    )  # fmt: skip
    assert (network.name, network.rto) == ("network", timedelta(minutes=30))
    assert (routing.name, routing.hosts, routing.needs) == ("routing", "routers:!r3", ())
    assert (dns.needs, dns.settle, dns.timeout) == (
        ("routing",), timedelta(0), timedelta(minutes=90),
    )  # fmt: skip
    assert applications.components[0].serves == ("radiology",)
    assert site.services["radiology"].hospitals == ("north", "south")
    assert site.services["radiology"].title["fr"] == "Imagerie médicale"


def test_what_is_not_said_has_a_default(load):
    site = load(PLAIN)
    component = site.layers[0].components[0]
    assert (site.order, site.max_parallel, site.rto) == ("layers", None, None)
    assert (component.settle, component.timeout) == (timedelta(minutes=1), timedelta(minutes=30))
    assert (component.playbook, component.gate, component.approval) == (None, None, None)


def test_a_site_cannot_be_changed(load):
    with pytest.raises(ValueError, match="frozen"):
        load(PLAIN).site = "other"


@pytest.mark.parametrize("text", ["no", "22:22", "on", "1e3"])
def test_yaml_1_1_surprises_stay_text(load, text):
    site = load(f"site: room-a\nlayers: [{{name: a, components: [{{name: b, hosts: '{text}'}}]}}]")
    assert site.layers[0].components[0].hosts == text


def test_every_mistake_is_told_at_once_in_the_order_of_the_file(load):
    told = faults(
        load,
        """\
site: room-b
ordr: layers
layers:
  - name: Network
    components:
      - name: dns
        host: x
        needs: [routin]
      - {name: routing, hosts: y, settle: 5}
    colour: red
""",
    )
    assert told == [
        "1:7: site: is not the name of its folder, 'room-a'; make them the same",
        "2:1: ordr: unknown field; did you mean 'order'?",
        f"4:11: layers[0].name: 'Network' {NOT_A_NAME}",
        "6:9: layers[0].components[0]: 'hosts' is missing; write `hosts: ...`",
        "7:9: layers[0].components[0].host: unknown field; did you mean 'hosts'?",
        "8:17: layers[0].components[0].needs[0]: no component 'routin'; did you mean 'routing'?",
        "9:43: layers[0].components[1].settle: not a duration; write it as 90s, 30m, 4h or 1h30m",
        "10:5: layers[0].colour: unknown field; there are: name, rto, components",
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "1:1: nothing is not a mapping"),
        ("- a", "1:1: ['a'] is not a mapping"),
        ("layers: []", "1:1: 'site' is missing"),
        ({**PLAIN, "layers": []}, "layers: is empty; write at least one"),
        ({**PLAIN, "layers": {}}, "layers: {} is not a list"),
        ({**PLAIN, "layers": [5]}, "layers[0]: 5 is not a mapping"),
        ({**PLAIN, "layers": [{"name": "a", "components": []}]}, "components: is empty"),
        ({**PLAIN, "order": "layer"}, "order: 'layer' is unknown; write 'layers' or 'depend"),
        ({**PLAIN, "order": []}, "order: [] is unknown"),
        ({**PLAIN, "max_parallel": 0}, "max_parallel: input should be greater than or equal"),
        ({**PLAIN, "max_parallel": True}, "max_parallel: True is not a number"),
        ({**PLAIN, "max_parallel": "3"}, "max_parallel: '3' is not a number"),
        ({**PLAIN, "services": {"Radio": {}}}, "services.Radio: 'Radio' is not a name"),
        ({**PLAIN, "services": {"r": {"titel": {}}}}, "services.r.titel: unknown field; did"),
        ({**PLAIN, "services": {"r": {"title": {"english": "x"}}}}, "'english' is not a language"),
        (with_component(name="../x"), "name: '../x' is not a name"),
        (with_component(name="-rf"), "name: '-rf' is not a name"),
        (with_component(name="dns\n"), "name: 'dns\\n' is not a name"),
        (with_component(name=5), "name: 5 is not text; write text, in quotes"),
        (with_component(hosts=""), "hosts: is empty"),
        (with_component(hosts=["a"]), "hosts: ['a'] is not text"),
        (with_component(needs="a"), "needs: 'a' is not a list; write [a, b]"),
        (with_component(approval="a\x1b[31m"), "approval: 'a\\x1b[31m' has control characters"),
        (with_component(approval=5), "approval: 5 is not text"),
        (with_component(timeout="0s"), "timeout: must be longer than 0s"),
        (with_component(timeout=30), "timeout: not a duration; write it as 90s"),
        (with_component(rto="8d"), "rto: not a duration"),
        (with_component(recheck="0s"), "recheck: must be longer than 0s"),
        (with_component(rto="200h"), "rto: longer than a week"),
        (with_component(ansible_connection="local"), "ansible_connection: unknown field"),
        (with_component(vars={"ansible_ssh_common_args": "x"}), "vars: unknown field"),
        (with_component(**{"\x1b[31m": 1}), "['\\x1b[31m']: unknown field"),
    ],
)
def test_a_mistake_is_told_with_its_field_and_what_to_do(load, content, told):
    assert any(told in line for line in faults(load, content))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x.yml", "playbooks/../../x.yml", "x.yml", "~/x.yml", "-rf", "."]
)
@pytest.mark.parametrize("field", ["playbook", "gate"])
def test_a_path_that_leaves_playbooks_is_refused(load, field, path):
    assert f"{field}: is not in playbooks/" in faults(load, with_component(**{field: path}))[0]


@pytest.mark.parametrize(
    "text", ["{{ lookup('pipe', 'id') }}", "{% if x %}", "a{# b #}", "#jinja2: x:y"]
)
@pytest.mark.parametrize("field", ["hosts", "approval", "playbook", "name"])
def test_jinja_is_refused_in_every_value(load, field, text):
    assert any(
        f"{field}: Jinja is refused" in line
        for line in faults(load, with_component(**{field: text}))
    )


def test_jinja_is_refused_in_a_key_too(load):
    content = {**PLAIN, "services": {"r": {"title": {"{{ x }}": "y"}}}}
    assert any("Jinja is refused" in line for line in faults(load, content))


def layered(*components, order="layers"):
    """A layer for each of the components given as name -> needs."""
    layers = [
        {"name": f"layer-{n}", "components": [{"name": c, "hosts": "h", "needs": needs}
                                              for c, needs in layer.items()]}
        for n, layer in enumerate(components)
    ]  # fmt: skip
    return {"site": "room-a", "order": order, "layers": layers}


@pytest.mark.parametrize("order", ["layers", "dependencies"])
def test_a_cycle_is_named(load, order):
    content = layered({"x": [], "a": ["b", "x"], "b": ["c"], "c": ["a"]}, order=order)
    (told,) = faults(load, content)
    assert "layers[0].components[1].needs: a cycle: a -> b -> c -> a, each needs the next" in told


def test_a_cycle_through_layers_is_named_when_dependencies_give_the_order(load):
    content = layered({"a": ["b"]}, {"b": ["a"]}, order="dependencies")
    assert "a cycle: a -> b -> a" in faults(load, content)[0]


def test_a_need_of_a_layer_that_starts_later_is_refused(load):
    (told,) = faults(load, layered({"a": ["b"]}, {"b": []}))
    assert "needs[0]: 'b' is in a layer that starts later" in told
    assert load(layered({"a": ["b"]}, {"b": []}, order="dependencies"))


def test_a_component_that_needs_itself_is_refused(load):
    assert "'a' needs itself; remove it" in faults(load, layered({"a": ["a"]}))[0]


def test_a_missing_need_and_a_missing_service_get_the_near_name(load):
    content = layered({"routing": [], "dns": ["ruoting"]})
    content["services"] = {"radiology": {}}
    content["layers"][0]["components"][0]["serves"] = ["radiologie"]
    told = faults(load, content)
    assert "serves[0]: no service 'radiologie'; did you mean 'radiology'?" in told[0]
    assert "needs[0]: no component 'ruoting'; did you mean 'routing'?" in told[1]


def test_a_name_given_twice_is_refused(load):
    content = layered({"a": []}, {"b": [], "a": []})
    content["layers"][1]["name"] = "layer-0"
    assert [line.partition(": ")[2] for line in faults(load, content)] == [
        "layers[1].name: a second layer 'layer-0'; rename one of them",
        "layers[1].components[1].name: a second component 'a'; rename one of them",
    ]


def test_a_duplicate_key_is_told_with_the_rest(load):
    told = faults(load, "site: room-a\nsite: room-a\nlayers: [{name: a}]\n")
    assert told[0] == "2:1: site: written twice, first in line 1; keep one of them"
    assert "'components' is missing" in told[1]


def test_thousands_of_mistakes_are_told_in_a_page(load):
    content = {**PLAIN, **{f"field-{n}": n for n in range(3000)}}
    told = faults(load, content)
    assert len(told) < 40
    assert "more" in told[-1]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("30m", 1800), ("4h", 14400), ("1h30m", 5400), ("1h0m5s", 3605),
     ("168h", 604800)],
)  # fmt: skip
def test_durations(text, seconds):
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "5", "5 m", "m5", "30m1h", "-5m", "1.5h", "5M", "5d", "169h", "\u0665m", "5m\n",
     "9" * 19 + "s", 5, None, True, ["5m"]],
)  # fmt: skip
def test_what_is_not_a_duration_is_refused(text):
    with pytest.raises(ValueError, match=r"duration|week"):
        parse_duration(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["room-a", "a", "b", "30m", "layers"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["site", "layers", "name", "components", "hosts", "needs", "services",
                         "order", "serves", "title", "x"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(VALUES, st.dictionaries(st.sampled_from(["name", "hosts", "needs", "serves"]), VALUES))
def test_any_content_is_a_site_or_an_error_never_a_traceback(load, value, component):
    for content in (value, {**PLAIN, "layers": value}, with_component(**component)):
        assert isinstance(outcome(load, json.dumps(content)), Site | InputError)

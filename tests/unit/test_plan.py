"""Site and inventory into a plan: what is done where, in which order, or all that is wrong."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InputError
from orchestrator.inventory import load_inventory
from orchestrator.order import stands_on
from orchestrator.plan import direct_graph, make_plan
from orchestrator.site import Site, load_site


def plan_of(project, name="room-a", **selection):
    inventory = load_inventory(project / "inventories" / name / "hosts.yml")
    return make_plan(project, load_site(project, name), inventory, **selection)


def names(plan):
    return [component.name for component in plan.components]


def refusal(project, **selection):
    with pytest.raises(InputError) as caught:
        plan_of(project, **selection)
    return caught.value.message


def test_a_plan_names_for_each_component_what_a_recovery_needs_to_know(make_project):
    project = make_project()
    database = plan_of(project).components[2]
    assert (database.name, database.layer) == ("database", "storage")
    assert database.hosts == ("db1", "db2")
    assert database.playbook == project / "playbooks/storage/database.yml"
    assert database.gate == project / "playbooks/storage/test_database.py"
    assert database.minimum_checks == 1
    assert (database.needs, database.stands_on) == (("volumes",), ("routing", "volumes"))
    assert (database.settle, database.timeout, database.approval) == (60.0, 1800.0, None)


@pytest.mark.parametrize("name", ["ansible_host", "ansible_port", "ansible_ssh_user"])
def test_an_address_that_is_a_template_is_refused_with_its_host(make_project, name):
    hosts = f"all: {{hosts: {{r1: }}, children: {{routers: {{vars: {{{name}: '{{{{ x }}}}'}}}}}}}}"
    hosts = hosts.replace("routers: {", "routers: {hosts: {r1: }, ")
    project = make_project({"network": [{"name": "dns", "hosts": "routers"}]}, hosts=hosts)
    assert f"hosts.yml: host r1: {name} is a template" in refusal(project)


def test_a_playbook_whose_name_is_too_long_is_refused(make_project):
    project = make_project()
    file = f"playbooks/{'a' * 300}.yml"
    layers = [{"name": "network", "components": [
        {"name": "routing", "hosts": "routers", "playbook": file}
    ]}]  # fmt: skip
    (project / "inventories/room-a/site.yml").write_text(
        json.dumps({"site": "room-a", "layers": layers})
    )
    assert "the playbook of component routing cannot be read: File name too long" in refusal(
        project
    )


def test_what_ansible_warns_of_is_a_warning_of_the_plan(make_project):
    hosts = "a: {hosts: {r1: }, vars: {when: 1}}\n"
    project = make_project({"network": [{"name": "dns", "hosts": "a"}]}, hosts=hosts)
    (warning,) = plan_of(project).warnings
    assert "hosts.yml:1:27: Found variable using reserved name 'when'" in warning


def test_by_layers_a_component_stands_on_every_layer_below_and_on_what_it_needs(make_project):
    plan = plan_of(make_project())
    assert names(plan) == ["routing", "volumes", "database", "imaging"]
    assert plan.components[3].stands_on == ("routing", "volumes", "database")
    assert plan.stages == (("routing",), ("volumes",), ("database",), ("imaging",))
    assert plan.critical_path == ("routing", "volumes", "database", "imaging")


@given(data=st.data())
def test_by_layers_each_stands_on_the_whole_layer_below_though_directly_on_its_tops_alone(data):
    layers, whole, below = [], {}, ()
    for number in range(3):
        names = [f"c{number}-{place}" for place in range(data.draw(st.integers(1, 4)))]
        components = []
        for place, name in enumerate(names):
            needs = sorted(data.draw(st.sets(st.sampled_from(names[:place])))) if place else []
            components.append({"name": name, "hosts": "h", "needs": needs})
            whole[name] = (*below, *needs)
        below = tuple(names)
        layers.append({"name": f"layer{number}", "components": components})
    site = Site.model_validate({"site": "a", "layers": layers})
    assert stands_on(direct_graph(site)) == stands_on(whole)


def test_by_dependencies_a_component_stands_on_what_it_needs_alone(make_project):
    plan = plan_of(make_project(extra={"order": "dependencies"}))
    assert plan.stages == (("routing", "volumes", "imaging"), ("database",))
    assert plan.components[-1].stands_on == ("volumes",)
    assert plan.critical_path == ("volumes", "database")


def test_components_of_a_layer_that_need_nothing_of_each_other_run_side_by_side(make_project):
    layers = {"network": [{"name": n, "hosts": "routers"} for n in ("time", "dns")]}
    assert plan_of(make_project(layers)).stages == (("time", "dns"),)


def test_playbook_and_gate_may_be_named(make_project):
    layers = {
        "network": [
            {"name": "dns", "hosts": "routers"},
            {"name": "dns2", "hosts": "r1", "playbook": "playbooks/network/dns.yml",
             "gate": "playbooks/network/test_dns.py"},
        ]
    }  # fmt: skip
    project = make_project(layers)
    (project / "playbooks/network/dns2.yml").unlink()
    assert plan_of(project).components[1].playbook == project / "playbooks/network/dns.yml"


def test_what_is_wrong_with_every_component_is_told_at_once(make_project):
    project = make_project()
    folder = project / "playbooks"
    (folder / "network/routing.yml").unlink()
    (folder / "network/test_routing.py").write_text("def test_x(: pass\n")
    (folder / "storage/volumes.yml").write_text("- hosts: [\n")
    (folder / "storage/test_database.py").unlink()
    (folder / "applications/test_imaging.py").write_text("minimum_checks = 0\n")
    told = refusal(project).splitlines()
    assert len(told) == 5
    assert "network/routing.yml: no such file, the playbook of component routing" in told[0]
    assert "network/test_routing.py:1:12: not Python" in told[1]
    assert "storage/volumes.yml:2:1: YAML parsing failed" in told[2]
    assert "storage/test_database.py: no such file, the gate of component database" in told[3]
    assert "test_imaging.py:1:18: minimum_checks must be a number from 1" in told[4]


def test_a_component_on_a_group_that_is_not_there_is_refused_with_the_near_one(make_project):
    project = make_project({"network": [{"name": "dns", "hosts": "rooters"}]})
    told = refusal(project)
    assert "component dns: " in told
    assert "no group or host 'rooters'; did you mean 'routers'?" in told


def test_a_component_on_an_empty_group_is_refused(make_project):
    hosts = "all: {children: {routers: {hosts: {r1: }}, empty: {hosts: {}}}}"
    project = make_project({"network": [{"name": "dns", "hosts": "empty"}]}, hosts=hosts)
    assert "component dns: " in refusal(project)
    assert "'empty' matches no host" in refusal(project)


def test_hosts_of_no_component_are_warned_of(make_project):
    project = make_project({"network": [{"name": "dns", "hosts": "routers:!r2"}]})
    assert [w.split()[1] for w in plan_of(project).warnings] == ["r2", "db1", "db2", "img1"]


@pytest.mark.parametrize(
    ("playbook", "told"),
    [
        ("- hosts: databases\n", "no play reaches r1, r2"),
        ("- hosts: r1\n- hosts: databases\n", "no play reaches r2"),
        ("- hosts: routers\n- hosts: nosuch\n", "play 2: "),
        ("- hosts: localhost\n", "no group or host 'localhost'"),
        ("- tasks: []\n", "play 1 names no hosts"),
        ("- 5\n", "play 1 names no hosts"),
        ("{}\n", "no list of plays"),
        ("", "no list of plays"),
    ],
)
def test_a_playbook_that_cannot_reach_its_components_hosts_is_refused(make_project, playbook, told):
    project = make_project({"network": [{"name": "dns", "hosts": "routers"}]})
    (project / "playbooks/network/dns.yml").write_text(playbook)
    message = refusal(project)
    assert "playbooks/network/dns.yml" in message
    assert told in message


@pytest.mark.parametrize(
    "playbook",
    [
        "- hosts: all\n",
        "- hosts: [r1, r2]\n",
        "- hosts: r1\n- hosts: r2\n",
        '- hosts: "{{ somewhere }}"\n',
        "- import_playbook: other.yml\n",
        "- ansible.builtin.import_playbook: other.yml\n",
    ],
)
def test_a_playbook_that_may_reach_them_all_is_taken(make_project, playbook):
    project = make_project({"network": [{"name": "dns", "hosts": "routers"}]})
    (project / "playbooks/network/dns.yml").write_text(playbook)
    assert names(plan_of(project)) == ["dns"]


@pytest.mark.parametrize("file", ["dns.yml", "test_dns.py"])
def test_a_file_that_a_link_leads_out_of_the_project_is_refused(
    make_project, tmp_path_factory, file
):
    project = make_project({"network": [{"name": "dns", "hosts": "routers"}]})
    path = project / "playbooks/network" / file
    outside = tmp_path_factory.mktemp("outside") / file
    path.rename(outside)
    path.symlink_to(outside)
    assert "leads out of the project" in refusal(project)


@pytest.mark.parametrize(
    ("selection", "selected"),
    [
        ({"layers": ["storage"]}, ["volumes", "database"]),
        ({"layers": ["network", "applications"]}, ["routing", "imaging"]),
        ({"components": ["imaging", "volumes"]}, ["volumes", "imaging"]),
        ({"layers": ["storage"], "components": ["volumes"]}, ["volumes"]),
    ],
)
def test_a_part_of_a_site_can_be_selected(make_project, selection, selected):
    assert names(plan_of(make_project(), **selection)) == selected


def test_what_was_not_selected_is_still_said_to_be_stood_on(make_project):
    plan = plan_of(make_project(), components=["database"])
    assert plan.components[0].stands_on == ("routing", "volumes")


def test_order_holds_through_a_component_that_was_not_selected(make_project):
    layers = {
        "network": [
            {"name": "a", "hosts": "r1"},
            {"name": "b", "hosts": "r1", "needs": ["a"]},
            {"name": "c", "hosts": "r1", "needs": ["b"]},
        ]
    }
    plan = plan_of(make_project(layers), components=["a", "c"])
    assert plan.stages == (("a",), ("c",))
    assert plan.components[1].stands_on == ("a", "b")


def test_a_broken_gate_stops_its_own_component_alone(make_project):
    project = make_project()
    (project / "playbooks/applications/test_imaging.py").write_text("def f(:\n")
    assert names(plan_of(project, layers=["network"])) == ["routing"]
    assert "test_imaging.py" in refusal(project)


@pytest.mark.parametrize(
    ("selection", "told"),
    [
        ({"layers": ["storge"]}, "--layer 'storge': not in site room-a; did you mean 'storage'?"),
        ({"components": ["databse"]}, "--component 'databse': not in site room-a; did you mean"),
        ({"components": [""]}, "--component ''"),
        ({"layers": ["network"], "components": ["imaging"]}, "nothing of site room-a is selected"),
    ],
)
def test_a_selection_of_nothing_is_refused(make_project, selection, told):
    assert told in refusal(make_project(), **selection)


def test_the_hash_is_of_the_whole_site_whatever_was_selected(make_project):
    project = make_project()
    assert plan_of(project).hash == plan_of(project, components=["routing"]).hash


def test_a_site_of_many_components_is_planned_in_a_moment(make_project):
    layers = {
        f"layer-{n}": [{"name": f"c-{n}-{m}", "hosts": "routers"} for m in range(20)]
        for n in range(10)
    }
    project = make_project(layers)
    begun = time.process_time()
    assert len(plan_of(project).components) == 200
    assert time.process_time() - begun < 10

"""`drcli status --by service|hospital`: 38 hospitals, whose services stand in three rooms."""

from __future__ import annotations

import json

import pytest

HOSPITALS = [f"hospital-{number:02}" for number in range(1, 39)]
HOSTS = """\
all:
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  hosts: {one: , two: }
"""
# By room: its services, how critical each is, and which hospitals have it there.
ROOMS = {
    "room-a": {"imaging": ("vital", HOSPITALS[:20]), "laboratory": ("high", HOSPITALS)},
    "room-b": {"imaging": ("vital", HOSPITALS[20:]), "pharmacy": ("high", HOSPITALS)},
    "room-c": {"meals": ("low", HOSPITALS), "records": ("vital", HOSPITALS)},
}


@pytest.fixture
def group(make_project):
    """Three rooms of one project, none of them up."""
    for room, services in ROOMS.items():
        project = make_project(
            {
                "network": [{"name": "routing", "hosts": "one", "settle": "0s"}],
                "applications": [
                    {"name": name, "hosts": "all", "serves": [name], "settle": "0s",
                     "needs": ["routing"], "quorum": "1 of 2"}
                    for name in services
                ],
            },
            name=room,
            hosts=HOSTS,
            extra={
                "order": "dependencies",
                "services": {
                    name: {"hospitals": used, "criticality": how,
                           "title": {"en": f"The {name}", "fr": f"Service {name}"}}
                    for name, (how, used) in services.items()
                },
                "hospitals": {name: {"title": {"en": name.title()}} for name in HOSPITALS},
            },
        )  # fmt: skip
    return project


def statuses(drcli, group, *words):
    said = drcli("status", "--json", "--by", "service", *words, cwd=group)
    assert said.returncode == 0, said.stderr
    found = [json.loads(line) for line in said.stdout.splitlines()]
    return {(each["site"], each["service"]): each for each in found}


def test_three_rooms_of_38_hospitals_are_told_by_hospital(drcli, group):
    pharmacy = group / "playbooks/applications/pharmacy.yml"
    good = pharmacy.read_text()
    fails = "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.fail: }]\n"
    pharmacy.write_text(fails)
    meals = group / "playbooks/applications/meals.yml"
    fails_on_two = "    - ansible.builtin.fail:\n      when: inventory_hostname == 'two'\n"
    alone = meals.read_text().replace("  any_errors_fatal: true\n", "")
    meals.write_text(alone.replace("  tasks:\n", f"  tasks:\n{fails_on_two}"))
    for room in ROOMS:
        drcli("recover", "--site", room, cwd=group)
    found = statuses(drcli, group)
    states = {name: each["state"] for name, each in found.items()}
    assert states == {
        ("room-a", "imaging"): "back",
        ("room-a", "laboratory"): "back",
        ("room-b", "imaging"): "back",
        ("room-b", "pharmacy"): "down",
        ("room-c", "meals"): "degraded",
        ("room-c", "records"): "back",
    }
    assert found["room-b", "pharmacy"]["blocks"] == ["pharmacy"]
    assert found["room-c", "meals"]["lacks"] == ["meals on two"]
    shown = drcli("status", "--by", "hospital", "--lang", "fr", cwd=group).stdout
    for hospital in HOSPITALS:
        assert hospital.title() in shown  # its name in French is not written: the English one
    assert shown.count("Service records") == 38
    assert shown.index("Service imaging") < shown.index("Service pharmacy")
    assert "6 services: 4 back, 1 degraded, 1 down. Next: drcli status --site room-b" in shown
    pharmacy.write_text(good)
    assert drcli("recover", "--site", "room-b", cwd=group).returncode == 0
    assert statuses(drcli, group)["room-b", "pharmacy"]["state"] == "back"


def test_a_site_without_services_says_how_to_have_some(drcli, make_project):
    project = make_project()
    drcli("recover", "--site", "room-a", cwd=project)
    assert "a site file names them" in drcli("status", "--by", "service", cwd=project).stdout


def test_a_hospital_that_has_no_name_where_others_do_is_a_mistake(drcli, make_project):
    services = {"s": {"hospitals": ["north", "nroth"]}}
    hospitals = {"north": {}}
    project = make_project(extra={"services": services, "hospitals": hospitals})
    said = drcli("validate", "--site", "room-a", cwd=project)
    assert said.returncode == 2
    assert "no hospital 'nroth'; did you mean 'north'?" in said.stderr

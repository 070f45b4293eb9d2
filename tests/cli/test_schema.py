"""`drcli schema`: what an editor is told of a site file."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from orchestrator.errors import InputError
from orchestrator.site import load_site, site_schema

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def validator():
    return jsonschema.Draft202012Validator(site_schema())


def test_the_command_prints_the_schema_of_a_site_file(drcli, tmp_path):
    done = drcli("schema", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    jsonschema.Draft202012Validator.check_schema(json.loads(done.stdout))
    assert json.loads(done.stdout) == site_schema()


def test_the_schema_accepts_every_site_of_this_repository(validator):
    for path in (PROJECT / "inventories").glob("*/site.yml"):
        validator.validate(YAML(typ="safe", pure=True).load(path))


@pytest.mark.parametrize(
    "change",
    [
        {"site": "Not A Name"},
        {"rto": "4 hours"},
        {"order": "random"},
        {"max_parallel": 0},
        {"layers": []},
        {"unknown": 1},
        {"layers": [{"name": "a", "components": [{"name": "b"}]}]},
        {"layers": [{"name": "a", "components": [{"name": "b", "hosts": "c", "settle": 5}]}]},
    ],
)
def test_the_schema_refuses_what_drcli_refuses(validator, make_project, change):
    content = {
        "site": "room-a",
        "layers": [{"name": "network", "components": [{"name": "dns", "hosts": "routers"}]}],
        **change,
    }
    assert not validator.is_valid(content)
    with pytest.raises(InputError):
        load_site(make_project(site=json.dumps(content)), "room-a")

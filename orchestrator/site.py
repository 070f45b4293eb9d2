"""site.yml -> Site: what is recovered, in which order; every mistake named with file, line, field.

A site file names layers, components and services. It has no field for a variable, a connection or
an address: those are the inventory's.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.project import SLUG, did_you_mean, require_inside, site_folder
from orchestrator.site_faults import reference_faults, template_faults
from orchestrator.site_types import (
    LANGUAGE,
    ONE_LINE,
    After,
    Duration,
    File,
    Name,
    Strict,
    Text,
    Time,
)
from orchestrator.yaml_file import Fault, Location, read_document

MAX_FAULTS = 40  # that a site file is told of beyond its shape; more help nobody


# The kind of one of pydantic's errors, or the pattern that does not match -> what, what to do.
_WORDS = {
    SLUG: ("{given} is not a name", "use small letters, digits and hyphens, 63 at most"),
    LANGUAGE: ("{given} is not a language", "write two small letters: en, fr"),
    ONE_LINE: ("{given} has control characters", "write plain text on one line"),
    "string_type": ("{given} is not text", "write text, in quotes where need be"),
    "string_unicode": ("{given} is not text", "write plain text"),
    "string_too_short": ("is empty", "write it or leave it out"),
    "tuple_type": ("{given} is not a list", "write [a, b], or a line `- a` for each"),
    "model_type": ("{given} is not a mapping", "write `name: value` lines"),
    "model_attributes_type": ("{given} is not a mapping", "write `name: value` lines"),
    "dict_type": ("{given} is not a mapping", "write `name: value` lines"),
    "too_short": ("is empty", "write at least one"),
    "int_type": ("{given} is not a number", "write a whole number"),
}


class Component(Strict):
    """The smallest thing brought back on its own: its hosts, one playbook and one gate."""

    name: Name = Field(description="Its name; unique in the site.")
    hosts: Text = Field(description="Its hosts: a group or another Ansible pattern.")
    playbook: File | None = Field(
        None, description="What brings it back. Default: playbooks/LAYER/NAME.yml"
    )
    gate: File | None = Field(None, description="Its checks. Default: playbooks/LAYER/test_NAME.py")
    needs: tuple[Name, ...] = Field((), description="Components that must be verified before it.")
    approval: Text | None = Field(
        None, description="What a person must answer before its playbook runs."
    )
    settle: Duration = Field(
        timedelta(seconds=60),
        description="How long its gate may stay red after the playbook.",
        json_schema_extra={"default": "60s"},
    )
    recheck: Time = Field(
        timedelta(seconds=60),
        description="How often its gate is repeated while what stands on it is not yet up.",
        json_schema_extra={"default": "60s"},
    )
    timeout: Time = Field(
        timedelta(minutes=30),
        description="How long its playbook may run before it is ended.",
        json_schema_extra={"default": "30m"},
    )
    allow_async: After | None = Field(
        None,
        description="When it may go on with one of its hosts, as a database whose synchronous "
        "standby is away: `after 10m`, counted from when it was first seen down. Default: never.",
    )
    rto: Time | None = Field(None, description="Recovery time objective.")
    serves: tuple[Name, ...] = Field((), description="Services that stand on it.")


class Layer(Strict):
    """An ordered stage of a site: network, storage, applications."""

    name: Name = Field(description="Its name, and its folder in playbooks/.")
    rto: Time | None = Field(None, description="Recovery time objective.")
    components: tuple[Component, ...] = Field(min_length=1, description="What it is made of.")


class Service(Strict):
    """What people outside know: medical imaging, for two hospitals."""

    hospitals: tuple[Name, ...] = Field((), description="Who uses it.")
    title: dict[Annotated[str, Field(pattern=LANGUAGE)], Text] = Field(
        default_factory=dict, description="Its name in each language: {en: ..., fr: ...}"
    )


class Site(Strict):
    """What is recovered: one hosting room."""

    site: Name = Field(description="Its name, the same as its folder's in inventories/.")
    rto: Time | None = Field(None, description="Recovery time objective of the whole site.")
    order: Literal["layers", "dependencies"] = Field(
        "layers",
        description="layers: a layer starts when the one below is verified. "
        "dependencies: a component starts when what it needs is verified.",
    )
    max_parallel: Annotated[int, Field(ge=1, le=64, strict=True)] | None = Field(
        None, description="The most components recovered at the same time."
    )
    layers: tuple[Layer, ...] = Field(min_length=1, description="From the lowest to the highest.")
    services: dict[Name, Service] = Field(
        default_factory=dict, description="The services that components serve."
    )

    @property
    def components(self) -> tuple[tuple[Layer, Component], ...]:
        """Every component with its layer, in the order of the file."""
        return tuple((layer, c) for layer in self.layers for c in layer.components)


def site_file(project: Path, name: str) -> Path:
    """Where a site's file lies: `inventories/NAME/site.yml`.

    Raises:
        InputError: no such site.
    """
    path = site_folder(project, name) / "site.yml"
    require_inside(project, path)
    return path


def load_site(project: Path, name: str) -> Site:
    """Read a site of the project.

    Raises:
        InputError: no such site, or its file is wrong; the message has one line for each fault.
    """
    document = read_document(site_file(project, name))
    found = chain(
        template_faults(document.content), reference_faults(document.content, folder=name)
    )
    faults = [*document.faults, *islice(found, MAX_FAULTS)]
    try:
        site = Site.model_validate(document.content)
    except ValidationError as error:
        faults += [
            _fault(details)
            for details in error.errors(include_url=False)
            if not (details["type"] == "too_short" and details["input"])  # its items are wrong
        ]
        raise document.error(faults) from None
    if faults:
        raise document.error(faults)
    return site


def site_schema() -> dict[str, Any]:
    """The JSON Schema of a site file, for editors."""
    schema = Site.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _fault(details: ErrorDetails) -> Fault:
    """One of pydantic's errors, in a person's words."""
    on_key = "[key]" in details["loc"]
    location: Location = tuple(part for part in details["loc"] if part != "[key]")
    context = details.get("ctx", {})
    name = str(location[-1]) if location else ""
    match details["type"]:
        case "missing":
            what = f"{name!r} is missing"
            return Fault(location=location[:-1], what=what, todo=f"write `{name}: ...`")
        case "extra_forbidden":
            what = f"unknown field{did_you_mean(name, _fields(location[:-1]))}"
            return Fault(location=location, what=what, on_key=True)
        case "literal_error":
            what = f"{_short(details['input'])} is unknown"
            return Fault(location=location, what=what, todo=f"write {context.get('expected')}")
        case kind:
            what, todo = _WORDS.get(context.get("pattern", kind)) or ("{message}", "")
    message = details["msg"][:1].lower() + details["msg"][1:]
    what = what.format(given=_short(details["input"]), message=message)
    return Fault(location=location, what=what, todo=todo, on_key=on_key)


def _fields(location: Location) -> tuple[str, ...]:
    model: type[BaseModel] = Site
    if location[:1] == ("services",):
        model = Service
    elif "components" in location:
        model = Component
    elif location[:1] == ("layers",):
        model = Layer
    return tuple(model.model_fields)


def _short(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 -- what fits in a line

"""What a drill does to a lab: inventories/SITE/drills/NAME.yml, read and checked as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestrator.errors import InputError
from orchestrator.lab.definition import Lab, Name, explain
from orchestrator.lab.faults import load_faults
from orchestrator.project import did_you_mean, require_inside, site_folder
from orchestrator.site import Site
from orchestrator.yaml_file import Fault, Location, read_document

Word = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Line = Annotated[str, Field(min_length=3, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Part(_Strict):
    """A part of a site: the hosts of a power feed, or those whose names match globs; or `all`."""

    feed: Word | None = None
    hosts: Word | None = None

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, given: object) -> object:
        if given == "all":
            return {}
        if not isinstance(given, dict) or len(given) != 1:
            raise ValueError("write `all`, or either `{feed: A}` or `{hosts: PATTERN}`")
        return given

    @property
    def words(self) -> tuple[str, ...]:
        """As options of `drcli lab cut`; none where all is meant."""
        found = (("--feed", self.feed), ("--hosts", self.hosts))
        return tuple(word for option, value in found if value for word in (option, value))

    def __str__(self) -> str:
        """In a person's words."""
        return " ".join(self.words).removeprefix("--") or "the whole site"


class Step(_Strict):
    """One thing that is done: `cut`, `power-on`, `break`, or the death of the `controller`."""

    cut: Part | None = None
    power_on: Part | None = Field(None, alias="power-on")
    break_: Name | None = Field(None, alias="break")
    controller: Literal["dies"] | None = None

    @model_validator(mode="after")
    def _one(self) -> Step:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("write exactly one of cut, power-on, break, controller")
        if self.power_on and self.power_on.feed:
            raise ValueError("power comes back to `all` or to `hosts: PATTERN`")
        return self

    def __str__(self) -> str:
        """In a person's words."""
        if self.break_ is not None:
            return f"fault {self.break_}"
        if self.controller is not None:
            return "the controller dies"
        return f"power cut of {self.cut}" if self.cut else f"power back for {self.power_on}"

    def command(self, site: str, *, at_once: bool = False) -> tuple[str, ...]:
        """The words of the `drcli lab` command that does it.

        `at_once`: power is cut without waiting for clients to write, for half of the site is down.
        """
        if self.break_ is not None:
            return ("lab", "break", self.break_, "--site", site)
        where = self.cut or self.power_on
        verb = "cut" if self.cut else "power-on"
        soon = ("--writes", "0") if at_once and self.cut else ()
        return ("lab", verb, "--site", site, *(where.words if where else ()), *soon)


class Meanwhile(_Strict):
    """What happens in the middle of the recovery: once `after` (a layer or component) is up."""

    after: Name
    do: Annotated[tuple[Step, ...], Field(min_length=1)]


class Scenario(_Strict):
    """A scenario: what is broken, when, and what must come of it.

    `held` are the components that a right run leaves to a person; all that stands on them stays
    down. Without any the site must be recovered.
    """

    title: Line
    explains: Line
    expert: Literal["there", "absent"] = "there"
    held: tuple[Name, ...] = ()
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    meanwhile: tuple[Meanwhile, ...] = ()

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults it gives, each once, in their order."""
        everything = (*self.steps, *(step for part in self.meanwhile for step in part.do))
        return tuple(dict.fromkeys(s.break_ for s in everything if s.break_ is not None))

    @property
    def cuts(self) -> int:
        """How often power is cut."""
        everything = (*self.steps, *(step for part in self.meanwhile for step in part.do))
        return sum(step.cut is not None for step in everything)


def scenario_folder(project: Path, site: str) -> Path:
    """Where a site's scenarios stand."""
    return site_folder(project, site) / "drills"


def scenario_names(project: Path, site: str) -> tuple[str, ...]:
    """The names of a site's scenarios."""
    return tuple(sorted(path.stem for path in scenario_folder(project, site).glob("*.yml")))


def scenario_file(project: Path, site: str, given: str) -> Path:
    """The file of a scenario: `given` is its name, or a path.

    Raises:
        InputError: there is none of that name, or it is not inside the project.
    """
    if given.endswith((".yml", ".yaml")):
        path = Path(given).absolute()
        require_inside(project, path)
        return path
    known = scenario_names(project, site)
    if given not in known:
        raise InputError(
            f"no scenario {given!r}{did_you_mean(given, known)}",
            hint=f"List them: drcli drill --site {site} --list",
        )
    return scenario_folder(project, site) / f"{given}.yml"


def load_scenario(path: Path, lab: Lab, site: Site) -> Scenario:
    """Read a scenario, for the lab of a site.

    Raises:
        InputError: the message has one line for each thing that is wrong.
    """
    document = read_document(path)
    try:
        scenario = Scenario.model_validate(document.content)
    except ValidationError as error:
        raise document.error([*document.faults, *explain(error)]) from None
    wrong = [*document.faults, *_unknown(scenario, lab, site)]
    if wrong:
        raise document.error(wrong)
    return scenario


def _unknown(scenario: Scenario, lab: Lab, site: Site) -> Iterator[Fault]:
    """What it names that is not there."""
    components = [component.name for _, component in site.components]
    stages = [*components, *(layer.name for layer in site.layers)]
    faults = load_faults(lab) if scenario.faults else {}
    for place, name in enumerate(scenario.held):
        if name not in components:
            yield _none(("held", place), "component", name, components)
    for place, part in enumerate(scenario.meanwhile):
        if part.after not in stages:
            yield _none(("meanwhile", place, "after"), "layer or component", part.after, stages)
    for location, step in _steps(scenario):
        yield from _wrong(location, step, lab)
        fault = faults.get(step.break_ or "")
        if step.break_ is not None and fault is None:
            yield _none((*location, "break"), "fault", step.break_, faults)
        if fault and fault.expect == "held" and fault.component not in scenario.held:
            what = f"{fault.name} holds {fault.component}; write it into `held`"
            yield Fault(location=(*location, "break"), what=what)


def _wrong(location: Location, step: Step, lab: Lab) -> Iterator[Fault]:
    """Hosts and feeds that are not there; a death of what does not live yet."""
    for field, where in (("cut", step.cut), ("power-on", step.power_on)):
        if where is not None:
            try:
                lab.select(where.hosts, feed=where.feed)
            except InputError as error:
                yield Fault(location=(*location, field), what=error.message)
    if step.controller and location[0] == "steps":
        what = "nothing runs yet: the controller dies in `meanwhile`"
        yield Fault(location=(*location, "controller"), what=what)


def _steps(scenario: Scenario) -> Iterator[tuple[Location, Step]]:
    for place, step in enumerate(scenario.steps):
        yield ("steps", place), step
    for place, part in enumerate(scenario.meanwhile):
        for number, step in enumerate(part.do):
            yield ("meanwhile", place, "do", number), step


def _none(location: Location, what: str, name: str, known: Iterable[str]) -> Fault:
    return Fault(location=location, what=f"no {what} {name!r}{did_you_mean(name, known)}")

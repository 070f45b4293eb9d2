"""An image is named by the hash of what it is made of; where the base comes from is told."""

from __future__ import annotations

import io
import urllib.error
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.errors import RecoveryError
from orchestrator.lab import images
from orchestrator.lab.images import base_image, bootstrap_command, host_image

BASE = base_image("localhost/origin:bookworm", ["openssh-server", "dbus"])


def test_the_same_definition_has_the_same_name_whatever_the_order_of_its_packages():
    again = base_image("localhost/origin:bookworm", ["dbus", "openssh-server"])
    assert again.name == BASE.name


def test_another_package_makes_another_image():
    one, two = host_image(BASE, "database", ["a1"]), host_image(BASE, "database", ["a1", "b1"])
    assert one.name != two.name
    assert one.name.startswith("localhost/drcli-lab/database:")


def test_another_base_makes_another_image():
    other = base_image("docker.io/library/debian:bookworm-slim", ["dbus", "openssh-server"])
    assert host_image(other, "database", ["a1"]).name != host_image(BASE, "database", ["a1"]).name


def test_nothing_of_a_host_starts_by_itself_and_no_key_is_baked_in():
    text = host_image(BASE, "directory", ["slapd"]).containerfile
    assert text.startswith(f"FROM {BASE.name}\n")
    steps = text.replace(" && ", "\n")
    order = [steps.index(s) for s in ("install -q -y", "update-rc.d", "preset-all", "ssh_host_")]
    assert order == sorted(order)


PULLED, MADE = "docker.io/library/debian:bookworm-slim", "localhost/drcli-lab/bootstrap:bookworm"


@pytest.fixture
def origin(monkeypatch):
    """A function: which image the base is made from, what was done for it, and what was told."""

    def choose(wanted="auto", *, registry="answers", pull="", stored=()):
        done, told = [], []

        def urlopen(*_, **__):
            match registry:
                case "answers":
                    return io.BytesIO(b"{}")
                case int() as code:
                    raise urllib.error.HTTPError("", code, "", Message(), None)
                case _:
                    raise urllib.error.URLError(registry)

        def podman(verb, *words, **_):
            done.append(f"{verb} {words[-1]}")
            if pull:
                raise RecoveryError(pull)
            return ""

        monkeypatch.setattr(images.urllib.request, "urlopen", urlopen)
        monkeypatch.setattr(images, "image_exists", lambda name: name in stored)
        monkeypatch.setattr(images, "podman", podman)
        monkeypatch.setattr(images, "_bootstrap", lambda *_, **__: done.append("mmdebstrap"))
        lab = SimpleNamespace(file=SimpleNamespace(suite="bookworm"))
        chosen = images._choose_origin(lab, origin=wanted, tell=lambda step: told.append(step.note))
        return chosen, done, "; ".join(told)

    return choose


@pytest.mark.parametrize("registry", ["answers", 401])
def test_the_base_is_pulled_where_a_registry_answers(origin, registry):
    assert origin(registry=registry)[:2] == (PULLED, [f"pull {PULLED}"])


@pytest.mark.parametrize("registry", ["no route to host", 503])
def test_the_base_is_made_where_no_registry_answers(origin, registry):
    chosen, done, told = origin(registry=registry)
    assert (chosen, done) == (MADE, ["mmdebstrap"])
    assert "no container registry answers: base from mmdebstrap" in told


def test_the_base_is_made_where_a_registry_answers_and_gives_nothing(origin):
    chosen, done, told = origin(registry=401, pull="toomanyrequests: rate limit")
    assert (chosen, done) == (MADE, [f"pull {PULLED}", "mmdebstrap"])
    assert "cannot be pulled (toomanyrequests: rate limit): base from mmdebstrap" in told


def test_what_is_stored_is_used(origin):
    assert origin(stored={PULLED})[:2] == (PULLED, [])
    assert origin(stored={MADE, PULLED})[:2] == (MADE, [])


def test_a_named_image_is_that_one_or_none(origin):
    assert origin("quay.io/own:1")[:2] == ("quay.io/own:1", ["pull quay.io/own:1"])
    assert origin("quay.io/own:1", stored={"quay.io/own:1"})[1] == []
    with pytest.raises(RecoveryError, match="denied"):
        origin("quay.io/own:1", pull="denied")


def test_mmdebstrap_asks_for_mmdebstrap_alone(origin):
    assert origin("mmdebstrap", stored={PULLED})[:2] == (MADE, ["mmdebstrap"])


def test_the_base_is_made_from_the_configured_mirror():
    line = "deb http://mirror.internal/debian bookworm main"
    command = bootstrap_command("bookworm", Path("/tmp/root.tar"), [line])
    assert command[-3:] == ["bookworm", "/tmp/root.tar", line]
    assert not any(word.startswith("--include") for word in command)
    assert bootstrap_command("bookworm", Path("/tmp/root.tar"), ())[-1] == "/tmp/root.tar"


def test_a_mirror_over_tls_is_believed_inside_the_base_too():
    line = "deb https://mirror.internal/debian bookworm main"
    command = bootstrap_command("bookworm", Path("/tmp/root.tar"), [line])
    assert "--include=ca-certificates" in command

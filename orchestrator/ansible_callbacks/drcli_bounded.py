"""Ansible's default output with every result cut to a bounded length; secrets are told to drcli.

In a dry run it also marks each result of a task that changed something all the same: one with
`check_mode: false`.

It is loaded by ansible-playbook, not by drcli. Cutting here, where a result is printed, keeps what
everything behind it has to hold in memory bounded too, whatever a task returns.
"""

from __future__ import annotations

from typing import Any

from ansible import context
from ansible.plugins.callback.default import CallbackModule as DefaultCallbackModule

from orchestrator.told_secrets import listen, tell_variables

DOCUMENTATION = """
    name: drcli_bounded
    type: stdout
    short_description: Ansible's default output, bounded
    description:
      - What the callback C(default) prints, each result cut to a bounded length.
    extends_documentation_fragment:
      - default_callback
      - result_format_callback
    requirements:
      - set as stdout in configuration
"""

LONGEST = 65_536
REAL_CHANGE = "drcli: changed, although this is a dry run"  # playbook_events.py looks for it


class CallbackModule(DefaultCallbackModule):  # type: ignore[misc]
    """The default output, bounded."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "drcli_bounded"

    def __init__(self) -> None:
        super().__init__()
        listen()

    def v2_playbook_on_play_start(self, play: Any) -> None:  # noqa: ANN401 -- Ansible's signature
        """Tell drcli what the play's hosts have under a secret's name."""
        super().v2_playbook_on_play_start(play)
        manager = play.get_variable_manager()
        for host in manager._inventory.get_hosts(play.hosts):  # noqa: SLF001 -- it has no other way
            tell_variables(manager.get_vars(play=play, host=host, include_hostvars=False))

    def v2_runner_on_ok(self, result: Any) -> None:  # noqa: ANN401 -- Ansible's signature
        """As ever, and the mark of a real change."""
        super().v2_runner_on_ok(result)
        self._mark(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ANN401, FBT001, FBT002 -- Ansible's signature
        """As ever, and the mark of a real change."""
        super().v2_runner_on_failed(result, ignore_errors)
        self._mark(result)

    def _mark(self, result: Any) -> None:  # noqa: ANN401 -- Ansible's signature
        real = result.task.check_mode is False  # as it was resolved for this host
        if context.CLIARGS["check"] and real and result.is_changed():
            self._display.display(REAL_CHANGE)

    def _dump_results(self, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401 -- Ansible's signature
        return _cut(super()._dump_results(*args, **kwargs))

    def _get_diff(self, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401 -- Ansible's signature
        return _cut(super()._get_diff(*args, **kwargs))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … [{len(text) - LONGEST} cut]"

"""Ansible's default output, and a mark at each task of a dry run that changed something anyway.

A task with `check_mode: false` runs for real in check mode too. It is loaded by ansible-playbook,
not by drcli.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.callback.default import CallbackModule as DefaultCallbackModule

DOCUMENTATION = """
    name: drcli_dry_run
    type: stdout
    short_description: Ansible's default output, with a mark at real changes
    description:
      - What the callback C(default) prints, and a mark at each real change of a dry run.
    extends_documentation_fragment:
      - default_callback
      - result_format_callback
    requirements:
      - set as stdout in configuration
"""

REAL_CHANGE = "drcli: changed, although this is a dry run"  # playbook_events.py looks for it


class CallbackModule(DefaultCallbackModule):  # type: ignore[misc]
    """The default output, with a mark."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "drcli_dry_run"

    def v2_runner_on_ok(self, result: Any) -> None:  # noqa: ANN401 -- Ansible's signature
        """As ever, and the mark of a real change."""
        super().v2_runner_on_ok(result)
        self._mark(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ANN401, FBT001, FBT002 -- Ansible's signature
        """As ever, and the mark of a real change."""
        super().v2_runner_on_failed(result, ignore_errors)
        self._mark(result)

    def _mark(self, result: Any) -> None:  # noqa: ANN401 -- Ansible's signature
        if result.task.check_mode is False and result.is_changed():  # as resolved for this host
            self._display.display(REAL_CHANGE)

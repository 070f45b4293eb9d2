"""Runs a component's playbook with ansible-runner: the only module that knows it.

Every attempt has a fresh private folder, an environment of its own and exactly the component's
hosts. ansible-runner's word for how it ended (`successful`, `canceled`) is not believed: the
verdict comes from the events, and the end of a stopped or timed-out attempt from there being none
of its processes left.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event as Flag
from typing import Any

from ansible_runner import Runner, RunnerConfig
from ansible_runner.utils import get_callback_dir

from orchestrator.attempt import (
    contained,
    end_processes,
    environment,
    new_mark,
    private_folder,
    sweep,
)
from orchestrator.errors import InputError
from orchestrator.events import PlaybookOutcome
from orchestrator.listing import listing
from orchestrator.pass_through import playbook_words
from orchestrator.playbook_events import Watch, shortcomings
from orchestrator.playbook_log import PlaybookLog, is_chatter
from orchestrator.project import ansible_setting
from orchestrator.redaction import Redactor, secret_values
from orchestrator.work import AnsibleOptions, PlaybookRequest, PlaybookResult, Tell

POLL = 0.2  # seconds between two looks at the clock and the stop flag
MOST_FORKS = 50
LAST_WORDS = 2.0  # seconds between the final stats and the end of ansible-playbook
LARGEST_RESULT = 200_000  # characters; Ansible's callback leaves a larger result out of its event
_CALLBACKS = Path(__file__).with_name("ansible_callbacks")
_ANYTHING = re.compile(r"[\s\S]+")


class AnsiblePlaybooks:
    """Runs playbooks; may be called from several threads at once. Installs no signal handler."""

    def __init__(self, state_dir: Path, options: AnsibleOptions | None = None) -> None:
        self._state_dir = state_dir
        self._options = options or AnsibleOptions()
        sweep()

    def __call__(self, request: PlaybookRequest, tell: Tell, stop: Flag) -> PlaybookResult:
        """Run it to its end, its timeout, or `stop`; no process of it is left."""
        options = self._options
        try:
            options.data(request.variables)  # refuses what is no data
            known = listing(request.inventory, vault=options.vault)
        except InputError as error:
            return PlaybookResult(outcome=PlaybookOutcome.FAILED, reasons=(error.message,))
        secrets = secret_values(known["_meta"]["hostvars"]) | options.secrets(request.variables)
        redactor = Redactor(secrets)
        name = f"{request.component}-{request.attempt}.jsonl"
        with PlaybookLog(self._state_dir / "artifacts" / request.run / name, redactor) as log:
            watch = Watch(request.component, tell, redactor)
            attempt = _Attempt(request, watch, log, options=options, stop=stop)
            with private_folder() as folder:
                attempt.play(folder)
        return attempt.result()


class _Attempt:
    """One attempt: what ansible-runner calls back, and what holds when it has returned."""

    def __init__(
        self,
        request: PlaybookRequest,
        watch: Watch,
        log: PlaybookLog,
        *,
        options: AnsibleOptions,
        stop: Flag,
    ) -> None:
        self._request = request
        self._options = options
        self._watch = watch
        self._log = log
        self._stop = stop
        self._mark = new_mark(request.run, request.component, request.attempt)
        self._deadline = time.monotonic() + request.timeout
        self._stats_at: float | None = None
        self._cut_short: PlaybookOutcome | None = None
        self._bug: Exception | None = None
        self._trouble: list[str] = []
        self._rc: int | None = None

    def play(self, folder: Path) -> None:
        """Run it; afterwards none of its processes is left.

        Raises:
            Exception: a bug of drcli's in what it does with an event.
        """
        config = _configured(self._request, self._options, folder, self._mark)
        runner = Runner(config, cancel_callback=self._must_end, event_handler=self._take)
        try:
            runner.run()
            self._rc = runner.rc
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is no success
            self._trouble.append(f"ansible-runner: {error!r}"[:300])
        finally:
            self._trouble += end_processes(self._mark)
            self._watch.close()
        if self._bug:
            raise self._bug

    def result(self) -> PlaybookResult:
        """The verdict: by its events, not by what ansible-runner calls it."""
        missing = [*shortcomings(self._watch, self._request.hosts, self._rc), *self._trouble]
        match self._cut_short:
            case None:
                outcome = PlaybookOutcome.FAILED if missing else PlaybookOutcome.SUCCEEDED
            case PlaybookOutcome.TIMED_OUT as outcome:
                limit = f"time limit of {self._request.timeout:g} s reached"
                missing = [limit + self._where(), *self._seen()]
            case outcome:
                missing = ["stopped" + self._where(), *self._seen()]
        if self._log.trouble:
            missing.append(self._log.trouble)
        return PlaybookResult(
            outcome=outcome,
            reasons=tuple(missing),
            dark=frozenset(self._watch.dark),
            stats=self._watch.stats or {},
            artifact="" if self._log.trouble else str(self._log.path),
        )

    def _where(self) -> str:
        task = self._watch.task
        return f" in task {task!r}; what it began on the hosts may go on there" if task else ""

    def _seen(self) -> list[str]:
        failed = [f"{t.host}: task {t.task!r} failed" for t, _ in self._watch.failed]
        return [
            *self._watch.unreachable.values(),
            *self._watch.really_changed,
            *failed,
            *self._trouble,
        ]

    def _take(self, event: Mapping[str, Any]) -> bool:
        """An event; False keeps ansible-runner from writing it to a file of its own as well."""
        if is_chatter(event):
            return False
        try:
            self._log.write(event)
            self._watch.take(event)
        except Exception as error:  # noqa: BLE001 -- ansible-runner swallows some; raised later
            self._bug = self._bug or error
        return False

    def _must_end(self) -> bool:
        """Asked again and again by ansible-runner; when it is time, end all processes first."""
        now = time.monotonic()
        if self._watch.stats is not None:
            self._stats_at = self._stats_at or now
            if now - self._stats_at < LAST_WORDS:
                return False  # all is done: let it go by itself
        if self._stop.is_set():
            self._cut_short = PlaybookOutcome.CANCELLED
        elif now > self._deadline:
            self._cut_short = PlaybookOutcome.TIMED_OUT
        elif not (self._watch.asked or self._bug):
            return False
        self._trouble += end_processes(self._mark)
        return True  # ansible-runner may now collect the exit code


def _configured(
    request: PlaybookRequest, options: AnsibleOptions, folder: Path, mark: str
) -> RunnerConfig:
    """ansible-runner's own object, with its files in `folder` and without its environment.

    It would hand on this process's whole environment and turn host key checking off.
    """
    config = RunnerConfig(
        private_data_dir=str(folder),
        project_dir=str(request.project.absolute()),
        playbook=str(request.playbook.absolute()),
        inventory=[str(path.absolute()) for path in request.inventory],
        limit=",".join((*request.hosts, "localhost")),
        forks=_forks(request, options),
        cmdline=shlex.join(playbook_words(options, request.variables, folder)) or None,
        ident="attempt",
        quiet=True,
    )
    config.prepare()
    config.command = contained(config.command)
    config.pexpect_timeout = POLL
    config.suppress_output_file = True
    config.suppress_ansible_output = True
    # Taking whatever comes out at once keeps pexpect from collecting the output of the whole run.
    config.expect_passwords = {_ANYTHING: None, **config.expect_passwords}
    config.env = {
        **environment(request.project, folder, mark),
        "ANSIBLE_CALLBACK_PLUGINS": get_callback_dir(),
        "ANSIBLE_STDOUT_CALLBACK": "awx_display",
        "ANSIBLE_CACHE_PLUGIN": "memory",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "MAX_EVENT_RES": str(LARGEST_RESULT),
        "AWX_ISOLATED_DATA_DIR": config.artifact_dir,
    }
    if options.check:
        config.env |= {
            "ANSIBLE_CALLBACK_PLUGINS": f"{get_callback_dir()}:{_CALLBACKS}",
            "ORIGINAL_STDOUT_CALLBACK": "drcli_dry_run",
        }
    return config


def _forks(request: PlaybookRequest, options: AnsibleOptions) -> int | None:
    """As asked; else as ansible.cfg says, which is not told again; else a fork a host."""
    if options.forks:
        return options.forks
    if ansible_setting(request.project, "forks"):
        return None
    return min(len(request.hosts) or 1, MOST_FORKS)

"""Runs a component's playbook with ansible-runner: the only module that knows it.

Every attempt has a fresh private folder in memory, an environment of its own and exactly the
component's hosts. ansible-runner's word for how it ended (`successful`, `canceled`) is not
believed: the verdict comes from the events, and the end of a stopped or timed-out attempt from
there being none of its processes left.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event as Flag
from typing import Any

from ansible_runner import Runner, RunnerConfig
from ansible_runner.utils import get_callback_dir

from orchestrator import mitogen_way
from orchestrator.attempt import (
    end_processes,
    environment,
    in_memory,
    new_mark,
    private_folder,
    sweep,
)
from orchestrator.errors import InputError, MachineError
from orchestrator.events import PlaybookOutcome, TaskStarted
from orchestrator.gate_inventory import Inventories
from orchestrator.machine_identity import strangers
from orchestrator.mitogen_way import FastWay, fast_way
from orchestrator.playbook_events import Watch, shortcomings
from orchestrator.playbook_log import PlaybookLog
from orchestrator.playbook_process import WarmAnsible
from orchestrator.redaction import Redactor, secret_values
from orchestrator.ssh import certain
from orchestrator.told_secrets import Told, temporary
from orchestrator.work import PlaybookRequest, PlaybookResult, Tell

POLL = 0.2  # seconds between two looks at the clock and the stop flag
MOST_FORKS = 50
LAST_WORDS = 2.0  # seconds between the final stats and the end of ansible-playbook
LARGEST_RESULT = 200_000  # characters; Ansible's callback leaves a larger result out of its event
_ANYTHING = re.compile(r"[\s\S]+")
# What a task says when not its module failed but something on the way to it.
_DOUBTFUL = re.compile(r"[Mm]itogen|^Task failed: (?!Module failed)|MODULE FAILURE|Traceback")
_CALLBACKS = Path(__file__).with_name("ansible_callbacks")


class AnsiblePlaybooks:
    """Runs playbooks; may be called from several threads at once. Installs no signal handler."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._warm = WarmAnsible()
        self._way = fast_way()
        self._inventories = Inventories()
        sweep()

    def __call__(self, request: PlaybookRequest, tell: Tell, stop: Flag) -> PlaybookResult:
        """Run it to its end, its timeout, or `stop`; no process of a cut-short attempt is left.

        It does not start when a host is another machine than the inventory says.

        Raises:
            RecoveryError: the hosts could not be asked which machines they are.
            MachineError: a become password was given and there is no folder in memory to hand it
                to Ansible in.
        """
        try:
            wrong = strangers(request, self._inventories, stop)
        except InputError as error:  # who they should be is not known: nothing is done to them
            wrong = (error.message,)
        if wrong:
            return PlaybookResult(outcome=PlaybookOutcome.FAILED, reasons=wrong)
        redactor = Redactor(_secrets(request))
        name = f"{request.component}-{request.attempt}.jsonl.gz"
        deadline = time.monotonic() + request.timeout
        with PlaybookLog(self._state_dir / "artifacts" / request.run / name, redactor) as log:
            way = _settings(self._way, request.project)

            def play(settings: Mapping[str, str]) -> _Attempt:
                watch = Watch(request.component, tell, redactor)
                run = _Attempt(request, watch, log, redactor=redactor, stop=stop, deadline=deadline)
                with private_folder() as folder:
                    run.play(folder, self._warm, settings)
                return run

            run = play(way)
            if way and (doubt := run.doubt()):
                tell(
                    TaskStarted(
                        component=request.component,
                        play="",
                        task=f"Once more without Mitogen: {redactor.message(doubt, 200)}",
                    )
                )
                run = play({})
                if run.result().outcome is PlaybookOutcome.SUCCEEDED:
                    self._way = FastWay()  # it was the cause
        return run.result()

    def close(self) -> None:
        """End what is kept for the next playbook, and with it every playbook that still runs."""
        self._warm.close()


class _Attempt:
    """One attempt: what ansible-runner calls back, and what holds when it has returned."""

    def __init__(  # noqa: PLR0913 -- each by name
        self,
        request: PlaybookRequest,
        watch: Watch,
        log: PlaybookLog,
        *,
        redactor: Redactor,
        stop: Flag,
        deadline: float,
    ) -> None:
        self._request = request
        self._watch = watch
        self._log = log
        self._redactor = redactor
        self._stop = stop
        self._mark = new_mark(request.run, request.component, request.attempt)
        self._deadline = deadline
        self._told: Told | None = None
        self._stats_at: float | None = None
        self._cut_short: PlaybookOutcome | None = None
        self._bug: Exception | None = None
        self._trouble: list[str] = []
        self._rc: int | None = None

    def play(self, folder: Path, warm: WarmAnsible, way: Mapping[str, str]) -> None:
        self._told = Told(folder)
        runner = Runner(
            _configured(self._request, folder, self._mark, warm=warm, way=way),
            cancel_callback=self._must_end,
            event_handler=self._take,
        )
        try:
            runner.run()
            self._rc = runner.rc
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is no success
            self._trouble.append(f"ansible-runner: {error!r}"[:300])
        finally:
            if self._watch.stats is None or self._rc is None:
                self._trouble += end_processes(self._mark)
            self._watch.close()
        if self._bug:
            raise self._bug

    def result(self) -> PlaybookResult:
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
            stats=self._watch.counts(),
            artifact="" if self._log.trouble else str(self._log.path),
        )

    def doubt(self) -> str:
        """What may be no failure of the playbook but of Mitogen; empty when there is no such."""
        if self._cut_short or self._watch.asked:
            return ""
        if self._watch.stats is None:
            return "ansible-playbook ended early"
        lost = (why for why in self._watch.unreachable.values() if not certain(why))
        failed = (told for told, _ in self._watch.failed)
        suspect = (f"{t.host}: {t.message}" for t in failed if _DOUBTFUL.search(t.message))
        return next(lost, "") or next(suspect, "")

    def _where(self) -> str:
        task = self._watch.task
        return f" in task {task!r}; what it began on the hosts may go on there" if task else ""

    def _seen(self) -> list[str]:
        failed = [f"{t.host}: task {t.task!r} failed" for t, _ in self._watch.failed]
        changed = [f"{t.host}: {t.task!r}: {t.message}" for t, _ in self._watch.really_changed]
        return [*self._watch.unreachable.values(), *changed, *failed, *self._trouble]

    def _take(self, event: Mapping[str, Any]) -> bool:
        """An event; False keeps ansible-runner from writing it to a file of its own as well."""
        try:
            if self._told:
                self._redactor.learn(self._told.more())
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


def _settings(way: FastWay, project: Path) -> Mapping[str, str]:
    return mitogen_way.settings(project / "ansible.cfg") if way.usable else {}


def _configured(
    request: PlaybookRequest,
    folder: Path,
    mark: str,
    *,
    warm: WarmAnsible,
    way: Mapping[str, str],
) -> RunnerConfig:
    """ansible-runner's own object, with its files in `folder` and without its environment.

    It would hand on this process's whole environment and turn host key checking off.
    """
    config = RunnerConfig(
        private_data_dir=str(folder),
        project_dir=str(request.project),
        playbook=str(request.playbook),
        inventory=str(request.inventory),
        limit=",".join((*request.hosts, "localhost")),
        forks=_forks(request),
        cmdline=shlex.join(_arguments(request, folder, way)) or None,
        ident="attempt",
        quiet=True,
    )
    config.prepare()
    config.pexpect_timeout = POLL
    config.suppress_output_file = True
    config.suppress_ansible_output = True
    # Taking whatever comes out at once keeps pexpect from collecting the output of the whole run.
    config.expect_passwords = {_ANYTHING: None, **config.expect_passwords}
    settings = {
        **environment(request.project, mark),
        "ANSIBLE_CALLBACK_PLUGINS": f"{get_callback_dir()}:{_CALLBACKS}",
        "ANSIBLE_STDOUT_CALLBACK": "awx_display",
        "ORIGINAL_STDOUT_CALLBACK": "drcli_bounded",
        "ANSIBLE_CACHE_PLUGIN": "memory",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "MAX_EVENT_RES": str(LARGEST_RESULT),
        **way,
    }
    config.command = [
        *warm.words(
            settings,
            config=request.project / "ansible.cfg",
            modules=mitogen_way.MODULES if way else (),
        ),
        *config.command,
    ]
    config.env = {
        **settings,
        **temporary(folder),
        "AWX_ISOLATED_DATA_DIR": config.artifact_dir,
    }
    return config


def _arguments(request: PlaybookRequest, folder: Path, way: Mapping[str, str]) -> list[str]:
    """What ansible-playbook is told besides inventory, limit, forks and playbook: no secret."""
    options = request.options
    extra_vars = {**(mitogen_way.VARIABLES if way else {}), **options.extra_vars}
    words = [word for name in options.vault_ids for word in ("--vault-id", name)]
    if options.vault_password_file:
        words += ["--vault-password-file", str(options.vault_password_file.absolute())]
    if options.private_key:
        words += ["--private-key", str(options.private_key.absolute())]
    if extra_vars:
        path = _write(folder / "extra_vars.json", json.dumps(extra_vars))
        words += ["--extra-vars", f"@{path}"]
    if options.become_password is not None:
        if not in_memory(folder):
            raise MachineError(
                f"no folder in memory to hand Ansible the become password: {folder} is on a disk",
                hint="Mount a tmpfs at /dev/shm, or set XDG_RUNTIME_DIR to one.",
            )
        path = _write(folder / "become_password", options.become_password)
        words += ["--become-password-file", str(path)]
    return words + ["--check"] * options.check + ["--diff"] * options.diff


def _write(path: Path, text: str) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return path


def _forks(request: PlaybookRequest) -> int | None:
    """As asked; else as ansible.cfg says; else a fork a host, as many as this machine can feed."""
    if request.options.forks:
        return request.options.forks
    config = configparser.ConfigParser(interpolation=None)
    config.read(request.project / "ansible.cfg")
    if config.has_option("defaults", "forks"):
        return None
    return min(len(request.hosts) or 1, 8 * (os.cpu_count() or 1), MOST_FORKS)


def _secrets(request: PlaybookRequest) -> set[str]:
    password = request.options.become_password
    return secret_values(dict(request.options.extra_vars)) | ({password} if password else set())

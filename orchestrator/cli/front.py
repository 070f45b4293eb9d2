"""`drcli`'s front door: its first page and its version at once, anything else by the command line.

It imports nothing that takes time: Click alone takes longer than Python's own start.
"""

import sys

from orchestrator import __version__

# name -> module that defines it under the same name, and its line in `drcli --help`. A module is
# imported only when its command is asked for: `drcli --help` must not wait for Ansible.
COMMANDS: dict[str, tuple[str, str]] = {
    "validate": ("orchestrator.cli.plan", "Check a site file and everything it names."),
    "plan": ("orchestrator.cli.plan", "Show what a recovery would do, in which order."),
    "forecast": ("orchestrator.cli.forecast", "Say how long a recovery would take, as a range."),
    "preflight": ("orchestrator.cli.preflight", "Say what would stop a recovery, with its mend."),
    "recover": (
        "orchestrator.cli.recover",
        "Bring a site back, each component proven by its gate.",
    ),
    "drill": ("orchestrator.cli.drill", "Break the lab on purpose, recover it, score it."),
    "proof": ("orchestrator.cli.proof", "Say when each component was last proven by a drill."),
    "schedule": ("orchestrator.cli.schedule", "Have drills start by themselves."),
    "resume": ("orchestrator.cli.recover", "Go on with a run that was killed or interrupted."),
    "verify": ("orchestrator.cli.verify", "Run the gates alone; change nothing."),
    "watch": ("orchestrator.cli.watch", "Follow a run from any terminal, to its end."),
    "approve": ("orchestrator.cli.people", "Answer a component that asks before it is touched."),
    "hold": ("orchestrator.cli.people", "Start nothing new in a run that is under way."),
    "release": ("orchestrator.cli.people", "Let a run go on that is on hold."),
    "cancel": ("orchestrator.cli.people", "End a run in good order; say what it leaves."),
    "retry": ("orchestrator.cli.people", "Try a failed or held component again."),
    "waive": ("orchestrator.cli.people", "Accept a failing host or check until a time."),
    "skip": ("orchestrator.cli.people", "Accept a whole component as it is until a time."),
    "status": ("orchestrator.cli.views", "Say where a site's last recovery stands."),
    "runs": ("orchestrator.cli.views", "List the runs of the journal."),
    "show": ("orchestrator.cli.views", "Show one run: its time line, and failures with evidence."),
    "report": ("orchestrator.cli.report", "Write a run's report: HTML, Markdown, JSON, JUnit."),
    "trend": ("orchestrator.cli.trend", "Show recovery times over time, against the objective."),
    "bulletin": ("orchestrator.cli.bulletin", "Tell the public or the crisis cell, en and fr."),
    "handover": ("orchestrator.cli.bulletin", "Write what the next shift must know."),
    "compare": ("orchestrator.cli.report", "Show what differed between two runs."),
    "journal": ("orchestrator.cli.journal", "Check, export and bring together its records."),
    "worker": ("orchestrator.cli.cluster", "Work for the controllers of a cluster."),
    "scheduler": ("orchestrator.cli.cluster", "Connect the controllers and workers of a cluster."),
    "lab": ("orchestrator.cli.lab", "A copy of a site made of containers, whose power can be cut."),
    "schema": ("orchestrator.cli.plan", "Print the JSON Schema of a site file, for editors."),
    "collections": ("orchestrator.cli.collections", "Install the Ansible collections in use."),
}

_PAGE = """\
Usage: drcli [OPTIONS] COMMAND [ARGS]...

  Bring a site back after a power failure: networks, then storage, then
  applications, each proven before the next starts.

  Order and components stand in inventories/SITE/site.yml. A component counts
  only when its gate is green; what fails blocks what stands on it and nothing
  else.

  Start with: drcli plan --site SITE

Options:
  --version       Show the version and exit.
  --project PATH  The project's folder.  [default: DRCLI_PROJECT, or where you
                  are, or above it]
  -h, --help      Show this message and exit.

Commands:
"""


def front_page() -> str:
    """What `drcli --help` shows."""
    width = max(map(len, COMMANDS))
    lines = (f"  {name:{width}}  {line}\n" for name, (_, line) in COMMANDS.items())
    return _PAGE + "".join(lines)


def main() -> None:
    """Run one command and leave the process with its exit code, whatever happens."""
    match sys.argv[1:]:
        case ["-h" | "--help"]:
            _show(front_page())
        case ["--version"]:
            _show(f"drcli, version {__version__}\n")
        case _:
            from orchestrator.cli.main import main as command_line  # noqa: PLC0415 -- see above

            command_line()


def _show(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:  # whoever read it has gone
        sys.stdout = None  # else Python complains at its end
        sys.exit(1)

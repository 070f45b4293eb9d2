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
    "schema": ("orchestrator.cli.plan", "Print the JSON Schema of site.yml, for editors."),
    "recover": (
        "orchestrator.cli.recover",
        "Bring a site back, each component proven by its gate.",
    ),
    "verify": ("orchestrator.cli.verify", "Run the gates alone; change nothing."),
    "status": ("orchestrator.cli.views", "Say where a site's last recovery stands."),
    "runs": ("orchestrator.cli.views", "List the runs of the journal."),
    "show": ("orchestrator.cli.views", "Show one run: its time line, and failures with evidence."),
    "lab": ("orchestrator.cli.lab", "A copy of a site made of containers, whose power can be cut."),
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

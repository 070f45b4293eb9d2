"""`drcli`: finds the command; here alone an error becomes a message, a hint and an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from orchestrator import __version__
from orchestrator.cli.front import COMMANDS, front_page
from orchestrator.errors import DrcliError, Interrupted
from orchestrator.project import VARIABLE as PROJECT_VARIABLE
from orchestrator.state_directory import state_directory, write_bug_log


class Commands(click.Group):
    """The commands of `COMMANDS`, each imported when it is first needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- Click's signature
        """Name the commands in the order of a person's work, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module that defines the command; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the nearest one to a misspelt word."""
        word = args[0]
        if word not in COMMANDS and not word.startswith("-"):
            import difflib  # noqa: PLC0415 -- only for a misspelt word

            near = difflib.get_close_matches(word, COMMANDS, n=1)
            meant = f" Did you mean `drcli {near[0]}`?" if near else ""
            raise click.UsageError(f"No such command {word!r}.{meant}", ctx=ctx)
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: click.Context) -> str:  # noqa: ARG002 -- Click's signature
        """Show the front page."""
        return front_page().rstrip()

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name from the table, importing none of them."""
        names = [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002, FBT001, FBT002 -- Click's signature
        **extra: Any,  # noqa: ANN401 -- Click's signature
    ) -> NoReturn:
        """Run one command and leave the process with its exit code, whatever happens."""
        try:
            result = super().main(
                args, prog_name or "drcli", complete_var, standalone_mode=False, **extra
            )
        except BaseException as error:  # noqa: BLE001 -- the one place where every error ends
            sys.exit(exit_code_of(error))
        sys.exit(result if isinstance(result, int) else 0)


def exit_code_of(error: BaseException) -> int:  # noqa: PLR0911 -- one return for each kind
    """Show the error on stderr, with what to do next; return the exit code that belongs to it."""
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else "drcli"
            _say(error.format_message(), f"Type `{path} --help`.")
            return error.exit_code
        case click.ClickException():
            _say(error.format_message(), "")
            return error.exit_code
        case KeyboardInterrupt() | click.Abort():
            return exit_code_of(Interrupted("interrupted"))
        case DrcliError(exit_code=code) if code != DrcliError.exit_code:
            _say(error.message, error.hint)
            return code
        case OSError(errno=errno.EPIPE):
            # Whoever read our output has gone (`drcli runs | head`): nothing more can be said.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case _:
            log = _log(error)
            _say(
                f"drcli itself failed: {type(error).__name__}: {error}",
                f"This is a bug. Report it with {log}."
                if log
                else "This is a bug, and its log could not be written to the state directory.",
            )
            return DrcliError.exit_code


def _log(bug: BaseException) -> Path | None:
    with suppress(DrcliError):  # the state directory may be what is wrong
        return write_bug_log(bug, state_directory())
    return None


def _say(message: str, hint: str) -> None:
    with suppress(OSError):  # the terminal is gone: the exit code still says it
        click.echo(f"error: {message}", err=True)
        if hint:
            click.echo(f"hint: {hint}", err=True)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="drcli")
@click.option("--project", type=click.Path())
def main(project: str | None) -> None:
    """Bring a site back: the front page has the words."""
    if project is not None:
        os.environ[PROJECT_VARIABLE] = str(Path(project).absolute())  # what it starts, finds it too

"""`drcli collections`."""

from __future__ import annotations

import click

from orchestrator.project import find_project


@click.command()
def collections() -> None:
    """Put the Ansible collections that the playbooks name into collections/, from PyPI.

    Example: drcli collections
    """
    from orchestrator.collections import install_collections  # noqa: PLC0415 -- keeps --help quick

    installed = install_collections(find_project())
    click.echo(f"installed: {', '.join(installed)}" if installed else "collections: up to date")

"""The program: flags in, exit code out."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

import click

import mtmd_cli
from mtmd_cli.cli.answer import answer
from mtmd_cli.cli.command import Command
from mtmd_cli.cli.options import SECTIONS
from mtmd_cli.cli.output import Screen
from mtmd_cli.cli.settings import settings_from


@click.pass_context
def _run(ctx: click.Context, /, **_: object) -> None:
    if ctx.params["version"]:
        click.echo(_version())
        return
    if ctx.params["list_devices"]:
        from mtmd_cli.cli.devices import devices

        for name, what in devices():
            click.echo(f"{name:8} {what}")
        return
    settings = settings_from(ctx)
    try:
        with Screen(quiet=settings.json) as screen:
            # A test hands in another Python API; the program uses nothing else.
            answer(settings, screen, api=ctx.obj or mtmd_cli)
    except KeyboardInterrupt:
        raise click.Abort from None


def _version() -> str:
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "missing"
    python = ".".join(map(str, sys.version_info[:3]))
    return f"mtmd-cli {mtmd_cli.__version__} (Python {python}, torch {torch}, {sys.platform})"


command = Command(name="mtmd-cli", callback=_run, sections=SECTIONS)


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a letter must not end the answer.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    command.main()

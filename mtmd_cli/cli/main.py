"""The program: flags in, exit code out."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

import mtmd_cli
from mtmd_cli.cli.answer import answer
from mtmd_cli.cli.command import Command
from mtmd_cli.cli.inspect import inspect
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


command = Command(
    name="mtmd-cli",
    callback=_run,
    sections=SECTIONS,
    usage="[-m MODEL [--mmproj PROJ]] [--image FILE] -p TEXT [OPTIONS]",
    introduction="Ask a question about an image, or none: an answer from two GGUF files, a language model and a vision "
    "projector. The answer goes to standard output, everything else to standard error.",
    examples=(
        'mtmd-cli -m model.gguf --mmproj proj.gguf --image cat.jpg -p "What is this?"',
        'mtmd-cli -m model.gguf --mmproj proj.gguf --image a.png,b.png -p "Compare."',
        "mtmd-cli inspect FILE.gguf",
    ),
    notes="Most options also read an environment variable, as LLAMA_ARG_MODEL for --model; docs/cli.md lists them. "
    "Exit codes: 2 usage, 3 bad file, 4 unsupported model, 5 out of memory, 130 interrupted. "
    'Completion: eval "$(_MTMD_CLI_COMPLETE=bash_source mtmd-cli)", also zsh_source and fish_source.',
    commands=(inspect,),
)


def main() -> None:
    """The console script."""
    # A stream that was closed before the start (`2>&-`) is None, which much code does not expect.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a letter must not end the answer.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    command.main()

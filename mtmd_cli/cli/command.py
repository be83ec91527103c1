"""The command: words in, help and errors in our own form."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from mtmd_cli.cli.arguments import normalise
from mtmd_cli.cli.errors import INTERRUPTED, report
from mtmd_cli.cli.option import Option

_FIRST_COLUMN = 28

_INTRODUCTION = """Ask a question about an image, or none: an answer from two GGUF files, a language model and a \
vision projector. The answer goes to standard output, everything else to standard error."""

_EXAMPLES = [
    'mtmd-cli -m model.gguf --mmproj proj.gguf --image cat.jpg -p "What is this?"',
    'mtmd-cli -m model.gguf --mmproj proj.gguf --image a.png,b.png -p "Compare."',
]

_NOTES = """Most options also read an environment variable, as LLAMA_ARG_MODEL for --model; docs/cli.md lists them. \
Exit codes: 2 usage, 3 bad file, 4 unsupported model, 5 out of memory, 130 interrupted. \
Completion: eval "$(_MTMD_CLI_COMPLETE=bash_source mtmd-cli)", also zsh_source and fish_source."""


class Command(click.Command):
    """A click command whose flags stand in sections and whose failures are an `error:` and a `hint:` line."""

    def __init__(self, *, sections: dict[str, list[Option]], **rest: Any) -> None:
        params: list[click.Parameter] = [option for options in sections.values() for option in options]
        super().__init__(
            params=params, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, **rest
        )
        self.sections = sections

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> Any:  # type: ignore[override]
        """Run and exit; never lets an exception out."""
        words = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            code = super().main(words, prog_name or "mtmd-cli", **extra) or 0
        except click.Abort:
            code = INTERRUPTED
        except Exception as error:
            code = report(error, debug="--debug" in words)
        sys.exit(code)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # completion in the shell: half a line is no error
            return super().parse_args(ctx, args)
        words, ignored = normalise(args, self.get_params(ctx))
        for name in ignored:
            click.echo(f"note: {name} means nothing here and is left out", err=True)
        return super().parse_args(ctx, words)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "-m MODEL [--mmproj PROJ] [--image FILE] -p TEXT [OPTIONS]")

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text(_INTRODUCTION)
        formatter.write_paragraph()
        for example in _EXAMPLES:
            formatter.write(f"  {example}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, options in self.sections.items():
            _write_section(formatter, title, [(option.spelling, option.about) for option in options])
        _write_section(formatter, "Help", [("-h, --help", "show this help; [in brackets] stand the defaults")])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text(_NOTES)


def _write_section(formatter: click.HelpFormatter, title: str, rows: list[tuple[str, str]]) -> None:
    formatter.write_paragraph()
    formatter.write(click.style(f"{title}:", bold=True) + "\n")
    formatter.indent()
    # Padding makes the second column begin at the same place in every section.
    formatter.write_dl([(first.ljust(_FIRST_COLUMN), second) for first, second in rows], col_max=_FIRST_COLUMN)
    formatter.dedent()

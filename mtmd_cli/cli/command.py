"""The command: words in, help and errors in our own form."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from mtmd_cli.cli.arguments import normalise
from mtmd_cli.cli.errors import INTERRUPTED, report
from mtmd_cli.cli.option import Option

_FIRST_COLUMN = 28


class Command(click.Command):
    """A click command whose flags stand in sections and whose failures are an `error:` and a `hint:` line.

    usage, introduction, examples, notes: parts of the help. commands: those whose name may stand as the first word.
    """

    def __init__(
        self,
        *,
        sections: Mapping[str, Sequence[Option]],
        arguments: Sequence[click.Argument] = (),
        usage: str,
        introduction: str,
        examples: Sequence[str] = (),
        notes: str = "",
        commands: Sequence[Command] = (),
        **rest: Any,
    ) -> None:
        options = [option for section in sections.values() for option in section]
        super().__init__(
            params=[*arguments, *options],
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
            **rest,
        )
        self.sections = sections
        self.usage, self.introduction, self.examples, self.notes = usage, introduction, examples, notes
        self.commands = {command.name: command for command in commands}

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> Any:  # type: ignore[override]
        """Run and exit; never lets an exception out."""
        words = list(sys.argv[1:] if args is None else args)
        prog_name = prog_name or "mtmd-cli"
        if words and words[0] in self.commands:
            return self.commands[words[0]].main(words[1:], f"{prog_name} {words[0]}", **extra)
        extra["standalone_mode"] = False
        try:
            code = super().main(words, prog_name, **extra) or 0
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
        formatter.write_usage(ctx.command_path, self.usage)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text(self.introduction)
        formatter.write_paragraph()
        for example in self.examples:
            formatter.write(f"  {example}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, options in self.sections.items():
            _write_section(formatter, title, [(option.spelling, option.about) for option in options])
        _write_section(formatter, "Help", [("-h, --help", "show this help; [in brackets] stand the defaults")])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.notes:
            formatter.write_paragraph()
            formatter.write_text(self.notes)


def _write_section(formatter: click.HelpFormatter, title: str, rows: list[tuple[str, str]]) -> None:
    formatter.write_paragraph()
    formatter.write(click.style(f"{title}:", bold=True) + "\n")
    formatter.indent()
    # Padding makes the second column begin at the same place in every section.
    formatter.write_dl([(first.ljust(_FIRST_COLUMN), second) for first, second in rows], col_max=_FIRST_COLUMN)
    formatter.dedent()

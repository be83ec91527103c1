"""docs/cli.md: every flag, from the command itself."""

from __future__ import annotations

from collections.abc import Sequence

from mtmd_cli.cli import inspect
from mtmd_cli.cli.option import Option
from mtmd_cli.cli.options import SECTIONS

_HEAD = """# The command line

<!-- Written by scripts/write_docs.py; `make docs` writes it anew. -->

The answer goes to standard output as it comes, everything else to standard error. Names, defaults and environment
variables are those of `llama-mtmd-cli` where it has the flag. A flag on the command line beats its variable;
`LLAMA_ARG_NO_X`, whatever its value, stands for `--no-x`; `--top_k` is `--top-k`.

A switch such as `--jinja`, `--no-jinja` is on by default; the text tells what turning it off does. Flags of
`llama-mtmd-cli` that change how it works and not what it answers, as `-ngl`, are left out with a note.

| exit code | meaning |
| --- | --- |
| 0 | an answer |
| 1 | an error of mtmd-cli itself |
| 2 | flags, question or images that do not fit together, or a question longer than the context |
| 3 | a file that is missing, damaged or not what it should be |
| 4 | a sound file whose architecture, projector or tensors are unknown here |
| 5 | no memory left, on the machine or the device |
| 130 | Ctrl-C; the text so far stays |
"""


_INSPECT = """# mtmd-cli inspect

`mtmd-cli inspect FILE.gguf` tells what a language model or a projector holds and what its family makes of it: types and
sizes, layers, attention, rope, tokenizer and template, or tower and slicing; with `--size` or `--image` the slices and
tokens of an image; and the tensors that the family misses, does not claim or leaves aside. No weights are read. A file
that no family takes is told as far as it goes, with the reason.
"""


def page() -> str:
    sections = [_section(title, options) for title, options in SECTIONS.items()]
    return "\n".join([_HEAD, *sections, _INSPECT, *(_section(*section) for section in inspect.SECTIONS.items())])


def _section(title: str, options: Sequence[Option]) -> str:
    rows = [_row(option) for option in options]
    return "\n".join(
        [f"## {title}", "", "| flag | what it does [default] | environment |", "| --- | --- | --- |", *rows, ""]
    )


def _row(option: Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = f" `{option.metavar}`" if option.metavar else ""
    variable = f"`{option.envvar}`" if option.envvar else ""
    return f"| {_cell(names + value)} | {_cell(option.about)} | {variable} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")

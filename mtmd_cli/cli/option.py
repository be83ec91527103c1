"""One flag: its spellings, what its text means, its section of the help, and which call takes its value."""

from __future__ import annotations

import os
from typing import Any, Literal

import click

Goal = Literal["cli", "load", "sampling"]
"""Who takes the value: the command line itself, `mtmd_cli.load` or `mtmd_cli.Sampling`, under the option's name."""


class Option(click.Option):
    """Written as the help shows it: `Option("system", "-sys, --system-prompt TEXT", "what the model is told", ...)`.

    `also`: further spellings, which the help leaves out. `env`: the environment variable that the reference reads.
    A switch names both ways, `--jinja/--no-jinja`; every one is on by default, so the help shows the second.
    """

    def __init__(
        self, name: str, spelling: str, help: str, *, also: str = "", goal: Goal = "cli", env: str = "", **rest: Any
    ) -> None:
        names, _, metavar = spelling.replace(", ", ",").partition(" ")
        declared = [*names.split(","), *also.split(), name]
        super().__init__(declared, help=help, metavar=metavar or None, envvar=env or None, **rest)
        self.goal = goal
        self.spelling = self.secondary_opts[0] if self.secondary_opts else spelling

    @property
    def about(self) -> str:
        """The help text with the default, where it has one that the text does not tell."""
        value = self.default
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            return self.help or ""
        return f"{self.help} [{value:g}]" if isinstance(value, float) else f"{self.help} [{value}]"

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """As the reference reads it: LLAMA_ARG_NO_X, whatever its value, is `--no-x`; a switch may be `enabled`."""
        value = super().resolve_envvar_value(ctx)
        if not self.secondary_opts or not isinstance(self.envvar, str):
            return value
        if self.envvar.replace("LLAMA_ARG_", "LLAMA_ARG_NO_") in os.environ:
            return "0"
        return {"enabled": "1", "disabled": "0"}.get(value, value) if value else value

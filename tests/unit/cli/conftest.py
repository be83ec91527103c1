"""The whole program, run on a Python API without models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from mtmd_cli.cli.main import command
from tests.unit.cli.fake import FakeApi


class Outcome(NamedTuple):
    code: int
    out: str
    err: str
    calls: dict[str, Any]


Run = Callable[..., Outcome]


@pytest.fixture
def run() -> Run:
    """The whole program on a fake API: `run(*words, api=..., env=..., width=..., stdin=...)`."""

    def call(
        *words: str, api: FakeApi | None = None, env: dict[str, str] | None = None, width: int = 80, stdin: str = ""
    ) -> Outcome:
        api = api or FakeApi()
        runner = CliRunner(env={"COLUMNS": str(width), **(env or {})})
        result = runner.invoke(command, list(words), obj=api, input=stdin, catch_exceptions=False)
        return Outcome(result.exit_code, result.stdout, result.stderr, api.calls)

    return call

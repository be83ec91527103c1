"""The table at the end of a run: how near each family comes to the reference."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import pytest

from tests.golden.cases import golden_folders, is_registered, kinds

ROW = "golden"


@dataclass(frozen=True)
class Row:
    """One case. Travels as a property of the test's report, which may come from another process."""

    family: str
    embeddings: float
    logits: float
    agreed: int
    steps: int

    def packed(self) -> list[object]:
        return list(astuple(self))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each family, and those that are not registered yet."""
    rows = [
        Row(*value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == ROW
    ]
    if not rows:
        return
    terminalreporter.section("golden cases against the reference")
    terminalreporter.line(f"{'family':<18}{'cases':>6}{'worst embedding':>18}{'worst logits/std':>18}{'greedy':>12}")
    for family in sorted({row.family for row in rows}):
        own = [row for row in rows if row.family == family]
        agreed, steps = sum(min(row.agreed, row.steps) for row in own), sum(row.steps for row in own)
        terminalreporter.line(
            f"{family:<18}{len(own):>6}{max(row.embeddings for row in own):>18.2e}"
            f"{max(row.logits for row in own):>18.2e}{f'{agreed}/{steps}':>12}"
        )
    for folder in golden_folders():
        if not is_registered(folder):
            terminalreporter.line(f"{folder.name:<18}not registered: {' on '.join(kinds(folder))}")

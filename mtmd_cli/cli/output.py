"""What a person sees: the answer on stdout as it comes, on a terminal the progress of long work on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress


class Screen:
    """The two streams of one run. Leaving it takes the progress away and ends the last line of the answer.

    `quiet` keeps the pieces of the answer back, for output that is printed as a whole.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, *, quiet: bool = False) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.quiet = quiet
        self._progress: Progress | None = None
        self._stage = ""
        self._open_line = False

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self.calm()
        self.end_line()

    def answer(self, piece: str) -> None:
        """Print a piece of the answer, at once."""
        self.calm()
        if self.quiet or not piece:
            return
        self.out.write(piece)
        self.out.flush()
        self._open_line = not piece.endswith("\n")

    def end_line(self) -> None:
        """End the last line of the answer, if it is open."""
        if self._open_line:
            self.answer("\n")

    def note(self, line: str) -> None:
        """Print a line that is not part of the answer."""
        self.calm()
        self.err.write(line + "\n")
        self.err.flush()

    def progress(self, stage: str, done: int = 0, total: int | None = None) -> None:
        """Show how far a stage is; without a total only that it runs. Nothing where stderr is not a terminal."""
        if not self.err.isatty():
            return
        if stage != self._stage:
            self.calm()
            self._stage = stage
            self._progress = _progress_bar(self.err, counted=bool(total))
            self._task = self._progress.add_task(stage, total=total or None)
            self._progress.start()
        assert self._progress is not None
        self._progress.update(self._task, completed=done)

    def calm(self) -> None:
        """Take the progress away, as the next words want its place."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            self._stage = ""


def _progress_bar(err: TextIO, *, counted: bool) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    count = [BarColumn(bar_width=24), MofNCompleteColumn()] if counted else []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), *count, TimeElapsedColumn())
    return Progress(*columns, console=Console(file=err), transient=True)

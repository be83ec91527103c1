"""What a person sees: the answer on stdout as it comes, on a terminal the progress of long work on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Screen:
    """The two streams of one run. Leaving it takes the progress away and ends the last line of the answer.

    `quiet` keeps the pieces of the answer back, for output that is printed as a whole.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, *, quiet: bool = False) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.quiet = quiet
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._open_line = False

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self.calm()
        if self._open_line:
            self.answer("\n")

    def answer(self, piece: str) -> None:
        """Print a piece of the answer, at once."""
        self.calm()
        if self.quiet or not piece:
            return
        self.out.write(piece)
        self.out.flush()
        self._open_line = not piece.endswith("\n")

    def note(self, line: str) -> None:
        """Print a line that is not part of the answer."""
        self.calm()
        self.err.write(line + "\n")
        self.err.flush()

    def progress(self, stage: str, done: int = 0, total: int | None = None) -> None:
        """Show how far a stage is; without a total only that it runs. Nothing where stderr is not a terminal."""
        if not self.err.isatty():
            return
        if self._progress is None:
            self._progress = _progress_bar(self.err)
            self._progress.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total)

    def calm(self) -> None:
        """Take the progress away, as the next words want its place."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            self._tasks.clear()


def _progress_bar(err: TextIO) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(file=err),
        transient=True,
    )

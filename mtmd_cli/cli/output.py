"""What a person sees: the answer on stdout as it comes, on a terminal the progress of long work on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress


# ECMA-48's select graphic rendition.
DIM, PLAIN = "\033[2m", "\033[m"


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
        self._open_line = self._open_thought = False

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
        if self._open_thought:
            self.end_line()
        self.out.write(piece)
        self.out.flush()
        self._open_line = not piece.endswith("\n")

    def thought(self, piece: str) -> None:
        """Show on a terminal, dimmed, what the model thinks before it answers. It is no part of the answer."""
        if self.quiet or not self.err.isatty():
            return
        self.calm()
        self.err.write(f"{DIM}{piece}{PLAIN}")
        self.err.flush()
        self._open_thought = True

    def end_line(self) -> None:
        """End the last line of the answer or of a thought, if it is open."""
        if self._open_thought:
            self._open_thought = False
            self.err.write("\n")
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

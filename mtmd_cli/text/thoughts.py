"""What a model thinks before it answers, told apart from the answer."""

from __future__ import annotations

from dataclasses import dataclass

from mtmd_cli.text.stops import overlap


@dataclass(frozen=True)
class Marks:
    """The texts around a thought."""

    begin: str
    end: str


KNOWN = (
    Marks("<think>", "</think>"),  # Qwen, GLM, DeepSeek and many more
    Marks("<|channel>thought\n", "<channel|>"),  # Gemma 4
    Marks("[THINK]", "[/THINK]"),  # Magistral, Ministral 3
    Marks("◁think▷", "◁/think▷"),  # Kimi-VL
)


def marks_of(template: str) -> Marks | None:
    """The marks that a chat template knows, so that it can take thoughts out of earlier turns."""
    return next((marks for marks in KNOWN if marks.end in template), None)


@dataclass(frozen=True)
class Part:
    """Some text of what a model says; reasoning: it is a thought."""

    text: str
    reasoning: bool = False


class Thoughts:
    """Passes text on in parts, and holds back what may be the beginning of a mark.

    Thoughts stand before the answer: once it has begun, marks are words like others. Without marks all is answer.
    prompt: its last text, which may have opened a thought already.
    """

    def __init__(self, marks: Marks | None, prompt: str = "") -> None:
        self._marks = marks or Marks("", "")
        self._thinking = marks is not None and prompt.rstrip().endswith(marks.begin.rstrip())
        self._answering = marks is None
        self._fresh = self._thinking  # whether blank space at the beginning of a part is to be left out
        self._held = ""

    def push(self, text: str) -> list[Part]:
        """What may be shown now."""
        self._held += text
        parts = []
        while (part := self._next()) is not None:
            parts.append(part)
        return [part for part in parts if part.text]

    def flush(self) -> list[Part]:
        """What was held back, now that nothing follows."""
        rest, self._held = Part(self._held.lstrip() if self._fresh else self._held, self._thinking), ""
        return [rest] if rest.text else []

    def _next(self) -> Part | None:
        """A part off what is held; None where more text is wanted."""
        if not self._thinking and not self._answering and not self._begins():
            return None
        if self._thinking:
            return self._thought()
        return self._take(len(self._held)) if self._held else None

    def _begins(self) -> bool:
        """Whether it is plain what comes: a thought, or the answer."""
        text = self._held.lstrip()
        if len(text) < len(self._marks.begin) and self._marks.begin.startswith(text):
            return False
        self._thinking = text.startswith(self._marks.begin)
        self._answering = not self._thinking
        if self._thinking:
            self._held, self._fresh = text.removeprefix(self._marks.begin), True
        return True

    def _thought(self) -> Part | None:
        place = self._held.find(self._marks.end)
        if place < 0:
            size = len(self._held) - overlap(self._held, self._marks.end)
            return self._take(size) if size else None
        part = self._take(place)
        self._held = self._held.removeprefix(self._marks.end)
        self._thinking, self._fresh = False, True
        return part

    def _take(self, size: int) -> Part:
        text, self._held = self._held[:size], self._held[size:]
        if self._fresh:
            text = text.lstrip()
            self._fresh = not text
        return Part(text, self._thinking)

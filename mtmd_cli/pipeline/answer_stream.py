"""From generated tokens to what is shown of them."""

from __future__ import annotations

from collections.abc import Sequence

from mtmd_cli.text.stops import StopTexts
from mtmd_cli.text.stream import TextStream
from mtmd_cli.text.thoughts import Marks, Part, Thoughts
from mtmd_cli.text.tokenizer import Tokenizer


class AnswerStream:
    """Whole characters, up to a stop text, thoughts told apart from the answer.

    stops: texts that end an answer; marks: of thoughts, None where there are none; prompt: the text before the answer.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str], marks: Marks | None, prompt: str) -> None:
        self._tokenizer = tokenizer
        self._characters, self._stops, self._thoughts = TextStream(), StopTexts(stops), Thoughts(marks, prompt)
        # Control tokens have no text, but those of marks are wanted.
        self._wanted = frozenset(tokenizer.encode(marks.begin + marks.end) if marks is not None else ())

    @property
    def stopped(self) -> bool:
        """Whether a stop text is complete: then nothing more is shown."""
        return self._stops.stopped

    def push(self, token: int) -> list[Part]:
        """What can be shown with this token."""
        piece = self._tokenizer.piece(token, special=token in self._wanted)
        return self._thoughts.push(self._stops.push(self._characters.push(piece)))

    def flush(self) -> list[Part]:
        """What was held back, now that no token follows."""
        rest = self._stops.push(self._characters.flush()) + self._stops.flush()
        return self._thoughts.push(rest) + self._thoughts.flush()

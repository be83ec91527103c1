"""Thoughts are told apart from the answer, however the text is cut into pieces."""

from __future__ import annotations

import pytest

from mtmd_cli.text.thoughts import KNOWN, Marks, Thoughts, marks_of

THINK = Marks("<think>", "</think>")
CHANNEL = Marks("<|channel>thought\n", "<channel|>")
OPEN = "<|im_start|>assistant\n<think>\n"


def told(marks: Marks | None, prompt: str, said: str, size: int) -> tuple[str, str]:
    """Thought and answer of what was said in pieces of this size."""
    thoughts = Thoughts(marks, prompt)
    parts = [part for start in range(0, len(said), size) for part in thoughts.push(said[start : start + size])]
    parts += thoughts.flush()
    assert all(part.text for part in parts)
    return tuple("".join(part.text for part in parts if part.reasoning is kind) for kind in (True, False))  # type: ignore[return-value]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("marks", "prompt", "said", "thought", "answer"),
    [
        (None, OPEN, "a</think>b", "", "a</think>b"),  # a template that knows no thoughts
        (THINK, OPEN, "Hm.</think>\n\nA cat.", "Hm.", "A cat."),  # the prompt opens the thought
        (THINK, OPEN, "\nHm < x.\n", "Hm < x.\n", ""),  # and it never ends
        (THINK, "assistant\n", "<think>\nHm.\n</think>\n\nA cat.", "Hm.\n", "A cat."),
        (THINK, "assistant\n", "\n <think>Hm.</think>A cat.", "Hm.", "A cat."),
        (THINK, "assistant\n", " A cat, <think>no thought</think>.", "", " A cat, <think>no thought</think>."),
        (THINK, "assistant\n", "<thin", "", "<thin"),
        (THINK, "assistant\n", "  ", "", "  "),
        (THINK, "<think>\n\n</think>\n\n", "A cat.", "", "A cat."),  # closed by the prompt
        (THINK, OPEN, "</think>A cat.", "", "A cat."),
        (THINK, OPEN, "one</think>\n<think>two</think>A cat.", "onetwo", "A cat."),
        (CHANNEL, "<|turn>model\n", "<|channel>thought\nHm.\n<channel|>A cat.", "Hm.\n", "A cat."),
        (CHANNEL, "<|channel>thought\n<channel|>", "A cat.", "", "A cat."),
    ],
)
def test_a_thought_and_an_answer(
    marks: Marks | None, prompt: str, said: str, thought: str, answer: str, size: int
) -> None:
    assert told(marks, prompt, said, size) == (thought, answer)


def test_nothing_is_held_back_without_need() -> None:
    thoughts = Thoughts(THINK, OPEN)
    assert [part.text for part in thoughts.push("Hm. ")] == ["Hm. "]
    assert thoughts.push("</thi") == []
    assert [part.text for part in thoughts.push("s")] == ["</this"]


@pytest.mark.parametrize("marks", KNOWN)
def test_a_template_tells_its_marks(marks: Marks) -> None:
    assert marks_of("{{ content.split('" + marks.end + "') }}") == marks
    assert marks_of("{{ content }}") is None

"""Stop texts end an answer and are never shown, however the pieces fall."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmd_cli.text.stops import StopTexts


@pytest.mark.parametrize(
    ("stops", "pieces", "shown"),
    [
        (["</s>"], ["Hello", " you"], "Hello you"),  # none in sight
        (["</s>"], ["Hello</s>more"], "Hello"),
        (["</s>"], ["Hello<", "/", "s", ">more", "more"], "Hello"),  # piece by piece
        (["</s>"], ["a < b"], "a < b"),  # what only begins like one is shown
        (["</s>"], ["Hello</"], "Hello</"),  # even at the end
        (["USER:", "</s>"], ["Hi</s> USER:"], "Hi"),  # the first one counts
        (["aab"], ["aa", "aab"], "aa"),  # a false start inside a true one
        ([""], ["all"], "all"),  # an empty text stops nothing
        ([], ["all"], "all"),
    ],
)
def test_what_is_shown(stops: list[str], pieces: list[str], shown: str) -> None:
    texts = StopTexts(stops)
    assert "".join(texts.push(piece) for piece in pieces) + texts.flush() == shown


def test_it_says_when_it_stopped() -> None:
    texts = StopTexts(["END"])
    texts.push("The EN")
    assert not texts.stopped
    texts.push("D")
    assert texts.stopped
    assert texts.push("and on") == "" and texts.flush() == ""


def test_what_cannot_be_a_stop_is_shown_at_once() -> None:
    texts = StopTexts(["END"])
    assert texts.push("The E") == "The "
    assert texts.push("a") == "Ea"


@settings(deadline=None)
@given(st.text("abx", max_size=20), st.lists(st.integers(0, 20)), st.lists(st.text("abx", min_size=1, max_size=4)))
def test_cuts_between_pieces_change_nothing(text: str, cuts: list[int], stops: list[str]) -> None:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    texts = StopTexts(stops)
    shown = "".join(texts.push(text[a:b]) for a, b in pairwise(edges)) + texts.flush()
    ends = [text.find(stop) for stop in stops if stop in text]
    if not ends:
        assert shown == text
    else:
        assert text.startswith(shown) and texts.stopped
        assert not any(stop in shown for stop in stops)

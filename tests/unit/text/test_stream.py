"""A stream never shows half a character, and loses nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtmd_cli.text.stream import TextStream

FAMILY = "👨\u200d👩\u200d👧"


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        ([b"cat", b" sat"], ["cat", " sat", ""]),
        ([b"caf\xc3", b"\xa9"], ["caf", "é", ""]),  # cut inside a character
        ([b"\xf0", b"\x9f", b"\x98", b"\x80!"], ["", "", "", "😀!", ""]),  # one byte a token
        ([b"a\xf0\x9f"], ["a", "\ufffd"]),  # the answer ends inside a character
        ([b"\xff", b"b"], ["\ufffd", "b", ""]),  # a byte that begins nothing
        ([b"\xf0\x9f", b"c"], ["", "\ufffdc", ""]),  # a character that is not continued
        ([b"", b"d"], ["", "d", ""]),  # a control token
    ],
)
def test_stream_shows_whole_characters(pieces: list[bytes], shown: list[str]) -> None:
    stream = TextStream()
    assert [*map(stream.push, pieces), stream.flush()] == shown


def test_stream_is_as_new_after_flush() -> None:
    stream = TextStream()
    stream.push(b"\xf0\x9f")
    stream.flush()
    assert stream.push("é".encode()) == "é"


@settings(deadline=None)
@given(st.text() | st.just(FAMILY), st.lists(st.integers(0, 40)))
def test_cuts_do_not_matter(text: str, cuts: list[int]) -> None:
    data = text.encode(errors="replace")
    places = [0, *sorted(cuts), len(data)]
    stream = TextStream()
    shown = "".join(stream.push(data[start:end]) for start, end in pairwise(places))
    assert shown + stream.flush() == data.decode()


@settings(deadline=None)
@given(st.lists(st.binary()))
def test_any_bytes_become_the_text_that_python_makes_of_them(pieces: list[bytes]) -> None:
    stream = TextStream()
    shown = "".join(map(stream.push, pieces)) + stream.flush()
    assert shown == b"".join(pieces).decode(errors="replace")

"""The reference's slip with system messages, set right in both directions.

It renders a system message by itself, evaluates it, and repeats the newline at its end before the user's turn
(common/chat.cpp, common_chat_format_single). This program renders the conversation once, as the template means it. To
compare what follows nevertheless, the first text of such a case is exchanged for the reference's tokens, once its text
is shown to differ from ours in white space alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from mtmd_cli.pipeline.chunks import Chunk, TextChunk, build_chunks
from mtmd_cli.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from tests.golden.cases import Case


def repeats_a_newline(case: Case) -> bool:
    """Whether the reference made the slip in this case."""
    first, *rest = [segment["text"] for segment in case.said["segments"]]
    return bool(rest) and first.endswith("\n") and rest[0].startswith("\n")


@contextmanager
def reading_as_the_reference(case: Case, tokenizer: Tokenizer) -> Iterator[None]:
    """Within, prompts of a case with the slip are read in the reference's tokens."""
    if not repeats_a_newline(case):
        yield
        return

    def build_as_the_reference(*args: Any, **kwargs: Any) -> tuple[Chunk, ...]:
        return _with_the_slip(case, tokenizer, build_chunks(*args, **kwargs))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mtmd_cli.pipeline.engine.build_chunks", build_as_the_reference)
        yield


def _with_the_slip(case: Case, tokenizer: Tokenizer, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
    first, theirs = chunks[0], tuple(case.chunks()[0]["tokens"])
    assert isinstance(first, TextChunk)
    words, our_words = (_words(tokenizer.decode(tokens, special=True)) for tokens in (theirs, first.tokens))
    assert words == our_words, "more than white space differs"
    longer = len(theirs) - len(first.tokens)
    return replace(first, tokens=theirs), *(_moved(chunk, longer) for chunk in chunks[1:])


def _words(text: str) -> str:
    # A vocabulary without a token for its mark of a space spells the mark out in bytes.
    return "".join(text.replace("▁", " ").split())


def _moved(chunk: Chunk, by: int) -> Chunk:
    if isinstance(chunk, TextChunk):
        return replace(chunk, pos_0=chunk.pos_0 + by)
    return replace(chunk, pos_0=chunk.pos_0 + by, pos_end=chunk.pos_end + by)

"""Merging neighbours into tokens, the step that SentencePiece's and GPT-2's byte-pair tokenizers share.

Pure Python on purpose: words repeat and are remembered, so it encodes as fast as the `tokenizers` library, whose table
of merges takes half a second to build for 260,000 tokens and cannot say "the leftmost of equal scores".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from heapq import heappop, heappush

from mtmd_cli.text.vocabulary import SPACE


def merge(text: str, order: Callable[[str, str], float | None]) -> list[str]:
    """The characters of `text`, merged to symbols.

    order: when two neighbours are to be merged, the smallest first, and the leftmost of equals; None is never.
    """
    symbols = list(text)
    before = list(range(-1, len(symbols) - 1))
    after = list(range(1, len(symbols) + 1))
    queue: list[tuple[float, int, str]] = []

    def offer(left: int, right: int) -> None:
        if left >= 0 and right < len(symbols):
            place = order(symbols[left], symbols[right])
            if place is not None:
                heappush(queue, (place, left, symbols[left] + symbols[right]))

    for right in range(1, len(symbols)):
        offer(right - 1, right)
    while queue:
        _, left, merged = heappop(queue)
        right = after[left]
        if not symbols[left] or right == len(symbols) or symbols[left] + symbols[right] != merged:
            continue  # one of the two was merged with something else meanwhile
        symbols[left], symbols[right] = merged, ""
        after[left] = after[right]
        if after[left] < len(symbols):
            before[after[left]] = left
        offer(before[left], left)
        offer(left, after[left])
    return [symbol for symbol in symbols if symbol]


def word_boundary(inside: Collection[str]) -> re.Pattern[str]:
    """Where no merge can reach across, so that the words on both sides can be merged, and remembered, on their own.

    That is before a U+2581, unless a merge can put one behind the same character: one of `inside`.
    """
    characters = re.escape("".join(sorted({SPACE, *inside})))
    return re.compile(f"(?<=[^{characters}])(?={SPACE})")

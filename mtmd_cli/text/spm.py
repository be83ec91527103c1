"""SentencePiece's byte-pair merging by score, as files of tokenizer model "llama" want it.

Of all neighbours whose joined text is a token, the pair with the highest score is joined first, the leftmost of equals.
A table of merges with one rank each cannot say "leftmost of equals", which is why the `tokenizers` library does not do.
"""

from __future__ import annotations

import re
from functools import lru_cache
from heapq import heappop, heappush

from mtmd_cli.text.vocabulary import SPACE, Vocabulary


class ScoredPairs:
    """Text to tokens by scores. A space is written as U+2581, a character without token as its bytes."""

    def __init__(self, vocabulary: Vocabulary, *, space_prefix: bool, unknown: int | None) -> None:
        self._ids = vocabulary.ids
        self._scores = vocabulary.scores
        self._space_prefix = space_prefix
        self._bytes = [vocabulary.byte_token(byte) for byte in range(256)]
        self._unknown = unknown
        self._boundary = _boundary(vocabulary)
        self._word = lru_cache(maxsize=1 << 14)(self._encode_word)

    def encode(self, text: str, *, after_special: bool) -> list[int]:
        if self._space_prefix and after_special:
            text = " " + text
        words = self._boundary.split(text.replace(" ", SPACE))
        return [token for word in words for token in self._word(word)]

    def decode(self, text: str) -> bytes:
        return text.replace(SPACE, " ").encode()

    def _encode_word(self, word: str) -> tuple[int, ...]:
        symbols = list(word)
        after = list(range(1, len(symbols) + 1))
        before = list(range(-1, len(symbols) - 1))
        queue: list[tuple[float, int, str]] = []

        def offer(left: int, right: int) -> None:
            if left >= 0 and right < len(symbols):
                joined = symbols[left] + symbols[right]
                if (token := self._ids.get(joined)) is not None:
                    heappush(queue, (-self._scores[token], left, joined))

        for right in range(1, len(symbols)):
            offer(right - 1, right)
        while queue:
            _, left, joined = heappop(queue)
            right = after[left]
            if not symbols[left] or right == len(symbols) or symbols[left] + symbols[right] != joined:
                continue  # one of the two was joined to something else meanwhile
            symbols[left], symbols[right] = joined, ""
            after[left] = after[right]
            if after[left] < len(symbols):
                before[after[left]] = left
            offer(before[left], left)
            offer(left, after[left])
        return tuple(token for symbol in symbols if symbol for token in self._tokens_of(symbol))

    def _tokens_of(self, symbol: str) -> list[int]:
        if symbol in self._ids:
            return [self._ids[symbol]]
        tokens = (self._bytes[byte] for byte in symbol.encode())
        return [known for token in tokens if (known := self._unknown if token is None else token) is not None]


def _boundary(vocabulary: Vocabulary) -> re.Pattern[str]:
    """Where no token can reach across, so that the words on both sides can be tokenised, and remembered, on their own.

    That is before a U+2581, unless some token has one inside after the same character.
    """
    texts = (text for text in vocabulary.texts if text.find(SPACE, 1) > 0)
    inside = {SPACE} | {text[at - 1] for text in texts for at in range(1, len(text)) if text[at] == SPACE}
    return re.compile(f"(?<=[^{re.escape(''.join(sorted(inside)))}])(?={SPACE})")

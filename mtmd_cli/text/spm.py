"""SentencePiece's byte pairs, for files of tokenizer model "llama": the pair that makes the best token goes first."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

from mtmd_cli.text.merges import merge, word_boundary
from mtmd_cli.text.vocabulary import SPACE, Vocabulary


class ScoredPairs:
    """Text to tokens by scores. A space is written as U+2581, a character that is no token as its bytes."""

    def __init__(self, vocabulary: Vocabulary, *, space_prefix: bool, unknown: int | None) -> None:
        self._vocabulary = vocabulary
        self._space_prefix = space_prefix
        self._unknown = [] if unknown is None else [unknown]
        spaced = [text for text in vocabulary.texts if text.find(SPACE, 1) > 0]
        self._boundary = word_boundary({before for text in spaced for before, at in pairwise(text) if at == SPACE})
        self._word = lru_cache(maxsize=1 << 14)(self._encode_word)

    def encode(self, text: str) -> list[int]:
        if self._space_prefix:
            text = " " + text
        words = self._boundary.split(text.replace(" ", SPACE))
        return [token for word in words for token in self._word(word)]

    def decode(self, text: str) -> bytes:
        return text.replace(SPACE, " ").encode()

    def _encode_word(self, word: str) -> list[int]:
        return [token for symbol in merge(word, self._order) for token in self._tokens(symbol)]

    def _order(self, left: str, right: str) -> float | None:
        token = self._vocabulary.ids.get(left + right)
        return None if token is None else -self._vocabulary.scores[token]

    def _tokens(self, symbol: str) -> list[int]:
        token = self._vocabulary.ids.get(symbol)
        if token is not None:
            return [token]
        return self._vocabulary.byte_tokens(symbol) or self._unknown

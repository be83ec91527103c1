"""GPT-2's byte pairs, for files of tokenizer model "gpt2" and "gemma4": a list of merges says which go first."""

from __future__ import annotations

import re
from functools import lru_cache

from tokenizers import Regex, pre_tokenizers

from mtmd_cli.text.merges import merge, word_boundary
from mtmd_cli.text.pretokenizers import PreTokenizer
from mtmd_cli.text.vocabulary import SPACE, Vocabulary


class RankedPairs:
    """Text to tokens by a list of merges, each "left right"."""

    def __init__(self, vocabulary: Vocabulary, merges: list[str], pre: PreTokenizer) -> None:
        self._vocabulary = vocabulary
        self._pre = pre
        # Backwards, so that a merge that is listed twice keeps its first rank.
        self._ranks = dict(zip(reversed(merges), range(len(merges) - 1, -1, -1), strict=True))
        self._split = word_splitter(pre)
        before_space = (pair[at - 1] for pair in merges if (at := pair.find(f" {SPACE}")) > 0)
        self._boundary = word_boundary(set(before_space)) if pre.escape_spaces else None
        self._byte_of = {letter: byte for byte, letter in enumerate(_byte_letters())}
        self._word = lru_cache(maxsize=1 << 14)(self._encode_word)

    def encode(self, text: str) -> list[int]:
        if self._pre.escape_spaces:
            text = text.replace(" ", SPACE)
        if self._pre.prefix_lines:
            text = re.sub(f"^(?=[^{SPACE}\n])", SPACE, text, flags=re.MULTILINE)
        words = [word for word, _ in self._split.pre_tokenize_str(text)]
        if self._boundary is not None:
            words = [part for word in words for part in self._boundary.split(word)]
        return [token for word in words for token in self._word(word)]

    def decode(self, text: str) -> bytes:
        if not self._pre.byte_level:
            return (text.replace(SPACE, " ") if self._pre.escape_spaces else text).encode()
        # A letter that stands for no byte can only be one that a converter left as it was.
        byte_of = self._byte_of
        return b"".join(bytes((byte_of[letter],)) if letter in byte_of else letter.encode() for letter in text)

    def _encode_word(self, word: str) -> list[int]:
        whole = self._pre.ignore_merges or (self._pre.whole_newlines and not word.strip("\n"))
        if whole and word in self._vocabulary.ids:
            return [self._vocabulary.ids[word]]
        return [token for symbol in merge(word, self._order) for token in self._tokens(symbol)]

    def _order(self, left: str, right: str) -> int | None:
        return self._ranks.get(f"{left} {right}")

    def _tokens(self, symbol: str) -> list[int]:
        token = self._vocabulary.ids.get(symbol)
        if token is not None:
            return [token]
        if not self._pre.byte_level:
            return self._vocabulary.byte_tokens(symbol)
        # Only in a vocabulary that lacks some bytes: what is known of the symbol is kept, as in llama.cpp.
        ids = self._vocabulary.ids
        return [ids[letter] for letter in symbol if letter.isascii() and letter in ids]


def word_splitter(pre: PreTokenizer) -> pre_tokenizers.PreTokenizer:
    cuts = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in pre.patterns]
    letters = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)] if pre.byte_level else []
    return pre_tokenizers.Sequence([*cuts, *letters])


def _byte_letters() -> list[str]:
    """GPT-2's letter for each byte: itself where Latin-1 has something to see, else the next letter from U+0100 on."""
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in seen]
    return [chr(byte) if byte in seen else chr(0x100 + hidden.index(byte)) for byte in range(256)]

"""WordPiece, for files of tokenizer model "bert": each word from the left in the longest tokens that fit.

In these files a token that begins a word begins with U+2581, the others stand bare.
"""

from __future__ import annotations

import unicodedata

from mtmd_cli.text.vocabulary import SPACE, Vocabulary


class WordPieces:
    """Text to tokens word by word; a word that cannot be spelled in tokens is the unknown token."""

    def __init__(self, vocabulary: Vocabulary, *, unknown: int | None, lowercase: bool, strip_accents: bool) -> None:
        self._ids = vocabulary.ids
        self._longest = max(map(len, vocabulary.texts), default=0)
        self._unknown = [] if unknown is None else [unknown]
        self._lowercase = lowercase
        self._strip_accents = strip_accents

    def encode(self, text: str) -> list[int]:
        return [token for word in self._words(text) for token in self._spell(SPACE + word)]

    def decode(self, text: str) -> bytes:
        return text.replace(SPACE, " ").encode()

    def _spell(self, word: str) -> list[int]:
        tokens: list[int] = []
        start = 0
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                if (token := self._ids.get(word[start:end])) is not None:
                    tokens.append(token)
                    start = end
                    break
            else:
                return self._unknown
        return tokens

    def _words(self, text: str) -> list[str]:
        """Cut at white space, and around punctuation and Chinese characters."""
        if self._strip_accents:
            # The base letter only, as llama.cpp decomposes.
            text = "".join(unicodedata.normalize("NFD", character)[0] for character in text)
        spaced: list[str] = []
        for character in text:
            category = unicodedata.category(character)
            if character in _WHITE_SPACE:
                spaced.append(" ")
            elif (
                character == "\ufffd" or category in ("Cc", "Cf", "Co") or (self._strip_accents and category[0] == "M")
            ):
                continue
            else:
                lower = character.lower()
                letter = lower if self._lowercase and len(lower) == 1 else character
                alone = category[0] == "P" or (category[0] == "S" and character < "\x7f") or _is_chinese(character)
                spaced.append(f" {letter} " if alone else letter)
        return [word for word in "".join(spaced).split(" ") if word]


# Not str.isspace(), which also has the separators U+001C to U+001F.
_WHITE_SPACE = {*"\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000", *map(chr, range(0x2000, 0x200B))}

_CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def _is_chinese(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _CHINESE)

"""The tokens that a file declares: text, kind and score of each.

The rules follow the vocabulary loader of llama.cpp (src/llama-vocab.cpp, b11434).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from mtmd_cli.errors import GGUFError
from mtmd_cli.text.metadata import Metadata

SPACE = "▁"  # U+2581, which stands for a space in the text of many vocabularies' tokens


class TokenType(IntEnum):
    """tokenizer.ggml.token_type, as GGUF numbers it."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id; `ids` leads from the text back to the id. The lists have one length."""

    texts: list[str]
    types: list[int]  # TokenType, or a number that no rule knows
    scores: list[float]
    ids: dict[str, int]

    @classmethod
    def from_metadata(cls, metadata: Metadata) -> Vocabulary:
        """Raises GGUFError when the lists do not fit together."""
        texts = metadata.strs("tokenizer.ggml.tokens")
        size = len(texts)
        if "" in texts:
            texts = [text or f"[EMPTY_{token}]" for token, text in enumerate(texts)]
        ids = {text: token for token, text in enumerate(texts)}
        if len(ids) != size:
            twice = next(text for token, text in enumerate(texts) if ids[text] != token)
            raise _damaged(
                f"tokenizer.ggml.tokens: {twice!r} is there twice, ids {texts.index(twice)} and {ids[twice]}"
            )
        types = metadata.ints("tokenizer.ggml.token_type", [int(TokenType.NORMAL)] * size)
        scores = metadata.floats("tokenizer.ggml.scores", [0.0] * size)
        for name, values in (("token_type", types), ("scores", scores)):
            if len(values) < size:
                raise _damaged(
                    f"tokenizer.ggml.{name} has {len(values)} values, expected one for each of {size} tokens"
                )
        for token, kind in enumerate(types[:size]):
            if kind == TokenType.BYTE and not re.fullmatch("<0x[0-9A-Fa-f]{2}>", texts[token]):
                raise _damaged(
                    f"token {token} is a byte token, but its text is {texts[token]!r}, expected <0x00> to <0xFF>"
                )
        return cls(texts, types[:size], scores[:size], ids)

    def byte_tokens(self, symbol: str) -> list[int]:
        """The tokens of the bytes of a symbol, where the vocabulary has them."""
        names = (f"<0x{byte:02X}>" for byte in symbol.encode())
        return [self.ids[name] for name in names if name in self.ids]

    def special_id(self, metadata: Metadata, name: str, default: int | None = None) -> int | None:
        """The token that tokenizer.ggml.<name>_token_id names. A default outside the vocabulary counts as none."""
        if default is not None and default >= len(self.texts):
            default = None
        token = metadata.int(f"tokenizer.ggml.{name}_token_id", default)
        if token is not None and not 0 <= token < len(self.texts):
            raise _damaged(
                f"tokenizer.ggml.{name}_token_id is {token}, expected less than {len(self.texts)} (the tokens)"
            )
        return token

    def first(self, texts: Iterable[str]) -> int | None:
        """The lowest id among the tokens of these texts."""
        return min((self.ids[text] for text in texts if text in self.ids), default=None)


def _damaged(message: str) -> GGUFError:
    return GGUFError(message, hint="the vocabulary is damaged: download or convert the file again")

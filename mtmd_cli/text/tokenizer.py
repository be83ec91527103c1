"""From text to token ids and back, as a model file describes it.

Token ids equal those of llama.cpp b11434 (src/llama-vocab.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from mtmd_cli.errors import UnsupportedModel
from mtmd_cli.text.bpe import RankedPairs
from mtmd_cli.text.metadata import Metadata
from mtmd_cli.text.pretokenizers import pre_tokenizer
from mtmd_cli.text.special import SpecialTokens, find_ends
from mtmd_cli.text.spm import ScoredPairs
from mtmd_cli.text.vocabulary import TokenType, Vocabulary
from mtmd_cli.text.wordpiece import WordPieces


class Tokenizer:
    """Encodes text, and gives the bytes of tokens.

    bos and eos begin and end a text; add_bos and add_eos tell whether `encode` adds them when asked for special tokens.
    eog: every token that ends an answer. suppressed: tokens that must never be sampled.
    """

    def __init__(self, vocabulary: Vocabulary, metadata: Metadata, rules: Rules) -> None:
        self.size = len(vocabulary.texts)
        self.bos, self.eos = rules.bos, rules.eos
        self.add_bos, self.add_eos = rules.add_bos and rules.bos is not None, rules.add_eos and rules.eos is not None
        self._vocabulary, self.eog = find_ends(vocabulary, metadata, rules.eos)
        self.suppressed = frozenset(metadata.ints("tokenizer.ggml.suppress_tokens", [])) & frozenset(range(self.size))
        self._special = SpecialTokens(self._vocabulary, metadata)
        self._model = rules.model
        self._space_prefix = rules.space_prefix

    @classmethod
    def from_metadata(cls, metadata: Metadata) -> Tokenizer:
        """Raises UnsupportedModel for a kind of tokenizer that is not known, GGUFError for a damaged vocabulary."""
        kind = metadata.str("tokenizer.ggml.model")
        if kind not in _KINDS:
            raise UnsupportedModel(
                f"tokenizer.ggml.model: the tokenizer {kind!r} is unknown",
                hint=f"known tokenizers: {', '.join(_KINDS)}",
            )
        vocabulary = Vocabulary.from_metadata(metadata)
        return cls(vocabulary, metadata, _KINDS[kind](vocabulary, metadata))

    def encode(self, text: str, *, add_special: bool = False, parse_special: bool = True) -> list[int]:
        """The tokens of a text.

        add_special: with bos and eos, as the file wants them. parse_special: the texts of control tokens stand for the
        tokens; else they are text like any other. What is no character (a lone surrogate) becomes U+FFFD.
        """
        tokens = [self.bos] if add_special and self.add_bos and self.bos is not None else []
        for part in self._special.cut(_LONE_SURROGATE.sub("\ufffd", text), parse_special=parse_special):
            tokens += [part] if isinstance(part, int) else self._model.encode(part)
        if add_special and self.add_eos and self.eos is not None:
            tokens.append(self.eos)
        return tokens

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token, which may end inside a character; none for a control token unless `special`."""
        kind, text = self._vocabulary.types[token], self._vocabulary.texts[token]
        if kind in (TokenType.CONTROL, TokenType.UNKNOWN):
            return text.encode() if special else b""
        if kind == TokenType.USER_DEFINED:
            return text.encode()
        if kind == TokenType.BYTE:
            return bytes.fromhex(text[3:5])
        return self._model.decode(text) if kind == TokenType.NORMAL else b""

    def decode(self, tokens: Iterable[int], *, special: bool = False) -> str:
        """The text of tokens, without the space that `encode` put in front."""
        text = b"".join(self.piece(token, special=special) for token in tokens).decode(errors="replace")
        return text.removeprefix(" ") if self._space_prefix else text

    def token(self, text: str) -> int | None:
        """The token whose text is exactly this."""
        return self._vocabulary.ids.get(text)


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class TextModel(Protocol):
    """What one kind of tokenizer does with text that holds no special token."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text that is not empty, and stands at the beginning or behind a special token."""
        ...

    def decode(self, text: str) -> bytes:
        """The bytes that the text of an ordinary token stands for."""
        ...


@dataclass(frozen=True)
class Rules:
    """What the kinds of tokenizers differ in."""

    model: TextModel
    bos: int | None
    eos: int | None
    add_bos: bool
    add_eos: bool
    space_prefix: bool = False


def _scored_pairs(vocabulary: Vocabulary, metadata: Metadata) -> Rules:
    space_prefix = metadata.bool("tokenizer.ggml.add_space_prefix", True)
    unknown = vocabulary.special_id(metadata, "unknown", 0)
    return Rules(
        ScoredPairs(vocabulary, space_prefix=space_prefix, unknown=unknown),
        bos=vocabulary.special_id(metadata, "bos", 1),
        eos=vocabulary.special_id(metadata, "eos", 2),
        add_bos=metadata.bool("tokenizer.ggml.add_bos_token", True),
        add_eos=metadata.bool("tokenizer.ggml.add_eos_token", False),
        space_prefix=space_prefix,
    )


def _ranked_pairs(vocabulary: Vocabulary, metadata: Metadata) -> Rules:
    return _ranked_pairs_cut(vocabulary, metadata, metadata.str("tokenizer.ggml.pre", "") or "default")


def _gemma4(vocabulary: Vocabulary, metadata: Metadata) -> Rules:
    return _ranked_pairs_cut(vocabulary, metadata, "gemma4")


def _ranked_pairs_cut(vocabulary: Vocabulary, metadata: Metadata, name: str) -> Rules:
    pre = pre_tokenizer(name)
    return Rules(
        RankedPairs(vocabulary, metadata.strs("tokenizer.ggml.merges"), pre),
        bos=vocabulary.special_id(metadata, "bos"),
        eos=vocabulary.special_id(metadata, "eos"),
        add_bos=metadata.bool("tokenizer.ggml.add_bos_token", pre.add_bos) or pre.always_bos,
        add_eos=metadata.bool("tokenizer.ggml.add_eos_token", False),
    )


def _word_pieces(vocabulary: Vocabulary, metadata: Metadata) -> Rules:
    lowercase = metadata.bool("tokenizer.ggml.normalizer.lowercase", True)
    model = WordPieces(
        vocabulary,
        unknown=vocabulary.special_id(metadata, "unknown", 100),
        lowercase=lowercase,
        strip_accents=metadata.bool("tokenizer.ggml.normalizer.strip_accents", lowercase),
    )
    return Rules(
        model,
        bos=vocabulary.special_id(metadata, "bos", 101),
        eos=vocabulary.special_id(metadata, "seperator", 102),  # spelled so in the files
        add_bos=True,
        add_eos=True,
    )


_KINDS: dict[str, Callable[[Vocabulary, Metadata], Rules]] = {
    "llama": _scored_pairs,
    "gpt2": _ranked_pairs,
    "gemma4": _gemma4,
    "bert": _word_pieces,
}

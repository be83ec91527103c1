"""Tokens that steer: which end an answer, and which are cut out of a text before the rest is tokenised.

Files say little about this, so llama.cpp knows such tokens by their text; the lists here are its lists
(src/llama-vocab.cpp, b11434).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mtmd_cli.text.metadata import Metadata
from mtmd_cli.text.vocabulary import TokenType, Vocabulary

_ENDS = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>",
    "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[",
)  # fmt: skip

# Fill-in-the-middle tokens by role. Those that open a new file or pad it end an answer, the others are only CONTROL.
_FILL_IN = {
    "fim_pre": (
        "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
        "<|prefix|>",
    ),
    "fim_suf": (
        "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
        "<|suffix|>",
    ),
    "fim_mid": (
        "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
        "<|middle|>",
    ),
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}  # fmt: skip
_OLD_FILL_IN_KEYS = {"fim_pre": "prefix", "fim_suf": "suffix", "fim_mid": "middle"}
_FILL_IN_ENDS = ("fim_pad", "fim_rep", "fim_sep")

# The channel tokens of gpt-oss are CONTROL in files, yet part of what a reader must see.
_SHOWN = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")


def find_ends(vocabulary: Vocabulary, metadata: Metadata, eos: int | None) -> tuple[Vocabulary, frozenset[int]]:
    """The tokens that end an answer, and the vocabulary with the types that steering tokens ought to have."""
    types = list(vocabulary.types)
    ends = {vocabulary.ids[text] for text in _ENDS if text in vocabulary.ids}
    for token in ends:
        types[token] = TokenType.CONTROL
    for role, texts in _FILL_IN.items():
        old = vocabulary.special_id(metadata, _OLD_FILL_IN_KEYS.get(role, role))
        fill_in = vocabulary.special_id(metadata, role, old)
        if fill_in is None and (fill_in := vocabulary.first(texts)) is not None:
            types[fill_in] = TokenType.CONTROL
        if fill_in is not None and role in _FILL_IN_ENDS:
            ends.add(fill_in)
    for text in _SHOWN:
        if text in vocabulary.ids:
            types[vocabulary.ids[text]] = TokenType.USER_DEFINED
    named = (eos, vocabulary.special_id(metadata, "eot"), vocabulary.special_id(metadata, "eom"))
    ends.update(token for token in named if token is not None)
    for text, kind in _not_ends({vocabulary.texts[token] for token in ends}):
        ends.discard(vocabulary.ids[text])
        types[vocabulary.ids[text]] = kind
    return replace(vocabulary, types=types), frozenset(ends)


def _not_ends(texts: set[str]) -> Iterator[tuple[str, TokenType]]:
    """Texts that end an answer in some models, but not in one that also has the tokens asked for here."""
    harmony = {"<|return|>", "<|flush|>"} & texts and {"<|call|>", "<|calls|>"} & texts
    if "<|end|>" in texts and harmony:
        yield "<|end|>", TokenType.USER_DEFINED
    if "</s>" in texts and {"<|tool_response>", "<|plamo:eos|>"} & texts:
        yield "</s>", TokenType.NORMAL


@dataclass(frozen=True)
class SpecialToken:
    """A token that is found by its text. It may swallow the white space on one of its sides."""

    token: int
    text: str
    strip_left: bool = False
    strip_right: bool = False

    def cut(self, part: str) -> Iterator[str | int]:
        """The part with this token in place of each occurrence of its text."""
        pieces = part.split(self.text)
        for at, piece in enumerate(pieces):
            if at > 0:
                yield self.token
                if self.strip_right:
                    piece = piece.lstrip(_WHITE_SPACE)
            if self.strip_left and at + 1 < len(pieces):
                piece = piece.rstrip(_WHITE_SPACE)
            if piece:
                yield piece


_WHITE_SPACE = " \t\n\v\f\r"  # what C calls white space


class SpecialTokens:
    """Cuts special tokens out of a text, the longest first.

    Tokens that users defined are always found; CONTROL and UNKNOWN ones only where the text may steer.
    """

    def __init__(self, vocabulary: Vocabulary, metadata: Metadata) -> None:
        user, steering = TokenType.USER_DEFINED, (TokenType.CONTROL, TokenType.UNKNOWN)
        ids = [token for token, kind in enumerate(vocabulary.types) if kind == user or kind in steering]
        ids.sort(key=lambda token: -len(vocabulary.texts[token].encode()))
        left, right = _stripping(vocabulary, metadata, ids)
        self._all = [SpecialToken(token, vocabulary.texts[token], token in left, token in right) for token in ids]
        self._user = [special for special in self._all if vocabulary.types[special.token] == user]

    def cut(self, text: str, *, parse_special: bool) -> list[str | int]:
        """The text in parts: token ids where a special token stood, and strings, none of them empty."""
        parts: list[str | int] = [text] if text else []
        for special in self._all if parse_special else self._user:
            if special.text in text:
                parts = [new for part in parts for new in (special.cut(part) if isinstance(part, str) else (part,))]
        return parts


def _stripping(vocabulary: Vocabulary, metadata: Metadata, special: Iterable[int]) -> tuple[set[int], set[int]]:
    """Tokens that swallow white space on their left, and on their right: llama.cpp knows them by the model's name."""
    name = metadata.str("general.name", "").lower()
    if re.search("jina-v2-(de|es|code)|mmbert", metadata.str("tokenizer.ggml.pre", "")) or re.search(
        "nomic-bert-moe|jina-bert-v3", metadata.str("general.architecture", "")
    ):
        return {vocabulary.ids["<mask>"]} if "<mask>" in vocabulary.ids else set(), set()
    if "phi-3" in name or "phi3" in name:
        kept = {vocabulary.ids.get(text) for text in ("<unk>", "<s>", "<|endoftext|>")}
        return set(), {token for token in special if token not in kept}
    if "modern-bert" in name:
        return {vocabulary.ids["[MASK]"]} if "[MASK]" in vocabulary.ids else set(), set()
    return set(), set()

"""Byte-pair merging by rank, on the `tokenizers` library, for files of tokenizer model "gpt2" and "gemma4"."""

from __future__ import annotations

import re

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from mtmd_cli.errors import GGUFError
from mtmd_cli.text.pretokenizers import PreTokenizer
from mtmd_cli.text.vocabulary import SPACE, Vocabulary


class RankedPairs:
    """Text to tokens by a list of merges, the first of which are made first."""

    def __init__(self, vocabulary: Vocabulary, merges: list[str], pre: PreTokenizer) -> None:
        """Raises GGUFError for a merge that is not two tokens which join to a third."""
        self._ids = vocabulary.ids
        self._pre = pre
        self._tokenizer = Tokenizer(_merger(vocabulary, merges, pre))
        steps: list[pre_tokenizers.PreTokenizer] = [
            pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in pre.patterns
        ]
        if pre.byte_level:
            steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        self._byte_of = {letter: byte for byte, letter in enumerate(_byte_letters())}

    def encode(self, text: str, *, after_special: bool) -> list[int]:
        if self._pre.escape_spaces:
            text = text.replace(" ", SPACE)
        if self._pre.prefix_lines:
            text = re.sub(f"^(?=[^{SPACE}\n])", SPACE, text, flags=re.MULTILINE)
        if not self._pre.whole_newlines:
            return self._merge(text)
        parts = re.findall(r"\n+|[^\n]+", text)
        return [token for part in parts for token in self._line(part)]

    def decode(self, text: str) -> bytes:
        if self._pre.byte_level:
            return b"".join(
                bytes((self._byte_of[letter],)) if letter in self._byte_of else letter.encode() for letter in text
            )
        return (text.replace(SPACE, " ") if self._pre.escape_spaces else text).encode()

    def _line(self, part: str) -> list[int]:
        return [self._ids[part]] if part.startswith("\n") and part in self._ids else self._merge(part)

    def _merge(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _merger(vocabulary: Vocabulary, merges: list[str], pre: PreTokenizer) -> models.BPE:
    # A merge that is listed twice has its first rank; the library would take the last.
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in dict.fromkeys(merges))]
    try:
        return models.BPE(
            vocabulary.ids, pairs, ignore_merges=pre.ignore_merges, byte_fallback=not pre.byte_level, fuse_unk=False
        )
    except Exception as problem:  # the library raises no narrower type
        raise GGUFError(
            f"tokenizer.ggml.merges does not fit tokenizer.ggml.tokens: {problem}",
            hint="the vocabulary is damaged: download or convert the file again",
        ) from problem


def _byte_letters() -> list[str]:
    """GPT-2's letter for each byte: itself when it can be seen in Latin-1, else the next letter from U+0100 on."""
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in seen]
    return [chr(byte) if byte in seen else chr(0x100 + hidden.index(byte)) for byte in range(256)]

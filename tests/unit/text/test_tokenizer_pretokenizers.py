"""Texts are cut into words as llama.cpp b11434 cuts them, by each of its rules.

`pretokenizers.json` holds what its own unicode.cpp makes of the texts: the length of each word in bytes, under one name
of each rule.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from mtmd_cli.errors import UnsupportedModel
from mtmd_cli.text.bpe import word_splitter
from mtmd_cli.text.pretokenizers import PRE_TOKENIZERS, pre_tokenizer

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "pretokenizers.json").read_text(encoding="utf-8"))


def lengths(name: str, text: str) -> list[int]:
    """The words' lengths in bytes; the letters that stand for bytes are one character each."""
    pre = pre_tokenizer(name)
    words = [word for word, _ in word_splitter(pre).pre_tokenize_str(text)]
    return [len(word) if pre.byte_level else len(word.encode()) for word in words if word]


@pytest.mark.parametrize("name", REFERENCE["splits"])
def test_words_are_those_of_the_reference(name: str) -> None:
    for text, expected in zip(REFERENCE["texts"], REFERENCE["splits"][name], strict=True):
        assert lengths(name, text) == expected, ascii(text)


def test_every_rule_is_tested() -> None:
    tested = [PRE_TOKENIZERS[name] for name in REFERENCE["splits"]]
    assert all(entry in tested for entry in PRE_TOKENIZERS.values())


# What else the reference decides by name.
@pytest.mark.parametrize(
    ("flag", "names"),
    [
        ("add_bos", "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano tekken chameleon"),
        ("always_bos", "gemma4 granite-embed-multi-311m"),
        ("escape_spaces", "gemma4 granite-embed-multi-311m mmbert sarvam-moe"),
        ("whole_newlines", "gemma4 granite-embed-multi-311m mmbert"),
        (
            "ignore_merges",
            "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano minicpm5 youtu glm4 glm5"
            " tekken granite-embed-multi-97m",
        ),
    ],
)
def test_flags_by_name(flag: str, names: str) -> None:
    assert {name for name, entry in PRE_TOKENIZERS.items() if getattr(entry, flag)} == set(names.split())


@pytest.mark.parametrize("name", REFERENCE["splits"])
@pytest.mark.parametrize("text", ["a", "aB", " ", "é", "中", ".", "\n", "a ", "'"])
def test_long_words_take_linear_time(name: str, text: str) -> None:
    splitter = word_splitter(pre_tokenizer(name))
    start = time.process_time()
    splitter.pre_tokenize_str(text * 10_000)
    assert (
        time.process_time() - start < 1
    )  # some 10 ms; where patterns look back from every character it is 2 s and more


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnsupportedModel, match="'qwen9'") as caught:
        pre_tokenizer("qwen9")
    assert "qwen2" in caught.value.hint

"""Token ids equal the reference's, for its own test texts and for every prompt of the reference data."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from mtmd_cli.gguf import open_gguf
from mtmd_cli.text.tokenizer import Tokenizer

MARKER = "<__media__>"


def vocabulary(folder: Path, name: str, scratch: Path) -> Tokenizer:
    path = folder / f"{name}.gguf"
    if not path.exists():
        with gzip.open(folder / f"{name}.gguf.gz") as packed, (scratch / path.name).open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
        path = scratch / path.name
    return Tokenizer.from_metadata(open_gguf(path).metadata)


def test_texts_of_the_reference(golden_root: Path, tmp_path: Path) -> None:
    tables = sorted((golden_root / "vocab").glob("*.gguf.inp"))
    if not tables:
        pytest.skip("no vocabularies here")
    for table in tables:
        tokenizer = vocabulary(table.parent, table.name.removesuffix(".gguf.inp"), tmp_path)
        texts = table.read_bytes().decode().split("\n__ggml_vocab_test__\n")
        lines = table.with_suffix(".out").read_text().splitlines()
        for text, line in zip(texts, lines, strict=False):
            tokens = [int(token) for token in line.split()]
            assert tokenizer.encode(text, parse_special=False) == tokens, (table.name, text)
            assert tokenizer.decode(tokens) == text, (table.name, text)


def test_prompts_of_the_reference(golden_root: Path) -> None:
    """Around an image a family may put tokens of its own; the text parts stand between them unbroken, and in order."""
    folders = sorted(path.parent for path in golden_root.glob("*/text.gguf"))
    if not folders:
        pytest.skip("no reference data here")
    for folder in folders:
        tokenizer = Tokenizer.from_metadata(open_gguf(folder / "text.gguf").metadata)
        for path in sorted(folder.glob("case_*.json")):
            case = json.loads(path.read_text())
            expected = [token for chunk in case["chunks"] if chunk["type"] == "text" for token in chunk["tokens"]]
            parts = [part for segment in case["segments"] for part in segment["text"].split(MARKER)]
            encoded = [tokenizer.encode(part, add_special=at == 0) for at, part in enumerate(parts)]
            at = 0
            for tokens in encoded:
                at = find(expected, tokens, at) + len(tokens)
            assert expected[: len(encoded[0])] == encoded[0] and at == len(expected), path


def find(tokens: list[int], part: list[int], start: int) -> int:
    return next(at for at in range(start, len(tokens) + 1) if tokens[at : at + len(part)] == part)


def test_pieces_of_the_reference(golden_root: Path) -> None:
    folders = sorted(path.parent for path in golden_root.glob("*/text.gguf"))
    if not folders:
        pytest.skip("no reference data here")
    for folder in folders:
        tokenizer = Tokenizer.from_metadata(open_gguf(folder / "text.gguf").metadata)
        for path in sorted(folder.glob("case_*.json")):
            case = json.loads(path.read_text())
            pieces = [tokenizer.piece(token, special=True) for token in case["greedy_tokens"]]
            assert [piece.decode(errors="replace") for piece in pieces] == case["greedy_pieces"], path
            assert (case["greedy_tokens"][-1] in tokenizer.eog) == case["stopped_at_eog"], path

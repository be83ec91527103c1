"""What every language family promises, on tiny files with random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mtmd_cli.errors import UnsupportedModel
from mtmd_cli.gguf import open_gguf
from mtmd_cli.language.loader import build_decoder
from mtmd_cli.language.registry import LANGUAGE_FAMILIES
from mtmd_cli.weights import load_weights
from tests.parity.pair import CPU, Reader, assert_every_way, load_decoder, some_tokens
from tests.tiny.outline import VOCABULARY, architecture, outlines, write_tiny

TOKENS = 60  # more than the windows of these files
REGISTERED = {family.name for family in LANGUAGE_FAMILIES}
OUTLINES = [path for path in outlines("language") if architecture(path) in REGISTERED]


def test_every_family_is_here() -> None:
    assert {architecture(path) for path in OUTLINES} == REGISTERED, "python -m tests.tiny.outline adds one"


@pytest.fixture(params=OUTLINES, ids=lambda path: path.stem)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_tiny(request.param, tmp_path / "text.gguf")


def test_every_way_of_reading_gives_the_same(file: Path) -> None:
    prompt = some_tokens(VOCABULARY, TOKENS)
    with torch.inference_mode():
        expected = Reader(load_decoder(file), prompt).read(TOKENS)
    assert expected.isfinite().all()
    assert_every_way(file, prompt, expected)


def test_a_missing_tensor_is_named(file: Path) -> None:
    opened = open_gguf(file)
    without = {name: tensor for name, tensor in opened.tensors.items() if name != "token_embd.weight"}
    decoder, tensors = build_decoder(replace(opened, tensors=without), torch.float32)
    with pytest.raises(UnsupportedModel, match="token_embd.weight"):
        load_weights(decoder, tensors, source="text.gguf", device=CPU, dtype=torch.float32)


def test_an_unused_tensor_is_named(file: Path) -> None:
    opened = open_gguf(file)
    surplus = replace(opened.tensors["token_embd.weight"], name="blk.0.surplus.weight")
    decoder, tensors = build_decoder(replace(opened, tensors={**opened.tensors, surplus.name: surplus}), torch.float32)
    with pytest.raises(UnsupportedModel, match="blk.0.surplus.weight"):
        load_weights(decoder, tensors, source="text.gguf", device=CPU, dtype=torch.float32)

"""Architectures whose positions count time, rows and columns, and images with features for deeper layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtmd_cli.errors import GGUFError
from mtmd_cli.gguf import GGUFFile, Metadata
from mtmd_cli.gguf.metadata import Value
from mtmd_cli.language.family import Keys
from mtmd_cli.language.loader import language_family
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Attention, DecoderSpec

SIZES: dict[str, Value] = {
    "block_count": 3,
    "embedding_length": 64,
    "feed_forward_length": 96,
    "context_length": 512,
    "attention.head_count": 4,
    "attention.layer_norm_rms_epsilon": 1e-6,
    "rope.dimension_sections": (4, 2, 2, 0),
}


def spec(architecture: str, **changes: Value) -> DecoderSpec:
    values = {f"{architecture}.{key}": value for key, value in (SIZES | changes).items() if value != ()}
    metadata = Metadata(values | {"general.architecture": architecture, "tokenizer.ggml.tokens": ("a", "b")})
    family = language_family(GGUFFile(Path("text.gguf"), metadata, {}))
    return family.spec(Keys(metadata), Parts({}))


@pytest.mark.parametrize(("architecture", "interleaved"), [("qwen2vl", False), ("qwen3vl", True)])
def test_the_file_says_which_frequencies_follow_which_axis(architecture: str, interleaved: bool) -> None:
    mixer = spec(architecture).layers[0].mixer
    assert isinstance(mixer, Attention) and mixer.rope is not None
    assert (mixer.rope.sections, mixer.rope.interleaved) == ((4, 2, 2, 0), interleaved)


@pytest.mark.parametrize(
    ("levels", "layers", "input_width"),
    [
        (0, [0, 0, 0], 64),
        (1, [0, 1, 0], 128),
        (2, [0, 1, 2], 192),  # added behind layers 0 and 1, which is before layers 1 and 2
    ],
)
def test_features_join_in_behind_the_first_layers(levels: int, layers: list[int], input_width: int) -> None:
    found = spec("qwen3vl", n_deepstack_layers=levels)
    assert [layer.deepstack for layer in found.layers] == layers
    assert found.input_width == input_width


@pytest.mark.parametrize(
    ("architecture", "changes", "found"),
    [
        ("qwen2vl", {"rope.dimension_sections": ()}, "qwen2vl.rope.dimension_sections is missing"),
        ("qwen3vl", {"rope.dimension_sections": ()}, "qwen3vl.rope.dimension_sections is missing"),
        ("qwen2vl", {"rope.dimension_sections": (4, 4)}, r"is \[4, 4\]"),
        ("qwen2vl", {"rope.dimension_sections": (4, -1, 5)}, r"is \[4, -1, 5\]"),
        ("qwen2vl", {"rope.dimension_sections": (0, 0, 0, 0)}, r"is \[0, 0, 0, 0\]"),
        ("qwen3vl", {"n_deepstack_layers": 3}, "n_deepstack_layers is 3, expected less than the 3 layers"),
    ],
)
def test_odd_metadata_is_named(architecture: str, changes: dict[str, Value], found: str) -> None:
    with pytest.raises(GGUFError, match=found):
        spec(architecture, **changes)

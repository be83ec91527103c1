"""What a file of Qwen 3.5 says about its layers is checked before it is believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mtmd_cli.diagnostics.describe import describe
from mtmd_cli.errors import GGUFError
from mtmd_cli.gguf import Metadata
from mtmd_cli.gguf.metadata import Value
from mtmd_cli.language.families.qwen35 import QWEN35
from mtmd_cli.language.family import Keys
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Attention, DecoderSpec, DeltaNet
from tests.tiny.outline import outlines, write_tiny

SAID: dict[str, Value] = {
    "block_count": 8,
    "context_length": 64,
    "embedding_length": 32,
    "feed_forward_length": 48,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.layer_norm_rms_epsilon": 1e-6,
    "rope.dimension_count": 8,
    "rope.dimension_sections": (2, 1, 1, 0),
    "ssm.conv_kernel": 4,
    "ssm.state_size": 8,
    "ssm.group_count": 2,
    "ssm.time_step_rank": 6,
    "ssm.inner_size": 72,
}


def spec(**more: Value) -> DecoderSpec:
    said = {f"qwen35.{key}": value for key, value in {**SAID, **more}.items()}
    tokens: dict[str, Value] = {"general.architecture": "qwen35", "tokenizer.ggml.tokens": ("a",)}
    return QWEN35.spec(Keys(Metadata({**tokens, **said})), Parts({}))


def attention_layers(found: DecoderSpec) -> list[int]:
    return [index for index, layer in enumerate(found.layers) if isinstance(layer.mixer, Attention)]


@pytest.mark.parametrize(
    ("more", "attention"),
    [
        ({}, [3, 7]),
        ({"full_attention_interval": 2}, [1, 3, 5, 7]),
        ({"attention.recurrent_layers": (False, *[True] * 7)}, [0]),
        ({"block_count": 9, "nextn_predict_layers": 1}, [3, 7]),
    ],
)
def test_attention_stands_where_the_file_says(more: dict[str, Value], attention: list[int]) -> None:
    found = spec(**more)
    assert attention_layers(found) == attention
    assert len(found.layers) == 8
    assert DeltaNet(heads=6, key_heads=2, key_dim=8, value_dim=12, kernel=4) in [layer.mixer for layer in found.layers]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ssm.time_step_rank": 5}, "72 values for 5 heads with 2 keys"),
        ({"ssm.time_step_rank": 0}, "for 0 heads"),
        ({"ssm.group_count": 0}, "with 0 keys"),
        ({"ssm.inner_size": 71}, "71 values"),
        ({"ssm.conv_kernel": 1}, "conv_kernel is 1"),
        ({"ssm.conv_kernel": 1 << 30}, "conv_kernel is"),
        ({"full_attention_interval": 0}, "full_attention_interval is 0"),
        ({"attention.recurrent_layers": (True, False)}, "recurrent_layers has 2 values"),
        ({"rope.dimension_sections": ()}, "dimension_sections is missing"),
    ],
)
def test_what_cannot_be_is_named(wrong: dict[str, Value], named: str) -> None:
    with pytest.raises(GGUFError, match=named):
        spec(**wrong)


def test_layers_that_guess_further_ahead_are_named_as_left_aside(tmp_path: Path) -> None:
    said = json.loads(next(path for path in outlines("language") if path.stem == "qwen35").read_text())
    blocks = said["metadata"]["qwen35.block_count"]
    guessing = {f"blk.{blocks}.{name}": "F32 64" for name in ("attn_norm.weight", "nextn.enorm.weight")}
    said["metadata"] |= {"qwen35.block_count": blocks + 1, "qwen35.nextn_predict_layers": 1}
    said["tensors"] |= guessing
    (tmp_path / "outline.json").write_text(json.dumps(said))
    found = describe(write_tiny(tmp_path / "outline.json", tmp_path / "text.gguf"))
    assert found.problem is None and found.fit is not None
    assert (found.fit.missing, found.fit.unclaimed, found.fit.aside) == ((), (), tuple(sorted(guessing)))

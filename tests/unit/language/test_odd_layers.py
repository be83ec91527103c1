"""Language files whose layers cannot be as their metadata says are refused by the key that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mtmd_cli.errors import GGUFError
from mtmd_cli.gguf import GGUFFile, Metadata
from mtmd_cli.gguf.metadata import Value
from mtmd_cli.language.loader import build_decoder

KEYS: dict[str, Value] = {
    "context_length": 64,
    "embedding_length": 32,
    "block_count": 3,
    "feed_forward_length": 48,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.layer_norm_rms_epsilon": 1e-6,
    "attention.sliding_window": 8,
    "attention.sliding_window_pattern": (True, True, False),
    "logit_scale": 2.0,
}


@pytest.mark.parametrize(
    ("architecture", "changes", "found"),
    [
        ("gemma4", {"attention.sliding_window_pattern": (True,)}, "has 1 values, expected 3"),
        ("gemma4", {"attention.shared_kv_layers": 1}, "leaves 2 layers with keys, none of the kind of layer 2"),
        ("gemma4", {"attention.shared_kv_layers": 9}, "leaves 0 layers with keys"),
        ("granite", {"logit_scale": 0.0}, "logit_scale is 0"),
        ("granite", {"deepstack_mapping": (-1, 1)}, r"deepstack_mapping is \[-1, 1\]"),
        ("granite", {"deepstack_mapping": (-1, 2, 3)}, "expected -1 or a feature from 1 on"),
        ("granite", {"deepstack_mapping": (1, -1, -1)}, "expected -1 or a feature from 1 on"),
    ],
)
def test_the_wrong_key_is_named(architecture: str, changes: dict[str, Value], found: str) -> None:
    keys: dict[str, Value] = {f"{architecture}.{key}": value for key, value in {**KEYS, **changes}.items()}
    keys |= {"general.architecture": architecture, "tokenizer.ggml.tokens": ("a", "b")}
    with pytest.raises(GGUFError, match=found):
        build_decoder(GGUFFile(Path("text.gguf"), Metadata(keys), {}), torch.float32)

"""Outlines of tiny model files: all but the weights, so that a family's file costs a few kilobytes.

    python -m tests.tiny.outline FILE.gguf NAME

writes the outline of a tiny file (as tests/parity makes one, or a folder of reference data) for the contract tests:
vision/NAME.json for a projector, language/NAME.json for a language model, whose vocabulary is exchanged for bytes.
A projector and a language model of one name are a pair.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtmd_cli.gguf import open_gguf
from tests.parity.pair import write_gguf

HERE = Path(__file__).resolve().parent
KINDS = {"F32": np.float32, "F16": np.float16}
BYTES = 256
VOCABULARY = BYTES + 64  # bytes, and control tokens behind them
CONTROL, NORMAL = 3, 1
FEW_PIXELS = 12288  # that the largest images of a contract take milliseconds
BY_TOKEN = ("token_embd.weight", "per_layer_token_embd.weight", "output.weight", "output.bias")  # a row for each


def outlines(kind: str) -> list[Path]:
    """The outlines of every `vision` tower or `language` model."""
    return sorted((HERE / kind).glob("*.json"))


def architecture(source: Path) -> str:
    """The architecture of an outline, or its projector type."""
    metadata = json.loads(source.read_text())["metadata"]
    keys = ("clip.projector_type", "clip.vision.projector_type", "general.architecture")
    return next(str(metadata[key]) for key in keys if key in metadata)


def outline(path: Path) -> dict[str, Any]:
    """Metadata, and for each tensor its type and shape in words: "F32 64x48"."""
    file = open_gguf(path)
    keys = {key: value for key, value in file.metadata.items() if not key.startswith(("tokenizer.", "general."))}
    keys["general.architecture"] = file.metadata["general.architecture"]
    keys |= {key: VOCABULARY for key in keys if key.endswith(".vocab_size")}
    keys |= {key: FEW_PIXELS for key in keys if key == "clip.vision.image_max_pixels"}
    tensors = {}
    for name, tensor in file.tensors.items():
        rows, *rest = tensor.shape
        shape = [VOCABULARY if name in BY_TOKEN else rows, *rest]
        tensors[name] = f"{tensor.type.name} {'x'.join(map(str, shape))}"
    return {"metadata": keys, "tensors": tensors}


def write_tiny(source: Path, target: Path) -> Path:
    """A file of this outline with random weights, always the same ones."""
    said = json.loads(source.read_text())
    metadata = said["metadata"]
    if metadata["general.architecture"] != "clip":
        metadata |= vocabulary()
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, words in said["tensors"].items():
        kind, shape = words.split(" ")
        weights = random_weights(name, tuple(map(int, shape.split("x"))), generator)
        tensors[name] = torch.from_numpy(weights.numpy().astype(KINDS[kind]))
    return write_gguf(target, metadata, tensors)


def random_weights(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Of a size that keeps values near one on their way through many layers."""
    noise = torch.randn(shape, generator=generator)
    if len(shape) == 1:
        weights = noise * 0.1 + (0 if name.endswith(".bias") else 1)
        return -weights if name.endswith("ssm_a") else weights  # a decay
    return noise * shape[-1] ** -0.5


def vocabulary() -> dict[str, Any]:
    """A tokenizer whose tokens are bytes, with control tokens behind them."""
    control = [f"<|{number}|>" for number in range(VOCABULARY - BYTES - 1)]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [*gguf_bytes(), *control, "th"],
        "tokenizer.ggml.token_type": [NORMAL] * BYTES + [CONTROL] * len(control) + [NORMAL],
        "tokenizer.ggml.merges": ["t h"],
        "tokenizer.ggml.bos_token_id": BYTES,
        "tokenizer.ggml.eos_token_id": BYTES + 1,
        "tokenizer.ggml.add_bos_token": True,
    }


def gguf_bytes() -> list[str]:
    """The characters that stand for bytes in vocabularies of this kind: printable ones stand for themselves."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(BYTES)]


def main(source: Path, name: str) -> None:
    said = outline(source)
    folder = HERE / ("vision" if said["metadata"]["general.architecture"] == "clip" else "language")
    lines = json.dumps(said, indent=1)
    (folder / f"{name}.json").write_text(f"{lines}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

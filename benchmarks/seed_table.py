"""Memory and time of the Gemma 3 vision tower with flash attention on and off, on random weights.

    python -m benchmarks.seed_table            the planned memory, which takes a second and no weights
    python -m benchmarks.seed_table --time     also the time on the CPU; --blocks 2 is enough to see the ratio

The tower: 896 x 896 pixels, 27 layers, 16 heads of 72, 4096 patches, a hidden width of 4304.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from mtmd_cli.diagnostics.hollow import HollowMode
from mtmd_cli.diagnostics.recorder import Recorder
from mtmd_cli.gguf import GGMLType, Metadata, PackedTensor
from mtmd_cli.gguf.metadata import Value
from mtmd_cli.nn.parts import Parts
from mtmd_cli.pipeline.flash import choose_flash
from mtmd_cli.vision.config import TokenLimits, VisionConfig
from mtmd_cli.vision.families.gemma3 import GEMMA3

CPU = torch.device("cpu")
MIB = 2**20
WIDTH, HIDDEN, HEADS, PATCH, PIXELS, PROJECTION = 1152, 4304, 16, 14, 896, 2560


def metadata(blocks: int) -> Metadata:
    """What the file of Gemma-3-4B says."""
    vision: dict[str, Value] = {
        "image_size": PIXELS,
        "patch_size": PATCH,
        "embedding_length": WIDTH,
        "feed_forward_length": HIDDEN,
        "block_count": blocks,
        "attention.head_count": HEADS,
        "attention.layer_norm_epsilon": 1e-6,
        "projection_dim": PROJECTION,
        "image_mean": (0.5, 0.5, 0.5),
        "image_std": (0.5, 0.5, 0.5),
    }
    return Metadata({f"clip.vision.{key}": value for key, value in vision.items()} | {"clip.use_gelu": True})


def tensors(blocks: int) -> Mapping[str, PackedTensor]:
    """The tensors of such a file, by name alone: a tower is built by what the file has."""

    def names() -> Iterator[str]:
        yield from ("v.patch_embd", "v.post_ln")
        for block in range(blocks):
            for part in ("ln1", "ln2", "attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down"):
                yield f"v.blk.{block}.{part}"

    nothing = torch.empty(0, dtype=torch.uint8)
    whole = [f"{name}.{leaf}" for name in names() for leaf in ("weight", "bias")]
    return {name: PackedTensor(name, (), GGMLType.F32, nothing) for name in whole}


def build(blocks: int) -> nn.Module:
    """The tower on the meta device."""
    with torch.device("meta"):
        return GEMMA3.build(VisionConfig.from_metadata(metadata(blocks), TokenLimits()), Parts(tensors(blocks)))


def planned_peak(tower: nn.Module, wish: str, dtype: torch.dtype) -> int:
    """Bytes of activations at the peak; no operator computes."""
    choose_flash(tower, wish, CPU, dtype)
    with HollowMode(CPU, tower.parameters()) as hollow, torch.no_grad():
        recorder = Recorder(tower, hollow.weights)
        pixels = torch.empty(1, 3, PIXELS, PIXELS, dtype=dtype)
        with recorder:
            tower(pixels)
    return recorder.memory.peaks()[CPU]


def milliseconds(tower: nn.Module, wish: str, dtype: torch.dtype, repeats: int) -> float:
    """The median of some encodes, after one that does not count."""
    choose_flash(tower, wish, CPU, dtype)
    pixels = torch.rand(1, 3, PIXELS, PIXELS).to(dtype)
    times = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            started = time.perf_counter()
            tower(pixels)
            times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[1:])


def typed(tower: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The tower with norms in f32 and all else in `dtype`, as the loader would have it."""
    for module in tower.modules():
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.to(getattr(module, "stored_dtype", dtype))
    return tower


def with_weights(tower: nn.Module) -> nn.Module:
    """The tower with random weights."""
    tower = tower.to_empty(device=CPU)
    for parameter in tower.parameters():
        parameter.normal_(std=0.02)
    return tower


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=27, help="layers of the tower [27]")
    parser.add_argument("--time", action="store_true", help="encode for real, too")
    parser.add_argument("--repeats", type=int, default=3, help="timed encodes of each kind [3]")
    given = parser.parse_args()
    table = Table(title=f"Gemma 3 tower, {PIXELS} × {PIXELS}, {given.blocks} layers, {torch.get_num_threads()} threads")
    for name in ("dtype", "flash attention", "compute buffer MiB", *(["encode ms"] if given.time else [])):
        table.add_column(name, justify="right")
    for dtype in (torch.float32, torch.bfloat16):
        for wish in ("off", "on"):
            tower = typed(build(given.blocks), dtype)
            row = [str(dtype).removeprefix("torch."), wish, f"{planned_peak(tower, wish, dtype) / MIB:.2f}"]
            if given.time:
                row.append(f"{milliseconds(with_weights(tower), wish, dtype, given.repeats):.0f}")
            table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()

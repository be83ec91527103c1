"""A plan is the run, operator by operator, for every vision family."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from mtmd_cli.diagnostics.hollow import HollowMode
from mtmd_cli.diagnostics.recorder import Node, Recorder, TensorType
from mtmd_cli.nn.attention import Backend
from mtmd_cli.vision.config import TokenLimits
from mtmd_cli.vision.loader import Vision
from tests.contract.test_vision_contract import OUTLINES
from tests.parity.pair import CPU, load_tower
from tests.tiny.outline import write_tiny


@pytest.mark.parametrize("outline", OUTLINES, ids=lambda path: path.stem)
def test_the_plan_of_a_tower_is_its_run(outline: Path, tmp_path: Path) -> None:
    path = write_tiny(outline, tmp_path / "mmproj.gguf")
    vision = load_tower(path, Backend.CHUNKED, limits=TokenLimits(least=1, most=48))
    planned, found = record(vision, plan=True), record(vision, plan=False)
    assert [told(node) for node in planned.nodes] == [told(node) for node in found.nodes]
    assert planned.memory.peaks() == found.memory.peaks()


def record(vision: Vision, *, plan: bool) -> Recorder:
    weights = [*vision.tower.parameters(), *vision.tower.buffers()]
    size = vision.slicing.warmup_size()
    with ExitStack() as stack, torch.no_grad():
        if plan:
            weights = list(stack.enter_context(HollowMode(CPU, weights)).weights)
        pixels = torch.zeros(1, 3, size.height, size.width)
        with Recorder(vision.tower, weights) as recorder:
            vision.tower(pixels)
        del pixels
        recorder.memory.stop()
    return recorder


def told(node: Node) -> tuple[str, str, list[tuple[str, tuple[int, ...]]]]:
    def of(tensor: TensorType) -> tuple[str, tuple[int, ...]]:
        return tensor.dtype, tensor.shape

    return node.op, node.module, [of(tensor) for tensor in (*node.outputs, *node.inputs)]

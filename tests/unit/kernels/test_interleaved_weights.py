"""Modules whose weights were laid out for the kernels answer as they did before, to the rounding of activations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mtmd_cli.gguf import GGMLType, PackedTensor
from mtmd_cli.nn import interleaved
from mtmd_cli.nn.interleaved import can_interleave
from mtmd_cli.nn.kernels.cpu.library import Instructions, library
from mtmd_cli.nn.linear import Embedding, Linear
from mtmd_cli.nn.moe import ExpertLinear
from mtmd_cli.nn.parts import Parts
from mtmd_cli.pipeline.packing import interleave_weights

CPU = torch.device("cpu")
KIND = GGMLType.Q8_0
with_kernels = pytest.mark.skipif(isinstance(library(), str), reason="there are no kernels here")


def tensor(*shape: int) -> PackedTensor:
    generator = torch.Generator().manual_seed(1)
    count = torch.Size(shape).numel() // KIND.block
    blocks = torch.randint(0, 256, (count, KIND.block_bytes), dtype=torch.uint8, generator=generator)
    blocks[:, :2] = (torch.rand(count, 1, generator=generator) / 50).half().view(torch.uint8)
    return PackedTensor("weight", shape, KIND, blocks.flatten())


def loaded(module: Linear | Embedding | ExpertLinear, *shape: int) -> nn.Module:
    assert module.receive("weight", tensor(*shape), CPU, torch.float32)
    return module


def close(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).norm() < 0.01 * expected.norm())


@with_kernels
def test_a_linear_with_a_bias() -> None:
    linear = Linear(64, 40, bias=True)
    linear.bias = nn.Parameter(torch.randn(40), requires_grad=False)
    loaded(linear, 40, 64)
    x = torch.randn(3, 64)
    before = linear(x)
    assert linear.interleave(torch.float32) is None
    assert close(linear(x), before) and not torch.equal(linear(x), before)


@with_kernels
def test_a_tied_table_serves_rows_and_head() -> None:
    table = Embedding(100, 64)
    loaded(table, 100, 64)
    tokens, x = torch.tensor([99, 0, 17]), torch.randn(1, 64)
    rows, scores = table(tokens, torch.bfloat16), table.project(x)
    assert table.interleave(torch.float32) is None
    assert torch.equal(table(tokens, torch.bfloat16), rows)
    assert close(table.project(x), scores)


@with_kernels
def test_experts() -> None:
    experts = ExpertLinear(4, 64, 24, Parts({}))
    loaded(experts, 4, 24, 64)
    x, chosen = torch.randn(5, 2, 64), torch.tensor([[0, 3], [3, 1], [2, 0], [1, 3], [0, 1]])
    before = experts(x, chosen)
    assert experts.interleave(torch.float32) is None
    assert close(experts(x, chosen), before)


@pytest.mark.parametrize(
    ("kind", "columns", "device", "dtype", "reason"),
    [
        (GGMLType.F16, 64, "cpu", torch.float32, "dense weights"),
        (None, 64, "cpu", torch.float32, "dense weights"),
        (KIND, 64, "meta", torch.float32, "weights on meta"),
        (KIND, 64, "cpu", torch.float16, "activations in float16"),
    ],
)
def test_what_the_kernels_do_not_take_has_a_reason(
    kind: GGMLType | None, columns: int, device: str, dtype: torch.dtype, reason: str
) -> None:
    assert can_interleave(kind, columns, torch.device(device), dtype) == reason


def test_without_vectors_torch_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtmd_cli.nn.kernels.cpu.library.instructions_here", lambda: [Instructions.PLAIN])
    reason = library.__wrapped__()
    assert isinstance(reason, str) and "AVX2" in reason


@with_kernels
def test_a_type_without_a_layout_stays_on_the_reference() -> None:
    assert can_interleave(GGMLType.Q2_K, 256, CPU, torch.float32) == "weights in Q2_K"


@with_kernels
def test_a_packed_model_says_how_it_is_multiplied() -> None:
    first, second, dense = Linear(64, 40), Linear(64, 40), Linear(64, 40)
    loaded(first, 40, 64)
    loaded(second, 40, 64)
    released = []
    model = nn.ModuleList((first, second, dense))

    packing = interleave_weights(model, torch.bfloat16, lambda: released.append(True))

    assert packing is not None and (packing.interleaved, dict(packing.kept)) == (2, {})
    assert released


def test_without_kernels_the_reference_runs_and_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interleaved, "library", lambda: "no C compiler")
    linear = Linear(64, 40)
    loaded(linear, 40, 64)
    x = torch.randn(2, 64)
    before = linear(x)

    packing = interleave_weights(linear, torch.float32, lambda: pytest.fail("the pages are still needed"))

    assert packing is not None and (packing.interleaved, packing.kept) == (0, {"no C compiler": 1})
    assert torch.equal(linear(x), before)

"""Weights in ggml blocks multiply as their dequantised numbers do."""

from __future__ import annotations

import gguf
import pytest
import torch
from torch import Tensor, nn

from mtmd_cli.gguf import GGMLType, PackedTensor
from mtmd_cli.nn import packed
from mtmd_cli.nn.linear import Embedding, Linear
from mtmd_cli.nn.packed import packed_linear
from mtmd_cli.weights import load_weights

ROWS, COLUMNS = 24, 64
CPU = torch.device("cpu")
TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]


def stored(type_name: str, rows: int = ROWS, columns: int = COLUMNS) -> PackedTensor:
    numbers = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    kind = gguf.GGMLQuantizationType[type_name]
    data = torch.from_numpy(gguf.quants.quantize(numbers.numpy(), kind)).view(torch.uint8).flatten()
    return PackedTensor("weight", (rows, columns), GGMLType[type_name], data)


def bias() -> PackedTensor:
    return PackedTensor("bias", (ROWS,), GGMLType.F32, torch.arange(float(ROWS)).view(torch.uint8))


def filled(module: nn.Module, *tensors: PackedTensor) -> nn.Module:
    by_name = {tensor.name: tensor for tensor in tensors}
    load_weights(module, by_name, source="file", device=CPU, dtype=torch.float32)
    return module


def some(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("type_name", TYPES)
@pytest.mark.parametrize("shape", [(COLUMNS,), (3, COLUMNS), (2, 3, COLUMNS)])
def test_linear(type_name: str, shape: tuple[int, ...]) -> None:
    weight, x = stored(type_name), some(*shape)
    expected = x @ weight.dequantise().T
    assert torch.allclose(filled(Linear(COLUMNS, ROWS), weight)(x), expected, atol=1e-5)
    with_bias = filled(Linear(COLUMNS, ROWS, bias=True), weight, bias())
    assert torch.allclose(with_bias(x), expected + torch.arange(float(ROWS)), atol=1e-5)


@pytest.mark.parametrize("type_name", TYPES)
def test_quantised_weights_stay_as_the_file_holds_them(type_name: str) -> None:
    weight = stored(type_name)
    linear = filled(Linear(COLUMNS, ROWS), weight)
    assert isinstance(linear, Linear)
    if weight.type.is_float:
        assert linear.weight.dtype == torch.float32 and "F32" not in repr(linear)
    else:
        assert linear.weight.data_ptr() == weight.data.data_ptr(), "copied"
        assert type_name in repr(linear)


@pytest.mark.parametrize("type_name", TYPES)
def test_embedding(type_name: str) -> None:
    weight, tokens = stored(type_name), torch.tensor([5, 0, 23, 5])
    table = filled(Embedding(ROWS, COLUMNS), weight)
    assert isinstance(table, Embedding)
    assert table(tokens, torch.float32).equal(weight.dequantise()[tokens])
    # A tied output head multiplies with the same table.
    x = some(2, COLUMNS)
    assert torch.allclose(table.project(x), x @ weight.dequantise().T, atol=1e-5)


def test_little_room_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    linear, x = filled(Linear(COLUMNS, ROWS), stored("Q8_0")), some(3, COLUMNS)
    whole = linear(x)
    monkeypatch.setattr(packed, "BLOCK_ELEMENTS", 7 * COLUMNS)  # 24 rows in blocks of 7
    assert torch.allclose(linear(x), whole, atol=1e-6)


def test_a_recorder_sees_the_shape_without_data() -> None:
    weight = stored("Q4_0").data.view(ROWS, -1).to("meta")
    out = packed_linear(torch.empty(2, 3, COLUMNS, device="meta"), weight, int(GGMLType.Q4_0))
    assert out.shape == (2, 3, ROWS) and out.device.type == "meta"

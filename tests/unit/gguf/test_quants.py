"""Every type gives the very numbers of gguf-py, bit for bit, wherever and however it is asked."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from torch import Tensor

from mtmd_cli.errors import UnsupportedModel
from mtmd_cli.gguf import GGMLType, PackedTensor, open_gguf
from mtmd_cli.gguf.quants import BLOCKS_TO_FLOAT, CPU_STEP, dequantise
from mtmd_cli.gguf.quants.plain import DTYPES

UNKNOWN_TO_GGUF_PY = {GGMLType.Q1_0, GGMLType.Q2_0, GGMLType.Q8_1, GGMLType.Q8_K}
INTEGERS = {GGMLType.I8: np.int8, GGMLType.I16: np.int16, GGMLType.I32: np.int32, GGMLType.I64: np.int64}
BY_NUMPY = {**INTEGERS, GGMLType.F64: np.float64}
BY_GGUF_PY = [type for type in GGMLType if type not in UNKNOWN_TO_GGUF_PY | BY_NUMPY.keys()]
READABLE = [*BY_GGUF_PY, *BY_NUMPY, GGMLType.Q1_0, GGMLType.Q2_0]


def random_blocks(type: GGMLType, count: int) -> Tensor:
    return torch.randint(0, 256, (count, type.block_bytes), dtype=torch.uint8, generator=torch.manual_seed(type))


def assert_same_bits(found: Tensor, expected: np.ndarray) -> None:
    """Equal to the sign of zero; a NaN, which random scales hold, is any NaN."""
    assert found.dtype == torch.float32 and expected.dtype == np.float32
    assert tuple(found.shape) == expected.shape
    same = found.numpy().view(np.int32) == expected.view(np.int32)
    assert (same | (np.isnan(found.numpy()) & np.isnan(expected))).all()


def test_the_sizes_are_those_of_gguf_py() -> None:
    sizes = {type.name: (type.block, type.block_bytes) for type in GGMLType}
    theirs = {type.name: size for type, size in gguf.GGML_QUANT_SIZES.items() if type.name != "Q8_1"}  # theirs is 40
    assert {name: sizes[name] for name in theirs} == theirs
    assert all(GGMLType[type.name] == type for type in gguf.GGMLQuantizationType)


@pytest.mark.parametrize("type", BY_GGUF_PY, ids=lambda type: type.name)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # gguf-py on infinite scales
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_any_bytes_as_gguf_py(type: GGMLType) -> None:
    blocks = random_blocks(type, 300)
    assert_same_bits(dequantise(blocks, type), gguf.quants.dequantize(blocks.numpy(), gguf.GGMLQuantizationType(type)))


@pytest.mark.parametrize(
    ("name", "correlation"),
    [
        ("BF16", 0.99999),
        ("Q8_0", 0.9999),
        ("Q5_0", 0.998),
        ("Q5_1", 0.998),
        ("Q4_0", 0.99),
        ("Q4_1", 0.99),
        ("MXFP4", 0.98),
        ("TQ1_0", 0.6),  # three values a number
        ("TQ2_0", 0.6),
    ],
)
def test_quantised_numbers_come_back(name: str, correlation: float) -> None:
    theirs = gguf.GGMLQuantizationType[name]
    numbers = np.random.default_rng(0).standard_normal((8, 512), dtype=np.float32)
    blocks = gguf.quants.quantize(numbers, theirs)
    found = dequantise(torch.from_numpy(blocks), GGMLType[name])
    assert_same_bits(found, gguf.quants.dequantize(blocks, theirs))
    assert np.corrcoef(found.numpy().ravel(), numbers.ravel())[0, 1] > correlation


@pytest.mark.parametrize("quantization", ["q8_0", "q4_0", "q4_k_m", "q5_k_m", "q6_k"])
def test_real_weights_as_gguf_py(golden_root: Path, quantization: str) -> None:
    path = golden_root / "qwen2vl" / f"text-{quantization}.gguf"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    ours = open_gguf(path).tensors
    for entry in gguf.GGUFReader(path).tensors:
        assert_same_bits(ours[entry.name].dequantise(), gguf.quants.dequantize(entry.data, entry.tensor_type))


@pytest.mark.parametrize("type", BY_NUMPY, ids=lambda type: type.name)
def test_plain_numbers_as_numpy(type: GGMLType) -> None:
    blocks = torch.from_numpy(np.arange(-9, 9).astype(BY_NUMPY[type]).view(np.uint8))
    assert dequantise(blocks, type).tolist() == list(range(-9, 9))


def test_one_bit_is_a_sign() -> None:
    block = torch.tensor([0x00, 0x38, 0b0000_0101, *[0] * 15], dtype=torch.uint8)  # scale 0.5
    assert dequantise(block, GGMLType.Q1_0).tolist() == [0.5, -0.5, 0.5] + [-0.5] * 125


def test_two_bits_are_minus_one_to_two() -> None:
    block = torch.tensor([0x00, 0x38, 0b1110_0100, *[0b0101_0101] * 15], dtype=torch.uint8)  # scale 0.5
    assert dequantise(block, GGMLType.Q2_0).tolist() == [-0.5, 0, 0.5, 1] + [0] * 60


@pytest.mark.parametrize("type", [GGMLType.Q8_1, GGMLType.Q8_K], ids=lambda type: type.name)
def test_types_of_activations_are_refused(type: GGMLType) -> None:
    with pytest.raises(UnsupportedModel, match=type.name) as caught:
        dequantise(random_blocks(type, 1), type)
    assert caught.value.hint


@pytest.mark.parametrize("type", [*DTYPES, *BLOCKS_TO_FLOAT], ids=lambda type: type.name)
def test_native_types_never_leave_their_device(type: GGMLType) -> None:
    """The meta device has no memory: whatever would go through numpy or the CPU fails on it."""
    found = dequantise(torch.empty(5, 3 * type.block_bytes, dtype=torch.uint8, device="meta"), type)
    assert (found.device.type, found.dtype, found.shape) == ("meta", torch.float32, (5, 3 * type.block))


@pytest.mark.parametrize("type", READABLE, ids=lambda type: type.name)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
class TestEveryType:
    def test_one_block_alone_at_an_odd_byte(self, type: GGMLType) -> None:
        blocks = random_blocks(type, 1).flatten()
        odd = torch.cat([torch.zeros(1, dtype=torch.uint8), blocks])[1:]
        torch.testing.assert_close(dequantise(odd, type), dequantise(blocks, type), rtol=0, atol=0, equal_nan=True)

    def test_inference_mode(self, type: GGMLType) -> None:
        with torch.inference_mode():
            assert dequantise(random_blocks(type, 2), type).numel() == 2 * type.block

    def test_leaves_the_blocks_alone(self, type: GGMLType) -> None:
        blocks = random_blocks(type, 2)
        dequantise(blocks, type)
        assert torch.equal(blocks, random_blocks(type, 2))

    def test_no_blocks(self, type: GGMLType) -> None:
        assert dequantise(torch.empty(0, 2 * type.block_bytes, dtype=torch.uint8), type).shape == (0, 2 * type.block)


def test_more_than_one_step() -> None:
    type = GGMLType.Q8_0
    blocks = random_blocks(type, 1).repeat(CPU_STEP // type.block + 1, 1)
    found = dequantise(blocks, type)
    assert torch.equal(found[0], found[-1])
    assert len(found) == len(blocks)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("type", [GGMLType.Q4_0, GGMLType.Q6_K, GGMLType.F16, GGMLType.F32], ids=lambda type: type.name)
def test_rows_are_those_of_the_whole(type: GGMLType, dtype: torch.dtype) -> None:
    width = 2 * type.block
    numbers = torch.ones(6, width).half().view(torch.uint8) if type is GGMLType.F16 else None
    data = random_blocks(type, 12).flatten() if numbers is None else numbers.flatten()
    packed = PackedTensor("token_embd.weight", (6, width), type, data)
    whole = packed.dequantise(dtype)
    assert (whole.shape, whole.dtype) == ((6, width), dtype)
    for index in (torch.tensor([4, 0, 4]), torch.tensor([[1], [2]]), slice(1, 3)):
        torch.testing.assert_close(packed.rows(index, dtype), whole[index], rtol=0, atol=0, equal_nan=True)


def test_rows_of_experts_are_matrices() -> None:
    packed = PackedTensor("experts", (4, 3, 32), GGMLType.Q8_0, random_blocks(GGMLType.Q8_0, 12).flatten())
    torch.testing.assert_close(packed.rows(torch.tensor([2])), packed.dequantise()[2:3], equal_nan=True)


def test_a_tensor_describes_itself_without_its_numbers() -> None:
    packed = PackedTensor("a", (2,), GGMLType.F32, torch.zeros(8, dtype=torch.uint8))
    assert repr(packed) == "PackedTensor(name='a', shape=(2,), type=<GGMLType.F32: 0>)"
    assert packed.nbytes == 8


def test_floats_are_the_plain_ones() -> None:
    assert [type.name for type in GGMLType if type.is_float] == ["F32", "F16", "F64", "BF16"]

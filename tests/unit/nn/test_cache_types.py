"""Keys and values in blocks have the bytes that the format's own quantiser gives them."""

from __future__ import annotations

import gguf
import pytest
import torch
from torch import Tensor

from mtmd_cli.errors import UsageError
from mtmd_cli.nn.cache_types import BLOCKS, CacheType

BLOCK = 32


def rows() -> Tensor:
    """Ordinary rows, and those where rounding is decided: zeros, one sign, ties, tiny and large values."""
    generator = torch.Generator().manual_seed(0)
    ordinary = torch.randn(400, BLOCK, generator=generator)
    ties = torch.arange(BLOCK).float() - 15.5
    ties[0] = 127.0  # the scale of q8_0 is then one, and every half is a tie
    special = [torch.zeros(BLOCK), ordinary[0].abs(), -ordinary[1].abs(), ties, ordinary[2] * 1e-4, ordinary[3] * 1e4]
    return torch.cat((ordinary, torch.stack(special)))


@pytest.mark.parametrize("name", BLOCKS)
def test_bytes_equal_the_quantiser_of_gguf(name: str) -> None:
    kind, _ = BLOCKS[name]
    expected = torch.from_numpy(gguf.quants.quantize(rows().numpy(), gguf.GGMLQuantizationType(int(kind))))
    ours = CacheType(name).encode(rows())
    assert ours.dtype == torch.uint8
    different = (ours != expected).any(-1).nonzero().flatten().tolist()
    assert not different, f"{len(different)} rows, first {different[0]}"


@pytest.mark.parametrize(
    ("name", "error"), [("f32", 0), ("f16", 1e-3), ("bf16", 8e-3), ("q8_0", 8e-3), ("q5_1", 0.05), ("q4_0", 0.14)]
)
def test_what_is_stored_comes_back(name: str, error: float) -> None:
    kind, values = CacheType(name), rows()[:400].view(4, 50, 64)
    stored = kind.encode(values)
    assert stored.shape == (4, 50, kind.width(64)) and stored.dtype == kind.dtype
    worst = (kind.decode(stored, torch.float32) - values).abs().max() / values.abs().max()
    assert worst <= error


def test_heads_must_consist_of_whole_blocks() -> None:
    assert CacheType("f16").width(72) == 72
    with pytest.raises(UsageError, match="blocks of 32, and this model's heads are 72 wide"):
        CacheType("q8_0").width(72)


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="q3_k") as refused:
        CacheType("q3_k")
    assert "q8_0" in refused.value.hint

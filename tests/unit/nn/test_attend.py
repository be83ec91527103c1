"""Attention in blocks is attention: whatever the mask, the heads and the room."""

from __future__ import annotations

import pytest
import torch

from mtmd_cli.nn import attention
from mtmd_cli.nn.attention import Backend, Mask, attend

QUERIES = 24


@pytest.mark.parametrize("room", [1 << 9, 1 << 13, 8 << 20])  # a row of scores, some rows, all
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("value_head", [8, 5])
@pytest.mark.parametrize(
    ("mask", "keys"),
    [
        (None, 24),
        (None, 7),
        (Mask(0), 24),
        (Mask(10), 34),
        (Mask(10, window=4), 34),
        (Mask(10, chunk=8), 34),
        (Mask(0, causal=False), 24),
    ],
)
def test_blocks_of_queries_give_what_the_whole_gives(
    monkeypatch: pytest.MonkeyPatch, room: int, kv_heads: int, value_head: int, mask: Mask | None, keys: int
) -> None:
    monkeypatch.setattr(attention, "CHUNK_BYTES", room)
    generator = torch.Generator().manual_seed(3)
    query = torch.randn(2, QUERIES, 4, 8, generator=generator).transpose(1, 2)
    key = torch.randn(2, kv_heads, keys, 8, generator=generator)
    value = torch.randn(2, kv_heads, keys, value_head, generator=generator)
    whole = attend(query, key, value, scale=0.3, mask=mask, backend=Backend.EAGER)
    blocks = attend(query, key, value, scale=0.3, mask=mask, backend=Backend.CHUNKED)
    torch.testing.assert_close(blocks, whole, rtol=1e-5, atol=1e-6)


def test_weights_in_bf16_are_softmaxed_in_f32() -> None:
    generator = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(1, 2, 512, 16, generator=generator) for _ in range(3))
    exact = attend(query, key, value, scale=0.25, backend=Backend.EAGER)
    half = (part.bfloat16() for part in (query, key, value))
    assert (attend(*half, scale=0.25, backend=Backend.CHUNKED).float() - exact).abs().max() < 0.01


def test_heads_of_a_query_lie_side_by_side_so_that_the_projection_copies_nothing() -> None:
    x = torch.randn(1, 3, 16, 8)
    out = attend(x, x, x, scale=1.0, backend=Backend.CHUNKED)
    assert out.transpose(1, 2).is_contiguous()

"""Latent attention: what it computes without ever making a key or a value."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mtmd_cli.gguf import GGMLType, PackedTensor
from mtmd_cli.nn.cache_types import CacheType
from mtmd_cli.nn.latent import CausalLatentAttention
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.rope import Rope, rotate
from mtmd_cli.nn.spec import LatentAttention
from mtmd_cli.nn.step import Step
from mtmd_cli.weights import load_weights

WIDTH, HEADS, RANK, PLAIN, TURNED, VALUE = 32, 3, 8, 6, 4, 5
ROPE = Rope(TURNED, 10000.0, pairs=True)
SPEC = LatentAttention(HEADS, RANK, 0, PLAIN, VALUE, 0.3, ROPE)
F32 = CacheType("f32")
Weights = dict[str, Tensor]


def weights() -> Weights:
    draw = torch.Generator().manual_seed(0)

    def matrix(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw) * shape[-1] ** -0.5

    return {
        "attn_q.weight": matrix(HEADS * (PLAIN + TURNED), WIDTH),
        "attn_kv_a_mqa.weight": matrix(RANK + TURNED, WIDTH),
        "attn_k_b.weight": matrix(HEADS, RANK, PLAIN),
        "attn_v_b.weight": matrix(HEADS, VALUE, RANK),
        "attn_output.weight": matrix(WIDTH, HEADS * VALUE),
    }


def old(w: Weights) -> Weights:
    """The layout of files from before the matrices were taken apart."""
    both = torch.cat((w["attn_k_b.weight"].transpose(1, 2), w["attn_v_b.weight"]), dim=1)
    rest = {name: tensor for name, tensor in w.items() if name not in ("attn_k_b.weight", "attn_v_b.weight")}
    return rest | {"attn_kv_b.weight": both.flatten(0, 1)}


def layer(w: Weights, spec: LatentAttention = SPEC) -> CausalLatentAttention:
    held = {
        name: PackedTensor(name, tuple(t.shape), GGMLType.F32, t.contiguous().view(torch.uint8).flatten())
        for name, t in w.items()
    }
    with torch.device("meta"):
        module = CausalLatentAttention(spec, Parts(held), WIDTH, 1e-6)
    load_weights(module, held, source="test", device=torch.device("cpu"), dtype=torch.float32)
    return module


def run(module: CausalLatentAttention, x: Tensor, *cuts: int) -> Tensor:
    """All tokens, in pieces that end at the cuts."""
    cache, outs, first = module.new_cache((F32, F32), torch.device("cpu")), [], 0
    for piece in x.tensor_split(cuts):
        positions = torch.arange(first, first + len(piece))
        tables = {ROPE: ROPE.table(positions, ROPE.frequencies())}
        outs.append(module(piece, Step(first, True, positions, tables), cache))
        first += len(piece)
    return torch.cat(outs)


def by_hand(x: Tensor, w: Weights) -> Tensor:
    """With keys and values for every head."""
    cos, sin = ROPE.table(torch.arange(len(x)), ROPE.frequencies())
    plain, turned = (x @ w["attn_q.weight"].T).unflatten(-1, (HEADS, -1)).transpose(0, 1).split((PLAIN, TURNED), -1)
    query = torch.cat((plain, rotate(turned, cos, sin, pairs=True)), -1)
    latent, shared = (x @ w["attn_kv_a_mqa.weight"].T).split((RANK, TURNED), -1)
    shared = rotate(shared, cos, sin, pairs=True).expand(HEADS, -1, -1)
    key = torch.cat((latent @ w["attn_k_b.weight"], shared), -1)
    value = latent @ w["attn_v_b.weight"].transpose(1, 2)
    scores = (query @ key.transpose(1, 2) * SPEC.scale).masked_fill(torch.ones(len(x), len(x)).triu(1) > 0, -torch.inf)
    return (scores.softmax(-1) @ value).transpose(0, 1).flatten(1) @ w["attn_output.weight"].T


def tokens() -> Tensor:
    return torch.randn(11, WIDTH, generator=torch.Generator().manual_seed(1))


def test_it_is_attention_over_the_keys_and_values_that_the_heads_would_make() -> None:
    torch.testing.assert_close(run(layer(weights()), tokens()), by_hand(tokens(), weights()))


def test_both_layouts_of_the_file_answer_the_same() -> None:
    torch.testing.assert_close(run(layer(old(weights())), tokens()), run(layer(weights()), tokens()))


@pytest.mark.parametrize("cuts", [(1, 2, 3), (7,), (10,)])
def test_pieces_answer_as_the_whole(cuts: tuple[int, ...]) -> None:
    module = layer(weights())
    torch.testing.assert_close(run(module, tokens(), *cuts), run(module, tokens()))


def test_the_cache_holds_one_vector_a_token_for_all_heads() -> None:
    cache = layer(weights()).new_cache((F32, F32), torch.device("cpu"))
    cache.extend(0, torch.zeros(256, RANK + TURNED))
    assert cache.nbytes == 256 * (RANK + TURNED) * 4

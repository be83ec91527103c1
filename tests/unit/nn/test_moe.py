"""Mixtures of experts: which experts a token goes to, and what it hears from them."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import gguf
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mtmd_cli.gguf import GGMLType, PackedTensor
from mtmd_cli.nn.moe import MoE
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Activation, Experts, Gating, Routing
from mtmd_cli.weights import load_weights

WIDTH, HIDDEN, SHARED, EXPERTS = 256, 32, 64, 8
PLAIN = Experts(HIDDEN, Activation.SILU, Routing(EXPERTS, 2), SHARED)
Weights = dict[str, Tensor]


def weights(*, seed: int = 0) -> Weights:
    """The tensors of a layer with a router and separate gate and up matrices."""
    draw = torch.Generator().manual_seed(seed)

    def matrix(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw) * shape[-1] ** -0.5

    return {
        "ffn_gate_inp.weight": matrix(EXPERTS, WIDTH) * 4,
        "ffn_gate_exps.weight": matrix(EXPERTS, HIDDEN, WIDTH),
        "ffn_up_exps.weight": matrix(EXPERTS, HIDDEN, WIDTH),
        "ffn_down_exps.weight": matrix(EXPERTS, WIDTH, HIDDEN),
    }


def packed(name: str, tensor: Tensor, kind: GGMLType = GGMLType.F32) -> PackedTensor:
    blocks = gguf.quantize(tensor.numpy(), gguf.GGMLQuantizationType(int(kind)))
    return PackedTensor(name, tuple(tensor.shape), kind, torch.from_numpy(blocks.view(np.uint8).reshape(-1)))


def layer(spec: Experts, tensors: dict[str, PackedTensor] | Weights) -> MoE:
    held = {name: t if isinstance(t, PackedTensor) else packed(name, t) for name, t in tensors.items()}
    with torch.device("meta"):
        module = MoE(spec, Parts(held), WIDTH)
    load_weights(module, held, source="test", device=torch.device("cpu"), dtype=torch.float32)
    return module


def tokens(n: int = 5) -> Tensor:
    return torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(7))


def by_hand(x: Tensor, w: Weights, chosen: Tensor, shares: Tensor) -> Tensor:
    """One token and one expert at a time."""
    out = torch.zeros_like(x)
    for token in range(len(x)):
        for expert, share in zip(chosen[token], shares[token], strict=True):
            gate, up, down = (w[f"ffn_{part}_exps.weight"][expert] for part in ("gate", "up", "down"))
            out[token] += share * (down @ (F.silu(gate @ x[token]) * (up @ x[token])))
    return out


def test_the_answer_is_the_sum_of_the_chosen_experts_by_their_shares() -> None:
    x, w = tokens(), weights()
    shares, chosen = (x @ w["ffn_gate_inp.weight"].T).softmax(-1).topk(2)
    torch.testing.assert_close(layer(PLAIN, w)(x), by_hand(x, w, chosen, shares))


@pytest.mark.parametrize(
    ("routing", "shares_of"),
    [
        (Routing(EXPERTS, 3, Gating.SOFTMAX), lambda s: s.softmax(-1).topk(3)[0]),
        (Routing(EXPERTS, 3, Gating.SIGMOID), lambda s: s.topk(3)[0].sigmoid()),
        (Routing(EXPERTS, 3, Gating.SOFTMAX_OF_CHOSEN), lambda s: s.topk(3)[0].softmax(-1)),
        (Routing(EXPERTS, 3, Gating.SQRT_SOFTPLUS), lambda s: F.softplus(s.topk(3)[0]).sqrt()),
        (Routing(EXPERTS, 3, scale=2.5), lambda s: s.softmax(-1).topk(3)[0] * 2.5),
        (Routing(EXPERTS, 3, normalised=True), lambda s: s.topk(3)[0].softmax(-1)),  # of softmax shares: the same
    ],
    ids=["softmax", "sigmoid", "softmax of chosen", "sqrt softplus", "scaled", "normalised"],
)
def test_shares(routing: Routing, shares_of: object) -> None:
    x, w = tokens(), weights()
    scores = x @ w["ffn_gate_inp.weight"].T
    chosen, shares = layer(replace(PLAIN, routing=routing), w)._router(x)
    assert torch.equal(chosen, scores.topk(3).indices)
    torch.testing.assert_close(shares, shares_of(scores))  # type: ignore[operator]


def test_saturated_scores_are_still_told_apart() -> None:
    w = weights() | {"ffn_gate_inp.weight": torch.arange(EXPERTS)[:, None].expand(-1, WIDTH).float().contiguous()}
    chosen, _ = layer(replace(PLAIN, routing=Routing(EXPERTS, 1, Gating.SIGMOID)), w)._router(torch.ones(1, WIDTH))
    assert chosen.tolist() == [[EXPERTS - 1]]


def test_the_bias_chooses_but_does_not_weigh() -> None:
    x = tokens()
    w = weights() | {"exp_probs_b.bias": torch.tensor([9.0, 8.0] + [0.0] * (EXPERTS - 2))}
    chosen, shares = layer(replace(PLAIN, routing=Routing(EXPERTS, 2, Gating.SIGMOID)), w)._router(x)
    assert chosen.tolist() == [[0, 1]] * len(x)
    torch.testing.assert_close(shares, (x @ w["ffn_gate_inp.weight"].T).sigmoid()[:, :2])


def test_only_experts_of_the_best_groups_are_chosen() -> None:
    """Groups of two; the best single expert (4) stands in a poor group, which two middling ones (0, 1) beat."""
    scores = torch.tensor([0.8, 0.7, 0.1, 0.1, 0.9, 0.1, 0.6, 0.5])
    w = weights() | {"ffn_gate_inp.weight": scores.logit()[:, None].expand(-1, WIDTH) / WIDTH}
    w["ffn_gate_inp.weight"] = w["ffn_gate_inp.weight"].contiguous()
    routing = Routing(EXPERTS, 3, Gating.SIGMOID, groups=4, groups_used=2)
    chosen, _ = layer(replace(PLAIN, routing=routing), w)._router(torch.ones(1, WIDTH))
    assert chosen.tolist() == [[0, 1, 6]]


def test_experts_in_another_order_answer_the_same() -> None:
    order = torch.randperm(EXPERTS, generator=torch.Generator().manual_seed(3))
    shuffled = {name: tensor[order].contiguous() for name, tensor in weights().items()}
    torch.testing.assert_close(layer(PLAIN, shuffled)(tokens()), layer(PLAIN, weights())(tokens()))


def test_many_tokens_at_once_hear_what_each_hears_alone() -> None:
    module, x = layer(PLAIN, weights()), tokens(33)
    torch.testing.assert_close(module(x), torch.cat([module(row) for row in x.split(1)]))


def test_fused_gate_and_up_are_the_two_halves() -> None:
    w = weights()
    fused = {name: tensor for name, tensor in w.items() if "gate_exps" not in name and "up_exps" not in name}
    fused["ffn_gate_up_exps.weight"] = torch.cat((w["ffn_gate_exps.weight"], w["ffn_up_exps.weight"]), dim=1)
    torch.testing.assert_close(layer(PLAIN, fused)(tokens()), layer(PLAIN, w)(tokens()))


def test_scale_and_bias_of_an_expert_follow_the_file() -> None:
    w, x, scale, bias = weights(), tokens(), torch.rand(EXPERTS) + 0.5, torch.randn(EXPERTS, WIDTH)
    folded = w | {"ffn_down_exps.weight": w["ffn_down_exps.weight"] * scale[:, None, None]}
    scaled = w | {"ffn_down_exps.scale": scale}
    torch.testing.assert_close(layer(PLAIN, scaled)(x), layer(PLAIN, folded)(x))
    module = layer(PLAIN, scaled | {"ffn_down_exps.bias": bias})
    chosen, shares = module._router(x)
    added = (bias[chosen] * shares[..., None]).sum(1)
    torch.testing.assert_close(module(x), layer(PLAIN, folded)(x) + added)


def test_the_share_may_multiply_what_the_expert_reads() -> None:
    x, w = tokens(), weights()
    module = layer(replace(PLAIN, routing=Routing(EXPERTS, 1, Gating.SIGMOID), weighs_input=True), w)
    chosen, shares = module._router(x)
    torch.testing.assert_close(module(x), by_hand(x * shares, w, chosen, torch.ones_like(shares)))


@pytest.mark.parametrize("gated", [False, True], ids=["plain", "with a gate of its own"])
def test_the_shared_expert_hears_every_token(gated: bool) -> None:
    x, w = tokens(), weights()
    gate, up, down = torch.randn(SHARED, WIDTH), torch.randn(SHARED, WIDTH), torch.randn(WIDTH, SHARED)
    shared = {"ffn_gate_shexp.weight": gate, "ffn_up_shexp.weight": up, "ffn_down_shexp.weight": down}
    said = (F.silu(x @ gate.T) * (x @ up.T)) @ down.T
    if gated:
        shared["ffn_gate_inp_shexp.weight"] = torch.randn(WIDTH)
        said = said * (x @ shared["ffn_gate_inp_shexp.weight"]).sigmoid()[:, None]
    torch.testing.assert_close(layer(PLAIN, w | shared)(x), layer(PLAIN, w)(x) + said, rtol=1e-4, atol=1e-3)


def test_the_router_may_read_something_else() -> None:
    x, module = tokens(), layer(PLAIN, weights())
    torch.testing.assert_close(module(x, routed_by=3 * x), by_hand(x, weights(), *module._router(3 * x)))


@pytest.mark.parametrize("kind", [GGMLType.F16, GGMLType.BF16, GGMLType.Q8_0, GGMLType.Q4_0, GGMLType.Q5_1])
def test_experts_stay_as_the_file_holds_them(kind: GGMLType) -> None:
    held = {name: packed(name, tensor, kind if "exps" in name else GGMLType.F32) for name, tensor in weights().items()}
    dense = {name: tensor.dequantise() for name, tensor in held.items()}
    module = layer(PLAIN, held)
    up = module.ffn_up_exps
    assert up is not None and up.weight.data_ptr() == held["ffn_up_exps.weight"].data.data_ptr(), "no copy"
    torch.testing.assert_close(module(tokens()), layer(PLAIN, dense)(tokens()))


@pytest.mark.parametrize("kind", [GGMLType.F32, GGMLType.Q8_0])
def test_the_weights_of_an_unused_expert_are_not_read(kind: GGMLType) -> None:
    x = tokens(1)
    held = {name: packed(name, tensor, kind if "exps" in name else GGMLType.F32) for name, tensor in weights().items()}
    module = layer(PLAIN, held)
    expected, (chosen, _) = module(x), module._router(x)
    for name in ("ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"):
        each = held[name].data.view(EXPERTS, prod(held[name].shape[1:]) // kind.block * kind.block_bytes)
        for expert in set(range(EXPERTS)) - set(chosen.flatten().tolist()):
            each[expert] = 0xFF  # not a number, in both types
    assert torch.equal(module(x), expected)

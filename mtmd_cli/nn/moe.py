"""Mixtures of experts: a router sends each token to a few of many small feed-forward networks.

Source: build_moe_ffn in src/llama-graph.cpp; group limits and the bias of the choice: DeepSeek-V3,
https://arxiv.org/abs/2412.19437.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtmd_cli.gguf import GGMLType, PackedTensor
from mtmd_cli.nn.interleaved import can_interleave, interleave, interleaved_experts
from mtmd_cli.nn.linear import Linear
from mtmd_cli.nn.mlp import MLP, activate
from mtmd_cli.nn.packed import packed_experts
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Activation, DenseBesideExperts, Experts, Gating, Routing

# A sum of shares below the smallest normal number of f16 counts as that number.
SMALLEST_SUM = 2.0**-14


class Router(nn.Module):
    """Scores every expert for a token, and chooses. In f32: a small difference may send a token elsewhere."""

    def __init__(self, spec: Routing, parts: Parts, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.ffn_gate_inp = RouterLinear(width, spec.experts, parts.at("ffn_gate_inp"))
        self.exp_probs_b = ChoiceBias(spec.experts) if parts.has("exp_probs_b.bias") else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, width) -> the chosen experts and their shares in f32, each (n, used)"""
        spec = self.spec
        scores = self.ffn_gate_inp(x.float())
        shares = _shares(scores, spec.gating)
        # Shares grow with the scores, but large scores have equal shares where the gating saturates.
        merit = scores if spec.groups == 1 else shares
        if self.exp_probs_b is not None:
            merit = shares + self.exp_probs_b.bias
        if spec.groups > 1:
            merit = _within_best_groups(merit, spec.groups, spec.groups_used)
        chosen = merit.topk(spec.used, dim=-1).indices
        shares = shares.gather(-1, chosen)
        if spec.gating is Gating.SOFTMAX_OF_CHOSEN:
            shares = shares.softmax(-1)
        if spec.normalised:
            shares = shares / shares.sum(-1, keepdim=True).clamp(min=SMALLEST_SUM)
        return chosen, shares * spec.scale


class MoE(nn.Module):
    """The chosen experts' answers, summed by their shares; plus the shared expert's where the file has one."""

    def __init__(self, spec: Experts, parts: Parts, width: int) -> None:
        super().__init__()
        self.spec = spec
        self._router = Router(spec.routing, parts, width)
        fused, gated = parts.has("ffn_gate_up_exps"), parts.has("ffn_gate_exps")

        def experts(name: str, columns: int, rows: int) -> ExpertLinear:
            return ExpertLinear(spec.routing.experts, columns, rows, parts.at(name))

        self.ffn_gate_up_exps = experts("ffn_gate_up_exps", width, 2 * spec.width) if fused else None
        self.ffn_gate_exps = experts("ffn_gate_exps", width, spec.width) if gated and not fused else None
        self.ffn_up_exps = None if fused else experts("ffn_up_exps", width, spec.width)
        self.ffn_down_exps = experts("ffn_down_exps", spec.width, width)
        has_shared = parts.has("ffn_up_shexp")
        self._shared = SharedExpert(parts, width, spec.shared_width, spec.activation) if has_shared else None

    def forward(self, x: Tensor, routed_by: Tensor | None = None) -> Tensor:
        """(n, width) -> (n, width). routed_by: what the router reads where it is not x, (n, width)."""
        chosen, shares = self._router(x if routed_by is None else routed_by)
        slots = x[:, None].expand(-1, chosen.shape[1], -1)
        if self.spec.weighs_input:
            out = self._answers((slots * shares[..., None]).to(x.dtype), chosen).float().sum(1)
        else:
            out = (self._answers(slots, chosen).float() * shares[..., None]).sum(1)
        out = out.to(x.dtype)
        return out if self._shared is None else out + self._shared(x)

    def _answers(self, x: Tensor, chosen: Tensor) -> Tensor:
        """What each chosen expert makes of its row: (n, used, width) -> the same"""
        if self.ffn_gate_up_exps is not None:
            gate, up = self.ffn_gate_up_exps(x, chosen).chunk(2, dim=-1)
        else:
            assert self.ffn_up_exps is not None
            up = self.ffn_up_exps(x, chosen)
            gate = None if self.ffn_gate_exps is None else self.ffn_gate_exps(x, chosen)
        kind = self.spec.activation
        out: Tensor = self.ffn_down_exps(activate(up, kind) if gate is None else activate(gate, kind) * up, chosen)
        return out


class BesideExperts(nn.Module):
    """A network for every token beside a mixture of experts, each between its norms; the router reads the stream."""

    def __init__(self, spec: DenseBesideExperts, parts: Parts, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.ffn_norm = parts.rms_norm("ffn_norm", width, eps)
        self._dense = MLP(parts, width, spec.dense.width, spec.dense.activation)
        self.post_ffw_norm_1 = parts.rms_norm("post_ffw_norm_1", width, eps)
        self.pre_ffw_norm_2 = parts.rms_norm("pre_ffw_norm_2", width, eps)
        self._experts = MoE(spec.experts, parts, width)
        self.post_ffw_norm_2 = parts.rms_norm("post_ffw_norm_2", width, eps)

    def forward(self, x: Tensor) -> Tensor:
        """x: the stream, not normed, (n, width) -> (n, width)"""
        dense = self.post_ffw_norm_1(self._dense(self.ffn_norm(x)))
        routed_by = F.rms_norm(x.float(), x.shape[-1:], eps=self.eps) * x.shape[-1] ** -0.5
        out: Tensor = dense + self.post_ffw_norm_2(self._experts(self.pre_ffw_norm_2(x), routed_by))
        return out


class SharedExpert(nn.Module):
    """The expert of every token, with a gate of its own where the file has one."""

    def __init__(self, parts: Parts, width: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.ffn_gate_inp_shexp = SharedGate(width) if parts.has("ffn_gate_inp_shexp") else None
        self.ffn_gate_shexp = parts.linear("ffn_gate_shexp", width, hidden) if parts.has("ffn_gate_shexp") else None
        self.ffn_up_shexp = parts.linear("ffn_up_shexp", width, hidden)
        self.ffn_down_shexp = parts.linear("ffn_down_shexp", hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width) -> (n, width)"""
        up, kind = self.ffn_up_shexp(x), self.activation
        hidden = activate(up, kind) if self.ffn_gate_shexp is None else activate(self.ffn_gate_shexp(x), kind) * up
        out: Tensor = self.ffn_down_shexp(hidden)
        return out if self.ffn_gate_inp_shexp is None else out * self.ffn_gate_inp_shexp(x)


class ExpertLinear(nn.Module):
    """One matrix for each expert, kept as the file holds them whatever their type, so that only chosen ones are read.

    Their bias and scale (a factor of the product, before the bias) exist where the file has them.
    """

    stored_dtype = torch.float32  # of bias and scale
    weight: Tensor

    def __init__(self, experts: int, columns: int, rows: int, parts: Parts) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.packed_type = GGMLType.F32
        self.layout: int | None = None
        self.weight = nn.Parameter(torch.empty(experts, rows, columns), requires_grad=False)
        self.scale = nn.Parameter(torch.empty(experts), requires_grad=False) if parts.has("scale") else None
        self.bias = nn.Parameter(torch.empty(experts, rows), requires_grad=False) if parts.has("bias") else None

    def receive(self, leaf: str, tensor: PackedTensor, device: torch.device, dtype: torch.dtype) -> bool:
        """Take the weights as they are."""
        if leaf != "weight":
            return False
        packed = tensor.data.view(*tensor.shape[:2], -1)
        del self._parameters["weight"]
        self.register_buffer("weight", packed.to(device, copy=device.type != "cpu"))
        self.packed_type = tensor.type
        return True

    def interleave(self, dtype: torch.dtype) -> str | None:
        """Lay the weights out for the kernels of the CPU, for activations of `dtype`; or the reason why not."""
        if self.layout is not None:
            return None
        reason = can_interleave(self.packed_type, self.columns, self.weight.device, dtype)
        if reason is None:
            self.weight, self.layout = interleave(self.weight, self.packed_type, self.columns)
        return reason

    def forward(self, x: Tensor, chosen: Tensor) -> Tensor:
        """x: (n, used, columns), chosen: (n, used) -> (n, used, rows)"""
        out: Tensor
        if self.layout is not None:
            out = interleaved_experts(x, chosen, self.weight, self.layout, self.rows)
        else:
            out = packed_experts(x, chosen, self.weight, int(self.packed_type))
        if self.scale is not None:
            out = (out * self.scale[chosen][..., None]).to(x.dtype)
        if self.bias is not None:
            out = (out + self.bias[chosen]).to(x.dtype)
        return out

    def extra_repr(self) -> str:
        """Shape and storage, for printing a model."""
        return f"{self.weight.shape[0]}×{self.rows}, {self.packed_type.name}"


class RouterLinear(Linear):
    """Stays in f32; factors of what it reads where the file has them."""

    stored_dtype = torch.float32

    def __init__(self, columns: int, rows: int, parts: Parts) -> None:
        super().__init__(columns, rows, bias=parts.has("bias"))
        self.scale = nn.Parameter(torch.empty(columns), requires_grad=False) if parts.has("scale") else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., columns) -> (..., rows)"""
        return super().forward(x if self.scale is None else x * self.scale)


class ChoiceBias(nn.Module):
    """Added to the shares when experts are chosen, and only then: it balances their load."""

    stored_dtype = torch.float32

    def __init__(self, experts: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(experts), requires_grad=False)


class SharedGate(nn.Module):
    """How much of the shared expert a token takes, between 0 and 1."""

    stored_dtype = torch.float32

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width) -> (n, 1)"""
        return (x.float() @ self.weight).sigmoid()[:, None].to(x.dtype)


def _shares(scores: Tensor, gating: Gating) -> Tensor:
    match gating:
        case Gating.SOFTMAX:
            return scores.softmax(-1)
        case Gating.SIGMOID:
            return scores.sigmoid()
        case Gating.SQRT_SOFTPLUS:
            return F.softplus(scores).sqrt()
        case Gating.SOFTMAX_OF_CHOSEN:
            return scores


def _within_best_groups(merit: Tensor, groups: int, used: int) -> Tensor:
    """Only experts of the best groups stay candidates; a group is as good as its two best experts together."""
    grouped = merit.unflatten(-1, (groups, -1))
    best = grouped.topk(min(2, grouped.shape[-1]), dim=-1).values.sum(-1).topk(used, dim=-1).indices
    others = torch.ones_like(grouped[..., 0], dtype=torch.bool).scatter(-1, best, False)
    return grouped.masked_fill(others[..., None], float("-inf")).flatten(-2)

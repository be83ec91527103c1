"""Feed-forward networks and their activations."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Activation


def activate(x: Tensor, kind: Activation) -> Tensor:
    """The nonlinearity, elementwise."""
    match kind:
        case Activation.SILU:
            return F.silu(x)
        case Activation.GELU:
            return F.gelu(x)
        case Activation.GELU_TANH:
            return F.gelu(x, approximate="tanh")
        case Activation.GELU_QUICK:
            return x * (1.702 * x).sigmoid()
        case Activation.RELU2:
            return F.relu(x).square()


class MLP(nn.Module):
    """ffn_down(act(ffn_up(x))), or ffn_down(act(ffn_gate(x)) · ffn_up(x)) where the file has a gate."""

    def __init__(self, parts: Parts, width: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.ffn_up = parts.linear("ffn_up", width, hidden)
        self.ffn_gate = parts.linear("ffn_gate", width, hidden) if parts.has("ffn_gate") else None
        self.ffn_down = parts.linear("ffn_down", hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)"""
        up = self.ffn_up(x)
        if self.ffn_gate is None:
            hidden = activate(up, self.activation)
        else:
            hidden = activate(self.ffn_gate(x), self.activation) * up
        out: Tensor = self.ffn_down(hidden)
        return out

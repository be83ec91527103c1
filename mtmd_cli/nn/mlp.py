"""Feed-forward networks and their activations."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Activation

# Hidden values in flight, on a CPU and elsewhere. Fewer rows at once cost a CPU nothing; a GPU wants them all.
CPU_HIDDEN, HIDDEN = 4 << 20, 128 << 20
# Products of fewer rows would be slow.
LEAST_ROWS = 256


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


class Activate(nn.Module):
    """A nonlinearity as a step of a chain."""

    def __init__(self, kind: Activation) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, elementwise."""
        return activate(x, self.kind)


def chain(steps: Mapping[str, nn.Module], *, below: str = "") -> nn.Sequential:
    """Modules one after another, each under its name in the file; below: a dotted name that all of them stand under.

    chain({"1": linear, "_": Activate(kind), "3": linear}, below="model.mlp") holds model.mlp.1 and model.mlp.3.
    """
    out = nn.Sequential()
    for name, step in steps.items():
        out.add_module(name, step)
    for name in reversed(below.split(".") if below else []):
        inner, out = out, nn.Sequential()
        out.add_module(name, inner)
    return out


class MLP(nn.Module):
    """ffn_down(act(ffn_up(x))), or ffn_down(act(ffn_gate(x)) · ffn_up(x)) where the file has a gate.

    An ffn_up of twice the hidden width holds the gate in its first half.
    """

    def __init__(self, parts: Parts, width: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.ffn_gate = parts.linear("ffn_gate", width, hidden) if parts.has("ffn_gate") else None
        self._joint = self.ffn_gate is None and parts.rows("ffn_up", hidden) == 2 * hidden
        self.ffn_up = parts.linear("ffn_up", width, 2 * hidden if self._joint else hidden)
        self.ffn_down = parts.linear("ffn_down", hidden, width)

    def forward(self, x: Tensor, norm: nn.Module | None = None) -> Tensor:
        """(..., width) -> (..., width). norm: of the input, which so is never there as a whole."""
        rows, step = x.shape[:-1].numel(), self._rows_at_once(x)
        if rows <= step:
            return self._run(x if norm is None else norm(x))
        out = x.new_empty(*x.shape[:-1], self.ffn_down.rows)
        for part, result in zip(x.flatten(0, -2).split(step), out.flatten(0, -2).split(step), strict=True):
            result.copy_(self._run(part if norm is None else norm(part)))
        return out

    def _rows_at_once(self, x: Tensor) -> int:
        """So many rows that their hidden values fit; all where a matrix would be unpacked anew for each part."""
        if self.ffn_up.packed_type is not None or self.ffn_down.packed_type is not None:
            return x.shape[:-1].numel()
        room = CPU_HIDDEN if x.device.type == "cpu" else HIDDEN
        return max(LEAST_ROWS, room // self.ffn_up.rows)

    def _run(self, x: Tensor) -> Tensor:
        up = self.ffn_up(x)
        if self._joint:
            gate, up = up.chunk(2, dim=-1)
            hidden = activate(gate, self.activation) * up
        elif self.ffn_gate is None:
            hidden = activate(up, self.activation)
        else:
            hidden = activate(self.ffn_gate(x), self.activation) * up
        out: Tensor = self.ffn_down(hidden)
        return out

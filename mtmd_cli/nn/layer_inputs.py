"""Per-layer embeddings: besides its embedding, every token brings a few values for each layer.

Their table is most of a small Gemma's file, so it stays where the file is mapped, and only rows are read.
Source: src/models/gemma4.cpp (project_per_layer_inputs); Gemma4TextModel, transformers 5.23.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtmd_cli.gguf import PackedTensor
from mtmd_cli.nn.mlp import activate
from mtmd_cli.nn.norm import RMSNorm
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.spec import Activation

# What an image brings: the values of the padding token.
PADDING = 0


class LayerInputs(nn.Module):
    """What every layer gets of every token: a row of a table, and a projection of the embedding, added."""

    def __init__(self, parts: Parts, tokens: int, width: int, layers: int, each: int, eps: float) -> None:
        super().__init__()
        self.each = each
        self.per_layer_token_embd = FileTable(tokens, layers * each)
        self.per_layer_model_proj = parts.linear("per_layer_model_proj", width, layers * each)
        self.per_layer_proj_norm = RMSNorm(each, eps)

    def rows(self, tokens: Tensor, dtype: torch.dtype) -> Tensor:
        """The table's part: (n,) -> (n, layers · each)"""
        return self.per_layer_token_embd(tokens, dtype) * self.each**0.5

    def forward(self, x: Tensor, rows: Tensor) -> Tensor:
        """x: (n, width), the embeddings; rows: (n, layers · each) -> (layers, n, each)"""
        projected = (self.per_layer_model_proj(x) * x.shape[-1] ** -0.5).unflatten(-1, (-1, self.each))
        mixed = (self.per_layer_proj_norm(projected) + rows.unflatten(-1, (-1, self.each))) * 2**-0.5
        return mixed.transpose(0, 1)


class LayerInput(nn.Module):
    """How one layer takes its input up: the stream opens a gate for it, and it is added to the stream."""

    def __init__(self, parts: Parts, width: int, each: int, eps: float) -> None:
        super().__init__()
        self.inp_gate = parts.linear("inp_gate", width, each)
        self.proj = parts.linear("proj", each, width)
        self.post_norm = RMSNorm(width, eps)

    def forward(self, x: Tensor, own: Tensor) -> Tensor:
        """x: (n, width), own: (n, each) -> (n, width)"""
        opened = activate(self.inp_gate(x), Activation.GELU_TANH) * own
        return x + self.post_norm(self.proj(opened))


class FileTable(nn.Module):
    """Rows by token from a table that is never copied: the file's own pages are read, on the CPU, when asked for."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.weight: Tensor | None = nn.Parameter(torch.empty(tokens, width), requires_grad=False)
        self.table: PackedTensor | None = None

    def receive(self, leaf: str, tensor: PackedTensor, device: torch.device, dtype: torch.dtype) -> bool:
        """Keep the tensor of the file, whatever its type."""
        self.weight, self.table = None, tensor
        return True

    def forward(self, tokens: Tensor, dtype: torch.dtype) -> Tensor:
        """(n,) -> (n, width), on the device of the tokens"""
        assert self.table is not None, "a table is read after it is loaded"
        return self.table.rows(tokens.cpu(), dtype).to(tokens.device)

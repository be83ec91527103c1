"""A fixed number of learned queries that look at the patches of a slice, however many those are.

Source: tools/mtmd/models/minicpmv.cpp; Resampler of MiniCPM-V, https://arxiv.org/abs/2408.01800.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtmd_cli.nn.attention import Backend, attend
from mtmd_cli.nn.norm import LayerNorm
from mtmd_cli.nn.parts import Parts


class Resampler(nn.Module):
    """Queries attend to patches, whose keys know their row and column; a norm and a projection follow.

    tokens: the number of queries. patch_width: values of a patch. width: of a query and of a token.
    """

    def __init__(self, parts: Parts, *, tokens: int, patch_width: int, width: int, head_dim: int, eps: float) -> None:
        super().__init__()
        self.backend = Backend.EAGER
        self.head_dim = head_dim
        self.query = nn.Parameter(torch.empty(tokens, width), requires_grad=False)
        self.kv = parts.linear("kv", patch_width, width)
        self.ln_q, self.ln_kv, self.ln_post = (LayerNorm(width, eps) for _ in range(3))
        self.attn = nn.ModuleDict({name: parts.linear(f"attn.{name}", width, width) for name in ("q", "k", "v", "out")})
        self.proj = parts.linear("proj", width, width)

    def forward(self, patches: Tensor) -> Tensor:
        """(slices, rows, columns, patch_width) -> (slices, tokens, width)"""
        slices, rows, columns, _ = patches.shape
        values = self.ln_kv(self.kv(patches.flatten(1, 2)))
        keys = values + waves(rows, columns, values.shape[-1], values.device).to(values.dtype)
        queries = self.attn["q"](self.ln_q(self.query)).expand(slices, -1, -1)
        q, k, v = (
            part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for part in (queries, self.attn["k"](keys), self.attn["v"](values))
        )
        seen = attend(q, k, v, scale=self.head_dim**-0.5, backend=self.backend).transpose(1, 2).flatten(2)
        tokens: Tensor = self.proj(self.ln_post(self.attn["out"](seen)))
        return tokens


def waves(rows: int, columns: int, width: int, device: torch.device) -> Tensor:
    """Sine and cosine of the column, then of the row, at width/4 frequencies: (rows · columns, width) f32"""
    frequencies = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64, device="cpu") / (width // 4))
    row, column = (
        torch.arange(edge, dtype=torch.float32, device=device)[:, None] * frequencies.float().to(device)
        for edge in (rows, columns)
    )
    across = torch.cat((column.sin(), column.cos()), dim=-1).expand(rows, columns, -1)
    down = torch.cat((row.sin(), row.cos()), dim=-1)[:, None].expand(rows, columns, -1)
    return torch.cat((across, down), dim=-1).flatten(0, 1)

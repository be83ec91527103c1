"""The network as the two GGUF files describe it: SigLIP tower and connector (idefics3), decoder (llama).

Names of modules are the names of tensors, so export needs no table.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """Sizes; the picture is cut into tiles of `tile`, as many as `edge` asks for."""

    tile: int = 160
    edge: int = 320
    patch: int = 16
    merge: int = 2
    width: int = 320
    head: int = 64
    vision_blocks: int = 8
    vision_hidden: int = 1280
    blocks: int = 8
    hidden: int = 864
    vocabulary: int = 2048
    rope_base: float = 10000.0
    context: int = 2048

    @property
    def side(self) -> int:
        """Tokens along the edge of a tile."""
        return self.tile // self.patch // self.merge


class VisionBlock(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.heads = s.width // s.head
        self.ln1, self.ln2 = nn.LayerNorm(s.width, 1e-6), nn.LayerNorm(s.width, 1e-6)
        self.attn_q, self.attn_k, self.attn_v, self.attn_out = (nn.Linear(s.width, s.width) for _ in range(4))
        self.ffn_up, self.ffn_down = nn.Linear(s.width, s.vision_hidden), nn.Linear(s.vision_hidden, s.width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln1(x)
        q, k, v = (
            f(y).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.attn_q, self.attn_k, self.attn_v)
        )
        x = x + self.attn_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.ffn_down(F.gelu(self.ffn_up(self.ln2(x)), approximate="tanh"))


class Vision(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        self.patch_embd = nn.Linear(3 * s.patch**2, s.width)
        self.position_embd = nn.Parameter(torch.randn((s.tile // s.patch) ** 2, s.width) * 0.02)
        self.blk = nn.ModuleList(VisionBlock(s) for _ in range(s.vision_blocks))
        self.post_ln = nn.LayerNorm(s.width, 1e-6)
        self.fc = nn.Linear(s.width * s.merge**2, s.width, bias=False)

    def forward(self, slices: Tensor) -> Tensor:
        """(n, 3, tile, tile), -1 to 1 -> (n, tokens, width)"""
        s, n = self.s, len(slices)
        grid = s.tile // s.patch
        x = slices.reshape(n, 3, grid, s.patch, grid, s.patch).permute(0, 2, 4, 1, 3, 5).reshape(n, grid * grid, -1)
        x = self.patch_embd(x) + self.position_embd
        for block in self.blk:
            x = block(x)
        x = self.post_ln(x).reshape(n, s.side, s.merge, s.side, s.merge, s.width)
        return self.fc(x.transpose(2, 3).reshape(n, s.side**2, -1))


class Block(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.heads = s.width // s.head
        self.attn_norm, self.ffn_norm = nn.RMSNorm(s.width, 1e-5), nn.RMSNorm(s.width, 1e-5)
        self.attn_q, self.attn_k, self.attn_v, self.attn_output = (
            nn.Linear(s.width, s.width, bias=False) for _ in range(4)
        )
        self.ffn_gate, self.ffn_up = (nn.Linear(s.width, s.hidden, bias=False) for _ in range(2))
        self.ffn_down = nn.Linear(s.hidden, s.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        y = self.attn_norm(x)
        q, k, v = (
            f(y).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.attn_q, self.attn_k, self.attn_v)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        x = x + self.attn_output(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        y = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(y)) * self.ffn_up(y))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Neighbouring values turn together, as llama's do in GGUF."""
    a, b = x[..., 0::2].float(), x[..., 1::2].float()
    return torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2).to(x.dtype)


class Model(nn.Module):
    """`dense` is the auxiliary head of the training; it is not exported."""

    def __init__(self, s: Shape, classes: int) -> None:
        super().__init__()
        self.s = s
        self.v = Vision(s)
        self.token_embd = nn.Embedding(s.vocabulary, s.width)
        self.blk = nn.ModuleList(Block(s) for _ in range(s.blocks))
        self.output_norm = nn.RMSNorm(s.width, 1e-5)
        self.dense = nn.Linear(s.width, classes)
        frequencies = s.rope_base ** (-torch.arange(0, s.head, 2).float() / s.head)
        angles = torch.arange(s.context).float()[:, None] * frequencies
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5 * 0.6)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.token_embd.weight, std=0.02)
        for name, module in self.named_modules():
            if name.endswith(("attn_out", "attn_output", "ffn_down")):
                nn.init.zeros_(module.weight)

    def forward(self, slices: Tensor, head: Tensor, places: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states behind each of `tokens`, and the image tokens.

        slices: (batch, n, 3, tile, tile); head: tokens of the prompt up to the end of the image, where `places` (a mask)
        says which of them are the image's; tokens: (batch, length), the conversation behind it.
        """
        image = self.v(slices.flatten(0, 1)).unflatten(0, slices.shape[:2]).flatten(1, 2)
        first = self.token_embd(head).to(image.dtype).expand(len(tokens), -1, -1)
        index = (places.long().cumsum(0) - 1).clamp(min=0)
        first = torch.where(places[None, :, None], image[:, index], first)
        x = torch.cat((first, self.token_embd(tokens).to(image.dtype)), 1)
        cos, sin = self.cos[: x.shape[1]], self.sin[: x.shape[1]]
        for block in self.blk:
            x = block(x, cos, sin)
        return self.output_norm(x[:, len(head) - 1 :]), image

    def scores(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.token_embd.weight.to(hidden.dtype))

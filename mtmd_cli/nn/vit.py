"""The vision transformer that most towers share; what varies is an argument, or follows from the file."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtmd_cli.nn.attention import Backend, Segments, attend
from mtmd_cli.nn.mlp import MLP
from mtmd_cli.nn.norm import Scale
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import AxisPositions, PatchEmbedding, Positions, Resample, grid_places, grid_windows
from mtmd_cli.nn.rope import GridRope
from mtmd_cli.nn.spec import Activation

Tables = tuple[Tensor, Tensor]  # cos and sin for each patch
OnBlock = Callable[[int, Tensor], None]  # sees the output of each block, its patches in the order of the blocks


@dataclass(frozen=True)
class ViTSpec:
    """The sizes of a vision transformer.

    norm: "layer" or "rms". positions: patches that have a row in the learned position table, 0 where there is none; a
    class token of the file has one more. class_first: it stands before the patches, not behind them. resample: how
    learned positions fit other grids. joint_qk_norm: a norm of queries or keys sees all heads at once, not each for
    itself. unit_values: values are divided by their root mean square. axis_positions: rows in each of two tables, one
    vector by the column and one by the row of a patch, in place of one for each patch. rope: turns the heads by the
    places of their patches. windowed: blocks whose patches see only their own window of window x window patches.
    """

    width: int
    hidden: int
    heads: int
    blocks: int
    patch: int
    eps: float
    activation: Activation
    norm: str = "layer"
    positions: int = 0
    class_first: bool = False
    joint_qk_norm: bool = False
    unit_values: bool = False
    axis_positions: int = 0
    kv_heads: int | None = None
    head_dim: int | None = None
    resample: Resample | None = None
    rope: GridRope | None = None
    window: int = 0
    windowed: frozenset[int] = frozenset()
    scale: float | None = None


class PatchAttention(nn.Module):
    """Self-attention among the patches of a slice, in both directions."""

    def __init__(self, spec: ViTSpec, parts: Parts) -> None:
        super().__init__()
        self.backend = Backend.EAGER
        self.heads, self.kv_heads = spec.heads, spec.kv_heads or spec.heads
        self.head_dim = spec.head_dim or spec.width // spec.heads
        self.scale = spec.scale or self.head_dim**-0.5
        self.rope = spec.rope
        self._unit_values, self._eps = spec.unit_values, spec.eps
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        self._widths = (queries, keys, keys)
        self.attn_qkv = parts.linear("attn_qkv", spec.width, queries + 2 * keys) if parts.has("attn_qkv") else None
        if self.attn_qkv is None:
            self.attn_q = parts.linear("attn_q", spec.width, queries)
            self.attn_k = parts.linear("attn_k", spec.width, keys)
            self.attn_v = parts.linear("attn_v", spec.width, keys)
        norm = parts.rms_norm if spec.norm == "rms" else parts.layer_norm
        self._joint = spec.joint_qk_norm
        self.attn_q_norm = norm("attn_q_norm", queries if self._joint else self.head_dim, spec.eps)
        self.attn_k_norm = norm("attn_k_norm", keys if self._joint else self.head_dim, spec.eps)
        self.attn_out = parts.linear("attn_out", queries, spec.width)

    def forward(
        self, x: Tensor, norm: nn.Module, rope: Tables | None = None, windows: Segments | None = None
    ) -> Tensor:
        """(slices, patches, width) -> (slices, patches, width). norm: of the input, which lives but briefly."""
        x = norm(x)
        if self.attn_qkv is not None:
            q, k, v = self.attn_qkv(x).split(self._widths, dim=-1)
        else:
            q, k, v = self.attn_q(x), self.attn_k(x), self.attn_v(x)
        del x
        if self._joint:
            q, k = self.attn_q_norm(q), self.attn_k_norm(k)
        q, k, v = (part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for part in (q, k, v))
        if not self._joint:
            q, k = self.attn_q_norm(q), self.attn_k_norm(k)
        if self.rope is not None and rope is not None:
            q, k = self.rope.rotate(q, rope), self.rope.rotate(k, rope)
        if self._unit_values:
            v = F.rms_norm(v, v.shape[-1:], eps=self._eps)
        out = attend(q, k, v, scale=self.scale, mask=windows, backend=self.backend)
        del q, k, v
        projected: Tensor = self.attn_out(out.transpose(1, 2).flatten(2))
        return projected


class ViTBlock(nn.Module):
    """Attention and feed-forward network, each behind its norm and added to the stream; some files norm them again."""

    def __init__(self, spec: ViTSpec, parts: Parts) -> None:
        super().__init__()
        norm = parts.rms_norm if spec.norm == "rms" else parts.layer_norm
        self.ln1 = norm("ln1", spec.width, spec.eps)
        self._attention = PatchAttention(spec, parts)
        self.attn_post_norm = norm("attn_post_norm", spec.width, spec.eps)
        self.ls1 = Scale(spec.width) if parts.has("ls1") else nn.Identity()
        self.ln2 = norm("ln2", spec.width, spec.eps)
        self._ffn = MLP(parts, spec.width, spec.hidden, spec.activation)
        self.ffn_post_norm = norm("ffn_post_norm", spec.width, spec.eps)
        self.ls2 = Scale(spec.width) if parts.has("ls2") else nn.Identity()

    def forward(self, x: Tensor, rope: Tables | None = None, windows: Segments | None = None) -> Tensor:
        """(slices, patches, width) -> (slices, patches, width)"""
        x = x + self.attn_post_norm(self.ls1(self._attention(x, self.ln1, rope, windows)))
        out: Tensor = x + self.ls2(self.ffn_post_norm(self._ffn(x, self.ln2)))
        return out


class ViT(nn.Module):
    """Patches in, one vector for each patch out."""

    def __init__(self, spec: ViTSpec, parts: Parts) -> None:
        super().__init__()
        self.spec = spec
        norm = parts.rms_norm if spec.norm == "rms" else parts.layer_norm
        self.patch_embd = PatchEmbedding(parts, "patch_embd", spec.patch, spec.width)
        self.norm_embd = norm("norm_embd", spec.width, spec.eps)
        has_class = parts.has("class_embd")
        self.class_embd = nn.Parameter(torch.empty(spec.width), requires_grad=False) if has_class else None
        self.position_embd: AxisPositions | Positions | None = None
        if spec.axis_positions:
            self.position_embd = AxisPositions(spec.axis_positions, spec.width)
        elif spec.positions:
            # A table that is fitted to every grid anyway may have been trained on another square than the file says.
            rows = parts.rows("position_embd", spec.positions) if spec.resample else spec.positions + has_class
            self.position_embd = Positions(rows, spec.width, spec.resample)
        self.pre_ln = norm("pre_ln", spec.width, spec.eps)
        self.blk = nn.ModuleList(ViTBlock(spec, parts.at(f"blk.{index}")) for index in range(spec.blocks))
        self.post_ln = norm("post_ln", spec.width, spec.eps)

    def forward(self, pixels: Tensor, on_block: OnBlock | None = None) -> Tensor:
        """(slices, 3, rows, columns) in pixels -> (slices, rows, columns, width) in patches, no class token"""
        rows, columns = pixels.shape[2] // self.spec.patch, pixels.shape[3] // self.spec.patch
        places = grid_places(rows, columns, pixels.device)
        if self.spec.window:
            order, windows = grid_windows(rows, columns, self.spec.window, pixels.device)
            x = self.run(self.embed(pixels)[:, order], self._rope(places[order]), on_block, windows)[:, order.argsort()]
        else:
            x = self.run(self.embed(pixels), self._rope(places), on_block)
        x = self.post_ln(x)
        if self.class_embd is not None:
            x = x[:, 1:] if self.spec.class_first else x[:, :-1]
        return x.unflatten(1, (rows, columns))

    def embed(self, pixels: Tensor) -> Tensor:
        """What the first block sees: (slices, patches, width), with the class token one token more"""
        x = self.norm_embd(self.patch_embd(pixels))
        rows, columns = x.shape[1:3]
        x = x.flatten(1, 2)
        if self.class_embd is not None:
            token = self.class_embd.expand(len(x), 1, -1)
            x = torch.cat((token, x) if self.spec.class_first else (x, token), dim=1)
        if self.position_embd is not None:
            x = x + self.position_embd(rows, columns)
        embedded: Tensor = self.pre_ln(x)
        return embedded

    def features(self, pixels: Tensor, layers: Collection[int]) -> Tensor:
        """The stream as it was after some numbers of blocks (0: before the first), side by side in ascending order.

        (slices, 3, rows, columns) in pixels -> (slices, patches and class token, len(layers) · width). The output of
        the last block goes through post_ln.
        """
        x = self.embed(pixels)
        kept = [x] if 0 in layers else []

        def keep(block: int, out: Tensor) -> None:
            if block + 1 in layers and block + 1 < self.spec.blocks:
                kept.append(out)

        x = self.post_ln(self.run(x, on_block=keep))
        return torch.cat([*kept, x] if self.spec.blocks in layers else kept, dim=-1)

    def run(
        self,
        x: Tensor,
        rope: Tables | None = None,
        on_block: OnBlock | None = None,
        windows: Segments | None = None,
    ) -> Tensor:
        """The blocks alone: (slices, patches, width) -> the same. windows: what the windowed blocks see."""
        for index, block in enumerate(self.blk):
            x = block(x, rope, windows if index in self.spec.windowed else None)
            if on_block is not None:
                on_block(index, x)
        return x

    def _rope(self, places: Tensor) -> Tables | None:
        if self.spec.rope is None:
            return None
        if self.class_embd is not None:
            # A class token stands in the corner, and patches count from one.
            corner, places = places.new_zeros(1, 2), places + 1
            places = torch.cat((corner, places) if self.spec.class_first else (places, corner))
        return self.spec.rope.table(places)

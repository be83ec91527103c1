"""The sizes of tiny towers, in the words of transformers and in those of a file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from tests.parity.pair import Value, randomise

WIDTH, HIDDEN, HEADS, BLOCKS, PATCH, IMAGE = (
    48,
    80,
    4,
    5,
    8,
    48,
)  # the map of names wants as many blocks as mm has numbers
LANGUAGE_WIDTH = 64
EPS = 1e-6

SIZES: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_hidden_layers": BLOCKS,
    "patch_size": PATCH,
    "image_size": IMAGE,
    "layer_norm_eps": EPS,
    "attn_implementation": "eager",
}
METADATA: dict[str, Value] = {
    "embedding_length": WIDTH,
    "feed_forward_length": HIDDEN,
    "attention.head_count": HEADS,
    "block_count": BLOCKS,
    "patch_size": PATCH,
    "image_size": IMAGE,
    "projection_dim": LANGUAGE_WIDTH,
    "attention.layer_norm_epsilon": EPS,
}


def some_pixels(slices: int, rows: int = IMAGE, columns: int = IMAGE) -> Tensor:
    return torch.rand(slices, 3, rows, columns, generator=torch.Generator().manual_seed(2)) * 2 - 1


def under(prefix: str, module: nn.Module) -> list[tuple[str, Tensor]]:
    """The tensors of a module as a checkpoint names them."""
    return [(f"{prefix}.{name}", tensor) for name, tensor in module.state_dict().items()]


def by_squares(pixels: Tensor, merge: int) -> tuple[Tensor, Tensor]:
    """One image as many processors give it: its patches by squares, (patches, 3, 1, PATCH, PATCH); and its grid."""
    _, _, height, width = pixels.shape
    rows, columns = height // PATCH, width // PATCH
    cut = pixels.view(3, rows // merge, merge, PATCH, columns // merge, merge, PATCH).permute(1, 4, 2, 5, 0, 3, 6)
    return cut.reshape(rows * columns, 3, 1, PATCH, PATCH), torch.tensor([[1, rows, columns]])


class Tied(nn.Module):
    """A text model of transformers whose embeddings are its head."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.config = randomise(model), model.config
        self.config.head_dim = self.config.hidden_size // self.config.num_attention_heads

    def forward(self, tokens: Tensor | None, **kwargs: Any) -> SimpleNamespace:
        hidden = self.model(tokens, **kwargs).last_hidden_state
        return SimpleNamespace(logits=hidden @ self.model.embed_tokens.weight.t())

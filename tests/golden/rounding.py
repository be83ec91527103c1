"""The reference's roundings to f16, played on our side.

Its GELU is a table with f16 on both sides (ggml-cpu/vec.h), and its patches and their kernels pass through f16 (im2col
in ggml.c). Most models do not mind. Gemma 4 divides its scores by nothing, so that a thousandth in an image becomes a
tenth in the logits, and in mixtures another expert. With these roundings all its answers are the reference's, to a
hundredth of the logits' deviation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from mtmd_cli.gguf import PackedTensor
from mtmd_cli.nn import layer_inputs, mlp, moe
from mtmd_cli.nn.patches import PatchEmbedding
from mtmd_cli.nn.spec import Activation

# The table holds the tanh form, which the reference takes for the exact one of Qwen's mergers too.
TABLES = {
    Activation.GELU: Activation.GELU_TANH,
    Activation.GELU_TANH: Activation.GELU_TANH,
    Activation.GELU_QUICK: Activation.GELU_QUICK,
}


@contextmanager
def rounding_as_the_reference() -> Iterator[None]:
    """Within, models are loaded and run with activations, patches and their kernels rounded as the reference does."""
    activate, embed, dequantise = mlp.activate, PatchEmbedding.forward, PackedTensor.dequantise

    def activate_from_table(x: Tensor, kind: Activation) -> Tensor:
        return _rounded(activate(_rounded(x), TABLES[kind])) if kind in TABLES else activate(x, kind)

    def embed_in_half(self: PatchEmbedding, pixels: Tensor) -> Tensor:
        return embed(self, _rounded(pixels))

    def kernel_in_half(self: PackedTensor, dtype: torch.dtype = torch.float32) -> Tensor:
        dense = dequantise(self, dtype)
        return _rounded(dense) if self.name.startswith("v.patch_embd.weight") else dense

    with pytest.MonkeyPatch.context() as patch:
        for module in (mlp, moe, layer_inputs):
            patch.setattr(module, "activate", activate_from_table)
        patch.setattr(PatchEmbedding, "forward", embed_in_half)
        patch.setattr(PackedTensor, "dequantise", kernel_in_half)
        yield


def _rounded(x: Tensor) -> Tensor:
    return x.half().to(x.dtype)

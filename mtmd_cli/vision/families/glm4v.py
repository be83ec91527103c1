"""GLM-4.1V to GLM-4.6V and GLM-OCR: images of any size, 2 x 2 patches to a token.

    <|begin_of_image|> (a token for each 28 x 28 pixels, row by row) <|end_of_image|>

Patches are normed, placed by a bicubically fitted table (GLM-OCR has none) and turned by row and column; a convolution
joins their squares, and a gated network stands between the tower and the language model.
Source: tools/mtmd/models/glm4v.cpp; Glm4vVisionModel, transformers 5.23.
"""

from __future__ import annotations

from torch import nn

from mtmd_cli.image.slicing import Slicing
from mtmd_cli.nn.mlp import MLP, Activate, chain
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import MergePatches, Resample
from mtmd_cli.nn.spec import Activation
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.fixups import as_matrix, join_frames
from mtmd_cli.vision.markers import Markers

PROJECTOR_EPS = 1e-5


def _build(config: VisionConfig, parts: Parts) -> nn.Module:
    """A transformer, squares of patches joined by a convolution, a norm before a GELU, a gated network."""
    mm, merge, width = parts.at("mm"), config.spatial_merge(2), config.projection
    steps = {
        "_squares": MergePatches(merge, by_channel=True),
        "patch_merger": mm.linear("patch_merger", config.width * merge**2, width),
        "fc": mm.linear("fc", width, width),
        "post_norm": mm.layer_norm("post_norm", width, PROJECTOR_EPS),
        "_gelu": Activate(Activation.GELU),
        "_ffn": MLP(mm, width, mm.rows("ffn_up", config.hidden), config.activation),
        "_tokens": nn.Flatten(1, 2),
    }
    spec = config.vit(
        # The hidden width in the file is that of the projector; the blocks may have another.
        hidden=parts.rows("v.blk.0.ffn_up", config.hidden),
        norm="rms",
        positions=config.grid**2 if parts.has("v.position_embd") else 0,
        resample=Resample.BICUBIC,
        rope=config.grid_rope(),
    )
    return chain({"v": ViT(spec, parts.at("v")), "mm": chain(steps)})


def _slicing(config: VisionConfig) -> Slicing:
    return config.dynamic(config.spatial_merge(2), least=8, most=4096, warmup_tokens=46 * 46, smart=True)


GLM4V = VisionFamily(
    name="glm4v",
    build=_build,
    slicing=_slicing,
    tokens=lambda config, image: config.tokens(image, config.spatial_merge(2)),
    markers=Markers(begin="<|begin_of_image|>", end="<|end_of_image|>"),
    rename={
        "mm.model.fc.weight": "mm.fc.weight",
        "mm.up.weight": "mm.ffn_up.weight",
        "mm.up.bias": "mm.ffn_up.bias",
        "mm.gate.weight": "mm.ffn_gate.weight",
        "mm.gate.bias": "mm.ffn_gate.bias",
        "mm.down.weight": "mm.ffn_down.weight",
        "mm.down.bias": "mm.ffn_down.bias",
    },
    fixups=(join_frames, as_matrix("mm.patch_merger.weight")),
    projection=("mm.ffn_down.weight",),
)

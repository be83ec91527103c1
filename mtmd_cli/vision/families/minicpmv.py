"""MiniCPM-V 2.5 to 4.5 and MiniCPM-o: an overview, then tiles of the image's own shape; 64 or 96 tokens for each.

    <image> (overview) </image> <slice> (tile) </slice> <slice> (tile) </slice> … newline between rows
    <image> (overview) </image> <slice> <image> (tile) </image> … newline between rows </slice>     2.5 (version 2)

Positions come from a table of 70 x 70: a patch takes the row and the column at the same share of the edge.
Source: tools/mtmd/models/minicpmv.cpp, legacy-models/minicpmv-convert-image-encoder-to-gguf.py;
https://arxiv.org/abs/2408.01800.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from mtmd_cli.errors import GGUFError, UnsupportedModel
from mtmd_cli.image.size import Size
from mtmd_cli.image.slicing import LlavaUhd
from mtmd_cli.nn.mlp import chain
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.patches import Resample
from mtmd_cli.nn.resampler import Resampler
from mtmd_cli.nn.vit import ViT
from mtmd_cli.vision.config import VisionConfig
from mtmd_cli.vision.family import VisionFamily
from mtmd_cli.vision.fixups import swap_ffn
from mtmd_cli.vision.markers import Markers

HEAD_DIM = 128  # of the resampler; files do not say it
# The number that converters give to 2.5, 2.6, o 2.6, 4.0, 4.5 and o 4.5.
VERSIONS = (2, 3, 4, 5, 6, 100045)
MOST_TOKENS = 4096
MARKERS = Markers(
    overview_begin=("<image>",),
    overview_end="</image>",
    tile_begin="<slice>",
    tile_end="</slice>",
    row_end="\n",
    row_end_last=False,
)
MARKERS_OF_2_5 = replace(
    MARKERS, tiles_begin="<slice>", tiles_end="</slice>", tile_begin="<image>", tile_end="</image>"
)


def _version(config: VisionConfig) -> int:
    version = config.metadata.int("clip.minicpmv_version", 0) or VERSIONS[0]
    if version not in VERSIONS:
        raise UnsupportedModel(
            f"the projector is of MiniCPM-V version {version}",
            hint=f"known versions: {', '.join(map(str, VERSIONS))}",
        )
    return version


def _queries(config: VisionConfig) -> int:
    """Tokens of a slice; old files do not say it."""
    queries = config.metadata.int("clip.minicpmv_query_num", 0) or (96 if _version(config) == 2 else 64)
    if not 0 < queries <= MOST_TOKENS:
        raise GGUFError(f"clip.minicpmv_query_num is {queries}, expected 1 to {MOST_TOKENS}", hint="convert it again")
    return queries


def _build(config: VisionConfig, parts: Parts) -> nn.Module:
    """SigLIP, and queries that look at its patches."""
    width = config.projection
    if width % HEAD_DIM:
        raise GGUFError(
            f"the resampler is {width} wide, expected a multiple of its heads of {HEAD_DIM}", hint="convert it again"
        )
    resampler = Resampler(
        parts.at("resampler"),
        tokens=_queries(config),
        patch_width=config.width,
        width=width,
        head_dim=HEAD_DIM,
        eps=config.eps,
    )
    return chain({"v": ViT(config.vit(resample=Resample.NEAREST), parts.at("v")), "resampler": resampler})


def _tokens(config: VisionConfig, image: Size) -> Size:
    return Size(_queries(config), 1)


MINICPMV = VisionFamily(
    name="resampler",
    build=_build,
    slicing=lambda config: LlavaUhd(config.image_size, align=config.patch),
    tokens=_tokens,
    markers=lambda config: MARKERS_OF_2_5 if _version(config) == 2 else MARKERS,
    # Tables of the sines that the resampler computes for itself.
    rename={"resampler.pos_embed_k": "", "resampler.pos_embed": ""},
    fixups=(swap_ffn,),
    projection=("resampler.proj.weight",),
)

"""With `--preproc hf` images become what the models' own processors make of them.

The processors are those of transformers that need Pillow alone; the sizes are those of released models. Pixels may
differ by a level, rarely by two, where Pillow 13 resizes heights first: ours are always resized widths first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.image_utils import SizeDict
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.paddleocr_vl.image_processing_pil_paddleocr_vl import PaddleOCRVLImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mtmd_cli.image.cut import cut
from mtmd_cli.image.size import Size
from mtmd_cli.vision.config import TokenLimits, VisionConfig
from mtmd_cli.vision.registry import VISION_FAMILIES
from scripts.docs.families import metadata_of
from scripts.docs.known_models import PROJECTORS

Picture = np.ndarray[Any, np.dtype[np.uint8]]
Own = Callable[[VisionConfig, Picture], list[Picture]]

CUBIC, LINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR
LEAST, MOST = 8, 4096  # tokens, where the file does not bound the pixels
RARELY = 1e-4
SIZES = [
    Size(640, 480),
    Size(37, 53),
    Size(1022, 350),  # 36.5 tokens of 28 pixels: halves go to even
    Size(100, 900),
    Size(448, 448),
    Size(1500, 1300),
]


def gemma3(config: VisionConfig, image: Picture) -> list[Picture]:
    size = SizeDict(height=config.image_size, width=config.image_size)
    return [Gemma3ImageProcessorPil().resize(image, size=size, resample=LINEAR)]


def gemma4(config: VisionConfig, image: Picture) -> list[Picture]:
    resize = Gemma4ImageProcessorPil().aspect_ratio_preserving_resize
    return [resize(image, config.patch, 280 * 9, 3, CUBIC)]


def smart(processor: Any, *, frames: int = 1, **more: int) -> Own:
    """A processor with two limits on pixels, of all its frames together."""

    def resize(config: VisionConfig, image: Picture) -> list[Picture]:
        align = config.patch * 2
        least, most = (config.metadata.int(f"clip.vision.image_{end}_pixels", 0) for end in ("min", "max"))
        least, most = least or LEAST * align**2, most or MOST * align**2
        size = SizeDict(shortest_edge=least * frames, longest_edge=most * frames)
        return [processor.resize(image, size=size, resample=CUBIC, factor=align, **more)]

    return resize


def pixtral(config: VisionConfig, image: Picture) -> list[Picture]:
    align = config.patch * config.spatial_merge(1)
    patch = SizeDict(height=align, width=align)
    resize = PixtralImageProcessorPil().resize
    return [resize(image, SizeDict(longest_edge=config.image_size), patch, resample=CUBIC)]


def internvl(config: VisionConfig, image: Picture) -> list[Picture]:
    size = SizeDict(height=config.image_size, width=config.image_size)
    crop = GotOcr2ImageProcessorPil().crop_image_to_patches
    return list(crop(image, 1, 12, patch_size=size, resample=CUBIC))


OWN: dict[str, Own] = {
    "gemma3": gemma3,
    "gemma4v": gemma4,
    "glm4v": smart(Glm4vImageProcessorPil(), frames=2, temporal_factor=2),
    "internvl": internvl,
    "lightonocr": pixtral,
    "paddleocr": smart(PaddleOCRVLImageProcessorPil()),
    "pixtral": pixtral,
    "dots_ocr": smart(Qwen2VLImageProcessorPil()),
    "qwen2vl_merger": smart(Qwen2VLImageProcessorPil()),
    "qwen2.5vl_merger": smart(Qwen2VLImageProcessorPil()),
    "qwen3vl_merger": smart(Qwen2VLImageProcessorPil()),
}
KNOWN = [projector for projector in PROJECTORS if projector.family in OWN]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("projector", KNOWN, ids=lambda projector: projector.release)
def test_pixels_are_those_of_the_models_own_processor(projector: Any, size: Size) -> None:
    family = next(family for family in VISION_FAMILIES if family.name == projector.family)
    config = VisionConfig.from_metadata(metadata_of(projector), TokenLimits(), as_trained=True)
    # No black and no white: cutting off what overshoots them in between would depend on the order as well.
    noise = np.random.default_rng(0).integers(64, 192, (size.height, size.width, 3), dtype=np.uint8)
    slicing = family.slicing(config)
    ours = cut(Image.fromarray(noise), slicing.plan(size))
    own = OWN[projector.family](config, noise.transpose(2, 0, 1))
    assert [tuple(piece.shape) for piece in ours] == [(*piece.shape[1:], 3) for piece in own]
    for piece, expected in zip(ours, own, strict=True):
        apart = (piece.permute(2, 0, 1).int() - torch.from_numpy(np.ascontiguousarray(expected)).int()).abs()
        assert apart.max() <= 2 and (apart > 1).float().mean() <= RARELY
    warmup = slicing.warmup_size()
    assert family.tokens(config, warmup).area > 0

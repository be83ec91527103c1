"""Every vision family, in one explicit tuple."""

from __future__ import annotations

from mtmd_cli.vision.families.dots_ocr import DOTS_OCR
from mtmd_cli.vision.families.gemma3 import GEMMA3
from mtmd_cli.vision.families.gemma4v import GEMMA4V
from mtmd_cli.vision.families.glm4v import GLM4V
from mtmd_cli.vision.families.granite4_vision import GRANITE4_VISION
from mtmd_cli.vision.families.idefics3 import IDEFICS3
from mtmd_cli.vision.families.internvl import INTERNVL
from mtmd_cli.vision.families.janus_pro import JANUS_PRO
from mtmd_cli.vision.families.kimivl import KIMIK25, KIMIVL
from mtmd_cli.vision.families.ldp import LDP, LDPV2
from mtmd_cli.vision.families.lfm2 import LFM2
from mtmd_cli.vision.families.llama4 import LLAMA4
from mtmd_cli.vision.families.minicpmv import MINICPMV
from mtmd_cli.vision.families.mlp import MLP
from mtmd_cli.vision.families.paddleocr import PADDLEOCR
from mtmd_cli.vision.families.phi4 import PHI4
from mtmd_cli.vision.families.pixtral import LIGHTONOCR, PIXTRAL
from mtmd_cli.vision.families.qwenvl import QWEN2VL, QWEN3VL, QWEN25VL
from mtmd_cli.vision.family import VisionFamily

VISION_FAMILIES: tuple[VisionFamily, ...] = (
    DOTS_OCR,
    GEMMA3,
    GEMMA4V,
    GLM4V,
    GRANITE4_VISION,
    IDEFICS3,
    INTERNVL,
    JANUS_PRO,
    KIMIK25,
    KIMIVL,
    LFM2,
    LLAMA4,
    LDP,
    LDPV2,
    LIGHTONOCR,
    MINICPMV,
    MLP,
    PADDLEOCR,
    PHI4,
    PIXTRAL,
    QWEN2VL,
    QWEN25VL,
    QWEN3VL,
)

"""Every vision family, in one explicit tuple."""

from __future__ import annotations

from mtmd_cli.vision.families.gemma3 import GEMMA3
from mtmd_cli.vision.families.idefics3 import IDEFICS3
from mtmd_cli.vision.families.internvl import INTERNVL
from mtmd_cli.vision.families.janus_pro import JANUS_PRO
from mtmd_cli.vision.families.kimivl import KIMIVL
from mtmd_cli.vision.families.ldp import LDP, LDPV2
from mtmd_cli.vision.families.llama4 import LLAMA4
from mtmd_cli.vision.families.mlp import MLP
from mtmd_cli.vision.families.pixtral import LIGHTONOCR, PIXTRAL
from mtmd_cli.vision.families.qwenvl import QWEN2VL, QWEN3VL, QWEN25VL
from mtmd_cli.vision.family import VisionFamily

VISION_FAMILIES: tuple[VisionFamily, ...] = (
    GEMMA3,
    IDEFICS3,
    INTERNVL,
    JANUS_PRO,
    KIMIVL,
    LLAMA4,
    LDP,
    LDPV2,
    LIGHTONOCR,
    MLP,
    PIXTRAL,
    QWEN2VL,
    QWEN25VL,
    QWEN3VL,
)

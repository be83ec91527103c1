"""Every language family, in one explicit tuple."""

from __future__ import annotations

from mtmd_cli.language.families.deepseek2 import DEEPSEEK2
from mtmd_cli.language.families.gemma3 import GEMMA3
from mtmd_cli.language.families.gemma4 import GEMMA4
from mtmd_cli.language.families.granite import GRANITE
from mtmd_cli.language.families.lfm2 import LFM2, LFM2MOE
from mtmd_cli.language.families.llama import (
    ERNIE4_5,
    GLM4,
    LLAMA,
    MINICPM,
    MISTRAL3,
    PADDLEOCR,
    PHI3,
    QWEN2,
    QWEN2VL,
    QWEN3,
    QWEN3MOE,
    QWEN3VL,
    QWEN3VLMOE,
)
from mtmd_cli.language.families.llama4 import LLAMA4
from mtmd_cli.language.families.qwen35 import QWEN35, QWEN35MOE
from mtmd_cli.language.family import LanguageFamily

LANGUAGE_FAMILIES: tuple[LanguageFamily, ...] = (
    LLAMA,
    LLAMA4,
    MISTRAL3,
    QWEN2,
    QWEN2VL,
    QWEN3,
    QWEN3MOE,
    QWEN3VL,
    QWEN3VLMOE,
    QWEN35,
    QWEN35MOE,
    GEMMA3,
    GEMMA4,
    GRANITE,
    DEEPSEEK2,
    GLM4,
    ERNIE4_5,
    PADDLEOCR,
    PHI3,
    LFM2,
    LFM2MOE,
    MINICPM,
)

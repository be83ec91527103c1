"""Models that people run, and what the metadata of their files says: facts for the generated pages, no rules.

Sources: the configurations in transformers 5.23, and the converters of llama.cpp b11434.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

CLIP_L: Final[Mapping[str, Any]] = {
    "image_size": 336,
    "patch_size": 14,
    "embedding_length": 1024,
    "feed_forward_length": 4096,
    "block_count": 24,
    "attention.head_count": 16,
}
SIGLIP_SO400M: Final[Mapping[str, Any]] = {
    "patch_size": 14,
    "embedding_length": 1152,
    "feed_forward_length": 4304,
    "block_count": 27,
    "attention.head_count": 16,
}
PIXTRAL_VIT: Final[Mapping[str, Any]] = {**CLIP_L, "image_size": 1540}
QWEN_VIT: Final[Mapping[str, Any]] = {
    "image_size": 560,
    "patch_size": 14,
    "embedding_length": 1280,
    "feed_forward_length": 5120,
    "block_count": 32,
    "attention.head_count": 16,
    "spatial_merge_size": 2,
    "projection_dim": 3584,
}
LLAVA_16_PINPOINTS: Final = (336, 672, 672, 336, 672, 672, 1008, 336, 336, 1008)


@dataclass(frozen=True)
class Projector:
    """A released projector.

    family: its projector type. models: what runs with this family. release: the one whose sizes stand here. keys: its
    metadata, `clip.vision.` left out. shapes: of tensors that tell what the metadata does not.
    """

    family: str
    models: str
    release: str
    keys: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


PROJECTORS: Final = (
    Projector(
        "dots_ocr",
        "dots.ocr",
        "dots.ocr",
        {
            "image_size": 0,
            "patch_size": 14,
            "embedding_length": 1536,
            "feed_forward_length": 4224,
            "block_count": 42,
            "attention.head_count": 12,
            "projector.scale_factor": 2,
            "image_min_pixels": 3136,
            "image_max_pixels": 11289600,
            "projection_dim": 1536,
        },
    ),
    Projector(
        "gemma3", "Gemma 3, MedGemma", "Gemma 3 4B", {**SIGLIP_SO400M, "image_size": 896, "projection_dim": 2560}
    ),
    Projector(
        "gemma4v",
        "Gemma 4",
        "Gemma 4 E2B",
        {
            "image_size": 224,
            "patch_size": 16,
            "embedding_length": 768,
            "feed_forward_length": 3072,
            "block_count": 16,
            "attention.head_count": 12,
            "projection_dim": 1536,
        },
        shapes={"v.position_embd.weight": (2, 10240, 768)},
    ),
    Projector(
        "glm4v",
        "GLM-4.1V, GLM-4.6V Flash, GLM-OCR",
        "GLM-4.1V 9B",
        {
            "image_size": 336,
            "patch_size": 14,
            "embedding_length": 1536,
            "feed_forward_length": 13696,
            "block_count": 24,
            "attention.head_count": 12,
            "spatial_merge_size": 2,
            "projection_dim": 4096,
        },
    ),
    Projector(
        "granite4_vision",
        "Granite Vision 4",
        "SigLIP 2 at 384 pixels",
        {
            **SIGLIP_SO400M,
            "image_size": 384,
            "patch_size": 16,
            "feature_layer": (26,),
            "projector.spatial_offsets": (-1,),
            "projector.window_side": 8,
            "projector.query_side": 4,
            "image_grid_pinpoints": (384, 768, 768, 384, 768, 768, 1152, 384, 384, 1152),
            "projection_dim": 2560,
        },
    ),
    Projector(
        "idefics3",
        "SmolVLM, SmolVLM2, Idefics 3",
        "SmolVLM 2.2B",
        {
            **SIGLIP_SO400M,
            "image_size": 384,
            "projector.scale_factor": 3,
            "preproc_image_size": 1536,
            "projection_dim": 2048,
        },
    ),
    Projector(
        "internvl",
        "InternVL 2 to 3.5, Intern-S1",
        "InternVL3 8B",
        {**CLIP_L, "image_size": 448, "projector.scale_factor": 2, "projection_dim": 3584},
    ),
    Projector(
        "janus_pro",
        "Janus Pro",
        "Janus Pro 7B",
        {**CLIP_L, "image_size": 384, "patch_size": 16, "projection_dim": 4096},
    ),
    Projector(
        "kimik25",
        "Kimi K2.5",
        "Kimi K2.5",
        {
            **SIGLIP_SO400M,
            "image_size": 896,
            "projector.scale_factor": 2,
            "image_min_pixels": 8 * 14**2,
            "image_max_pixels": 16384 * 14**2,
            "projection_dim": 7168,
        },
    ),
    Projector(
        "kimivl",
        "Kimi-VL",
        "Kimi-VL A3B",
        {**SIGLIP_SO400M, "image_size": 896, "projector.scale_factor": 2, "projection_dim": 2048},
    ),
    Projector("ldp", "MobileVLM", "MobileVLM 1.7B", {**CLIP_L, "projection_dim": 2048}),
    Projector("ldpv2", "MobileVLM V2", "MobileVLM V2 1.7B", {**CLIP_L, "projection_dim": 2048}),
    Projector(
        "lfm2",
        "LFM2-VL, LFM2.5-VL",
        "LFM2-VL 450M",
        {
            "image_size": 256,
            "patch_size": 16,
            "embedding_length": 768,
            "feed_forward_length": 3072,
            "block_count": 12,
            "attention.head_count": 12,
            "projector.scale_factor": 2,
            "projection_dim": 1024,
        },
    ),
    Projector(
        "lightonocr",
        "LightOnOCR",
        "LightOnOCR 1B",
        {**PIXTRAL_VIT, "spatial_merge_size": 2, "projection_dim": 1024},
    ),
    Projector(
        "llama4",
        "Llama 4 Scout and Maverick",
        "Llama 4 Scout",
        {
            "image_size": 336,
            "patch_size": 14,
            "embedding_length": 1408,
            "feed_forward_length": 5632,
            "block_count": 34,
            "attention.head_count": 16,
            "projector.scale_factor": 2,
            "projection_dim": 5120,
        },
    ),
    Projector("mlp", "LLaVA 1.5, Yi-VL", "LLaVA 1.5 7B", {**CLIP_L, "projection_dim": 4096}),
    Projector(
        "mlp",
        "LLaVA 1.6, Granite Vision 3",
        "LLaVA 1.6 7B",
        {**CLIP_L, "image_grid_pinpoints": LLAVA_16_PINPOINTS, "projection_dim": 4096},
    ),
    Projector(
        "paddleocr",
        "PaddleOCR-VL",
        "PaddleOCR-VL 0.9B",
        {
            **SIGLIP_SO400M,
            "image_size": 384,
            "image_min_pixels": 384**2,
            "image_max_pixels": 1536**2,
            "projection_dim": 1024,
        },
    ),
    Projector(
        "phi4",
        "Phi-4 reasoning vision",
        "Phi-4 reasoning vision 15B",
        {
            **SIGLIP_SO400M,
            "image_size": 256,
            "patch_size": 16,
            "image_min_pixels": 256 * 16**2,
            "image_max_pixels": 3600 * 16**2,
            "projection_dim": 5120,
        },
    ),
    Projector(
        "pixtral",
        "Pixtral",
        "Pixtral 12B",
        {**PIXTRAL_VIT, "image_size": 1024, "patch_size": 16, "projection_dim": 5120},
    ),
    Projector(
        "pixtral",
        "Mistral Small 3.1 and later, Ministral 3",
        "Mistral Small 3.1 24B",
        {**PIXTRAL_VIT, "spatial_merge_size": 2, "projection_dim": 5120},
    ),
    Projector("qwen2vl_merger", "Qwen2-VL", "Qwen2-VL 7B", QWEN_VIT),
    Projector(
        "qwen2.5vl_merger",
        "Qwen2.5-VL",
        "Qwen2.5-VL 7B",
        {**QWEN_VIT, "feed_forward_length": 3420, "n_wa_pattern": 8},
    ),
    Projector(
        "qwen3vl_merger",
        "Qwen3-VL, Qwen3.5",
        "Qwen3-VL 8B",
        {**SIGLIP_SO400M, "image_size": 768, "patch_size": 16, "spatial_merge_size": 2, "projection_dim": 4096},
    ),
    Projector(
        "resampler",
        "MiniCPM-V 2.5 to 4.5, MiniCPM-o",
        "MiniCPM-V 2.6",
        {**SIGLIP_SO400M, "image_size": 448, "clip.minicpmv_version": 3, "projection_dim": 3584},
    ),
)

LANGUAGE_MODELS: Final[Mapping[str, str]] = {
    "llama": "Llama 2 and 3, Mistral, Mixtral, SmolLM, Yi, Vicuna, MobileLLaMA",
    "llama4": "Llama 4 Scout and Maverick",
    "mistral3": "Mistral Small 3.2 and later, Ministral 3",
    "qwen2": "Qwen 2 and 2.5, InternVL 2.5 and 3, MiniCPM-V 2.6",
    "qwen2vl": "Qwen2-VL, Qwen2.5-VL",
    "qwen3": "Qwen 3, InternVL 3.5, LightOnOCR",
    "qwen3moe": "Qwen 3 with experts",
    "qwen3vl": "Qwen3-VL",
    "qwen3vlmoe": "Qwen3-VL with experts",
    "gemma3": "Gemma 3",
    "gemma4": "Gemma 4, dense, E2B, E4B and with experts",
    "deepseek2": "DeepSeek V2 and V3, Kimi-VL, Kimi K2.5",
    "glm4": "GLM-4.1V 9B, GLM-OCR",
    "ernie4_5": "ERNIE 4.5",
    "paddleocr": "PaddleOCR-VL",
    "phi3": "Phi 3 and 4",
    "lfm2": "LFM2, LFM2-VL",
    "lfm2moe": "LFM2 with experts",
    "minicpm": "MiniCPM, MiniCPM-V 4",
    "granite": "Granite 3 and 4, Granite Vision",
    "qwen35": "Qwen3.5",
    "qwen35moe": "Qwen3.5 with experts",
}

GOLDEN: Final[Mapping[str, tuple[str, str]]] = {
    "gemma3": ("gemma3", "gemma3"),
    "gemma4e": ("gemma4v", "gemma4"),
    "gemma4moe": ("gemma4v", "gemma4"),
    "gemma4v": ("gemma4v", "gemma4"),
    "glm4v": ("glm4v", "glm4"),
    "granite4_vision": ("granite4_vision", "granite"),
    "idefics3": ("idefics3", "llama"),
    "internvl": ("internvl", "qwen2"),
    "janus_pro": ("janus_pro", "llama"),
    "kimivl": ("kimivl", "deepseek2"),
    "lfm2": ("lfm2", "lfm2"),
    "llama4": ("llama4", "llama4"),
    "llava15": ("mlp", "llama"),
    "llava16": ("mlp", "llama"),
    "minicpmv": ("resampler", "qwen2"),
    "paddleocr": ("paddleocr", "paddleocr"),
    "pixtral": ("pixtral", "llama"),
    "qwen25vl": ("qwen2.5vl_merger", "qwen2vl"),
    "qwen2vl": ("qwen2vl_merger", "qwen2vl"),
    "qwen35": ("qwen3vl_merger", "qwen35"),
    "qwen35moe": ("qwen3vl_merger", "qwen35moe"),
    "qwen3vl": ("qwen3vl_merger", "qwen3vl"),
    "qwen3vlmoe": ("qwen3vl_merger", "qwen3vlmoe"),
}
"""Golden folders: the projector type and the architecture of their files. A test compares what it says with them."""

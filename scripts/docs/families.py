"""docs/families.md and its short form in the README: what runs, computed by the families themselves, and its proofs."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from textwrap import fill

import torch

from mtmd_cli.diagnostics.describe import attention_of, image_tokens
from mtmd_cli.gguf import GGMLType, GGUFFile, Metadata, PackedTensor
from mtmd_cli.gguf.metadata import Value
from mtmd_cli.image.plan import Plan
from mtmd_cli.image.size import Size
from mtmd_cli.language.registry import LANGUAGE_FAMILIES
from mtmd_cli.vision.config import TokenLimits
from mtmd_cli.vision.loader import Vision, build_vision
from mtmd_cli.vision.registry import VISION_FAMILIES
from scripts.docs.known_models import GOLDEN, LANGUAGE_MODELS, PROJECTORS, Projector

IMAGE = Size(1024, 768)
LINE = 120
PARITY = Path(__file__).resolve().parent.parent.parent / "tests" / "parity"
WINDOWS = "segments"

_HEAD = f"""# Families

<!-- Written by scripts/write_docs.py; `make docs` writes it anew. -->

What a vision family does with an image of {IMAGE} pixels, computed by the family itself from the sizes of one released
model. *Attention* is that of the tower: among all patches (full), within windows, or from queries to patches (cross);
*prompt* tells whether the language model reads the tokens of an image in one direction (causal) or in both.

*Proof*: `golden` names the folders of reference data, made by llama.cpp, that a test compares with, to the byte where
they are exact; `parity` names the tests that compare a tiny random model with `transformers`, or with torch's own
modules, in float32.
"""


def page() -> str:
    """docs/families.md."""
    vision = _table(
        ["projector type", "known from", "sizes of", "slices", "tokens", "attention, heads", "prompt", "proof"],
        (_vision_row(projector) for projector in _registered()),
    )
    language = _table(
        ["architecture", "known from", "proof"],
        ([f"`{f.name}`", LANGUAGE_MODELS[f.name], _proof(f.name, vision=False)] for f in LANGUAGE_FAMILIES),
    )
    return f"{_HEAD}\n## Vision\n\n{vision}\n## Language\n\n{language}"


def summary() -> str:
    """The table in the README."""
    models: dict[str, list[str]] = {}
    for projector in _registered():
        models.setdefault(projector.family, []).append(projector.models)
    rows = ([", ".join(known), f"`{family}`", _proof(family, vision=True)] for family, known in models.items())
    languages = ", ".join(f"`{family.name}`" for family in LANGUAGE_FAMILIES)
    table = _table(["images with", "projector type", "proof"], rows)
    return f"{table}\n{fill(f'Language models: {languages}.', LINE)}\n"


def metadata_of(projector: Projector) -> Metadata:
    """The keys that every file has, and those of the released one."""
    own = {key if key.startswith("clip.") else f"clip.vision.{key}": value for key, value in projector.keys.items()}
    shared: dict[str, Value] = {
        "general.architecture": "clip",
        "clip.projector_type": projector.family,
        "clip.vision.attention.layer_norm_epsilon": 1e-6,
        "clip.vision.image_mean": (0.5, 0.5, 0.5),
        "clip.vision.image_std": (0.5, 0.5, 0.5),
    }
    return Metadata(shared | own)


def vision_of(projector: Projector) -> Vision:
    """The family, built on the meta device from the metadata of a released model."""
    tensors = {
        name: PackedTensor(name, shape, GGMLType.F32, torch.empty(0, dtype=torch.uint8))
        for name, shape in projector.shapes.items()
    }
    vision, _ = build_vision(GGUFFile(Path("mmproj.gguf"), metadata_of(projector), tensors), TokenLimits())
    return vision


def _registered() -> Iterator[Projector]:
    """Known models in the order of the registry. Raises LookupError for a family without one."""
    for family in VISION_FAMILIES:
        known = [projector for projector in PROJECTORS if projector.family == family.name]
        if not known:
            raise LookupError(f"scripts/docs/known_models.py has no row for the vision family {family.name}")
        yield from known


def _vision_row(projector: Projector) -> list[str]:
    vision = vision_of(projector)
    plan = vision.slicing.plan(IMAGE)
    return [
        f"`{projector.family}`",
        projector.models,
        projector.release,
        _slices(plan),
        str(image_tokens(vision, plan)),
        _attention(vision, plan),
        "causal" if vision.family.causal(vision.config) else "both ways",
        _proof(projector.family, vision=True),
    ]


def _slices(plan: Plan) -> str:
    """The last step alone: the image's size is the same in every row."""
    seen = plan.tiles
    if not seen:
        return str(plan.slices[0].size)
    overview = f", overview {plan.overview.size}" if plan.overview else ""
    return f"{plan.grid} tiles of {seen[0].size}{overview}"


def _attention(vision: Vision, plan: Plan) -> str:
    uses = attention_of(vision.tower, plan.slices[0].size)
    kinds = ["window" if use.kind == WINDOWS else use.kind for use in uses]
    heads = [use.head_dim for use in uses]
    if len(set(heads)) == 1:
        return f"{' and '.join(kinds)}, {heads[0]}"
    return "; ".join(f"{kind}, {head}" for kind, head in zip(kinds, heads, strict=True))


def _proof(family: str, *, vision: bool) -> str:
    """Golden folders whose two families are here, and parity tests that name the family."""
    runs = {family.name for family in VISION_FAMILIES}, {family.name for family in LANGUAGE_FAMILIES}
    folders = [
        folder
        for folder, kinds in GOLDEN.items()
        if kinds[0 if vision else 1] == family and kinds[0] in runs[0] and kinds[1] in runs[1]
    ]
    tests = [name for name, families in _parity_tests(vision).items() if family in families]
    parts = [f"golden: {', '.join(folders)}"] if folders else []
    parts += [f"parity: {', '.join(tests)}"] if tests else []
    return "; ".join(parts)


@lru_cache
def _parity_tests(vision: bool) -> dict[str, frozenset[str]]:
    """Parity tests by the names of the families of which they write a file."""
    writers = {"write_tower", "assert_same_tower"} if vision else {"write_language"}
    found = {}
    for path in sorted(PARITY.glob("test_*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        if writers & {node.id for node in nodes if isinstance(node, ast.Name)}:
            strings = (node.value for node in nodes if isinstance(node, ast.Constant))
            found[path.stem] = frozenset(value for value in strings if isinstance(value, str))
    return found


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)

"""What a GGUF file holds and what its family makes of it, as data; no weight is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mtmd_cli.diagnostics.attention import AttentionWatch
from mtmd_cli.diagnostics.decoder_words import feed_forwards, mixers, ropes
from mtmd_cli.diagnostics.support import Support
from mtmd_cli.errors import GGUFError, UnsupportedModel, UsageError
from mtmd_cli.gguf import GGUFFile, PackedTensor, open_gguf
from mtmd_cli.image.plan import Plan, Slice
from mtmd_cli.image.size import Size
from mtmd_cli.language.loader import build_decoder, language_family
from mtmd_cli.text.named_templates import template_named_like
from mtmd_cli.vision.config import TokenLimits
from mtmd_cli.vision.loader import Vision, build_vision
from mtmd_cli.weights import misfits, our_name


@dataclass(frozen=True)
class TypeShare:
    """Tensors of one type. parameters: their values."""

    type: str
    tensors: int
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Fit:
    """Names where file and family disagree: missing in the file, unclaimed by the family; aside: known and not used."""

    missing: tuple[str, ...]
    unclaimed: tuple[str, ...]
    aside: tuple[str, ...]


@dataclass(frozen=True)
class LanguageFacts:
    """A language model. mixers, feed_forwards, ropes: in words, each kind with the number of its layers.

    template: the named template that the file's own resembles. image_width: values of an image token that it takes.
    """

    context: int
    width: int
    layers: int
    vocabulary: int
    image_width: int
    mixers: tuple[str, ...]
    feed_forwards: tuple[str, ...]
    ropes: tuple[str, ...]
    tokenizer: str
    has_template: bool
    template: str | None


@dataclass(frozen=True)
class AttentionUse:
    """Calls of attention that see the same. kind: as in AttentionKind; count: calls for one slice."""

    kind: str
    heads: int
    head_dim: int
    count: int

    def __str__(self) -> str:
        return f"{self.count} × {self.kind}, {self.heads} heads of {self.head_dim}"


@dataclass(frozen=True)
class SliceFacts:
    """Slices of one role and size. columns, rows: of the tokens of each; tokens: of all."""

    role: str
    count: int
    width: int
    height: int
    columns: int
    rows: int
    tokens: int


@dataclass(frozen=True)
class ImageFacts:
    """What an image of some size becomes. plan: in words; tokens: with those that join slices."""

    width: int
    height: int
    plan: str
    slices: tuple[SliceFacts, ...]
    tokens: int


@dataclass(frozen=True)
class VisionFacts:
    """A vision tower. width, hidden: of its blocks; token_width: values of a token, with those for deeper layers.

    slicing: the name of the strategy. causal: whether the tokens of an image see only those before them. warmup: the
    slice that stands for all. attention: within a slice of the image, or of the warmup.
    """

    image_size: int
    patch: int
    width: int
    hidden: int
    blocks: int
    heads: int
    token_width: int
    activation: str
    causal: bool
    slicing: str
    warmup: SliceFacts
    attention: tuple[AttentionUse, ...]
    image: ImageFacts | None
    advice: str | None


@dataclass(frozen=True)
class Description:
    """One file. family: None where this program knows none; then `problem` and `hint` say why, in words."""

    path: str
    name: str | None
    architecture: str
    family: str | None
    bytes: int
    parameters: int
    tensors: int
    types: tuple[TypeShare, ...]
    fit: Fit | None = None
    language: LanguageFacts | None = None
    vision: VisionFacts | None = None
    problem: str | None = None
    hint: str | None = None
    version: int = 1

    def as_json(self) -> dict[str, Any]:
        """Plain data, as docs/json.md describes it."""
        return dataclasses.asdict(self)


def describe(
    path: str | Path, image: Size | None = None, limits: TokenLimits | None = None, *, as_trained: bool = False
) -> Description:
    """What is in a file. image: of a projector, what becomes of an image of that size; as_trained: as in VisionConfig.

    A file that no family can take is described as far as it goes. Raises FileError, UsageError.
    """
    file = _without_data(open_gguf(path))
    architecture = file.metadata.str("general.architecture")
    if image is not None and architecture != "clip":
        raise UsageError(
            f"{file.path.name} is a language model ({architecture}), and images are cut by a projector",
            hint="leave --image and --size out, or name the projector's file",
        )
    found = Description(
        path=str(path),
        name=file.metadata.str("general.name", None),
        architecture=architecture,
        family=None,
        bytes=sum(tensor.nbytes for tensor in file.tensors.values()),
        parameters=sum(_parameters(tensor) for tensor in file.tensors.values()),
        tensors=len(file.tensors),
        types=_types(file.tensors),
    )
    try:
        if architecture == "clip":
            return _with_vision(found, file, image, limits or TokenLimits(), as_trained)
        return _with_language(found, file)
    except (GGUFError, UnsupportedModel) as error:
        everything = Fit(missing=(), unclaimed=tuple(sorted(file.tensors)), aside=())
        return replace(found, problem=error.message, hint=error.hint, fit=everything)


def _without_data(file: GGUFFile) -> GGUFFile:
    """The same file whose tensors have shapes and types alone, so that nothing can read them."""
    tensors = {name: replace(tensor, data=tensor.data.to("meta")) for name, tensor in file.tensors.items()}
    return replace(file, tensors=tensors)


def _parameters(tensor: PackedTensor) -> int:
    return tensor.nbytes // tensor.type.block_bytes * tensor.type.block


def _types(tensors: Mapping[str, PackedTensor]) -> tuple[TypeShare, ...]:
    """The type with most bytes first."""
    shares: dict[str, TypeShare] = {}
    for tensor in tensors.values():
        name = tensor.type.name
        old = shares.get(name, TypeShare(name, 0, 0, 0))
        shares[name] = TypeShare(name, old.tensors + 1, old.parameters + _parameters(tensor), old.bytes + tensor.nbytes)
    return tuple(sorted(shares.values(), key=lambda share: -share.bytes))


def _with_language(found: Description, file: GGUFFile) -> Description:
    family = language_family(file)
    decoder, tensors = build_decoder(file, torch.float32)
    spec, metadata = decoder.spec, file.metadata
    template = metadata.str("tokenizer.chat_template", None)
    kind, words = metadata.str("tokenizer.ggml.model", "unknown"), metadata.str("tokenizer.ggml.pre", None)
    return replace(
        found,
        family=family.name,
        fit=_fit(decoder, tensors, [name for name in file.tensors if our_name(name, family.rename) not in tensors]),
        language=LanguageFacts(
            context=spec.context,
            width=spec.width,
            layers=len(spec.layers),
            vocabulary=spec.vocabulary,
            image_width=spec.input_width,
            mixers=mixers(spec),
            feed_forwards=feed_forwards(spec),
            ropes=ropes(spec),
            tokenizer=f"{kind}, words cut as {words}" if words else kind,
            has_template=template is not None,
            template=template_named_like(template) if template else None,
        ),
    )


def _with_vision(
    found: Description, file: GGUFFile, image: Size | None, limits: TokenLimits, as_trained: bool
) -> Description:
    vision, tensors = build_vision(file, limits, as_trained=as_trained)
    family, config = vision.family, vision.config
    plan = vision.slicing.plan(image) if image else None
    warmup = vision.slicing.warmup_size()
    spare = family.spare(config)
    ours = {name: our_name(name, family.rename) for name in file.tensors}
    return replace(
        found,
        family=family.name,
        fit=_fit(vision.tower, tensors, [name for name, our in ours.items() if not our or our.startswith(spare)]),
        vision=VisionFacts(
            image_size=config.image_size,
            patch=config.patch,
            width=config.width,
            hidden=config.hidden,
            blocks=config.blocks,
            heads=config.heads,
            token_width=vision.width,
            activation=config.activation.value,
            causal=vision.causal,
            slicing=type(vision.slicing).__name__,
            warmup=_slice_facts(vision, "warmup", warmup),
            attention=attention_of(vision.tower, plan.slices[0].size if plan else warmup),
            image=_image_facts(vision, plan) if plan else None,
            advice=vision.advice,
        ),
    )


def _fit(module: nn.Module, tensors: Mapping[str, PackedTensor], aside: list[str]) -> Fit:
    missing, unclaimed = misfits(module, tensors)
    return Fit(tuple(missing), tuple(unclaimed), tuple(sorted(aside)))


def _image_facts(vision: Vision, plan: Plan) -> ImageFacts:
    kinds: dict[tuple[str, Size], list[Slice]] = {}
    for piece in plan.slices:
        kinds.setdefault((piece.role.value, piece.size), []).append(piece)
    slices = tuple(_slice_facts(vision, role, size, len(pieces)) for (role, size), pieces in kinds.items())
    return ImageFacts(plan.image.width, plan.image.height, str(plan), slices, image_tokens(vision, plan))


def _slice_facts(vision: Vision, role: str, size: Size, count: int = 1) -> SliceFacts:
    tokens = vision.family.tokens(vision.config, size)
    return SliceFacts(role, count, size.width, size.height, tokens.width, tokens.height, count * tokens.area)


def image_tokens(vision: Vision, plan: Plan) -> int:
    """The tokens that an image becomes."""
    if vision.family.joined is not None:
        return vision.family.joined(vision.config, plan)
    return sum(vision.family.tokens(vision.config, piece.size).area for piece in plan.slices)


def attention_of(tower: nn.Module, image: Size) -> tuple[AttentionUse, ...]:
    """How a tower on the meta device attends within a slice of this size: nothing is computed, only passed through.

    Raises UnsupportedModel for sizes that do not fit together.
    """
    watch = AttentionWatch(tower, Support(), choose=False, quiet=nullcontext)
    try:
        with torch.no_grad(), watch:
            tower(torch.empty(1, 3, image.height, image.width, device="meta"))
    except RuntimeError as error:
        raise UnsupportedModel(
            f"the tower cannot take a slice of {image}: {str(error).splitlines()[0]}",
            hint="the file's metadata does not fit together; was it converted by a matching converter?",
        ) from error
    found: dict[tuple[str, int, int], int] = {}
    for seen in watch.kinds.values():
        _, heads, _, head_dim = seen.sources[0].shape
        key = (seen.kind, heads, head_dim)
        found[key] = found.get(key, 0) + seen.count
    return tuple(AttentionUse(*key, count) for key, count in found.items())

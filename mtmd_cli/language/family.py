"""What a language family must be able to say, and what most of them say the same way."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mtmd_cli.errors import GGUFError, UnsupportedModel
from mtmd_cli.gguf import Metadata
from mtmd_cli.nn.parts import Parts
from mtmd_cli.nn.rope import Rope, Yarn
from mtmd_cli.nn.spec import DecoderSpec, Gating, Routing


@dataclass(frozen=True)
class LanguageFamily:
    """One value in one file: the architecture's name in the file, and its decoder as data.

    spec: from the keys and the tensor names of a file.
    rename: names in the file that are not the code's; '' leaves a tensor aside.
    spare: how the names of tensors begin that the decoder leaves aside in a file with these keys.
    """

    name: str
    spec: Callable[[Keys, Parts], DecoderSpec]
    rename: Mapping[builtins.str, builtins.str] = field(default_factory=dict)
    spare: Callable[[Keys], tuple[str, ...]] = lambda keys: ()


class Keys:
    """The metadata of one architecture: keys.int("block_count") reads `llama.block_count`."""

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata
        self.architecture = metadata.str("general.architecture")

    def _full(self, key: builtins.str) -> builtins.str:
        return f"{self.architecture}.{key}"

    def int(self, key: builtins.str, default: builtins.int | None = None) -> builtins.int:
        """Required unless a default is given."""
        return self.metadata.int(self._full(key)) if default is None else self.metadata.int(self._full(key), default)

    def float(self, key: builtins.str, default: builtins.float | None = None) -> builtins.float:
        """Required unless a default is given."""
        full = self._full(key)
        return self.metadata.float(full) if default is None else self.metadata.float(full, default)

    def str(self, key: builtins.str, default: builtins.str) -> builtins.str:
        """A string, or the default."""
        return self.metadata.str(self._full(key), default)

    def has(self, key: builtins.str) -> bool:
        """Whether the file says anything about it."""
        return self._full(key) in self.metadata

    def ints(self, key: builtins.str) -> list[builtins.int]:
        """A list of integers, empty where the file has none."""
        return self.metadata.ints(self._full(key), [])

    def layers(self, key: builtins.str, default: builtins.int | None = None) -> list[builtins.int]:
        """One integer for each layer."""
        count = self.int("block_count")
        if default is None:
            return self.metadata.layers(self._full(key), count)[: self.blocks]
        return self.metadata.layers(self._full(key), count, default)[: self.blocks]

    def sliding_layers(self, period: builtins.int) -> list[bool]:
        """Which layers have a sliding window: from the file's array, or all but the last of every `period` layers."""
        key = self._full("attention.sliding_window_pattern")
        if isinstance(self.metadata.get(key), tuple):
            return self.metadata.bools(key)
        period = self.metadata.int(key, period)
        return [period == 0 or index % period < period - 1 for index in range(self.blocks)]

    @property
    def blocks(self) -> builtins.int:
        """Layers of the decoder. A file may hold more behind them, which only guess tokens further ahead (nextn)."""
        count, guessing = self.int("block_count"), self.int("nextn_predict_layers", 0)
        if not 0 <= guessing < count:
            raise GGUFError(
                f"{self._full('nextn_predict_layers')} is {guessing}, expected less than the {count} layers",
                hint="the file's converter wrote it wrongly; try another file",
            )
        return count - guessing

    @property
    def vocabulary(self) -> builtins.int:
        """Rows of the token embedding."""
        return len(self.metadata.strs("tokenizer.ggml.tokens"))

    def rope(self, *, pairs: bool, base: builtins.float = 10000.0, interleaved: bool = False) -> Rope:
        """The rotation and its scaling, from the keys that all architectures share (llama-context.cpp).

        interleaved: the axes of M-RoPE take turns; only models whose file has sections have M-RoPE.
        """
        dims = self.int("rope.dimension_count", self.head_dim)
        factor = self.float("rope.scaling.factor", self.float("rope.scale_linear", 1.0)) or 1.0
        kind = self.str("rope.scaling.type", "linear")
        yarn, magnitude = None, self.float("rope.scaling.attn_factor", 1.0)
        if kind == "none":
            factor = 1.0
        if kind == "yarn":
            yarn = Yarn(
                self.int("rope.scaling.original_context_length", self.int("context_length")),
                self.float("rope.scaling.yarn_beta_fast", 32.0),
                self.float("rope.scaling.yarn_beta_slow", 1.0),
                self.float("rope.scaling.yarn_ext_factor", 1.0),
            )
            log_multiplier = self.float("rope.scaling.yarn_log_multiplier", 0.0)
            magnitude *= _yarn_magnitude(factor, 1.0)
            if log_multiplier:
                magnitude /= _yarn_magnitude(factor, log_multiplier)
        sections = self._rope_sections()
        return Rope(
            dims, self.float("rope.freq_base", base), pairs, factor, magnitude, yarn, sections, interleaved=interleaved
        )

    def grid_rope(self, *, interleaved: bool) -> Rope:
        """The rotation of a model whose positions count time, rows and columns. Raises GGUFError without sections."""
        rope = self.rope(pairs=False, interleaved=interleaved)
        if not rope.sections:
            raise GGUFError(
                f"{self._full('rope.dimension_sections')} is missing, expected the shares of time, rows and columns",
                hint="convert the file again with a newer converter",
            )
        return rope

    def _rope_sections(self) -> tuple[builtins.int, ...]:
        sections = self.ints("rope.dimension_sections")
        if sections and (not 3 <= len(sections) <= 4 or min(sections) < 0 or sum(sections) == 0):
            raise GGUFError(
                f"{self._full('rope.dimension_sections')} is {sections}, expected the shares of t, y, x and z",
                hint="the file's converter wrote it wrongly; try another file",
            )
        return tuple(sections)

    def routing(self, *, gating: Gating = Gating.SOFTMAX, normalised: bool = False) -> Routing:
        """How tokens find their experts; the file's own word on the gating and the shares goes first.

        Raises GGUFError for counts that do not fit together.
        """
        found = self.int("expert_gating_func", 0) or gating
        routing = Routing(
            experts=self.int("expert_count"),
            used=self.int("expert_used_count"),
            gating=_gating(found),
            groups=max(1, self.int("expert_group_count", 1)),
            groups_used=max(1, self.int("expert_group_used_count", 1)),
            normalised=self.metadata.bool(self._full("expert_weights_norm"), normalised),
            scale=self.float("expert_weights_scale", 1.0) or 1.0,
        )
        candidates = routing.experts // routing.groups * routing.groups_used
        fits = routing.experts % routing.groups == 0 and routing.groups_used <= routing.groups
        if not fits or not 0 < routing.used <= candidates:
            raise GGUFError(
                f"{routing.used} of {routing.experts} experts from {routing.groups_used} of {routing.groups} groups "
                "cannot be chosen",
                hint=f"look at {self.architecture}.expert_*; the file may have been converted wrongly",
            )
        return routing

    @property
    def head_dim(self) -> builtins.int:
        """Width of a query and key head."""
        default = self.int("embedding_length") // max(1, max(self.layers("attention.head_count")))
        return self.int("attention.key_length", default)

    @property
    def value_dim(self) -> builtins.int:
        """Width of a value head."""
        default = self.int("embedding_length") // max(1, max(self.layers("attention.head_count")))
        return self.int("attention.value_length", default)


def _gating(number: int) -> Gating:
    try:
        return Gating(number)
    except ValueError:
        known = ", ".join(f"{kind.value} ({kind.name.lower()})" for kind in Gating)
        raise UnsupportedModel(f"expert_gating_func is {number}", hint=f"known: {known}") from None


def _yarn_magnitude(factor: float, multiplier: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * multiplier * math.log(factor) + 1.0

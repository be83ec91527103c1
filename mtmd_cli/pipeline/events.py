"""What an engine says while it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from mtmd_cli.pipeline.chunks import Chunk

Reason = Literal["stop", "length", "context"]


@dataclass(frozen=True)
class Progress:
    """A stage of the work, `done` of `total` steps."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class TextPiece:
    """Whole characters, and the token that completed them (None for what the end set free).

    reasoning: the model thinks, and does not answer yet.
    """

    text: str
    token: int | None
    reasoning: bool = False


@dataclass(frozen=True)
class Timings:
    """Milliseconds of each stage, and speeds. encode_ms is the sum over all slices."""

    preprocess_ms: float = 0.0
    encode_ms: float = 0.0
    prefill_ms: float = 0.0
    prefill_tokens_per_s: float = 0.0
    decode_tokens_per_s: float = 0.0
    peak_device_mib: float | None = None


@dataclass(frozen=True)
class Finished:
    """The whole answer.

    reason: "stop" when the model ended it, "length" when max_tokens did, "context" when no position was left.
    tokens: all that were generated, the ending one included. reasoning: what the model thought before it answered.
    """

    reason: Reason
    text: str
    tokens: tuple[int, ...]
    chunks: tuple[Chunk, ...]
    timings: Timings
    reasoning: str = ""


Event: TypeAlias = Progress | TextPiece | Finished

"""A Python API without models: what `mtmd_cli` offers, for the program to be run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Progress:
    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class TextPiece:
    text: str
    token: int
    reasoning: bool = False


@dataclass(frozen=True)
class Finished:
    reason: str
    text: str
    tokens: tuple[int, ...]
    chunks: tuple[dict[str, Any], ...]
    timings: dict[str, float | None]
    reasoning: str = ""


@dataclass(frozen=True)
class FakeReport:
    mode: str
    graphs: tuple[dict[str, Any], ...] = ({"nodes": 3, "ops": ("aten.mm",), "attention": ("causal",)},)

    def lines(self, *, verbose: bool) -> list[str]:
        return ["warmup: in detail"] if verbose else []


class FakeTrace:
    def save(self, path: Path) -> None:
        path.write_bytes(b"trace")


@dataclass
class FakeApi:
    """Stands for `mtmd_cli`: notes what it is called with, and answers with `pieces`, or raises one of them."""

    pieces: tuple[str | BaseException, ...] = ("A ", "cat.")
    thought: str = ""
    loading: BaseException | None = None
    asking: BaseException | None = None
    reason: str = "stop"
    timings: dict[str, float | None] = field(default_factory=lambda: {"prefill_ms": 1.5})
    calls: dict[str, Any] = field(default_factory=dict)

    Progress = Progress
    TextPiece = TextPiece
    Trace = FakeTrace

    def Sampling(self, **arguments: Any) -> dict[str, Any]:
        return arguments

    def load(self, model: str, mmproj: str | None = None, **arguments: Any) -> FakeApi:
        self.calls["load"] = {"model": model, "mmproj": mmproj, **arguments}
        if self.loading:
            raise self.loading
        return self

    def warm_up(self, engine: object, mode: str, images: tuple[str, ...], **arguments: Any) -> FakeReport:
        self.calls["warm_up"] = {"mode": mode, "images": images, **arguments}
        return FakeReport(mode)

    @contextmanager
    def watch(self, engine: object, *, deny_ops: tuple[str, ...], tell: Callable[[str], None]) -> Iterator[None]:
        for name in deny_ops:
            tell(f"{name} is lacking")
        yield

    def stream(self, prompt: str, images: tuple[str, ...] = (), **arguments: Any) -> Iterator[object]:
        self.calls["stream"] = {"prompt": prompt, "images": images, **arguments}
        if self.asking:
            raise self.asking
        return self._answer()

    def _answer(self) -> Iterator[object]:
        yield Progress("encoding", 1, 2)
        if self.thought:
            yield TextPiece(self.thought, 0, reasoning=True)
        for token, piece in enumerate(self.pieces):
            if isinstance(piece, BaseException):
                raise piece
            yield TextPiece(piece, token)
        text = "".join(piece for piece in self.pieces if isinstance(piece, str))
        chunk = {"type": "text", "tokens": (1, 2), "pos_0": 0}
        yield Finished(self.reason, text, tuple(range(len(self.pieces))), (chunk,), self.timings, self.thought)

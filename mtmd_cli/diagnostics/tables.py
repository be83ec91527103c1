"""A description as tables for a terminal, as wide as it at most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from mtmd_cli.diagnostics.describe import Description, Fit, LanguageFacts, SliceFacts, VisionFacts

NAMES_SHOWN = 12
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
Row = tuple[str, str]


def show(description: Description, out: TextIO) -> None:
    """Print it; colours only where `out` is a terminal."""
    console = Console(file=out, highlight=False, markup=False)
    with console.capture() as captured:
        for part in _parts(description):
            console.print(part)
    # Tables fill their lines with blanks, which have no place in a pipe.
    out.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _parts(found: Description) -> Iterator[RenderableType]:
    yield Text(found.path, style="bold")
    yield _facts(_file(found))
    if found.problem:
        yield _facts([("problem", found.problem), ("hint", found.hint or "")])
    if found.language:
        yield from _section("Language model", _facts(_language(found.language)))
    if found.vision:
        yield from _section("Vision tower", _facts(_vision(found.vision)))
        slices = found.vision.image.slices if found.vision.image else (found.vision.warmup,)
        yield from _section("Slices", _slices(slices))
    yield from _section("Types", _types(found))
    if found.fit:
        yield from _section("Tensors and family", _facts(_fit(found.fit)))


def _section(title: str, content: RenderableType) -> Iterator[RenderableType]:
    yield Text()
    yield Text(title, style="bold")
    yield content


def _facts(rows: Iterable[Row]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True, min_width=14)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text("  " + name), Text(value))
    return table


def _file(found: Description) -> Iterator[Row]:
    if found.name:
        yield "name", found.name
    yield "architecture", found.architecture
    yield "family", found.family or "none that is known here"
    yield "size", f"{_bytes(found.bytes)}, {_count(found.parameters)} parameters in {found.tensors} tensors"


def _language(facts: LanguageFacts) -> Iterator[Row]:
    yield "context", f"{facts.context} tokens"
    yield "width", f"{facts.width}, {facts.layers} layers, {facts.vocabulary} tokens in the vocabulary"
    if facts.image_width != facts.width:
        yield "image tokens", f"{facts.image_width} values, features for deeper layers included"
    yield "layers", "\n".join(facts.mixers)
    yield "networks", "\n".join(facts.feed_forwards)
    yield "rope", "\n".join(facts.ropes) or "none"
    yield "tokenizer", facts.tokenizer
    yield "template", _template(facts)


def _template(facts: LanguageFacts) -> str:
    if not facts.has_template:
        return "none"
    return f"its own, like {facts.template}" if facts.template else "its own, like no named one"


def _vision(facts: VisionFacts) -> Iterator[Row]:
    yield "trained on", f"{facts.image_size}×{facts.image_size} pixels, patches of {facts.patch}×{facts.patch}"
    yield "width", f"{facts.width}, {facts.blocks} blocks {facts.hidden} wide inside, {facts.activation}"
    yield "attention", "\n".join(map(str, facts.attention))
    yield "token", f"{facts.token_width} values; tokens see {'those before them' if facts.causal else 'each other'}"
    yield "slicing", facts.slicing
    if facts.image:
        yield "image", facts.image.plan
        yield "tokens", str(facts.image.tokens)
    if facts.advice:
        yield "advice", facts.advice


def _slices(slices: Iterable[SliceFacts]) -> Table:
    table = _columns("slice", "count", "pixels", "grid of tokens", "tokens")
    for part in slices:
        pixels, grid = f"{part.width}×{part.height}", f"{part.columns}×{part.rows}"
        table.add_row("  " + part.role, str(part.count), pixels, grid, str(part.tokens))
    return table


def _types(found: Description) -> Table:
    table = _columns("type", "tensors", "parameters", "size", "share")
    for share in found.types:
        table.add_row(
            "  " + share.type,
            str(share.tensors),
            _count(share.parameters),
            _bytes(share.bytes),
            f"{share.bytes / max(1, found.bytes):.1%}",
        )
    return table


def _columns(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column("  " + first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _fit(fit: Fit) -> Iterator[Row]:
    if not (fit.missing or fit.unclaimed):
        yield "fit", "every tensor has its place, and none is missing"
    for title, names in (("missing", fit.missing), ("unclaimed", fit.unclaimed), ("left aside", fit.aside)):
        if names:
            more = [f"and {len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
            yield title, "\n".join([f"{len(names)} tensors", *names[:NAMES_SHOWN], *more])


def _bytes(number: int) -> str:
    size, unit = float(number), 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.2f} {UNITS[unit]}" if unit else f"{number} bytes"


def _count(number: int) -> str:
    """Three digits: 4.30 B, 270 M."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return str(number)

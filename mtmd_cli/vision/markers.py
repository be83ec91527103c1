"""Markers: the text that a prompt puts around the slices of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mtmd_cli.image.plan import Plan, Role, Slice


@dataclass(frozen=True)
class Markers:
    """Texts by place; each stands for tokens of its own, so neighbours are never tokenised together.

    A tiled image reads: begin, overview (where it comes first), tiles row by row, overview (where it comes last), end.
    tile_begin may use {row} and {column}, counted from 1. row_end stands after every row; `row_end_last`: also after
    the last. otherwise: the markers for a vocabulary that has no token `begin`.
    """

    begin: str = ""
    end: str = ""
    overview_begin: tuple[str, ...] = ()
    overview_end: str = ""
    tiles_begin: str = ""
    tiles_end: str = ""
    tile_begin: str = ""
    tile_end: str = ""
    row_end: str = ""
    row_end_last: bool = True
    otherwise: Markers | None = None

    def fitting(self, knows: Callable[[str], bool]) -> Markers:
        """These, or the others where the vocabulary knows no token for the first of these."""
        return self if self.otherwise is None or knows(self.begin) else self.otherwise

    def arrange(self, plan: Plan) -> Iterator[str | Slice]:
        """The markers and slices of one image, in the order of the prompt; slices keep the plan's order."""
        yield self.begin
        for index, piece in enumerate(plan.slices):
            match piece.role:
                case Role.WHOLE:
                    yield piece
                case Role.OVERVIEW:
                    yield from self.overview_begin
                    yield piece
                    yield self.overview_end
                case Role.TILE:
                    yield from self._tile(plan, index, piece)
        yield self.end

    def _tile(self, plan: Plan, index: int, piece: Slice) -> Iterator[str | Slice]:
        first = index == 0 or plan.slices[index - 1].role is not Role.TILE
        ends_row = piece.column == plan.grid.width - 1
        ends_tiles = ends_row and piece.row == plan.grid.height - 1
        if first:
            yield self.tiles_begin
        yield self.tile_begin.format(row=piece.row + 1, column=piece.column + 1)
        yield piece
        yield self.tile_end
        if ends_row and (self.row_end_last or not ends_tiles):
            yield self.row_end
        if ends_tiles:
            yield self.tiles_end

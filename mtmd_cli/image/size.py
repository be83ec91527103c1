"""Sizes and boxes, in pixels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Width and height; also columns and rows of a grid."""

    width: int
    height: int

    @property
    def area(self) -> int:
        """Width times height."""
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}×{self.height}"


@dataclass(frozen=True)
class Box:
    """A rectangle in an image; (x, y) is its upper left corner."""

    x: int
    y: int
    size: Size

    def __str__(self) -> str:
        return f"{self.size}+{self.x}+{self.y}"

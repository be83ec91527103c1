"""Pack photographs and paintings as grounds: squares of 288 pixels out of Debian's wallpaper packages.

python -m models.recipe.photos FOLDER OUT
"""

from __future__ import annotations

import io
import itertools
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 288


def main(folder: Path, out: Path) -> None:
    Image.MAX_IMAGE_PIXELS = None
    squares, seen = [], set()
    for path in sorted([*folder.rglob("*.jpg"), *folder.rglob("*.png"), *folder.rglob("*.webp")]):
        same = path.parent if path.parent.parent.name == "contents" else path  # one picture in many sizes
        if same in seen or path.stem == "screenshot":
            continue
        seen.add(same)
        image = Image.open(path).convert("RGB")
        if min(image.size) < 700:
            continue
        short = min(image.size)
        for step in range(2 if max(image.size) > 1.4 * short else 1):  # both ends of a wide picture
            x, y = ((image.width - short) * step, (image.height - short) * step)
            box = (x, y, x + short, y + short)
            data = io.BytesIO()
            image.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box, reducing_gap=3).save(data, "JPEG", quality=88)
            squares.append(data.getvalue())
    ends = np.cumsum([len(square) for square in squares])
    np.savez(out, jpegs=np.frombuffer(b"".join(squares), np.uint8), ends=ends)
    print(len(squares), "squares,", out.stat().st_size / 1e6, "MB")


def read_photos(pack: Path) -> np.ndarray:
    """(n, SIDE, SIDE, 3) uint8"""
    data = np.load(pack)
    raw, ends = data["jpegs"].tobytes(), [0, *data["ends"]]
    pictures = [Image.open(io.BytesIO(raw[a:b])).convert("RGB") for a, b in itertools.pairwise(ends)]
    return np.stack([np.asarray(picture) for picture in pictures])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

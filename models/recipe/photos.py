"""Pack photographs and paintings as grounds: squares of 288 pixels out of Debian's wallpaper packages.

    python -m models.recipe.photos FOLDER OUT
"""

from __future__ import annotations

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
            squares.append(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box, reducing_gap=3)))
    np.savez_compressed(out, photos=np.stack(squares))
    print(len(squares), "squares,", out.stat().st_size / 1e6, "MB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

"""Draw everything that scenes are made of, once, into one small file.

    python -m models.recipe.assets ICONS FONTS WORDS OUT

ICONS: folder with the unpacked npm packages @iconify-json/* (see things.STYLES); FONTS: folder with unpacked Debian
font packages; WORDS: a list of English words (Debian: wamerican); OUT: the pack, an .npz of WebP pictures and glyphs.
"""

from __future__ import annotations

import io
import json
import random
import re
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.recipe import things

SIDE = 112  # of a sprite, in pixels
GLYPH = 64  # of a letter's cell
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!?-+&.:%"


def icon_sets(folder: Path) -> dict[str, dict]:
    return {
        style: json.loads((folder / style / "icons.json").read_text())
        for style in (*things.STYLES, things.UNSEEN_STYLE)
    }


def chosen_icons(folder: Path, sets: dict[str, dict]) -> list[str]:
    """Icons of the wanted categories that enough of the seen styles draw."""
    categories = json.loads((folder / "noto" / "metadata.json").read_text())["categories"]
    category = {icon: name for name, icons in categories.items() for icon in icons}
    count = Counter(
        icon for style in things.STYLES for icon in {*sets[style]["icons"], *sets[style].get("aliases", {})}
    )
    return sorted(
        icon
        for icon, styles in count.items()
        if styles >= things.LEAST_STYLES and things.wanted(icon, category.get(icon, ""))
    )


def svg(icons: dict, icon: str) -> str | None:
    """The icon as a document; None where the set does not have it."""
    icon = icons.get("aliases", {}).get(icon, {}).get("parent", icon)
    if icon not in icons["icons"]:
        return None
    found = icons["icons"][icon]
    width, height = found.get("width", icons.get("width", 16)), found.get("height", icons.get("height", 16))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{SIDE}" '
        f'height="{SIDE}" viewBox="{found.get("left", 0)} {found.get("top", 0)} {width} {height}">{found["body"]}</svg>'
    )


def render(document: str) -> bytes:
    """WebP of SIDE x SIDE, cropped to what is drawn and with a small margin."""
    import resvg_py

    png = bytes(resvg_py.svg_to_bytes(svg_string=document, width=2 * SIDE, height=2 * SIDE))
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    image = image.crop(image.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox())
    side = round(max(image.size) * 1.06)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    out = io.BytesIO()
    square.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(out, "WEBP", quality=88, method=2)
    return out.getvalue()


def fonts(folder: Path) -> list[Path]:
    """Fonts for Latin text, at most three faces of one family, in a fixed order."""
    skip = re.compile(
        r"math|symbol|dingbat|emoji|noto|icon|bitmap|spleen|urwgothic-book|d050000l|ornament|mono.*obl", re.IGNORECASE
    )
    found: dict[str, list[Path]] = {}
    for path in sorted([*folder.rglob("*.ttf"), *folder.rglob("*.otf")], key=lambda path: path.name):
        if not skip.search(path.name):
            found.setdefault(re.split(r"[-_.]|Bold|Ital|Reg", path.stem)[0].lower()[:10], []).append(path)
    noto = sorted(folder.rglob("NotoSans-Bold.ttf")) + sorted(folder.rglob("NotoSerif-Regular.ttf"))
    chooser = random.Random(1)
    return [path for _, paths in sorted(found.items()) for path in chooser.sample(paths, min(3, len(paths)))] + noto


def glyphs(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Coverage (characters, GLYPH, GLYPH) and advances in cells; None for a font without all of these letters."""
    try:
        font = ImageFont.truetype(str(path), 200)
        ascent, descent = font.getmetrics()
        size = int(200 * GLYPH * 0.92 / (ascent + descent))
        font = ImageFont.truetype(str(path), size)
        ascent, descent = font.getmetrics()
        cells, advances = [], []
        blank = font.getmask("\ufffe").getbbox(), bytes(font.getmask("\ufffe"))
        for character in CHARACTERS:
            mask = font.getmask(character)
            if not mask.getbbox() or (mask.getbbox(), bytes(mask)) == blank:
                return None
            cell = Image.new("L", (GLYPH, GLYPH))
            ImageDraw.Draw(cell).text((6, (GLYPH - ascent - descent) // 2), character, 255, font)
            cells.append(np.array(cell))
            advances.append(min(font.getlength(character), GLYPH - 8.0) / GLYPH)
        upper = np.stack(cells[:26]).astype(int)
        lower = np.stack(cells[26:52]).astype(int)
        if np.abs(upper - lower).mean() < 8:  # small capitals cannot be told from capitals
            return None
        return np.stack(cells), np.array(advances, np.float32)
    except OSError:
        return None


def words(path: Path) -> list[str]:
    found = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    kept = sorted({word.lower() for word in found if re.fullmatch("[A-Za-z]{2,10}", word)})
    random.Random(2).shuffle(kept)
    return kept


def main(icons: Path, font_folder: Path, word_file: Path, out: Path) -> None:
    sets = icon_sets(icons)
    styles = [*things.STYLES, things.UNSEEN_STYLE]
    jobs = [
        (things.name_of(icon), styles.index(style), document)
        for icon in chosen_icons(icons, sets)
        for style in styles
        if (document := svg(sets[style], icon))
    ]
    with ProcessPoolExecutor(2) as pool:
        pictures = list(pool.map(render, [document for *_, document in jobs], chunksize=64))
    names = sorted({name for name, *_ in jobs})
    faces = [(path.name, drawn) for path in fonts(font_folder) if (drawn := glyphs(path))]
    np.savez_compressed(
        out,
        names=names,
        sprite_name=[names.index(name) for name, *_ in jobs],
        sprite_style=[style for _, style, _ in jobs],
        sprite_bytes=np.frombuffer(b"".join(pictures), np.uint8),
        sprite_ends=np.cumsum([len(picture) for picture in pictures]),
        font_names=[name for name, _ in faces],
        glyphs=np.stack([drawn[0] for _, drawn in faces]),
        advances=np.stack([drawn[1] for _, drawn in faces]),
        words=words(word_file),
    )
    print(f"{len(names)} names, {len(jobs)} sprites, {len(faces)} fonts, {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

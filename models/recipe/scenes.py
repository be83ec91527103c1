"""Scenes: which things stand where on which ground. Plain Python and random numbers; `paint` draws them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

import numpy as np

from models.recipe import things

THINGS = 6  # at most, pictograms and shapes together
TEXTS = 2
LETTERS = 12

# Columns of what `paint` knows of a pictogram or shape, of a text, and of the ground.
THING = """
    x y u_x u_y v_x v_y hue saturation gamma levels outline outline_r outline_g outline_b edge wave_x freq_x
    phase_x wave_y freq_y phase_y r g b recolour gain size
""".split()
TEXT = ["x", "y", "u_x", "u_y", "v_x", "v_y", "r", "g", "b", "total", "size"]
GROUND = """
    r0 g0 b0 r1 g1 b1 dir_x dir_y shift pattern pat_x pat_y pat_phase pat_x2 pat_y2 blobs grain photo photo_x
    photo_y photo_scale border border_level
""".split()


@dataclass(frozen=True)
class Assets:
    """What the scenes need to know of the pack. sprites: indices by name, of the styles in use."""

    names: list[str]
    sprites: dict[str, list[int]]
    shape_sprites: int  # index of the first shape
    fonts: list[int]
    advances: np.ndarray
    characters: str
    words: list[str]
    photos: int


@dataclass
class Thing:
    """Pictogram, shape or text. x, y: centre; w, h: half of its box, in units of the picture's longer edge."""

    kind: str
    name: str
    colour: str | None
    x: float
    y: float
    w: float
    h: float
    row: dict[str, float] = field(default_factory=dict)
    sprite: int = 0
    font: int = 0

    @property
    def label(self) -> str:
        if self.kind == "text":
            return f'the text "{self.name}"'
        return f"{self.colour} {self.name}" if self.kind == "shape" else self.name


@dataclass
class Scene:
    """width, height: of the picture, the longer is 1. ground: the colour's name where it is flat."""

    width: float
    height: float
    things: list[Thing]
    ground: str | None
    ground_row: dict[str, float]

    @property
    def texts(self) -> list[Thing]:
        return sorted((thing for thing in self.things if thing.kind == "text"), key=lambda text: text.y)


def random_aspect(rng: Random, shape: str) -> float:
    """Width over height of a picture that is cut into 2x2 tiles ("square"), 2x1 ("wide") or 1x2 ("tall")."""
    if shape == "square":
        return 1.0 if rng.random() < 0.3 else math.exp(rng.uniform(-math.log(1.98), math.log(1.98)))
    ratio = math.exp(rng.uniform(math.log(2.0), math.log(4.0)))
    return ratio if shape == "wide" else 1 / ratio


def random_scene(rng: Random, assets: Assets, aspect: float, kind: str | None = None, *, plain: bool = False) -> Scene:
    """kind: "single", "several", "text" or "nothing". plain: pictograms as they are, without augmentation."""
    width, height = min(1.0, aspect), min(1.0, 1 / aspect)
    kind = kind or rng.choices(("single", "several", "text", "nothing"), (20, 42, 27, 11))[0]
    ground, row, mean = _ground(rng, assets, nothing=kind == "nothing")
    scene = Scene(width, height, [], ground, row)
    if kind == "single":
        _place(scene, rng, _thing(rng, assets, mean, plain), rng.uniform(0.22, 0.95) * min(width, height), tries=8)
    elif kind == "several":
        _several(scene, rng, assets, mean, rng.randint(2, THINGS), plain)
    elif kind == "text":
        for _ in range(1 if rng.random() < 0.75 else 2):
            _place_text(scene, rng, assets, mean)
        _several(scene, rng, assets, mean, rng.choices((0, 1, 2), (60, 25, 15))[0], plain)
    if not scene.things and kind != "nothing":
        return random_scene(rng, assets, aspect, kind, plain=plain)
    return scene


def _several(scene: Scene, rng: Random, assets: Assets, mean: tuple, count: int, plain: bool) -> None:
    repeated = None
    most = 0.95 * math.sqrt(scene.width * scene.height) / math.sqrt(count + len(scene.things) + 0.5)
    alike = rng.random() < 0.25  # all of one size
    base = rng.uniform(max(0.11, 0.35 * most), most)
    for _ in range(count):
        if repeated is not None and rng.random() < 0.45:
            thing = _again(rng, assets, repeated)
        else:
            thing = _thing(rng, assets, mean, plain)
        countable = thing.label not in things.PLURAL_NAMES and thing.label not in things.UNCOUNTED
        if repeated is None and countable:
            repeated = thing
        size = base if alike else rng.uniform(max(0.11, 0.35 * most), most)
        _place(scene, rng, thing, min(size, 0.9 * scene.width, 0.9 * scene.height), tries=14)


def _thing(rng: Random, assets: Assets, mean: tuple, plain: bool) -> Thing:
    if rng.random() < 0.27:
        colour = _colour_on(rng, mean)
        index = rng.randrange(len(things.SHAPES))
        thing = Thing("shape", things.SHAPES[index], colour, 0, 0, 0, 0, sprite=assets.shape_sprites + index)
        thing.row = dict(zip("rgb", _jittered(rng, colour))) | {"recolour": 1.0}
        if rng.random() < 0.2:
            thing.row |= dict(
                outline=1.0, **dict.fromkeys(("outline_r", "outline_g", "outline_b"), rng.choice((0.05, 0.95)))
            )
        return thing
    name = rng.choice(assets.names)
    thing = Thing("pictogram", name, None, 0, 0, 0, 0, sprite=rng.choice(assets.sprites[name]))
    if not plain:
        thing.row = _augmentation(rng)
    return thing


def _again(rng: Random, assets: Assets, thing: Thing) -> Thing:
    """Another of the same name, at times in another style."""
    sprite = thing.sprite
    if thing.kind == "pictogram" and rng.random() < 0.3:
        sprite = rng.choice(assets.sprites[thing.name])
    return Thing(thing.kind, thing.name, thing.colour, 0, 0, 0, 0, dict(thing.row), sprite)


def _augmentation(rng: Random) -> dict[str, float]:
    """How a pictogram may differ from its sets: colours, outlines, drawn edges, waves."""
    row = {"gain": rng.uniform(0.85, 1.15)}
    if rng.random() < 0.35:
        row["hue"] = rng.gauss(0, 0.45)
    if rng.random() < 0.35:
        row["saturation"] = rng.choice((0.0, rng.uniform(0.2, 1.8)))
    if rng.random() < 0.35:
        row["gamma"] = math.exp(rng.uniform(-0.7, 0.7))
    if rng.random() < 0.25:
        row["levels"] = rng.choice((2.0, 3.0, 4.0, 6.0))
    if rng.random() < 0.3:
        dark = rng.random() < 0.75
        shade = rng.uniform(0, 0.25) if dark else rng.uniform(0.75, 1)
        row |= dict(outline=1.0, outline_r=shade, outline_g=shade, outline_b=shade)
    if rng.random() < 0.3:
        row["edge"] = rng.uniform(0.5, 1.6)
    if rng.random() < 0.2:
        row |= dict(wave_x=rng.uniform(0, 0.06), freq_x=rng.uniform(1, 6), phase_x=rng.uniform(0, 6.3))
        row |= dict(wave_y=rng.uniform(0, 0.06), freq_y=rng.uniform(1, 6), phase_y=rng.uniform(0, 6.3))
    return row


def _place(scene: Scene, rng: Random, thing: Thing, size: float, tries: int) -> None:
    """Find a free place and set the inverse map from the picture to the sprite's square of -1 to 1."""
    sprite_like = thing.kind != "shape"
    angle = rng.gauss(0, 0.12) if rng.random() < 0.75 else rng.uniform(-0.6, 0.6)
    if thing.kind == "shape" and thing.name in ("square", "diamond", "cross", "rectangle"):
        angle = rng.uniform(-0.15, 0.15)
    shear = rng.gauss(0, 0.08) if sprite_like and rng.random() < 0.4 else 0.0
    stretch = math.exp(rng.gauss(0, 0.08)) if thing.name not in ("circle", "square", "ring") else 1.0
    flip = -1.0 if thing.kind == "pictogram" and thing.row.get("gain") and rng.random() < 0.3 else 1.0
    half = size / 2
    box = half * (1.0 + 0.45 * abs(math.sin(angle)))
    for _ in range(tries):
        reach_x, reach_y = min(box, scene.width / 2), min(box, scene.height / 2)
        x = rng.uniform(reach_x, scene.width - reach_x)
        y = rng.uniform(reach_y, scene.height - reach_y)
        if _free(scene, x, y, box, box):
            break
        box, half = box * 0.95, half * 0.95
    else:
        return
    thing.x, thing.y, thing.w, thing.h = x, y, half, half
    cos, sin = math.cos(angle), math.sin(angle)
    sx, sy = half * stretch * flip, half / stretch
    thing.row |= dict(x=x, y=y, u_x=cos / sx, u_y=(sin + shear) / sx, v_x=-sin / sy, v_y=cos / sy, size=half)
    scene.things.append(thing)


def _free(scene: Scene, x: float, y: float, w: float, h: float) -> bool:
    gap = 0.9
    return all(
        (abs(x - other.x) > gap * (w + other.w) or abs(y - other.y) > gap * (h + other.h))
        and abs(x - other.x) > 0.045 * scene.width
        for other in scene.things
    )


def _place_text(scene: Scene, rng: Random, assets: Assets, mean: tuple) -> None:
    text = random_text(rng, assets)
    font = rng.choice(assets.fonts)
    total = sum(assets.advances[font, assets.characters.index(letter)] for letter in text)
    widest = 0.96 * scene.width / total
    highest = 0.6 * scene.height
    cell = rng.uniform(min(0.085, widest), min(widest, highest, 0.5))
    angle = rng.gauss(0, 0.05) if rng.random() < 0.7 else rng.uniform(-0.3, 0.3)
    if rng.random() < 0.3:
        angle = 0.0
    w, h = total * cell / 2, cell * 0.45
    w, h = w * math.cos(angle) + h * abs(math.sin(angle)), h * math.cos(angle) + w * abs(math.sin(angle))
    if w > scene.width / 2 or h > scene.height / 2:
        angle, w, h = 0.0, min(w, scene.width / 2), min(cell * 0.45, scene.height / 2)
    for _ in range(8):
        x, y = rng.uniform(w, scene.width - w), rng.uniform(h, scene.height - h)
        if all(abs(x - o.x) > 0.95 * (w + o.w) or abs(y - o.y) > 0.95 * (h + o.h) for o in scene.things):
            break
    else:
        return
    colour = _colour_on(rng, mean)
    thing = Thing("text", text, colour, x, y, w, h, font=font)
    cos, sin = math.cos(angle) / cell, math.sin(angle) / cell
    thing.row = dict(x=x, y=y, u_x=cos, u_y=sin, v_x=-sin, v_y=cos, total=total, size=cell)
    thing.row |= dict(zip("rgb", _jittered(rng, colour)))
    scene.things.append(thing)


def random_text(rng: Random, assets: Assets) -> str:
    """A word, a number, or letters that make no word, so that reading cannot lean on a dictionary."""
    draw = rng.random()
    if draw < 0.55:
        text = rng.choice(assets.words)
    elif draw < 0.72:
        return str(rng.randrange(10 ** rng.randint(1, 6)))
    elif draw < 0.9:
        vowels, others = "aeiouy", "bcdfghjklmnpqrstvwxz"
        text = "".join(
            rng.choice(vowels if (i + draw > 0.8) == (i % 2 > 0) else others) for i in range(rng.randint(2, 9))
        )
    else:
        text = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(1, 8)))
    case = rng.random()
    text = text.upper() if case < 0.4 else text.capitalize() if case < 0.65 else text
    return text + rng.choice("!?") if rng.random() < 0.06 else text


def _jittered(rng: Random, colour: str) -> tuple[float, ...]:
    spread = 8 if colour in ("black", "white", "grey") else 14
    return tuple(min(255, max(0, level + rng.uniform(-spread, spread))) / 255 for level in things.COLOURS[colour])


def _colour_on(rng: Random, mean: tuple[float, float, float]) -> str:
    """A colour that stands out from the ground."""
    far = [name for name, rgb in things.COLOURS.items() if sum((a / 255 - b) ** 2 for a, b in zip(rgb, mean)) > 0.14]
    return rng.choice(far)


def _ground(rng: Random, assets: Assets, *, nothing: bool) -> tuple[str | None, dict[str, float], tuple]:
    """The name of a flat ground, its row, and its mean colour."""
    first = rng.choice(("white", "white", "black", *things.COLOURS))
    c0 = _jittered(rng, first) if rng.random() < 0.7 else things.COLOURS[first]
    c0 = tuple(level / 255 if level > 1 else level for level in c0)
    kind = rng.choices(("flat", "gradient", "blobs", "pattern", "photo"), (35, 18, 16, 14, 17 if assets.photos else 0))[
        0
    ]
    if nothing:
        kind = rng.choices(
            ("flat", "gradient", "blobs", "pattern", "photo"), (10, 12, 20, 12, 46 if assets.photos else 0)
        )[0]
    row = dict(zip(("r0", "g0", "b0"), c0)) | {"grain": rng.choice((0, 0, rng.uniform(0, 0.08)))}
    c1, name = c0, first if kind == "flat" else None
    if kind == "gradient" or (kind in ("blobs", "pattern") and rng.random() < 0.5):
        c1 = tuple(min(1.0, max(0.0, level + rng.uniform(-0.35, 0.35))) for level in c0)
        angle = rng.uniform(0, 6.3)
        row |= dict(dir_x=math.cos(angle), dir_y=math.sin(angle), shift=rng.uniform(-0.2, 0.2))
    row |= dict(zip(("r1", "g1", "b1"), c1))
    if kind == "blobs":
        row["blobs"] = rng.uniform(0.1, 0.9) if nothing else rng.uniform(0.05, 0.3)
    if kind == "pattern":
        pitch, angle = rng.uniform(15, 120), rng.uniform(0, 3.2)
        row |= dict(pattern=rng.uniform(0.04, 0.18), pat_x=pitch * math.cos(angle), pat_y=pitch * math.sin(angle))
        if rng.random() < 0.6:
            row |= dict(pat_x2=-pitch * math.sin(angle), pat_y2=pitch * math.cos(angle), pat_phase=0.0)
    mean = tuple((a + b) / 2 for a, b in zip(c0, c1))
    if kind == "photo":
        scale = math.exp(rng.uniform(math.log(0.15), 0))
        row |= dict(photo=1.0 + rng.randrange(assets.photos), photo_scale=scale)
        row |= dict(photo_x=rng.uniform(0, 1 - scale), photo_y=rng.uniform(0, 1 - scale))
        mean = (0.45, 0.45, 0.45)
    if rng.random() < 0.1:
        row |= dict(border=rng.uniform(0.005, 0.05), border_level=rng.choice((0.0, 1.0, rng.random())))
    return name, row, mean


DEFAULTS = {"saturation": 1.0, "gamma": 1.0, "gain": 1.0, "pat_phase": 1.5708}


def arrays(scenes: list[Scene], assets: Assets, classes: dict[str, int]) -> dict[str, np.ndarray]:
    """The scenes of a batch as `paint` wants them. classes: numbers for the dense labels (see classes_of)."""
    batch = len(scenes)
    out = {
        "size": np.zeros((batch, 2), np.float32),
        "ground": np.zeros((batch, len(GROUND)), np.float32),
        "things": np.zeros((batch, THINGS, len(THING)), np.float32),
        "sprite": np.full((batch, THINGS), -1, np.int64),
        "thing_class": np.zeros((batch, THINGS), np.int64),
        "texts": np.zeros((batch, TEXTS, len(TEXT)), np.float32),
        "font": np.full((batch, TEXTS), -1, np.int64),
        "letters": np.zeros((batch, TEXTS, LETTERS), np.int64),
        "starts": np.full((batch, TEXTS, LETTERS), 1e6, np.float32),
    }
    for b, scene in enumerate(scenes):
        out["size"][b] = scene.width, scene.height
        out["ground"][b] = [scene.ground_row.get(key, DEFAULTS.get(key, 0.0)) for key in GROUND]
        placed = text = 0
        for thing in scene.things:
            if thing.kind != "text":
                out["things"][b, placed] = [thing.row.get(key, DEFAULTS.get(key, 0.0)) for key in THING]
                out["sprite"][b, placed] = thing.sprite
                out["thing_class"][b, placed] = classes[
                    thing.name if thing.kind == "pictogram" else f"shape {thing.name}"
                ]
                placed += 1
                continue
            out["texts"][b, text] = [thing.row[key] for key in TEXT]
            out["font"][b, text] = thing.font
            letters = [assets.characters.index(letter) for letter in thing.name]
            advances = assets.advances[thing.font, letters]
            out["letters"][b, text, : len(letters)] = letters
            out["starts"][b, text, : len(letters)] = np.cumsum(advances) - advances
            text += 1
    return out


def classes_of(assets: Assets) -> dict[str, int]:
    """0 is the ground; then letters, names and shapes."""
    labels = [*(f"letter {c}" for c in assets.characters), *assets.names, *(f"shape {s}" for s in things.SHAPES)]
    return {label: index + 1 for index, label in enumerate(labels)}

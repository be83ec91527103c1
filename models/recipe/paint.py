"""Draw a batch of scenes: every point of every picture by itself, so one compiled program does it all on a GPU."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from models.recipe import things
from models.recipe.assets import CHARACTERS, GLYPH, SIDE
from models.recipe.scenes import GROUND, TEXT, TEXTS, THING, THINGS, Assets

LEVELS = 3  # of blur: for sprites and glyphs shown smaller than they are stored
HELD_OUT_FONTS = 7  # every seventh font is never trained on


class Paints:
    """The textures: sprites (level, sprite, SIDE, SIDE, 6: colour, alpha, fat alpha, edges), glyphs, photos."""

    def __init__(self, pack: Path, photos: Path | None, styles: list[int], device: str, *, unseen_fonts: bool = False):
        data = np.load(pack)
        ends = data["sprite_ends"]
        raw = data["sprite_bytes"].tobytes()
        keep = [i for i, style in enumerate(data["sprite_style"]) if style in styles]

        def picture(i: int) -> np.ndarray:
            image = Image.open(io.BytesIO(raw[ends[i - 1] if i else 0 : ends[i]])).convert("RGBA")
            return np.asarray(image)

        with ThreadPoolExecutor(8) as pool:
            rgba = np.stack([*pool.map(picture, keep), *map(shape_sprite, things.SHAPES)])
        names = [str(name) for name in data["names"]]
        sprites: dict[str, list[int]] = {}
        for index, i in enumerate(keep):
            sprites.setdefault(names[data["sprite_name"][i]], []).append(index)
        self.sprites = _levels(_with_edges(torch.from_numpy(rgba).to(device)))
        self.glyphs = _levels(torch.from_numpy(data["glyphs"]).flatten(0, 1)[..., None].to(device))
        self.photos = torch.zeros(1, 8, 8, 3, dtype=torch.uint8, device=device)
        if photos is not None:
            self.photos = torch.from_numpy(np.load(photos)["photos"]).to(device)
        fonts = range(len(data["font_names"]))
        self.assets = Assets(
            names=sorted(sprites),
            sprites=sprites,
            shape_sprites=len(keep),
            fonts=[i for i in fonts if (i % HELD_OUT_FONTS == 3) == unseen_fonts],
            advances=data["advances"],
            characters=CHARACTERS,
            words=[str(word) for word in data["words"]],
            photos=len(self.photos) if photos is not None else 0,
        )


def shape_sprite(name: str) -> np.ndarray:
    """White on nothing."""
    big = 4 * SIDE
    image = Image.new("L", (big, big))
    draw = ImageDraw.Draw(image)
    p = [big * 0.04, big * 0.96]

    def polygon(corners: int, turn: float) -> None:
        draw.regular_polygon((big / 2, big / 2, big * 0.48), corners, rotation=turn, fill=255)

    match name:
        case "circle":
            draw.ellipse((p[0], p[0], p[1], p[1]), fill=255)
        case "square":
            draw.rectangle((big * 0.1, big * 0.1, big * 0.9, big * 0.9), fill=255)
        case "triangle":
            draw.polygon([(big / 2, big * 0.08), (big * 0.96, big * 0.88), (big * 0.04, big * 0.88)], fill=255)
        case "rectangle":
            draw.rectangle((p[0], big * 0.26, p[1], big * 0.74), fill=255)
        case "pentagon":
            polygon(5, 0)
        case "hexagon":
            polygon(6, 0)
        case "ellipse":
            draw.ellipse((p[0], big * 0.25, p[1], big * 0.75), fill=255)
        case "diamond":
            draw.polygon([(big / 2, p[0]), (big * 0.86, big / 2), (big / 2, p[1]), (big * 0.14, big / 2)], fill=255)
        case "cross":
            draw.rectangle((big * 0.37, p[0], big * 0.63, p[1]), fill=255)
            draw.rectangle((p[0], big * 0.37, p[1], big * 0.63), fill=255)
        case "ring":
            draw.ellipse((p[0], p[0], p[1], p[1]), fill=255)
            draw.ellipse((big * 0.24, big * 0.24, big * 0.76, big * 0.76), fill=0)
        case "half circle":
            draw.pieslice((p[0], big * 0.26, p[1], big * 1.18), 180, 360, fill=255)
        case "arrow":
            draw.rectangle((p[0], big * 0.38, big * 0.6, big * 0.62), fill=255)
            draw.polygon([(big * 0.55, big * 0.16), (p[1], big / 2), (big * 0.55, big * 0.84)], fill=255)
    alpha = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return np.dstack([np.full_like(alpha, 255)] * 3 + [alpha])


def _with_edges(rgba: Tensor) -> Tensor:
    """(n, side, side, 4) uint8 -> (n, side, side, 6): with a fatter alpha for outlines, and edges of the drawing."""
    out = []
    for part in rgba.split(256):
        x = part.permute(0, 3, 1, 2).float() / 255
        colour, alpha = x[:, :3] * x[:, 3:], x[:, 3:]
        fat = F.max_pool2d(alpha, 5, 1, 2)
        light = (colour * colour.new_tensor([0.3, 0.59, 0.11])[:, None, None]).sum(1, keepdim=True)
        dx = F.pad(light[..., 2:] - light[..., :-2], (1, 1, 0, 0))
        dy = F.pad(light[..., 2:, :] - light[..., :-2, :], (0, 0, 1, 1))
        edges = F.max_pool2d(((dx.square() + dy.square()).sqrt() * 1.6).clamp(0, 1), 3, 1, 1)
        # The colour goes on where there is no alpha, so that interpolation at the rim does not darken.
        solid = torch.where(alpha > 0.02, x[:, :3], F.max_pool2d(colour, 5, 1, 2))
        out.append((torch.cat((solid, alpha, fat, edges), 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1))
    return torch.cat(out)


def _levels(x: Tensor) -> Tensor:
    """(n, side, side, channels) -> (LEVELS, n, …): each as if it had been stored at half the size of the one before."""
    side, out = x.shape[1], [x]
    for level in range(1, LEVELS):
        parts = []
        for part in x.split(512):
            small = F.avg_pool2d(part.permute(0, 3, 1, 2).float(), 2**level)
            large = F.interpolate(small, (side, side), mode="bilinear", align_corners=False)
            parts.append(large.round().to(torch.uint8).permute(0, 2, 3, 1))
        out.append(torch.cat(parts))
    return torch.stack(out)


def _sample(texture: Tensor, index: Tensor, x: Tensor, y: Tensor, channels: int) -> list[Tensor]:
    """Bilinear. texture: (n, side, side, c) uint8; index, x, y: (b, h, w), x and y in pixels -> c of (b, h, w), 0..1"""
    side, stride = texture.shape[1], texture.shape[3]
    flat = texture.reshape(-1)
    x, y = x.clamp(0, side - 1.001), y.clamp(0, side - 1.001)
    x0, y0 = x.floor(), y.floor()
    fx, fy = x - x0, y - y0
    base = ((index * side + y0.long()) * side + x0.long()) * stride
    out = []
    for c in range(channels):
        p = base + c
        top = flat[p] * (1 - fx) + flat[p + stride] * fx
        low = flat[p + side * stride] * (1 - fx) + flat[p + (side + 1) * stride] * fx
        out.append((top * (1 - fy) + low * fy) / 255)
    return out


def paint(
    batch: dict[str, Tensor], sprites: Tensor, glyphs: Tensor, photos: Tensor, blobs: Tensor, rows: int, columns: int
) -> tuple[Tensor, Tensor]:
    """The pictures (b, 3, rows, columns), 0..1, and for each point the class of what lies there.

    blobs: smooth noise (b, 3, rows, columns) of about -1 to 1.
    """
    size, device = batch["size"], batch["size"].device
    x = ((torch.arange(columns, device=device) + 0.5) / columns)[None, None, :] * size[:, 0, None, None]
    y = ((torch.arange(rows, device=device) + 0.5) / rows)[None, :, None] * size[:, 1, None, None]
    x, y = x.expand(-1, rows, -1), y.expand(-1, -1, columns)
    scale = max(rows, columns)
    r, g, b = _ground(batch["ground"], x, y, size, photos, blobs)
    label = torch.zeros_like(x, dtype=torch.long)
    for slot in range(THINGS):
        row = {key: batch["things"][:, slot, i, None, None] for i, key in enumerate(THING)}
        sprite = batch["sprite"][:, slot, None, None]
        colours, alpha = _thing(row, sprite, sprites, x, y, scale)
        r, g, b = (old + (new - old) * alpha for old, new in zip((r, g, b), colours))
        label = torch.where(alpha > 0.5, batch["thing_class"][:, slot, None, None], label)
    for slot in range(TEXTS):
        row = {key: batch["texts"][:, slot, i, None, None] for i, key in enumerate(TEXT)}
        font = batch["font"][:, slot, None, None]
        alpha, letter, inside = _text(
            row, font, batch["letters"][:, slot], batch["starts"][:, slot], glyphs, x, y, scale
        )
        r, g, b = (old + (row[c] - old) * alpha for old, c in zip((r, g, b), "rgb"))
        label = torch.where(inside, letter + 1, label)
    return torch.stack((r, g, b), 1).clamp(0, 1), label


def _ground(table: Tensor, x: Tensor, y: Tensor, size: Tensor, photos: Tensor, blobs: Tensor) -> list[Tensor]:
    row = {key: table[:, i, None, None] for i, key in enumerate(GROUND)}
    mix = ((x - 0.5 * size[:, 0, None, None]) * row["dir_x"] + (y - 0.5 * size[:, 1, None, None]) * row["dir_y"]) * 1.2
    mix = (mix + 0.5 + row["shift"]).clamp(0, 1)
    wave = torch.sin(x * row["pat_x"] + y * row["pat_y"]) * torch.sin(
        x * row["pat_x2"] + y * row["pat_y2"] + row["pat_phase"]
    )
    pattern = row["pattern"] * (wave * 8).clamp(-1, 1)
    width, height = size[:, 0, None, None], size[:, 1, None, None]
    side = photos.shape[1]
    index = (row["photo"].long() - 1).clamp(min=0)
    photo = _sample(
        photos, index.expand_as(x), (row["photo_x"] + x * row["photo_scale"]) * side,
        (row["photo_y"] + y * row["photo_scale"]) * side, 3,
    )  # fmt: skip
    rim = torch.minimum(torch.minimum(x, width - x), torch.minimum(y, height - y)) < row["border"]
    out = []
    for c, name in enumerate("rgb"):
        level = row[name + "0"] + (row[name + "1"] - row[name + "0"]) * mix + pattern + row["blobs"] * blobs[:, c]
        level = torch.where(row["photo"] > 0, photo[c], level)
        out.append(torch.where(rim, row["border_level"], level))
    return out


def _thing(row: dict[str, Tensor], sprite: Tensor, sprites: Tensor, x: Tensor, y: Tensor, scale: int):
    dx, dy = x - row["x"], y - row["y"]
    u = row["a"] * dx + row["b"] * dy
    v = row["c"] * dx + row["d"] * dy
    u, v = (
        u + row["wave_x"] * torch.sin(v * row["freq_x"] + row["phase_x"]),
        v + row["wave_y"] * torch.sin(u * row["freq_y"] + row["phase_y"]),
    )
    inside = (u.abs() < 1) & (v.abs() < 1) & (sprite >= 0)
    level = (torch.log2(SIDE / (2 * row["size"] * scale + 1e-3)) + 0.5).clamp(0, LEVELS - 1).long()
    index = (level * sprites.shape[1] + sprite.clamp(min=0)).expand_as(x)
    r, g, b, alpha, fat, edge = _sample(
        sprites.flatten(0, 1), index, (u * 0.5 + 0.5) * SIDE - 0.5, (v * 0.5 + 0.5) * SIDE - 0.5, 6
    )
    # Hue turns about the grey axis; saturation is the distance from it.
    cos, sin = torch.cos(row["hue"]), torch.sin(row["hue"]) * 0.57735
    grey = (r + g + b) / 3
    r, g, b = (
        grey + row["saturation"] * (cos * (p - grey) + sin * (q - s))
        for p, q, s in ((r, b, g), (g, r, b), (b, g, r))
    )
    colours = []
    line = (row["edge"] * edge).clamp(0, 1)
    for name, level_ in (("r", r), ("g", g), ("b", b)):
        out = (level_.clamp(1e-3, 1) ** row["gamma"] * row["gain"]).clamp(0, 1)
        steps = row["levels"]
        out = torch.where(steps > 0, (out * steps).round() / steps.clamp(min=1), out)
        out = out * (1 - line)
        out = torch.where(row["recolour"] > 0, row[name], out)
        out = torch.where(row["outline"] > 0, row["outline_" + name] + (out - row["outline_" + name]) * alpha, out)
        colours.append(out)
    alpha = torch.where(row["outline"] > 0, fat, alpha)
    return colours, torch.where(inside, alpha, 0.0)


def _text(row: dict, font: Tensor, letters: Tensor, starts: Tensor, glyphs: Tensor, x: Tensor, y: Tensor, scale: int):
    dx, dy = x - row["x"], y - row["y"]
    s = row["a"] * dx + row["b"] * dy + row["total"] / 2
    t = row["c"] * dx + row["d"] * dy + 0.5
    place = torch.zeros_like(s)
    letter = torch.zeros_like(s, dtype=torch.long) + letters[:, 0, None, None]
    for i in range(1, starts.shape[1]):
        after = s >= starts[:, i, None, None]
        place = torch.where(after, starts[:, i, None, None], place)
        letter = torch.where(after, letters[:, i, None, None], letter)
    inside = (s >= 0) & (s < row["total"]) & (t > 0) & (t < 1) & (font >= 0)
    level = (torch.log2(GLYPH / (row["size"] * scale + 1e-3)) + 0.3).clamp(0, LEVELS - 1).long()
    index = level * glyphs.shape[1] + font.clamp(min=0) * len(CHARACTERS) + letter
    (alpha,) = _sample(glyphs.flatten(0, 1), index, (s - place) * GLYPH + 5.5, t * GLYPH - 0.5, 1)
    return torch.where(inside, alpha, 0.0), letter, inside & (t > 0.2) & (t < 0.8)


def smooth_noise(batch: int, rows: int, columns: int, device: str | torch.device, generator: torch.Generator) -> Tensor:
    """Clouds of three sizes: (batch, 3, rows, columns)."""
    out = torch.zeros(batch, 3, rows, columns, device=device)
    for cells, weight in ((3, 0.6), (9, 0.35), (40, 0.25)):
        field = torch.rand(batch, 3, cells, cells, device=device, generator=generator) * 2 - 1
        out += weight * F.interpolate(field, (rows, columns), mode="bilinear", align_corners=False)
    return out


def spoil(x: Tensor, grain: Tensor, generator: torch.Generator) -> Tensor:
    """What happens to pictures on their way: noise, blur by smaller sizes, JPEG's blocks, other light. Levels of 8 bit."""
    batch, device = x.shape[0], x.device
    x = x + grain[:, None, None, None] * torch.randn(x.shape, device=device, generator=generator)
    blurred = batch // 5
    factor = 1.15 + 1.6 * torch.rand(1, generator=generator, device=device).item()
    small = F.interpolate(x[:blurred], scale_factor=1 / factor, mode="bilinear", antialias=True)
    soft = F.interpolate(small, x.shape[2:], mode="bicubic", align_corners=False)
    coded = batch // 4
    x = torch.cat((soft, jpeg(x[blurred : blurred + coded], generator), x[blurred + coded :]))
    light = 1 + 0.12 * torch.randn(batch, 3, 1, 1, device=device, generator=generator) * (
        torch.rand(batch, 1, 1, 1, device=device, generator=generator) < 0.3
    )
    return ((x * light).clamp(0, 1) * 255).round() / 255


def jpeg(x: Tensor, generator: torch.Generator) -> Tensor:
    """Coarse cosine coefficients in blocks of 8 x 8, coarser the higher they are."""
    batch, _, rows, columns = x.shape
    k = torch.arange(8, device=x.device, dtype=x.dtype)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * torch.pi / 16) * 0.5
    basis[0] *= 0.5**0.5
    blocks = x.reshape(batch, 3, rows // 8, 8, columns // 8, 8)
    coefficients = torch.einsum("ui,bcyixj,vj->bcyuxv", basis, blocks, basis)
    strength = 0.01 + 0.1 * torch.rand(batch, 1, 1, 1, 1, 1, device=x.device, generator=generator) ** 2
    step = strength * (1 + (k[:, None, None] + k) / 3)
    coefficients = (coefficients / step).round() * step
    return torch.einsum("ui,bcyuxv,vj->bcyixj", basis, coefficients, basis).reshape(x.shape)

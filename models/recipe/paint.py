"""Draw a batch of scenes: each thing is a texture that an affine map lays into the picture."""

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
from models.recipe.photos import read_photos
from models.recipe.scenes import GROUND, TEXT, TEXTS, THING, THINGS, Assets

STRIP = 640  # columns of a text's texture
LEVELS = 3  # of blur: for sprites and glyphs shown smaller than they are stored
HELD_OUT_FONTS = 7  # every seventh font is never trained on
UNSEEN_WORDS = 4000  # nor are these words


class Paints:
    """The textures: sprites (level, sprite, SIDE, SIDE, 6: colour, alpha, fat alpha, edges), glyphs, photos."""

    def __init__(self, pack: Path, photos: Path | None, styles: list[int], device: str, *, unseen: bool = False):
        self.dtype = torch.float16 if "cuda" in device else torch.float32
        data = dict(np.load(pack).items())
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
            self.photos = torch.from_numpy(read_photos(photos)).to(device)
        fonts = range(len(data["font_names"]))
        self.assets = Assets(
            names=sorted(sprites),
            sprites=sprites,
            shape_sprites=len(keep),
            fonts=[i for i in fonts if (i % HELD_OUT_FONTS == 3) == unseen],
            advances=data["advances"],
            characters=CHARACTERS,
            words=[str(word) for word in (data["words"][-UNSEEN_WORDS:] if unseen else data["words"][:-UNSEEN_WORDS])],
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


def paint(
    batch: dict[str, Tensor], paints: Paints, blobs: Tensor, rows: int, columns: int, step: int = 8
) -> tuple[Tensor, Tensor]:
    """The pictures (b, 3, rows, columns), 0..1, and for each `step`-th point the class of what lies there.

    blobs: smooth noise (b, 3, rows, columns) of about -1 to 1.
    """
    size, kind = batch["size"], paints.dtype
    scale = max(rows, columns)
    out = _ground(batch["ground"], size, paints, blobs.to(kind), rows, columns)
    textures = _textures(batch, paints, scale)
    label = torch.zeros(len(out), rows // step, columns // step, dtype=torch.long, device=out.device)
    for slot in range(THINGS):
        row = {key: batch["things"][:, slot, i] for i, key in enumerate(THING)}
        grid = _grid(row, size, row["x"], row["y"], rows, columns).to(kind)
        warped = F.grid_sample(textures[:, slot], grid, mode="bilinear", align_corners=False)
        alpha = warped[:, 3:] * (batch["sprite"][:, slot, None, None, None] >= 0)
        out = out * (1 - alpha) + warped[:, :3] * (batch["sprite"][:, slot, None, None, None] >= 0)
        fine = alpha[:, 0, step // 2 :: step, step // 2 :: step]
        label = torch.where(fine > 0.5, batch["thing_class"][:, slot, None, None], label)
    for slot in range(TEXTS):
        row = {key: batch["texts"][:, slot, i] for i, key in enumerate(TEXT)}
        strip, letter = _strip(
            row, batch["font"][:, slot], batch["letters"][:, slot], batch["starts"][:, slot], paints, scale
        )
        half = row["total"].clamp(min=1e-3) / 2
        across = row | {
            "u_x": row["u_x"] / half,
            "u_y": row["u_y"] / half,
            "v_x": row["v_x"] * 2,
            "v_y": row["v_y"] * 2,
        }
        grid = _grid(across, size, row["x"], row["y"], rows, columns)
        there = (batch["font"][:, slot] >= 0)[:, None, None]
        alpha = F.grid_sample(strip[:, None], grid.to(kind), mode="bilinear", align_corners=False) * there[:, None]
        ink = torch.stack([row[c] for c in "rgb"], 1)[:, :, None, None].to(kind)
        out = out + (ink - out) * alpha
        s, t = grid[:, step // 2 :: step, step // 2 :: step].unbind(-1)
        column = ((s * 0.5 + 0.5) * STRIP).long().clamp(0, STRIP - 1)
        found = letter.gather(1, column.flatten(1)).view_as(column) + 1
        label = torch.where((s.abs() < 1) & (t.abs() < 0.6) & there, found, label)
    return out.float().clamp(0, 1), label


def _grid(row: dict[str, Tensor], size: Tensor, x: Tensor, y: Tensor, rows: int, columns: int) -> Tensor:
    """Where each point of the picture lies in a texture's square of -1 to 1: (b, rows, columns, 2)."""
    width, height = size[:, 0] / 2, size[:, 1] / 2
    dx, dy = width - x, height - y
    theta = torch.stack(
        (
            torch.stack((row["u_x"] * width, row["u_y"] * height, row["u_x"] * dx + row["u_y"] * dy), 1),
            torch.stack((row["v_x"] * width, row["v_y"] * height, row["v_x"] * dx + row["v_y"] * dy), 1),
        ),
        1,
    )
    return F.affine_grid(theta, [len(x), 1, rows, columns], align_corners=False)


def _textures(batch: dict[str, Tensor], paints: Paints, scale: int) -> Tensor:
    """The pictograms and shapes of the scenes, coloured and bent: (b, THINGS, 4, SIDE, SIDE), times alpha."""
    row = {key: batch["things"][..., i, None, None, None].to(paints.dtype) for i, key in enumerate(THING)}
    size = batch["things"][..., THING.index("size")]
    level = (torch.log2(SIDE / (2 * size * scale + 1e-3)) + 0.5).clamp(0, LEVELS - 1).long()
    x = paints.sprites[level, batch["sprite"].clamp(min=0)].permute(0, 1, 4, 2, 3).to(paints.dtype) / 255
    colour, alpha, fat, edge = x[:, :, :3], x[:, :, 3:4], x[:, :, 4:5], x[:, :, 5:6]
    # Hue turns about the grey axis; saturation is the distance from it.
    grey = colour.mean(2, keepdim=True)
    turned = torch.sin(row["hue"]) * 0.57735 * (colour.roll(1, 2) - colour.roll(-1, 2))
    colour = grey + row["saturation"] * (torch.cos(row["hue"]) * (colour - grey) + turned)
    colour = (colour.clamp(1e-3, 1) ** row["gamma"] * row["gain"]).clamp(0, 1)
    steps = row["levels"]
    colour = torch.where(steps > 0, (colour * steps).round() / steps.clamp(min=1), colour)
    colour = colour * (1 - (row["edge"] * edge).clamp(0, 1))
    own = torch.cat([row[c] for c in "rgb"], 2)
    colour = torch.where(row["recolour"] > 0, own, colour)
    rim = torch.cat([row["outline_" + c] for c in "rgb"], 2)
    colour = torch.where(row["outline"] > 0, rim + (colour - rim) * alpha, colour)
    alpha = torch.where(row["outline"] > 0, fat, alpha)
    drawn = torch.cat((colour * alpha, alpha), 2).flatten(0, 1)
    place = (torch.arange(SIDE, device=x.device) + 0.5) / SIDE * 2 - 1
    flat = {
        key: batch["things"][..., THING.index(key)].flatten()[:, None]
        for key in ("wave_x", "freq_x", "phase_x", "wave_y", "freq_y", "phase_y")
    }
    u = place + 0 * flat["wave_x"]
    shift_x = flat["wave_x"] * torch.sin(u * flat["freq_x"] + flat["phase_x"])  # of each row
    shift_y = flat["wave_y"] * torch.sin(u * flat["freq_y"] + flat["phase_y"])  # of each column
    grid = torch.stack((u[:, None, :] + shift_x[:, :, None], u[:, :, None] + shift_y[:, None, :]), -1)
    bent = F.grid_sample(drawn, grid.to(drawn.dtype), mode="bilinear", align_corners=False)
    return bent.unflatten(0, size.shape)


def _strip(row: dict[str, Tensor], font: Tensor, letters: Tensor, starts: Tensor, paints: Paints, scale: int):
    """A text as a texture of coverage (b, GLYPH, STRIP), and the letter of each of its columns (b, STRIP)."""
    s = (torch.arange(STRIP, device=font.device) + 0.5) / STRIP * row["total"][:, None]
    index = ((s[:, :, None] >= starts[:, None]).sum(-1) - 1).clamp(min=0)
    letter = letters.gather(1, index)
    column = ((s - starts.gather(1, index)) * GLYPH + 6).long().clamp(0, GLYPH - 1)
    level = (torch.log2(GLYPH / (row["size"] * scale + 1e-3)) + 0.3).clamp(0, LEVELS - 1).long()
    glyph = font.clamp(min=0)[:, None] * len(CHARACTERS) + letter
    strip = paints.glyphs[level[:, None], glyph, :, column, 0]  # (b, STRIP, GLYPH)
    return strip.transpose(1, 2).to(paints.dtype) / 255, letter


def _ground(table: Tensor, size: Tensor, paints: Paints, blobs: Tensor, rows: int, columns: int) -> Tensor:
    row = {key: table[:, i, None, None, None] for i, key in enumerate(GROUND)}
    width, height = size[:, 0, None, None, None], size[:, 1, None, None, None]
    x = ((torch.arange(columns, device=table.device) + 0.5) / columns) * width
    y = ((torch.arange(rows, device=table.device) + 0.5) / rows)[:, None] * height
    mix = ((x - 0.5 * width) * row["dir_x"] + (y - 0.5 * height) * row["dir_y"]) * 1.2
    mix = (mix + 0.5 + row["shift"]).clamp(0, 1).to(paints.dtype)
    wave = torch.sin(x * row["pat_x"] + y * row["pat_y"])
    wave = wave * torch.sin(x * row["pat_x2"] + y * row["pat_y2"] + row["pat_phase"])
    pattern = (row["pattern"] * (wave * 8).clamp(-1, 1)).to(paints.dtype)
    first, second = (torch.cat([row[c + n] for c in "rgb"], 1).to(paints.dtype) for n in "01")
    out = first + (second - first) * mix + pattern + row["blobs"].to(paints.dtype) * blobs
    if paints.assets.photos:
        index = (row["photo"].long().flatten() - 1).clamp(min=0)
        scale = row["photo_scale"]
        grid = torch.cat(
            (
                (row["photo_x"] + x * scale).expand(-1, 1, rows, columns),
                (row["photo_y"] + y * scale).expand(-1, 1, rows, columns),
            ),
            1,
        )
        grid = (grid * 2 - 1).permute(0, 2, 3, 1).to(paints.dtype)
        photo = F.grid_sample(
            paints.photos[index].permute(0, 3, 1, 2).to(paints.dtype) / 255,
            grid,
            padding_mode="border",
            align_corners=False,
        )
        out = torch.where(row["photo"] > 0, photo, out)
    rim = torch.minimum(torch.minimum(x, width - x), torch.minimum(y, height - y)) < row["border"]
    return torch.where(rim, row["border_level"].to(paints.dtype), out).clamp(0, 1)


def smooth_noise(batch: int, rows: int, columns: int, device: str | torch.device, generator: torch.Generator) -> Tensor:
    """Clouds of three sizes: (batch, 3, rows, columns)."""
    out = torch.zeros(batch, 3, rows, columns, device=device)
    for cells, weight in ((3, 0.6), (9, 0.35), (40, 0.25)):
        field = torch.rand(batch, 3, cells, cells, device=device, generator=generator) * 2 - 1
        out += weight * F.interpolate(field, (rows, columns), mode="bilinear", align_corners=False)
    return out


def spoil(x: Tensor, grain: Tensor, generator: torch.Generator) -> Tensor:
    """What happens to pictures on their way: noise, blur by smaller sizes, JPEG's blocks, other light, 8 bits."""
    batch, device = x.shape[0], x.device
    x = x + grain[:, None, None, None] * torch.randn(x.shape, device=device, generator=generator)
    blurred = batch // 5
    factor = 1.15 + 1.6 * torch.rand(1, generator=generator, device=device).item()
    small = F.interpolate(x[:blurred], scale_factor=1 / factor, mode="bilinear", antialias=True)
    soft = F.interpolate(small, x.shape[2:], mode="bicubic", align_corners=False)
    coded = batch // 4
    x = torch.cat((soft, jpeg(x[blurred : blurred + coded], generator), x[blurred + coded :]))
    light = 1 + 0.05 * torch.randn(batch, 3, 1, 1, device=device, generator=generator) * (
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

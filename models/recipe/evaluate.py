"""Ask the shipped pair about scenes it has never seen, through the package, and print a table for the model card.

    python -m models.recipe.evaluate PACK PHOTOS [--each N] [--photographs FOLDER]
    python -m models.recipe.evaluate PACK PHOTOS --draw FOLDER      # the demo pictures

An answer counts when it is right to the letter. Intervals are Wilson's, 95 percent.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from PIL import Image

import mtmd_cli
from models.recipe import tasks, things
from models.recipe.paint import Paints, paint, smooth_noise, spoil
from models.recipe.scenes import GROUND, Scene, arrays, classes_of, random_aspect, random_scene

HERE = Path(__file__).resolve().parent.parent
SEED = 20_000


@dataclass(frozen=True)
class Category:
    """What is drawn and asked. set: "seen", "unseen" (words and fonts) or "style" (pictograms of another set)."""

    name: str
    task: str
    kind: str
    set: str = "seen"


CATEGORIES = (
    Category("naming", "name", "single"),
    Category("describing, all exact", "describe", "several"),
    Category("colour", "colour", "several"),
    Category("counting (1 to 6)", "count", "several"),
    Category("counting one kind", "count of one kind", "several"),
    Category("is it left of, above …", "relation", "several"),
    Category("what is left of, above …", "beside", "several"),
    Category("where is it", "where", "several"),
    Category("yes or no", "yes or no", "several"),
    Category("which is bigger", "bigger", "several"),
    Category("reading unseen words, unseen fonts", "read", "text", "unseen"),
    Category("nothing known", "describe", "nothing"),
    Category("naming, unseen style (OpenMoji)", "name", "single", "style"),
)


def picture(scene: Scene, paints: Paints, rng: Random) -> Image.Image:
    """The scene in a size of its own, spoiled as in the training."""
    edge = rng.choice((320, 400, 480, 640))
    columns, rows = (max(64, round(edge * side / 8) * 8) for side in (scene.width, scene.height))
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    batch = {
        key: torch.from_numpy(value) for key, value in arrays([scene], paints.assets, classes_of(paints.assets)).items()
    }
    x, _ = paint(batch, paints, smooth_noise(1, rows, columns, "cpu", generator), rows, columns)
    x = spoil(x, batch["ground"][:, GROUND.index("grain")], generator)
    return Image.fromarray((x[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())


def question(category: Category, paints: Paints, rng: Random) -> tuple[Scene, str, str]:
    while True:
        shape = rng.choices(("square", "wide", "tall"), (70, 15, 15))[0]
        scene = random_scene(rng, paints.assets, random_aspect(rng, shape), category.kind, plain=True)
        if category.task == "read" and any(len(text.name) > 8 for text in scene.texts):
            continue
        turn = tasks.ask(scene, rng, paints.assets, category.task)
        if turn is not None and not (category.task == "read" and len(scene.texts) != 1):
            return scene, *turn


def answer(engine: mtmd_cli.Engine, image: Image.Image, prompt: str) -> str:
    greedy = mtmd_cli.Sampling(temperature=0)
    events = engine.stream(prompt, [image], sampling=greedy, max_tokens=100)
    return "".join(event.text for event in events if isinstance(event, mtmd_cli.TextPiece)).strip()


def wilson(right: int, n: int) -> tuple[float, float]:
    z, p = 1.96, right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return 100 * (middle - half), 100 * (middle + half)


def photographs(engine: mtmd_cli.Engine, folder: Path) -> tuple[int, int]:
    """How many real photographs get the honest sentence, and how many there are."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".jpeg", ".png"))
    said = [answer(engine, Image.open(path).convert("RGB"), "What is in this picture?") for path in paths]
    for path, text in zip(paths, said):
        print(f"    {path.name}: {text}")
    return sum(text == tasks.HONEST for text in said), len(said)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pack", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--each", type=int, default=160)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--save", type=Path, help="a file for the wrong answers")
    given = parser.parse_args()
    seen_styles = list(range(len(things.STYLES)))
    sets = {
        "seen": Paints(given.pack, given.photos, seen_styles, "cpu"),
        "unseen": Paints(given.pack, given.photos, seen_styles, "cpu", unseen=True),
        "style": Paints(given.pack, given.photos, [len(things.STYLES)], "cpu"),
    }
    engine = mtmd_cli.load(HERE / "text.gguf", HERE / "mmproj.gguf", device="cpu", dtype="f32")
    right = dict.fromkeys(CATEGORIES, 0)
    asked = dict.fromkeys(CATEGORIES, 0)
    wrong, begin = [], time.time()
    rngs = {category: Random(f"{SEED} {category.name}") for category in CATEGORIES}
    for _ in range(given.each):
        if time.time() - begin > given.seconds:
            break
        for category in CATEGORIES:
            rng = rngs[category]
            scene, prompt, wanted = question(category, sets[category.set], rng)
            said = answer(engine, picture(scene, sets[category.set], rng), prompt)
            asked[category] += 1
            right[category] += said == wanted
            if said != wanted:
                wrong.append({"category": category.name, "question": prompt, "wanted": wanted, "said": said})
    print("| what | right | of | percent | 95 % interval |\n| --- | --- | --- | --- | --- |")
    for category in CATEGORIES:
        n, k = asked[category], right[category]
        low, high = wilson(k, n)
        print(f"| {category.name} | {k} | {n} | {100 * k / n:.1f} | {low:.1f} to {high:.1f} |")
    if given.photographs:
        k, n = photographs(engine, given.photographs)
        low, high = wilson(k, n)
        print(f"| real photographs: the honest sentence | {k} | {n} | {100 * k / n:.1f} | {low:.1f} to {high:.1f} |")
    if given.save:
        given.save.write_text("\n".join(json.dumps(entry) for entry in wrong), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Draw the three pictures of the demo: scenes of their own seeds, in the recipe's held-out words and fonts.

python -m models.recipe.demo PACK OUT
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

from models.recipe import things
from models.recipe.evaluate import picture
from models.recipe.paint import Paints
from models.recipe.scenes import Scene, random_scene

KINDS = {"things": ("several", 1.5), "shapes": ("several", 1.0), "word": ("text", 2.0)}


def fits(name: str, scene: Scene) -> bool:
    kinds = [thing.kind for thing in scene.things]
    if name == "things":
        return kinds.count("pictogram") == 4 and len(kinds) == 4 and len({t.label for t in scene.things}) == 3
    if name == "shapes":
        return kinds.count("shape") == 2 and len(kinds) == 3 and len({t.label for t in scene.things}) == 3
    return len(kinds) == 1 and 5 <= len(scene.things[0].name) <= 8 and scene.things[0].name.isalpha()


def main(pack: Path, out: Path) -> None:
    paints = Paints(pack, None, list(range(len(things.STYLES))), "cpu", unseen=True)
    out.mkdir(exist_ok=True)
    for name, (kind, aspect) in KINDS.items():
        rng = Random(f"demo {name}")
        scene = random_scene(rng, paints.assets, aspect, kind, plain=True)
        while not fits(name, scene):
            scene = random_scene(rng, paints.assets, aspect, kind, plain=True)
        picture(scene, paints, Random(3)).save(out / f"{name}.png", optimize=True)
        print(name, [thing.label for thing in scene.things])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

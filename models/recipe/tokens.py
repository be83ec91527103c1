"""Train the tokenizer on the questions and answers of many scenes.

python -m models.recipe.tokens PACK OUT
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from random import Random

import numpy as np

from models.recipe import tasks
from models.recipe.assets import CHARACTERS
from models.recipe.model import Shape
from models.recipe.prompt import train_tokenizer
from models.recipe.scenes import Assets, random_aspect, random_scene


def main(pack: Path, out: Path) -> None:
    data = np.load(pack)
    names = [str(name) for name in data["names"]]
    assets = Assets(names, {name: [0] for name in names}, 0, [0], data["advances"], CHARACTERS, ["word"], 0)
    rng = Random(0)
    lines = ["User: ", "Assistant:"] * 1000
    for _ in range(30_000):
        scene = random_scene(rng, assets, random_aspect(rng, "square"))
        for question, answer in tasks.turns(scene, rng, assets, 3):
            lines += [question, " " + re.sub('".*"', '""', answer)]
    train_tokenizer(lines, Shape().vocabulary).save(str(out))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

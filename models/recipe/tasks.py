"""Questions about a scene in many phrasings, and the one right answer to each."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from models.recipe import things
from models.recipe.scenes import Assets, Scene, Thing

HONEST = "I only know pictograms, shapes and short texts."
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
Turn = tuple[str, str]  # question, answer

ASK = {
    "describe": (
        "What is in this {p}?", "What is in the {p}?", "Describe the {p}.", "Describe this {p}.", "What do you see?",
        "What can you see in this {p}?", "Tell me what you see.", "What does this {p} show?", "What's in this {p}?",
        "What is shown here?", "List everything in the {p}.", "Describe what you see.", "What is on this {p}?",
        "What's this {p} about?", "Can you describe this {p}?", "Please describe the {p}.", "What things are there?",
        "What objects are in this {p}?", "What is depicted?", "Explain this {p}.", "Give a description of the {p}.",
        "Describe this {p} in detail.", "What do you see in this {p}?", "What is it that you see here?",
    ),
    "what": (
        "What is this?", "What's this?", "What is that?", "What is it?", "Name it.", "Name this.", "What thing is this?",
        "What object is this?", "What does this pictogram show?", "Which thing is shown?", "What am I looking at?",
        "Can you tell me what this is?", "Do you know what this is?", "What is the object in the {p}?",
    ),
    "colour": (
        "What {c} is the {x}?", "Which {c} is the {x}?", "What is the {c} of the {x}?", "What {c} does the {x} have?",
        "Tell me the {c} of the {x}.", "The {x} is of what {c}?", "Which {c} does the {x} have?",
    ),
    "ground": (
        "What {c} is the background?", "Which {c} is the background?", "What is the background {c}?",
        "What is the {c} of the background?", "Which {c} does the background have?",
    ),
    "count": (
        "How many things are there?", "How many objects are in the {p}?", "How many things do you see?",
        "Count the objects.", "How many things are in this {p}?", "How many items are there?", "Count the things.",
        "What is the number of objects?", "How many objects can you see?", "How many objects are there?",
    ),
    "count of": (
        "How many {xs} are there?", "How many {xs} do you see?", "Count the {xs}.", "How many {xs} are in the {p}?",
        "How many {xs} can you see?", "What is the number of {xs}?", "How many {xs} are in this {p}?",
    ),
    "left": ("What is left of the {x}?", "What is to the left of the {x}?", "What's on the left of the {x}?",
             "What do you see left of the {x}?", "What is on the left side of the {x}?"),
    "right": ("What is right of the {x}?", "What is to the right of the {x}?", "What's on the right of the {x}?",
              "What do you see right of the {x}?", "What is on the right side of the {x}?"),
    "above": ("What is above the {x}?", "What's above the {x}?", "What do you see above the {x}?",
              "What is over the {x}?", "Which things are above the {x}?"),
    "below": ("What is below the {x}?", "What's below the {x}?", "What do you see below the {x}?",
              "What is under the {x}?", "Which things are below the {x}?"),
    "relation": ("Is the {x} {r} the {y}?", "Is the {x} placed {r} the {y}?", "Do you see the {x} {r} the {y}?"),
    "where": ("Where is the {x}?", "Where's the {x}?", "Where do you see the {x}?", "Where in the {p} is the {x}?",
              "In which part of the {p} is the {x}?", "What is the position of the {x}?"),
    "there": ("Is there {ax}?", "Is there {ax} in the {p}?", "Do you see {ax}?", "Can you see {ax}?",
              "Does the {p} show {ax}?", "Is there {ax} in this {p}?", "Does this {p} contain {ax}?"),
    "read": (
        "What does it say?", "Read the text.", "What is written there?", "What is written here?", "What does the text say?",
        "What word is this?", "What text is in the {p}?", "Can you read this?", "Read the word.", "What is the text?",
        "Read this.", "What number is this?", "What does the sign say?", "Please read the text in the {p}.",
        "Which word is written in the {p}?", "What is written in this {p}?", "Transcribe the text.",
    ),
    "bigger": ("Which is bigger, the {x} or the {y}?", "Which is larger, the {x} or the {y}?",
               "What is bigger: the {x} or the {y}?", "Is the {x} or the {y} bigger?"),
    "smaller": ("Which is smaller, the {x} or the {y}?", "What is smaller: the {x} or the {y}?",
                "Is the {x} or the {y} smaller?"),
    "biggest": ("What is the biggest thing?", "Which thing is the biggest?", "Which object is the largest?",
                "What is the largest object in the {p}?", "What is biggest?"),
    "smallest": ("What is the smallest thing?", "Which thing is the smallest?", "Which object is the smallest?",
                 "What is the smallest object in the {p}?", "What is smallest?"),
    "beyond": (
        "Who made this {p}?", "When was this {p} made?", "What is the name of the artist?", "How old is it?",
        "What will happen next?", "Where was this {p} taken?", "Why is it there?", "How much does it cost?",
        "What is the weather like?", "Who is this?", "What does it taste like?", "What is the capital of France?",
        "Tell me a joke.", "Write a poem about this {p}.", "What time is it?", "What is two plus two?",
    ),
}  # fmt: skip


def phrase(rng: Random, task: str, **words: str) -> str:
    """One of the phrasings, at times carelessly typed."""
    text = rng.choice(ASK[task])
    picture = rng.choices(("picture", "image", "photo", "drawing"), (60, 30, 5, 5))[0]
    text = text.format(p=picture, c="color" if rng.random() < 0.35 else "colour", **words)
    draw = rng.random()
    if draw < 0.06:
        text = text[0].lower() + text[1:]
    elif draw < 0.1:
        text = text.rstrip("?.")
    elif draw < 0.14:
        text = text[0].lower() + text[1:].rstrip("?.")
    elif draw < 0.16:
        text = "Please tell me: " + text[0].lower() + text[1:]
    return text


def groups(found: list[Thing]) -> list[tuple[Thing, int]]:
    """Things of one label together, from left to right by the first of each."""
    count: dict[str, int] = {}
    first: dict[str, Thing] = {}
    for thing in sorted(found, key=lambda thing: thing.x):
        count[thing.label] = count.get(thing.label, 0) + 1
        first.setdefault(thing.label, thing)
    return [(first[label], count[label]) for label in first]


def listed(found: list[Thing]) -> str:
    """Like this: a dog, two red circles and the text "HELLO" (with its quotation marks)."""
    parts = [
        thing.label
        if thing.kind == "text"
        else things.one(thing.label)
        if n == 1
        else f"{NUMBERS[n]} {things.many(thing.label)}"
        for thing, n in groups(found)
    ]
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def capital(text: str) -> str:
    return text[0].upper() + text[1:]


def be(thing: Thing) -> str:
    return "are" if thing.label in things.PLURAL_NAMES else "is"


def _absent(rng: Random, scene: Scene, assets: Assets) -> Thing:
    """Something that is not there; often a shape of the right form in the wrong colour, or the other way round."""
    here = {thing.label for thing in scene.things}
    while True:
        shapes = [thing for thing in scene.things if thing.kind == "shape"]
        if rng.random() < 0.3:
            shape = rng.choice(shapes).name if shapes and rng.random() < 0.5 else rng.choice(things.SHAPES)
            colour = rng.choice(shapes).colour if shapes and rng.random() < 0.5 else rng.choice(list(things.COLOURS))
            thing = Thing("shape", shape, colour, 0, 0, 0, 0)
        else:
            thing = Thing("pictogram", rng.choice(assets.names), None, 0, 0, 0, 0)
        if thing.label not in here:
            return thing


def _cant(thing: Thing) -> str:
    return f"I can't tell: I see no {thing.label}."


def _unique(scene: Scene) -> list[Thing]:
    """Things whose label only one has; no texts."""
    return [thing for thing, n in groups(scene.things) if n == 1 and thing.kind != "text"]


def ask_describe(scene: Scene, rng: Random, assets: Assets) -> Turn:
    return phrase(rng, "describe"), f"I see {listed(scene.things)}."


def ask_what(scene: Scene, rng: Random, assets: Assets) -> Turn | None:
    if len(scene.things) != 1:
        return None
    thing = scene.things[0]
    if thing.kind == "text":
        return phrase(rng, "what"), f"This is {thing.label}."
    verb = "These are" if thing.label in things.PLURAL_NAMES else "This is"
    return phrase(rng, "what"), f"{verb} {things.one(thing.label)}."


def ask_colour(scene: Scene, rng: Random, assets: Assets) -> Turn | None:
    found = [thing for thing in scene.things if thing.kind == "shape"]
    found = [thing for thing in found if sum(other.name == thing.name for other in found) == 1]
    texts = scene.texts
    if rng.random() < 0.12:
        shape = rng.choice([s for s in things.SHAPES if all(t.name != s for t in scene.things)])
        return phrase(rng, "colour", x=shape), f"I can't tell: I see no {shape}."
    if texts and (not found or rng.random() < 0.5):
        if len(texts) > 1:
            return None
        return phrase(rng, "colour", x=rng.choice(("text", "text", "word", "writing"))), f"It is {texts[0].colour}."
    if not found:
        return None
    thing = rng.choice(found)
    return phrase(rng, "colour", x=thing.name), f"It is {thing.colour}."


def ask_ground(scene: Scene, rng: Random, assets: Assets) -> Turn | None:
    if scene.ground is None or scene.ground_row.get("border"):
        return None
    return phrase(rng, "ground"), f"The background is {scene.ground}."


def ask_count(scene: Scene, rng: Random, assets: Assets) -> Turn | None:
    count = sum(thing.kind != "text" for thing in scene.things)
    if count == 0 or scene.texts:
        return None
    return phrase(rng, "count"), "There is one thing." if count == 1 else f"There are {NUMBERS[count]} things."


def ask_count_of(scene: Scene, rng: Random, assets: Assets) -> Turn | None:
    found = [
        (thing, n)
        for thing, n in groups(scene.things)
        if thing.kind != "text" and things.many(thing.label) != thing.label
    ]
    repeated = [pair for pair in found if pair[1] > 1]
    if rng.random() < 0.15 or not found:
        thing = _absent(rng, scene, assets)
        if things.many(thing.label) == thing.label:
            return None
        return phrase(rng, "count of", xs=things.many(thing.label)), f"There is no {thing.label}."
    thing, n = rng.choice(repeated if repeated and rng.random() < 0.8 else found)
    answer = f"There is one {thing.label}." if n == 1 else f"There are {NUMBERS[n]} {things.many(thing.label)}."
    return phrase(rng, "count of", xs=things.many(thing.label)), answer


def _sides(scene: Scene, thing: Thing, side: str) -> list[Thing] | None:
    """What lies on that side of it; None where something is about level with it."""
    out = []
    for other in scene.things:
        if other is thing:
            continue
        gap = other.x - thing.x if side in ("left", "right") else other.y - thing.y
        if abs(gap) < 0.045:
            return None
        if (gap < 0) == (side in ("left", "above")):
            out.append(other)
    return out


def ask_beside(scene: Scene, rng: Random, assets: Assets) -> Turn | None:
    side = rng.choice(("left", "right", "above", "below"))
    if rng.random() < 0.12:
        thing = _absent(rng, scene, assets)
        return phrase(rng, side, x=thing.label), _cant(thing)
    unique = _unique(scene)
    if len(scene.things) < 2 or not unique:
        return None
    thing = rng.choice(unique)
    found = _sides(scene, thing, side)
    if found is None or len(found) > 4:
        return None
    return phrase(rng, side, x=thing.label), f"{capital(listed(found))}." if found else "Nothing."


def ask_relation(scene: Scene, rng: Random, assets: Assets) -> Turn | None:
    unique = _unique(scene)
    if len(unique) < 2:
        return None
    one, other = rng.sample(unique, 2)
    side = rng.choice(("left", "right", "above", "below"))
    gap = one.x - other.x if side in ("left", "right") else one.y - other.y
    if abs(gap) < 0.06:
        return None
    words = {"left": ("left of", "to the left of"), "right": ("right of", "to the right of"),
             "above": ("above", "over"), "below": ("below", "under")}  # fmt: skip
    yes = (gap < 0) == (side in ("left", "above"))
    return phrase(
        rng, "relation", x=one.label, y=other.label, r=rng.choice(words[side])
    ), "Yes, it is." if yes else "No, it is not."


def ask_where(scene: Scene, rng: Random, assets: Assets) -> Turn | None:
    if rng.random() < 0.1:
        thing = _absent(rng, scene, assets)
        return phrase(rng, "where", x=thing.label), _cant(thing)
    unique = _unique(scene)
    if not unique:
        return None
    thing = rng.choice(unique)
    x, y = thing.x / scene.width, thing.y / scene.height
    if any(abs(value - border) < 0.05 for value in (x, y) for border in (1 / 3, 2 / 3)):
        return None
    column = ("left", "", "right")[int(x * 3)]
    row = ("top", "", "bottom")[int(y * 3)]
    if not row and not column:
        place = "in the middle"
    elif row and column:
        place = f"at the {row} {column}"
    else:
        place = f"at the {row}" if row else f"on the {column}"
    return phrase(rng, "where", x=thing.label), f"It is {place}."


def ask_there(scene: Scene, rng: Random, assets: Assets) -> Turn | None:
    found = [thing for thing in scene.things if thing.kind != "text"]
    if found and rng.random() < 0.5:
        return phrase(rng, "there", ax=things.one(rng.choice(found).label)), "Yes, there is."
    return phrase(rng, "there", ax=things.one(_absent(rng, scene, assets).label)), "No, there is not."


def ask_read(scene: Scene, rng: Random, assets: Assets) -> Turn | None:
    texts = scene.texts
    if not texts:
        return (phrase(rng, "read"), "I can't tell: I see no text.") if rng.random() < 0.25 else None
    if len(texts) == 2 and abs(texts[0].y - texts[1].y) < 0.06:
        return None
    return phrase(rng, "read"), "It says " + " and ".join(f'"{text.name}"' for text in texts) + "."


def ask_bigger(scene: Scene, rng: Random, assets: Assets) -> Turn | None:
    unique = _unique(scene)
    if len(unique) < 2:
        return None
    pair = rng.sample(unique, 2)
    one, other = sorted(pair, key=lambda thing: thing.w)
    if other.w < 1.3 * one.w:
        return None
    task, answer = rng.choice((("bigger", other), ("bigger", other), ("smaller", one)))
    return phrase(rng, task, x=pair[0].label, y=pair[1].label), f"The {answer.label}."


def ask_biggest(scene: Scene, rng: Random, assets: Assets) -> Turn | None:
    found = sorted((thing for thing in scene.things if thing.kind != "text"), key=lambda thing: thing.w)
    if len(found) < 2 or scene.texts:
        return None
    if rng.random() < 0.6:
        return (phrase(rng, "biggest"), f"The {found[-1].label}.") if found[-1].w > 1.25 * found[-2].w else None
    return (phrase(rng, "smallest"), f"The {found[0].label}.") if found[1].w > 1.25 * found[0].w else None


def ask_beyond(scene: Scene, rng: Random, assets: Assets) -> Turn:
    return phrase(rng, "beyond"), "I can't tell."


Asker = Callable[[Scene, Random, Assets], Turn | None]
TASKS: dict[str, tuple[Asker, float]] = {
    "describe": (ask_describe, 20),
    "name": (ask_what, 30),
    "colour": (ask_colour, 9),
    "background": (ask_ground, 3),
    "count": (ask_count, 8),
    "count of one kind": (ask_count_of, 11),
    "beside": (ask_beside, 14),
    "relation": (ask_relation, 8),
    "where": (ask_where, 7),
    "yes or no": (ask_there, 12),
    "read": (ask_read, 30),
    "bigger": (ask_bigger, 6),
    "biggest": (ask_biggest, 4),
    "beyond": (ask_beyond, 1.5),
}


def ask(scene: Scene, rng: Random, assets: Assets, task: str) -> Turn | None:
    """One question of a task; None where the scene gives no clear one."""
    if scene.things:
        return TASKS[task][0](scene, rng, assets)
    words = {"x": _absent(rng, scene, assets).label, "y": "dog", "r": "above"}
    words |= {"ax": things.one(words["x"]), "xs": things.many(words["x"])}
    return phrase(rng, rng.choice(("describe", "describe", "what", *ASK)), **words), HONEST


def turns(scene: Scene, rng: Random, assets: Assets, count: int) -> list[Turn]:
    """Several different questions about one picture, in a random order."""
    names = list(TASKS)
    order = sorted(names, key=lambda name: -(rng.random() ** (1 / TASKS[name][1])))
    out: list[Turn] = []
    for name in order:
        if len(out) == count:
            break
        turn = ask(scene, rng, assets, name)
        if turn is not None and turn[0] not in (question for question, _ in out):
            out.append(turn)
    return out

"""Which pictograms the model learns, under which names, and how English treats those names."""

from __future__ import annotations

CATEGORIES = ("Food & Drink", "Objects", "Travel & Places", "Activities", "Animals & Nature")
STYLES = {  # npm package: licence, as its info.json states it
    "noto": "Apache-2.0",
    "twemoji": "CC-BY-4.0",
    "fluent-emoji": "MIT",
    "fluent-emoji-flat": "MIT",
    "fxemoji": "Apache-2.0",
    "emojione": "CC-BY-4.0",
    "noto-v1": "Apache-2.0",
}
UNSEEN_STYLE = "openmoji"
LEAST_STYLES = 5

# Too alike, too little known, or not a thing that one would name.
DROPPED = frozenset(
    """
    statue-of-liberty label 1st-place-medal 2nd-place-medal 3rd-place-medal admission-tickets aerial-tramway
    airplane-arrival airplane-departure amphora articulated-lorry baby-bottle badminton ballot-box-with-ballot
    barber-pole beach-with-umbrella bell-with-slash bellhop-bell bento-box black-nib blossom blue-book boar
    bookmark-tabs bridge-at-night bug building-construction bullet-train burrito bus-stop camera-with-flash
    camping card-file-box card-index card-index-dividers carp-streamer cat-face chart-decreasing chart-increasing
    chart-increasing-with-yen cherry-blossom chestnut cityscape cityscape-at-dusk clamp classical-building
    clinking-beer-mugs clinking-glasses clipboard closed-book closed-mailbox-with-lowered-flag
    closed-mailbox-with-raised-flag closed-umbrella cloud-with-lightning cloud-with-lightning-and-rain
    cloud-with-snow club-suit clutch-bag comet computer-disk confetti-ball construction control-knobs
    convenience-store cooked-rice cooking couch-and-lamp cow-face cricket cricket-game curry-rice custard cyclone
    dango delivery-truck department-store derelict-house desert diamond-suit dog-face dollar-banknote dove
    dragon-face dvd e-mail envelope-with-arrow euro-banknote ewe fax-machine ferry field-hockey file-cabinet
    file-folder film-frames film-projector fireworks first-quarter-moon first-quarter-moon-face
    fish-cake-with-swirl flag-in-hole flower-playing-cards fog foggy fork-and-knife-with-plate fountain-pen
    framed-picture front-facing-baby-chick full-moon-face funeral-urn glass-of-milk globe-showing-asia-australia
    globe-showing-europe-africa globe-with-meridians goal-net green-book green-salad hammer-and-pick
    hammer-and-wrench hatching-chick heart-suit herb hibiscus high-speed-train hole horizontal-traffic-light
    horse-face hot-springs hotel hourglass hourglass-not-done house-with-garden houses ice-skate inbox-tray
    incoming-envelope japanese-castle japanese-dolls japanese-post-office joker kaaba kick-scooter kimono lab
    last-quarter-moon last-quarter-moon-face leaf-fluttering-in-wind ledger leopard level-slider light-rail link
    linked-paperclips locked-with-key locked-with-pen loudspeaker love-hotel magnifying-glass-tilted-right
    mahjong-red-dragon mantelpiece-clock map-of-japan martial-arts-uniform metro military-medal milky-way minibus
    moai mobile-phone-with-arrow money-with-wings monkey-face monorail moon-viewing-ceremony mosque motor-boat
    motorway mount-fuji mountain mountain-cableway mountain-railway mouse-face musical-keyboard musical-notes
    musical-score muted-speaker national-park new-moon new-moon-face night-with-stars notebook
    notebook-with-decorative-cover nut-and-bolt oden office-building oil-drum old-key oncoming-automobile
    oncoming-bus oncoming-police-car oncoming-taxi open-file-folder open-mailbox-with-lowered-flag
    open-mailbox-with-raised-flag optical-disk orange-book outbox-tray ox page-facing-up page-with-curl pager
    passenger-ship paw-prints performing-arts pick pig-face pig-nose pine-decoration ping-pong poodle post-office
    postal-horn postbox pot-of-food pound-banknote prayer-beads purse rabbit-face railway-car railway-track ram
    rat red-paper-lantern reminder-ribbon rescue-workers-helmet ribbon rice-ball rice-cracker roasted-sweet-potato
    rolled-up-newspaper rosette round-pushpin running-shirt sake seat seedling shallow-pan-of-food shamrock
    shaved-ice sheaf-of-rice shinto-shrine ship shooting-star shortcake small-airplane snowman-without-snow
    soft-ice-cream spade-suit sparkler sparkles speaker-low-volume speaker-medium-volume spiral-calendar
    spiral-notepad sport-utility-vehicle sports-medal squid stadium star station steaming-bowl studio-microphone
    stuffed-flatbread sun-behind-large-cloud sun-behind-rain-cloud sun-behind-small-cloud sun-with-face sunrise
    sunrise-over-mountains sunset suspension-railway synagogue tanabata-tree teacup-without-handle
    tear-off-calendar telephone-receiver tiger-face timer-clock tokyo-tower trackball train tram tram-car
    trolleybus tumbler-glass two-hump-camel umbrella-on-ground umbrella-with-rain-drops unlocked
    vertical-traffic-light video-camera videocassette waning-crescent-moon waning-gibbous-moon water-buffalo
    waxing-crescent-moon waxing-gibbous-moon wedding white-flower wilted-flower wind-chime wind-face womans-boot
    womans-clothes womans-sandal world-map yen-banknote
""".split()
)

EXTRA = """
    red-heart skull ghost alien robot clown-face pile-of-poo kiss-mark speech-balloon broken-heart grinning-face
    smiling-face-with-smiling-eyes slightly-smiling-face crying-face loudly-crying-face angry-face
    smiling-face-with-sunglasses sleeping-face smiling-face-with-heart-eyes thinking-face ear eye nose mouth
    tongue thumbs-up thumbs-down victory-hand raised-hand clapping-hands baby santa-claus footprints warning
    stop-sign no-entry check-mark cross-mark recycling-symbol chequered-flag triangular-flag anchor black-flag
    white-flag
""".split()

RENAMED = {
    "red-apple": "apple",
    "baguette-bread": "baguette",
    "bottle-with-popping-cork": "bottle",
    "birthday-cake": "cake",
    "cheese-wedge": "cheese",
    "ear-of-corn": "corn cob",
    "fork-and-knife": "knife and fork",
    "hot-beverage": "cup",
    "hot-pepper": "pepper",
    "kiwi-fruit": "kiwi",
    "poultry-leg": "chicken leg",
    "tropical-drink": "drink",
    "fried-shrimp": "fried shrimp",
    "bar-chart": "chart",
    "balance-scale": "scale",
    "computer-mouse": "computer mouse",
    "crossed-swords": "swords",
    "desktop-computer": "computer",
    "electric-plug": "plug",
    "gem-stone": "gem",
    "graduation-cap": "graduation cap",
    "high-heeled-shoe": "high heel",
    "kitchen-knife": "kitchen knife",
    "lady-beetle": "ladybug",
    "locked": "padlock",
    "magnifying-glass-tilted-left": "magnifying glass",
    "mans-shoe": "shoe",
    "memo": "note",
    "mobile-phone": "phone",
    "money-bag": "money bag",
    "package": "box",
    "satellite-antenna": "satellite dish",
    "speaker-high-volume": "speaker",
    "straight-ruler": "ruler",
    "triangular-ruler": "set square",
    "wastebasket": "bin",
    "womans-hat": "hat",
    "automobile": "car",
    "carousel-horse": "carousel",
    "crescent-moon": "moon",
    "desert-island": "island",
    "cloud-with-rain": "rain cloud",
    "fuel-pump": "fuel pump",
    "full-moon": "full moon",
    "globe-showing-americas": "globe",
    "glowing-star": "star",
    "high-voltage": "lightning bolt",
    "hourglass-done": "hourglass",
    "locomotive": "train",
    "police-car-light": "siren",
    "snow-capped-mountain": "mountain",
    "sun-behind-cloud": "sun behind a cloud",
    "water-wave": "wave",
    "baby-chick": "chick",
    "deciduous-tree": "tree",
    "evergreen-tree": "fir tree",
    "fallen-leaf": "leaf",
    "four-leaf-clover": "clover",
    "honeybee": "bee",
    "maple-leaf": "maple leaf",
    "spiral-shell": "shell",
    "spouting-whale": "whale",
    "american-football": "american football",
    "artist-palette": "palette",
    "game-die": "die",
    "jack-o-lantern": "pumpkin",
    "pool-8-ball": "billiard ball",
    "soccer-ball": "football",
    "video-game": "game controller",
    "wrapped-gift": "present",
    "red-heart": "heart",
    "pile-of-poo": "pile of poo",
    "kiss-mark": "kiss mark",
    "speech-balloon": "speech balloon",
    "clown-face": "clown",
    "grinning-face": "smiley",
    "smiling-face-with-smiling-eyes": "smiley",
    "slightly-smiling-face": "smiley",
    "crying-face": "crying face",
    "loudly-crying-face": "crying face",
    "smiling-face-with-sunglasses": "face with sunglasses",
    "smiling-face-with-heart-eyes": "face with heart eyes",
    "recycling-symbol": "recycling sign",
    "warning": "warning sign",
    "no-entry": "no entry sign",
    "stop-sign": "stop sign",
    "chequered-flag": "chequered flag",
    "triangular-flag": "red flag",
    "tear-off-calendar": "calendar",
    "rugby-football": "rugby ball",
    "racing-car": "racing car",
    "ring": "diamond ring",
    "bowling": "bowling pins",
    "ice-hockey": "hockey stick",
    "tennis": "tennis racket",
    "headphone": "headphones",
    "santa-claus": "santa",
    "meat-on-bone": "meat on a bone",
}

# Never "a"; "how many" then asks for pieces of it.
UNCOUNTED = frozenset(["bacon", "bread", "cheese", "popcorn", "spaghetti", "sushi", "fire"])
PLURAL_NAMES = frozenset(
    (
        "cherries",
        "french fries",
        "grapes",
        "pancakes",
        "peanuts",
        "glasses",
        "sunglasses",
        "jeans",
        "scissors",
        "books",
        "swords",
        "chains",
        "skis",
        "clapping hands",
        "footprints",
        "headphones",
        "bowling pins",
        "shopping bags",
    )
)
IRREGULAR = {
    "mouse": "mice",
    "computer mouse": "computer mice",
    "goose": "geese",
    "wolf": "wolves",
    "leaf": "leaves",
    "maple leaf": "maple leaves",
    "kitchen knife": "kitchen knives",
    "knife and fork": "knives and forks",
    "die": "dice",
    "pile of poo": "piles of poo",
    "sun behind a cloud": "suns behind clouds",
    "face with sunglasses": "faces with sunglasses",
    "face with heart eyes": "faces with heart eyes",
    "corn cob": "corn cobs",
    "fish": "fish",
    "tropical fish": "tropical fish",
    "deer": "deer",
    "fried shrimp": "fried shrimp",
    "shrimp": "shrimp",
    "octopus": "octopuses",
    "bus": "buses",
    "thumbs up": "thumbs up",
    "thumbs down": "thumbs down",
    "snowman": "snowmen",
}
SHAPES = (
    "circle",
    "square",
    "triangle",
    "rectangle",
    "pentagon",
    "hexagon",
    "ellipse",
    "diamond",
    "cross",
    "ring",
    "half circle",
    "arrow",
)
COLOURS = {
    "red": (215, 30, 35),
    "green": (35, 150, 55),
    "blue": (30, 75, 205),
    "yellow": (245, 215, 30),
    "orange": (245, 135, 20),
    "purple": (130, 45, 165),
    "pink": (245, 140, 190),
    "brown": (120, 72, 35),
    "black": (18, 18, 20),
    "white": (248, 248, 248),
    "grey": (130, 130, 132),
}


def name_of(icon: str) -> str:
    """The name that the model says for an icon of the sets."""
    return RENAMED.get(icon, icon.replace("-", " "))


def wanted(icon: str, category: str) -> bool:
    if icon in EXTRA:
        return True
    return category in CATEGORIES and icon not in DROPPED and not icon.endswith(("-oclock", "-thirty"))


def one(name: str) -> str:
    """The name with its article: a dog, an apple, scissors, bread."""
    if name in PLURAL_NAMES or name in UNCOUNTED:
        return name
    silent = name.startswith(("hour", "um")) or name[0] in "aeio"
    return f"an {name}" if silent else f"a {name}"


def many(name: str) -> str:
    """The name in the plural; a name that has none stays."""
    if name in PLURAL_NAMES or name in UNCOUNTED:
        return name
    if name in IRREGULAR:
        return IRREGULAR[name]
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    if name.endswith(("s", "x", "ch", "sh")) or name in ("tomato", "potato", "volcano"):
        return name + "es"
    return name + "s"

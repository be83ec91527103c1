"""Write the generated pages, so that none can tell something else than the program.

`make docs` runs it; tests check that every page is current.
"""

from __future__ import annotations

from pathlib import Path

from scripts.docs import families, flags, transcript

ROOT = Path(__file__).resolve().parent.parent


def pages() -> dict[Path, str]:
    """Each generated file with what it should hold; the README keeps what stands outside of its markers."""
    readme = ROOT / "README.md"
    text = between(readme.read_text(encoding="utf-8"), "families", families.summary())
    return {
        ROOT / "docs" / "cli.md": flags.page(),
        ROOT / "docs" / "families.md": families.page(),
        readme: between(text, "transcript", transcript.transcript(ROOT)),
    }


def between(text: str, marker: str, content: str) -> str:
    """The text with `content` between its markers `<!-- marker -->` and `<!-- /marker -->`."""
    start, end = f"<!-- {marker} -->\n", f"<!-- /{marker} -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}{content}{end}{after}"


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content, encoding="utf-8")

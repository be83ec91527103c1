"""The help: complete, in sections, and as wide as the terminal at most."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mtmd_cli.cli.option import Option
from mtmd_cli.cli.options import SECTIONS
from tests.unit.cli.conftest import Run

OPTIONS = [option for section in SECTIONS.values() for option in section]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.opts[-1])
def test_every_option_has_a_line_of_help(run: Run, option: Option) -> None:
    assert option.help
    rows = [line for line in run("--help").out.splitlines() if line.startswith(f"  {option.spelling} ")]
    assert len(rows) == 1
    assert option.help.split()[0] in rows[0]


@pytest.mark.parametrize("width", [80, 120])
def test_the_help_fits_the_terminal(run: Run, width: int) -> None:
    outcome = run("--help", width=width)
    assert outcome.code == 0 and outcome.err == ""
    assert max(map(len, outcome.out.splitlines())) <= width
    titles = [line[:-1] for line in outcome.out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == [*SECTIONS, "Help"]


def test_h_is_help(run: Run) -> None:
    assert run("-h").out == run("--help").out


def test_help_imports_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "PIL", "tokenizers", "jinja2", "gguf", "rich"}
    code = (
        "import sys\nfrom mtmd_cli.cli.main import command\n"
        "try: command.main(['--help'])\nexcept SystemExit: pass\n"
        f"print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("line", "found"),
    [("mtmd-cli --mmproj-f", "--mmproj-flash-attn"), ("mtmd-cli -fa on --unknown -p x --no-j", "--no-jinja")],
)
def test_completion_of_flags(run: Run, line: str, found: str) -> None:
    env = {"_MTMD_CLI_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    outcome = run(env=env)
    assert (outcome.out, outcome.err) == (f"plain,{found}\n", "")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("mtmd-cli -m mo", "file,mo\n"),
        ("mtmd-cli -mm mo", "file,mo\n"),
        ("mtmd-cli --image ca", "file,ca\n"),
        ("mtmd-cli -f ", "file,\n"),
        ("mtmd-cli --trace ", "file,\n"),
        ("mtmd-cli --alpha ", "plain,drop\nplain,white\nplain,black\n"),
        ("mtmd-cli -ctk q8", "plain,q8_0\n"),
    ],
)
def test_completion_of_values(run: Run, line: str, told: str) -> None:
    env = {"_MTMD_CLI_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    assert run(env=env).out == told


def test_version(run: Run) -> None:
    outcome = run("--version")
    assert outcome.code == 0 and outcome.out.startswith("mtmd-cli 0.")

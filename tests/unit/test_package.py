"""What `import mtmd_cli` promises."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import mtmd_cli
from mtmd_cli import errors


def test_all_is_sorted_and_complete() -> None:
    public = {name for name in vars(mtmd_cli) if not name.startswith("_") and isinstance(getattr(mtmd_cli, name), type)}
    assert mtmd_cli.__all__ == sorted(set(mtmd_cli.__all__))
    assert public <= set(mtmd_cli.__all__)
    assert dir(mtmd_cli) == mtmd_cli.__all__


@pytest.mark.parametrize("name", mtmd_cli.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(mtmd_cli, name) is not None


def test_every_error_is_public() -> None:
    kinds = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert kinds <= set(mtmd_cli.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        mtmd_cli.lode  # noqa: B018


def test_import_is_cheap() -> None:
    heavy = {"torch", "numpy", "PIL", "tokenizers", "jinja2", "gguf", "rich", "click"}
    code = f"import sys, mtmd_cli; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_installed_version_is_that_of_the_package() -> None:
    try:
        installed = importlib.metadata.version("mtmd-cli")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("mtmd-cli is not installed")
    assert installed == mtmd_cli.__version__

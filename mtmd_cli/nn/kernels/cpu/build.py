"""Compile C sources with the user's compiler, once: the library is kept in a private folder.

An entry is a folder named by all that decides what comes out. It appears at once or not at all, and holds a checksum,
so that programs that start at the same time, or one that dies half way, leave nothing that a later one would trip over.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-std=gnu11", "-shared", "-fPIC")
# Whoever has no OpenMP (Apple's clang) gets the same library, on one thread.
OPENMP_FLAGS = (("-fopenmp",), ())
SECONDS = 60  # longer than any compiler takes that works


class NoLibrary(Exception):
    """There is no compiler, or it refuses; the message says which, and what would help."""


def build(sources: Sequence[Path], flags: Sequence[str], cache: Path | None = None) -> Path:
    """The shared library of the `.c` files among the sources, compiled now or long ago.

    sources: all files that are read, headers too. cache: where libraries are kept. Raises NoLibrary.
    """
    compiler = find_compiler()
    folders = (cache,) if cache is not None else cache_folders()
    entry = private(folders) / _key(compiler, sources, flags)
    if not _whole(entry):
        _make(entry, compiler, sources, flags)
    return entry / "kernels.so"


def find_compiler() -> Path:
    """The first C compiler of the PATH. Raises NoLibrary."""
    if os.name != "posix":
        raise NoLibrary(f"our C kernels are not made for {platform.system()}")
    for name in COMPILERS:
        if found := shutil.which(name):
            return Path(found)
    raise NoLibrary(
        f"no C compiler ({', '.join(COMPILERS)}) is on the PATH; with one, packed weights run several times faster"
    )


def cache_folders() -> tuple[Path, ...]:
    """Where compiled libraries are kept, best first: where the user has caches, else among temporary files."""
    named, temporary = os.environ.get("XDG_CACHE_HOME", ""), Path(tempfile.gettempdir(), f"mtmd-cli-{os.getuid()}")
    try:
        base = Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        return (temporary,)
    return base / "mtmd-cli" / "kernels", temporary


def private(folders: Sequence[Path]) -> Path:
    """The first folder that belongs to this user alone: what others can write is not to be run. Raises NoLibrary."""
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.lstat()
        except OSError:
            continue
        others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if found.st_uid == os.getuid() and not others_write and os.access(folder, os.W_OK):
            return folder
    raise NoLibrary(f"no folder is ours to keep compiled kernels in: {', '.join(map(str, folders))}")


def _key(compiler: Path, sources: Sequence[Path], flags: Sequence[str]) -> str:
    program = compiler.resolve()
    parts = [platform.machine(), platform.system(), str(program), str(program.stat().st_mtime_ns), *FLAGS, *flags]
    digest = hashlib.sha256("\0".join(parts).encode())
    for source in sorted(sources):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:32]


def _checksum(library: Path) -> str:
    return hashlib.sha256(library.read_bytes()).hexdigest()


def _whole(entry: Path) -> bool:
    try:
        return (entry / "checksum").read_text() == _checksum(entry / "kernels.so")
    except (OSError, ValueError):
        return False


def _make(entry: Path, compiler: Path, sources: Sequence[Path], flags: Sequence[str]) -> None:
    """Compile beside the entry, then move into place; another process may be first, and made the same."""
    work = Path(tempfile.mkdtemp(dir=entry.parent, prefix="making-"))
    try:
        library = work / "kernels.so"
        _compile(compiler, [source for source in sources if source.suffix == ".c"], flags, library)
        (work / "checksum").write_text(_checksum(library))
        if entry.exists() and not _whole(entry):
            shutil.rmtree(entry, ignore_errors=True)
        try:
            work.rename(entry)
        except OSError:
            if not _whole(entry):
                raise
    except OSError as error:
        raise NoLibrary(f"the compiled kernels cannot be kept in {entry.parent}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _compile(compiler: Path, files: Sequence[Path], flags: Sequence[str], library: Path) -> None:
    said = ""
    for openmp in OPENMP_FLAGS:
        command = [str(compiler), *FLAGS, *openmp, *flags, *map(str, sorted(files)), "-o", str(library)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoLibrary(f"{compiler} does not work: {error}") from None
        if done.returncode == 0:
            return
        said = said or next(iter(done.stderr.splitlines()), f"exit code {done.returncode}")
    raise NoLibrary(f"{compiler} refuses our sources: {said}")

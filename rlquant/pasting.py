"""Commands that messages propose, as they work when they are pasted into the same shell."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def near(path: Path) -> Path:
    """Return a path as it is written in the current folder: relative where it lies below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def program(name: str) -> str | None:
    """Return the name of a program where a shell finds that of this environment by it."""
    found = shutil.which(name)
    ours = Path(sys.executable).parent
    return name if found is not None and Path(found).absolute().parent == ours else None


def python() -> str:
    """Return what starts this interpreter: `python`, or its path where another one is found."""
    return program("python") or shlex.quote(str(near(Path(sys.executable))))


def install(what: str) -> str:
    """Return what installs packages into this environment.

    Args:
        what: as pip is given it, quoted for a shell, such as "'rlquant[onnx]'".
    """
    return f"{python()} -m pip install {what}"

"""What other packages add by entry points: the name, and where it is, "module:attribute".

A package says in its `pyproject.toml`

    [project.entry-points."rlquant.tasks"]
    mine = "my_package.tasks:load"

and `mine` is known wherever the package is installed. Nothing is imported before it is asked for.
Names of ours come first.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

TASKS, SEARCHERS, FORMATS = "rlquant.tasks", "rlquant.searchers", "rlquant.formats"
"""Groups of entry points."""


def plugins(group: str) -> dict[str, str]:
    """Return what installed packages add to a group: name -> "module:attribute", sorted."""
    found = sorted(entry_points(group=group), key=lambda point: (point.name, point.value))
    return {point.name: point.value for point in found}


@cache
def place(group: str, name: str) -> str:
    """Return where something added is; `KeyError` where no package adds it, which may change."""
    return plugins(group)[name]

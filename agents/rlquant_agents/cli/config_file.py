"""Settings of a command from a YAML file, and into one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tyro
import yaml

from rlquant.documents.schema import has_no_default, read_given
from rlquant.documents.yaml_text import read_yaml
from rlquant.errors import FileFormatError, SettingsError
from rlquant.files import reading, write_file


@dataclass(frozen=True, kw_only=True)
class CommandSettings:
    """What every command takes.

    Attributes:
        config: YAML file with any of these settings, such as `budget: 2.5`; flags win over it.
    """

    config: Path | None = None


Settings = TypeVar("Settings", bound=CommandSettings)

MAY_STAND_FIRST = {"may_stand_first": True}
"""Metadata of the field, one at most, whose value may be the first argument, without its flag."""

FLAG = "--config"
RECIPE = "recipe.yaml"
"""The file in a run folder that repeats the run."""
PLACES = frozenset({"config", "out", "output", "report", "progress"})
"""What a recipe leaves out: where things go."""


def split_config(argv: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Return the file that `--config` names, None without one, and all other arguments."""
    others = list(argv)
    found: list[str] = []
    for place in reversed(range(len(others))):
        word, equals, value = others[place].partition("=")
        if word != FLAG:
            continue
        if not equals and place + 1 == len(others):
            raise SettingsError(f"{FLAG} needs a YAML file, as in {FLAG} run.yaml")
        found.append(value if equals else others[place + 1])
        del others[place : place + (1 if equals else 2)]
    if len(found) > 1:
        raise SettingsError(f"{FLAG} is there {len(found)} times; give one file")
    return (Path(found[0]) if found else None), others


def first_flag(settings: type[CommandSettings]) -> str | None:
    """Return the flag of the field marked `MAY_STAND_FIRST`; None where none is."""
    fields = dataclasses.fields(settings)
    marked = [field.name for field in fields if field.metadata == MAY_STAND_FIRST]
    return f"--{marked[0].replace('_', '-')}" if marked else None


def read_config(settings: type[Settings], path: Path) -> Settings:
    """Return the settings of a file; those that it leaves out have their defaults.

    Args:
        settings: a dataclass.
        path: YAML with a mapping; `latency-table` and `latency_table` are the same key.

    Raises:
        FileFormatError: no such mapping, or a setting that is unknown or wrong.
        StorageError: the file cannot be read.
    """
    with reading(path):
        values = read_given(settings, _with_underscores(read_yaml(path)))
        if "config" in values:
            raise FileFormatError("config: a file cannot name another; leave it out")
    fields = dataclasses.fields(settings)
    open_ = {field.name: tyro.MISSING for field in fields if has_no_default(field)}
    return settings(**{**open_, "config": path, **values})


def write_recipe(settings: CommandSettings, path: Path) -> None:
    """Write all settings but places as YAML, so that `--config` reads them again.

    Defaults stand in it too: a later version with others repeats the run all the same.

    Raises:
        StorageError: the file cannot be written.
    """
    values = {
        field.name.replace("_", "-"): getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if field.name not in PLACES
    }
    given = {name: _plain(value) for name, value in values.items() if value is not None}
    text = yaml.safe_dump(given, sort_keys=False, allow_unicode=True, default_flow_style=None)
    write_file(path, text)


def _plain(value: Any) -> Any:
    """Return tuples as lists and paths as texts, as YAML has them."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _with_underscores(document: Any) -> Any:
    """Return a mapping with its keys as the fields are written; an empty file is an empty one."""
    if not isinstance(document, dict):
        return {} if document is None else document
    found: dict[str, Any] = {}
    for key, value in document.items():
        name = key.replace("-", "_")
        if name in found:
            raise FileFormatError(f"{key} is there twice")
        found[name] = value
    return found

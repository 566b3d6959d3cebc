"""YAML from outside, within bounds: plain values and nothing that is executed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from rlquant.documents.files import read_text
from rlquant.documents.json_text import MOST_DEPTH
from rlquant.documents.schema import shown
from rlquant.errors import FileFormatError

MOST_BYTES = 2**16
"""What a document may have; settings have a few hundred bytes, and PyYAML is slow."""


def read_yaml(path: str | Path, most: int = MOST_BYTES) -> Any:
    """Return what a YAML file holds.

    Args:
        path: a regular file in UTF-8.
        most: bytes that it may have.

    Raises:
        FileFormatError: see `read_text` and `parse_yaml`.
        OSError: there is no such file, or it cannot be read.
    """
    return parse_yaml(read_text(path, most))


def parse_yaml(text: str) -> Any:
    """Return what one YAML document holds: every key a text that is there once.

    Raises:
        FileFormatError: no YAML, several documents, an alias (a few lines of them stand for
            gigabytes), a tag of a type that is not plain, or lists and mappings in each other
            more than `MOST_DEPTH` deep.
    """
    try:
        _require_plain(text)
        return yaml.load(text, Loader=_Loader)  # a SafeLoader: nothing is executed
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        raise FileFormatError(f"it is not YAML ({line}{error.problem})") from error
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"it is not YAML ({' '.join(str(error).split())})") from error


def _require_plain(text: str) -> None:
    """Refuse aliases and depth before anything is made of them."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1
            raise FileFormatError(f"line {line}: *{event.anchor} is an alias; write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise FileFormatError(f"its lists and mappings are more than {MOST_DEPTH} deep")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Reads 1e-5 as a number, as YAML 1.2 does, and refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping with texts as keys."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for place, key in enumerate(keys):
            line = node.value[place][0].start_mark.line + 1
            if not isinstance(key, str):
                raise FileFormatError(f"line {line}: the key {shown(key)} is no text")
            if key in keys[:place]:
                raise FileFormatError(f"line {line}: the key {shown(key)} is there twice")
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)

"""Variants of searchers: a searcher with its settings, under a label of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlquant.documents import read_as, read_json
from rlquant.errors import FileFormatError, SettingsError
from rlquant.files import reading
from rlquant_agents.search.searcher import Searcher, make_searcher
from rlquant_experiments.baselines.registration import register_baselines

DETERMINISTIC = {"uniform", "knapsack", "greedy", "knapsack-weight-error", "knapsack-fisher"}
"""Searchers that no seed changes: they run once."""
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*")
"""Labels become parts of file names."""


@dataclass(frozen=True)
class Variant:
    """One searcher with its settings.

    Attributes:
        label: what it is called in files and reports.
        searcher: the name of the searcher.
        settings: those that differ from its defaults.

    Raises:
        SettingsError: a label that cannot be part of a file name.
    """

    label: str
    searcher: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not LABEL.fullmatch(self.label):
            raise SettingsError(
                f"label {self.label!r} of a variant becomes part of a file name; use letters, "
                f"digits and _ . + = -"
            )

    @classmethod
    def plain(cls, searcher: str) -> Variant:
        """Return a searcher as it is, under its own name."""
        return cls(searcher, searcher)

    @property
    def runs_once(self) -> bool:
        """Whether no seed changes it."""
        return self.searcher in DETERMINISTIC

    def make(self) -> Searcher:
        """Return the searcher, one of the product's or of the baselines.

        Raises:
            UnknownNameError: no searcher has that name.
            SettingsError: it has no such setting, or a value is out of range.
        """
        register_baselines()  # here, as other processes make searchers too
        return make_searcher(self.searcher, **self.settings)


def read_variants(path: Path) -> tuple[Variant, ...]:
    """Read variants of searchers from a JSON file, `{label: {"searcher": .., "settings": {..}}}`.

    Raises:
        StorageError: the file cannot be read.
        FileFormatError: it holds something else.
        SettingsError: a label that cannot be part of a file name.
    """
    with reading(path):
        try:
            entries = read_as(dict[str, _Entry], read_json(path))
        except FileFormatError as error:
            raise FileFormatError(f"no variants ({error}); write {_FORM}") from error
        return tuple(
            Variant(label, entry.searcher, {k: _plain(v) for k, v in entry.settings.items()})
            for label, entry in entries.items()
        )


_FORM = '{"label": {"searcher": "name", "settings": {"setting": value}}}'


@dataclass(frozen=True, slots=True)
class _Entry:
    """A variant as it stands in the file."""

    searcher: str
    settings: dict[str, Any] = field(default_factory=dict)


def _plain(value: Any) -> Any:
    """Return a setting as searchers hold it: JSON has lists where they have tuples."""
    return tuple(map(_plain, value)) if isinstance(value, list) else value

"""Settings of a run as JSON, and their comparison with those of an earlier run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlquant import Budget, Problem
from rlquant.documents import read_as, read_json
from rlquant.errors import FileFormatError, SettingsError
from rlquant.files import reading
from rlquant.problem.fingerprint import fingerprint
from rlquant.problem.protocol import Live
from rlquant_agents.search.searcher import Searches, name_of

SETTINGS_VERSION = 1
DECISIVE = (
    "version",
    "problem",
    "budget",
    "space",
    "fidelity",
    "searcher",
    "searcher_settings",
    "reward",
    "reward_code",
    "seed",
)
"""The settings that a folder must share with the run that goes on in it."""

ANOTHER_PROBLEM = (
    "problem is a fingerprint of network, data and settings; a loader that shuffles gives other "
    "calibration samples each time"
)

Document = dict[str, Any]


def describe_run(
    problem: Problem,
    searcher: Searches,
    evaluations: int,
    seed: int,
    extra: Mapping[str, Any] | None = None,
) -> Document:
    """Return all settings of a search as they stand in `settings.json`.

    Args:
        problem: what is searched.
        searcher: the searcher with its settings.
        evaluations: how many it may use.
        seed: the search's seed.
        extra: what else should be remembered, e.g. the task's name and the command line.

    Raises:
        SettingsError: a reward without a name; see `require_named`.
    """
    fields = _settings_of(searcher)
    reward = fields.pop("reward", None)
    require_named(reward)
    document = {
        "version": SETTINGS_VERSION,
        "problem": problem.fingerprint,
        "budget": _budget(problem.budget),
        "space": dataclasses.asdict(problem.space),
        "fidelity": problem.fidelity,
        "quantizer_seed": problem.seed,
        "evaluation": dataclasses.asdict(problem.evaluation) if isinstance(problem, Live) else None,
        "layers": [facts.name for facts in problem.layers],
        "searcher": name_of(searcher),
        "searcher_settings": fields,
        "reward": reward,
        "reward_code": fingerprint(reward) if callable(reward) else None,
        "seed": seed,
        "evaluations": evaluations,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "rlquant": version("rlquant"),
        },
        **(extra or {}),
    }
    # as it will be read back; JSON has no word for what is not finite
    plain: Document = json.loads(json.dumps(document, default=_named), parse_constant=str)
    return plain


def require_named(reward: Any) -> None:
    """Raise `SettingsError` for a reward function that no later run could be compared with."""
    if callable(reward) and "<" in getattr(reward, "__qualname__", "<no name>"):
        raise SettingsError(
            f"reward={reward!r} has no name of its own, so a run that goes on in out could not "
            f"tell it from another; define it with def at the top of a module"
        )


def _settings_of(searcher: Any) -> dict[str, Any]:
    """Return what of a searcher decides what it finds.

    Its fields, or the public attributes of one that is no dataclass.
    """
    if dataclasses.is_dataclass(searcher):
        recorded = (f for f in dataclasses.fields(searcher) if f.metadata.get("recorded", True))
        return {f.name: getattr(searcher, f.name) for f in recorded}
    attributes = getattr(searcher, "__dict__", {})
    return {k: v for k, v in attributes.items() if not k.startswith("_") and k != "name"}


def read_settings(path: Path) -> Document | None:
    """Read a settings file, None where there is none.

    Raises:
        FileFormatError: it is damaged.
        StorageError: it cannot be read.
    """
    with reading(path):
        try:
            return read_as(Document, read_json(path)) if path.exists() else None
        except FileFormatError as error:
            raise FileFormatError(f"no settings of a run ({error}); move it away") from error


def require_same(
    here: Document, there: Document, folder: Path, decisive: tuple[str, ...] = DECISIVE
) -> None:
    """Raise `SettingsError` where a folder holds a run with other decisive settings."""
    differ = differences(here, there, decisive)
    if differ:
        words = ", ".join(f"{name} was {old!r} and is {new!r} now" for name, new, old in differ)
        why = f" ({ANOTHER_PROBLEM})" if "problem" in [name for name, _, _ in differ] else ""
        raise SettingsError(
            f"{folder} holds another run: {words}{why}; give another folder as out (--out), "
            f"or the same settings"
        )


def differences(
    here: Document, there: Document, settings: tuple[str, ...]
) -> list[tuple[str, Any, Any]]:
    """Return in which of the named settings two runs differ: name, value here, value there."""
    new, old = (dict(_flat({k: d.get(k) for k in settings})) for d in (here, there))
    names = dict.fromkeys([*old, *new])
    return [(k, new.get(k), old.get(k)) for k in names if old.get(k) != new.get(k)]


def _budget(budget: Budget) -> Document:
    """Describe a budget; a latency table by a hash of its rows."""
    document: Document = {"quantity": budget.quantity, "limit": budget.limit}
    if budget.table is not None:
        rows = repr(sorted(budget.table.rows.items(), key=repr)).encode()
        document["latency_table"] = hashlib.blake2b(rows, digest_size=8).hexdigest()
    return document


def _named(value: Any) -> Any:
    """Return what is the same in every process for what JSON does not know."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (Path, torch.device)):
        return str(value)
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

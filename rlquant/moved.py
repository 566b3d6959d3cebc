"""Deprecated module names: a module of the first edition is found where it is now.

Importing one gives the module that took its place, and a DeprecationWarning. Only names that
have moved are looked at; they go with the next release.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

FOLDERS = {
    "rlquant": ("cost", "problem", "export"),
    "rlquant.export": ("rlq",),
    "rlquant.training": ("fixed_point",),
    "rlquant_agents": (
        *("search", "searchers", "searchers.ppo", "surrogate", "runs", "reporting"),
        *("policies", "cli"),
    ),
}
"""Package -> the folders in it that its modules moved to."""

PACKAGES = {
    "rlquant.assignment": ("rlquant.rounding",),
    "rlquant.reproduction": ("rlquant_experiments.reproduction",),
    "rlquant_agents": (
        *("rlquant_experiments.comparison", "rlquant_experiments.baselines"),
        "rlquant_experiments",
    ),
    "rlquant_agents.benchmarks": ("rlquant_experiments.benchmarks",),
    "rlquant_agents.dyna": ("rlquant_agents.searchers.dyna_ppo", "rlquant_agents.surrogate"),
    "rlquant_agents.exporting": ("rlquant_agents.cli",),
    "rlquant_agents.judging": ("rlquant_experiments.comparison.statistics",),
    "rlquant_agents.pretraining": ("rlquant_experiments.pretraining",),
}
"""Package -> other packages that its modules moved to, the first of which took its own place."""

RENAMED = {
    "rlquant.assignment.gptq": "rlquant.rounding.gptq",
    "rlquant.assignment.policy_training": "rlquant.rounding.reinforce",
    "rlquant.assignment.relaxation": "rlquant.rounding.adaround",
    "rlquant.choices": "rlquant.config",
    "rlquant.problem_parts": "rlquant.problem.checks",
    "rlquant.problem_protocol": "rlquant.problem.protocol",
    "rlquant.refining": "rlquant.problem.refine",
    "rlquant.train_network": "rlquant.problem.train",
    "rlquant.whole_files": "rlquant.files",
    "rlquant_agents.arguments": "rlquant_agents.search.checks",
    "rlquant_agents.damage_model": "rlquant_agents.surrogate.effects_surrogate",
    "rlquant_agents.dyna.candidates": "rlquant_agents.surrogate.acquisition",
    "rlquant_agents.dyna.known": "rlquant_agents.surrogate.observations",
    "rlquant_agents.dyna.landscape": "rlquant_agents.surrogate.surrogate",
    "rlquant_agents.dyna.imagined": "rlquant_agents.searchers.dyna_ppo.rollouts",
    "rlquant_agents.dyna_ppo": "rlquant_agents.searchers.dyna_ppo.searcher",
    "rlquant_agents.optuna_cmaes": "rlquant_experiments.baselines.optuna_cmaes",
    "rlquant_agents.optuna_decoding": "rlquant_agents.searchers.optuna.decoding",
    "rlquant_agents.optuna_gp": "rlquant_experiments.baselines.optuna_gp",
    "rlquant_agents.optuna_search": "rlquant_agents.searchers.optuna.search",
    "rlquant_agents.ppo": "rlquant_agents.searchers.ppo.searcher",
    "rlquant_agents.promising": "rlquant_agents.surrogate.acquisition",
}
"""Modules whose own name changed as well."""


class MovedModules:
    """A finder of `sys.meta_path`, the first: others would load what moved with a package twice."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module that moved, None for any other name."""
        place = new_name(name)
        if place is None:
            return None
        loader: Any = _Loader(place)
        return ModuleSpec(name, loader, is_package=name in PACKAGES)


class _Loader:
    """Loads the module at the new place in place of the old one."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        warnings.warn(
            f"{spec.name} is now {self._place}; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        module = import_module(self._place)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system wrote the old name's


def new_name(name: str) -> str | None:
    """Return where a module of the first edition is now, None for one that has not moved."""
    if name in RENAMED:
        return RENAMED[name]
    package = name.rpartition(".")[0]
    if not name.startswith(("rlquant.", "rlquant_agents.")):
        return None
    if name not in PACKAGES and not _has_moved(package) and _is_module(name):
        return None
    return next((place for place in _places(name) if _is_module(place)), None)


def _places(name: str) -> Iterator[str]:
    """Yield where the module of an old name may be."""
    package, _, module = name.rpartition(".")
    if name in PACKAGES and name != "rlquant_agents":
        yield PACKAGES[name][0]
    yield from (f"{package}.{folder}.{module}" for folder in FOLDERS.get(package, ()))
    yield from (f"{place}.{module}" for place in PACKAGES.get(package, ()))
    if package.startswith("rlquant.reproduction."):
        yield name.replace("rlquant.", "rlquant_experiments.", 1)


def _has_moved(package: str) -> bool:
    """Return whether a package is at another place; some of its modules' new homes remain."""
    return package.startswith("rlquant.reproduction") or (
        package in PACKAGES and package != "rlquant_agents"
    )


def _is_module(place: str) -> bool:
    """Return whether there is a module of that name; what would need an old name is none."""
    package, _, module = place.rpartition(".")
    try:
        found = find_spec(package)
    except ModuleNotFoundError:
        return False
    if found is None or found.submodule_search_locations is None:
        return False
    return PathFinder.find_spec(module, list(found.submodule_search_locations)) is not None


def install() -> None:
    """Let the import system find moved modules; once is enough."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        finder: Any = MovedModules()
        sys.meta_path.insert(0, finder)

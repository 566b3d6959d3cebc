"""Deprecated module names lead to the modules that took their place."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib import import_module

import pytest

from rlquant.moved import RENAMED, new_name

MOVED = {
    **RENAMED,
    "rlquant.assignment": "rlquant.rounding",
    "rlquant.assignment.learned": "rlquant.rounding.learned",
    "rlquant.export.packed": "rlquant.export.rlq.packed",
    "rlquant.feasible": "rlquant.cost.feasible",
    "rlquant.file_layout": "rlquant.cost.file_layout",
    "rlquant.fingerprint": "rlquant.problem.fingerprint",
    "rlquant.reproduction.ttq.variants": "rlquant_experiments.reproduction.ttq.variants",
    "rlquant.targets": "rlquant.export.targets",
    "rlquant.training.arithmetic": "rlquant.training.fixed_point.arithmetic",
    "rlquant_agents.agent_training": "rlquant_agents.policies.agent_training",
    "rlquant_agents.dyna.agent": "rlquant_agents.searchers.dyna_ppo.agent",
    "rlquant_agents.dyna.kernel": "rlquant_agents.surrogate.kernel",
    "rlquant_agents.judging.hypervolume": "rlquant_experiments.comparison.statistics.hypervolume",
    "rlquant_agents.run_folder": "rlquant_agents.runs.run_folder",
    "rlquant_agents.run_settings": "rlquant_agents.search.run_settings",
    "rlquant_agents.saved_agent": "rlquant_agents.policies.saved_agent",
    "rlquant_agents.session": "rlquant_agents.search.session",
    "rlquant_agents.variants": "rlquant_experiments.comparison.variants",
}


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_gives_the_module_that_took_its_place(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert new_name(old) == MOVED[old]
    new = import_module(MOVED[old])
    spec = new.__spec__
    monkeypatch.delitem(sys.modules, old, raising=False)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert import_module(old) is new
    said = f"{old} is now {MOVED[old]}; the old name goes with the next release"
    assert said in [str(warning.message) for warning in told]
    assert new.__spec__ is spec
    assert new.__name__ == MOVED[old]


def test_a_name_that_never_was_is_not_found() -> None:
    for name in ("rlquant.nothing", "rlquant_agents.nothing", "elsewhere.choices"):
        assert new_name(name) is None
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'rlquant.nothing'"):
        import_module("rlquant.nothing")


def test_from_imports_of_old_names_work_in_a_new_process() -> None:
    code = (
        "from rlquant.choices import LayerChoice; from rlquant import whole_files\n"
        "from rlquant_agents import run_settings; import rlquant\n"
        "assert LayerChoice is rlquant.LayerChoice and whole_files.write_file\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr

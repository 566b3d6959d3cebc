"""The baselines in the registry: each under its name, beside the product's searchers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rlquant_agents import make_searcher, searchers
from rlquant_experiments.baselines.registration import BASELINES, register_baselines


@pytest.mark.parametrize("name", BASELINES)
def test_each_is_found_under_its_own_name(name: str) -> None:
    assert make_searcher(name).name == name


def test_registering_again_does_nothing() -> None:
    before = searchers()
    register_baselines()
    assert searchers() == before


def test_nothing_is_registered_before_it_is_asked_for() -> None:
    code = (
        "import rlquant_agents, rlquant_experiments.baselines.registration as r\n"
        "assert not set(r.BASELINES) & set(rlquant_agents.searchers())\n"
        "r.register_baselines()\n"
        "assert set(r.BASELINES) <= set(rlquant_agents.searchers())\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr

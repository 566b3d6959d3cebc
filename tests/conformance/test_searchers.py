"""The searchers keep what searchers promise.

`experiments/tests/baselines/test_conformance.py` runs the same suite on the baselines.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from named_searchers import these
from rlquant.testing import ToyProblem
from rlquant_agents import make_searcher
from rlquant_agents.search.searcher import _REGISTRY
from rlquant_agents.testing import SearcherConformance

OURS = [name for name, place in _REGISTRY.items() if place.startswith("rlquant_agents.")]
DRAW_NOTHING = ("knapsack", "pairwise", "local-swap")  # or nothing so early
BLIND = ("uniform",)  # learns nothing from evaluations


class TestSearchers(SearcherConformance):
    searcher = these(*(name for name in OURS if name not in (*DRAW_NOTHING, *BLIND)))


class TestSearchersThatDrawNothing(SearcherConformance):
    draws = False
    searcher = these(*DRAW_NOTHING)


class TestBlindSearchers(SearcherConformance):
    draws = finds_optimum = False
    searcher = these(*BLIND)


IN_ANOTHER_PROCESS = """
import json, sys
import torch
torch.set_num_threads(1)
from rlquant.testing import ToyProblem
from rlquant_agents import make_searcher
runs = {name: make_searcher(name).search(ToyProblem(4, 4.0), 16, seed=5) for name in sys.argv[1:]}
print(json.dumps({name: [e.config.key for e in run.history] for name, run in runs.items()}))
"""


@pytest.mark.slow  # in cli/test_search.py a killed search goes on here as if it had run whole
def test_another_process_gives_the_same_history() -> None:
    names = ("masked-ppo", "local-swap")
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, *names]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    there = json.loads(answer.stdout)
    for name in names:
        here = make_searcher(name).search(ToyProblem(4, 4.0), 16, seed=5)
        assert there[name] == [e.config.key for e in here.history]

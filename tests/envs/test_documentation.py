"""docs/reference/environment.md and its example do what they say."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from rlquant import QuantizationProblem, find_layers
from rlquant.rounding.layer_problem import GROUP_FEATURES
from rlquant.score import REWARDS, WORST_REWARD
from rlquant.testing import ToyProblem
from rlquant_envs import FEATURES, LayerwiseQuantization
from rlquant_envs.observation import Observer
from small_networks import NETWORKS, fresh, samples_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "environment.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLQUANT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def table(title: str) -> list[list[str]]:
    """The rows of the table whose first heading is `title`."""
    lines = PAGE.split(f"\n| {title} |", maxsplit=1)[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_feature_is_documented_by_name_and_meaning_in_order() -> None:
    rows = table("feature")
    assert [(name.strip("`"), meaning) for name, _, meaning in rows] == list(FEATURES.items())


def test_documented_ranges_hold() -> None:
    ranges = {name.strip("`"): allowed for name, allowed, _ in table("feature")}
    assert set(ranges.values()) == {"0..1", "0 or 1"}
    for network, kind in NETWORKS.items():
        layers = find_layers(fresh(kind.build), samples_of(network, 4)[0])
        problem = ToyProblem(len(layers), 4.0)
        problem.layers = problem.feasible.decisions = layers
        for i in range(len(layers) + 1):
            row = Observer(problem).observe(i, problem.feasible.smallest, None)
            for name, value in zip(FEATURES, row.tolist(), strict=True):
                assert value in (0.0, 1.0) if ranges[name] == "0 or 1" else 0 <= value <= 1


def test_every_reward_is_documented() -> None:
    names = [row[0].strip("`") for row in table("`reward=`")]
    assert names == [*(f'"{name}"' for name in REWARDS), "a function"]
    assert f"the reward is {WORST_REWARD:g}" in PAGE


def test_every_key_of_info_is_documented() -> None:
    env = LayerwiseQuantization(ToyProblem(2))
    found = {"reset": set(env.reset(seed=0)[1])}
    found["step"] = set(env.step(env.action_space.sample())[4])
    found["last"] = set(env.step(env.action_space.sample())[4]) - found["step"]
    documented: dict[str, set[str]] = {"reset": set(), "step": set(), "last": set()}
    for after, key, _ in table("after"):
        documented[after.replace("`", "").split()[0]].add(key.strip("`"))
    assert documented == found


def test_the_code_on_the_page_runs() -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(block, "docs/reference/environment.md", "exec"), names)
    assert names["info"]["limit"] == 3000
    assert isinstance(names["problem"], QuantizationProblem)
    assert names["environments"].num_envs == 4


@pytest.fixture
def printed_by(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run an example of at most 30 lines for so many steps; returns what it prints."""

    def run(name: str, steps: int) -> str:
        path = DOCS / "examples" / name
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 30
        monkeypatch.setattr(sys, "argv", [str(path), str(steps)])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_the_example_prints_the_best_configuration_and_its_score(printed_by: Any) -> None:
    printed = printed_by("a2c.py", 48)
    assert re.match(r"\{'hidden1': \d, 'hidden2': \d, 'classifier': \d\} ", printed)
    assert re.search(r'"accuracy": 0\.\d', printed)
    (bits,) = re.findall(r'"average_bits": ([\d.]+)', printed)
    assert float(bits) <= 3.0


def test_every_group_feature_is_documented_by_name_and_meaning_in_order() -> None:
    rows = table("group feature")
    assert [(name.strip("`"), meaning) for name, meaning in rows] == list(GROUP_FEATURES.items())


def test_the_example_of_assignments_prints_what_is_left_of_the_error(printed_by: Any) -> None:
    printed = printed_by("ppo_assignment.py", 1280)
    (share,) = re.findall(r"320 weights, error of the outputs over nearest .*: ([\d.]+)", printed)
    assert float(share) < 1.0

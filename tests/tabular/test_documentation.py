"""docs/how-to/benchmark.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rlquant import TabularProblem

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "benchmark.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the code on the page leaves behind."""
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(block, "docs/how-to/benchmark.md", "exec"), found)
    return found


def test_the_code_on_the_page_runs(names: dict[str, Any]) -> None:
    assert isinstance(names["problem"], TabularProblem)
    assert names["score"] == names["best"]
    assert names["env"].unwrapped.problem.table is names["table"]
    assert len(set(names["asked"])) == len(names["found"]) == 100


def test_regret_is_0_at_the_optimum_and_1_for_equal_bits(names: dict[str, Any]) -> None:
    regrets, best, uniform = names["regrets"], names["best"].loss, names["UNIFORM"]
    assert regrets([uniform] * 10 + [best] * 20) == {10: 1.0, 30: 0.0}
    assert list(names["regrets"](names["found"])) == [10, 30, 100]
    assert names["regrets"](names["ours"])[100] <= names["regrets"](names["ours"])[10]


def test_the_whole_front_has_the_largest_hypervolume(names: dict[str, Any]) -> None:
    front = [score for _, score in names["front"]]
    assert names["exact"] > 0
    assert 0 < names["share"] < 1
    assert names["dominated"](front[::-1] + front) == pytest.approx(names["exact"])
    assert names["dominated"](front[::2]) < names["exact"]
    assert names["dominated"](front[:1]) == 0.0
    middle = front[len(front) // 2]
    by_hand = (front[-1].average_bits - middle.average_bits) * (
        names["np"].log(front[0].loss) - names["np"].log(middle.loss)
    )
    assert names["dominated"]([middle]) == pytest.approx(by_hand)


def test_named_places_exist(names: dict[str, Any]) -> None:
    root = Path(__file__).parents[2]
    for module in re.findall(r"`rlquant\.(tabular(?:\.\w+)*)\.\w+`", PAGE):
        assert (root / "rlquant" / (module.replace(".", "/") + ".py")).exists()
    assert (root / "scripts" / "enumerate.py").exists()
